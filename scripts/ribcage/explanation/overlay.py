"""Overlays: films with their maps, boxes and lungs, as pictures and as outlines."""

import cv2
import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from ribcage.boxes import Box
from ribcage.lungs import MASK_SIDE, whole
from ribcage.shards import Square

COLOURS = colormaps["inferno"]
COLOUR_RANGE, CLEAR_BELOW, OPACITY = (0.35, 0.85), 0.15, 0.55
"""Neither black nor near white, which films have themselves; clear where the map is low."""
BOX_COLOUR, LUNG_COLOUR, CROP_COLOUR = (90, 220, 255), (94, 214, 164), (255, 255, 255)
CROP_OPACITY = 0.45
FINE, TOLERANCE = 4, 0.75
"""Outlines are traced so many times finer than the mask, then simplified: so many cells at most."""


def sized(film_px: tuple[int, int], longest_px: int) -> tuple[int, int]:
    """Width and height of a film that is brought to a longer side."""
    scale = longest_px / max(film_px)
    return max(round(film_px[0] * scale), 1), max(round(film_px[1] * scale), 1)


def shown(film: np.ndarray, display_px: int) -> np.ndarray:
    """Bring a film, uint8 [height, width], to `display_px` on its longer side."""
    height, width = film.shape
    size = sized((width, height), display_px)
    return np.asarray(Image.fromarray(film).resize(size, Image.Resampling.LANCZOS))


def coloured(heat: np.ndarray) -> np.ndarray:
    """Colour a map's positive evidence; its maximum has the brightest colour.

    Args:
        heat: float [h, w], of `placement.on_film`.

    Returns:
        RGBA, uint8 [h, w, 4]: opaque at the maximum, clear where the map is low, not positive or
        NaN. A picture of it over a film is best shown at `OPACITY`.
    """
    top = np.nanmax(heat)
    if not top > 0:
        return np.zeros((*heat.shape, 4), np.uint8)
    level = np.nan_to_num(heat / top, nan=0.0).clip(0, 1)
    fade = ((level - CLEAR_BELOW) / (1 - CLEAR_BELOW)).clip(0, 1)
    low, high = COLOUR_RANGE
    colour = COLOURS(low + (high - low) * level)
    colour[..., 3] = fade * fade * (3 - 2 * fade)
    rgba: np.ndarray = (255 * colour).round().astype(np.uint8)
    return rgba


def overlay(
    film: np.ndarray,
    heat: np.ndarray,
    square: Square,
    film_px: tuple[int, int],
    boxes: list[Box],
    lungs: list[np.ndarray],
) -> Image.Image:
    """Colour a film by a map's positive evidence, and outline lungs, boxes and the cut square.

    Args:
        film: uint8 [h, w], as `shown`.
        heat: the map on the same pixels, of `placement.on_film`.
        square: the part of the film that the network was shown.
        film_px: width and height of the film in its own pixels.
        boxes: the boxes to outline, in the film's own pixels.
        lungs: of `outlines`.

    Returns:
        RGB, of the size of `film`.
    """
    rgba = coloured(heat)
    alpha = OPACITY * rgba[..., 3:] / 255.0
    mixed = film[..., None] * (1 - alpha) + rgba[..., :3] * alpha
    picture = mixed.round().astype(np.uint8)
    scale = film.shape[1] / film_px[0], film.shape[0] / film_px[1]
    # Sixteenths of a pixel: a line of whole pixels would step.
    traced = [((line * scale - 0.5) * 16).round().astype(np.int32) for line in lungs]
    cv2.polylines(picture, traced, True, LUNG_COLOUR, 1, cv2.LINE_AA, shift=4)
    image = Image.fromarray(picture)
    crop = Box(square.x0_px, square.y0_px, square.side_px, square.side_px)
    _frame(image, crop, scale, CROP_COLOUR, CROP_OPACITY, 1)
    for box in boxes:
        _frame(image, box, scale, BOX_COLOUR, 1.0, 2)
    return image


def _frame(
    image: Image.Image,
    box: Box,
    scale: tuple[float, float],
    colour: tuple[int, int, int],
    opacity: float,
    width_px: int,
) -> None:
    """Draw a box of the film onto its picture; what lies outside the film is not drawn."""
    mask = Image.new("L", image.size)
    x0, y0 = round(box.x_px * scale[0]), round(box.y_px * scale[1])
    x1 = round((box.x_px + box.w_px) * scale[0]) - 1
    y1 = round((box.y_px + box.h_px) * scale[1]) - 1
    corners = (x0, y0, max(x1, x0), max(y1, y0))
    ImageDraw.Draw(mask).rectangle(corners, outline=round(255 * opacity), width=width_px)
    image.paste(colour, mask=mask)


def outlines(mask: np.ndarray, film_px: tuple[int, int]) -> list[np.ndarray]:
    """Trace the outlines of the connected parts of a lung mask.

    Args:
        mask: bool [256, 256] over the film's square, as data/lungs has it.
        film_px: the film's width and height.

    Returns:
        float64 [points, 2] each, x and y in film pixels, the largest part first. What a part has
        inside it is not traced.
    """
    square = whole(*film_px)
    fine = cv2.resize(mask.astype(np.float32), None, fx=FINE, fy=FINE) > 0.5
    lines, _ = cv2.findContours(fine.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    scale = square.side_px / (MASK_SIDE * FINE)
    found = []
    for line in sorted(lines, key=cv2.contourArea, reverse=True):
        simple = cv2.approxPolyDP(line, TOLERANCE * FINE, True)[:, 0].astype(np.float64)
        # OpenCV names pixels by their centres.
        at = (simple + 0.5) * scale + (square.x0_px, square.y0_px)
        found.append(at.clip(0, film_px))
    return [line for line in found if len(line) > 2]


def path_of(outline: np.ndarray) -> str:
    """An outline as the data of an SVG path, closed, to a tenth of a film pixel."""
    points = " L".join(f"{x:.1f},{y:.1f}" for x, y in outline)
    return f"M{points} Z"
