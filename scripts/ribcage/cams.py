"""Class activation maps: where on a film a network finds its evidence, and whether it is right.

A network that ends in ReLU, the mean over the cells of its last maps f_k, and one linear layer adds
each logit up from its cells. With

    map_c(cell) = sum over k of w_ck * f_k(cell) / number of cells

the sum of map_c over its cells is exactly logit_c - bias_c. A map is therefore in units of the
logit, negative where a cell speaks against the finding. (Zhou et al., Learning Deep Features for
Discriminative Localization, CVPR 2016; they leave the division out.)

The cells tile the square of the film that the network was shown. The network sees far beyond a
cell's own footprint, so a map is never sharper than its cells.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw

from ribcage import nets
from ribcage.boxes import Box
from ribcage.shards import Square

IOU_SHARE = 0.5
"""A pixel counts as marked where the map reaches this share of its own maximum."""
COLOURS = colormaps["inferno"]
COLOUR_RANGE, CLEAR_BELOW, OPACITY = (0.35, 0.85), 0.15, 0.55
"""Neither black nor near white, which films have themselves; clear where the map is low."""
BOX_COLOUR, CROP_COLOUR = (90, 220, 255), (255, 255, 255)
CROP_OPACITY = 0.45
ALL = "All"
"""The row of the pointing game that pools every finding."""
BLIND = ("centre", "mean_place", "best_place")
PLACES = 64
"""The best place is sought on a grid of so many places a side."""


def class_maps(net: nets.DenseNet121, films: np.ndarray) -> np.ndarray:
    """Compute the maps of every class, of films as the network was trained on them.

    Args:
        net: in evaluation mode, on the CPU.
        films: uint8 [n, size, size], from a shard.

    Returns:
        float32 [n, classes, h, w] in logits; the sum over h and w is logit minus bias.
    """
    with torch.inference_mode():
        features = net.maps(nets.normalise(torch.from_numpy(films)))
        cells = features.shape[2] * features.shape[3]
        maps = torch.einsum("nkhw,ck->nchw", features, net.classifier.weight) / cells
    return maps.numpy()


def peak(cam: np.ndarray, square: Square) -> tuple[float, float]:
    """Find the centre of the highest cell, x and y in film pixels.

    Bilinear interpolation never exceeds the cells, so it is also the peak of the map as drawn. In a
    view that reaches over the film's edge it may lie outside the film.
    """
    row, column = np.unravel_index(int(np.argmax(cam)), cam.shape)
    height, width = cam.shape
    x = square.x0_px + (int(column) + 0.5) * square.side_px / width
    y = square.y0_px + (int(row) + 0.5) * square.side_px / height
    return x, y


def _interpolate(
    cells: int, start_px: int, side_px: int, length_px: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [n, cells] of the cells at n points along a film, and which points they cover."""
    centre = (np.arange(n) + 0.5) * length_px / n
    at = ((centre - start_px) / side_px * cells - 0.5).clip(0, cells - 1)
    # Linear between the two nearest cell centres, constant beyond the outermost.
    weights = (1 - np.abs(at[:, None] - np.arange(cells)[None])).clip(min=0)
    return weights, (centre >= start_px) & (centre < start_px + side_px)


def on_film(
    cam: np.ndarray, square: Square, film_px: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Lay a map over the film from which its square was cut.

    Args:
        cam: [h, w], the cells of the square.
        square: the part of the film that the network was shown.
        film_px: the film's width and height.
        shape: height and width of the result, which shows the whole film.

    Returns:
        float32 [height, width], bilinear between cell centres; NaN outside the square.
    """
    down, in_y = _interpolate(cam.shape[0], square.y0_px, square.side_px, film_px[1], shape[0])
    along, in_x = _interpolate(cam.shape[1], square.x0_px, square.side_px, film_px[0], shape[1])
    heat = down @ cam.astype(np.float64) @ along.T
    heat[~(in_y[:, None] & in_x[None])] = np.nan
    return heat.astype(np.float32)


def iou(heat: np.ndarray, boxes: Sequence[Box]) -> float:
    """Intersection over union of what a map marks and what the boxes cover.

    Args:
        heat: a map on the film's own pixels, of `on_film`.
        boxes: the film's boxes of that finding, taken together.

    Returns:
        In [0, 1]; NaN without boxes; 0 where the map has no positive evidence.
    """
    if not boxes:
        return float("nan")
    top = np.nanmax(heat)
    marked = heat >= IOU_SHARE * top if top > 0 else np.zeros(heat.shape, bool)
    y, x = np.arange(heat.shape[0]) + 0.5, np.arange(heat.shape[1]) + 0.5
    covered = np.zeros(heat.shape, bool)
    for left, up, width, height in boxes:
        rows, columns = (y >= up) & (y < up + height), (x >= left) & (x < left + width)
        covered |= rows[:, None] & columns[None]
    union = np.count_nonzero(marked | covered)
    return float(np.count_nonzero(marked & covered) / union) if union else 0.0


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); NaN for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    z, share = 1.959964, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)


class Pointed(NamedTuple):
    """One film and one of its findings that has boxes, with the peak of that finding's map."""

    finding: str
    film_px: tuple[int, int]
    peak_px: tuple[float, float]
    boxes: tuple[Box, ...]

    def hit(self, x_px: float, y_px: float) -> bool:
        """Whether a point lies in any of the boxes."""
        return any(box.holds(x_px, y_px) for box in self.boxes)


def blind_places(films: Sequence[Pointed]) -> tuple[np.ndarray, np.ndarray]:
    """Where one finding's boxes lie, for pointers that see no film.

    Returns:
        As shares of the film's width and height: [n, 2], for each film the mean box centre of the
        other films, NaN where there is none; and [2], the place that the most films have boxes at.
    """
    at = (np.arange(PLACES) + 0.5) / PLACES
    centres, covered = np.zeros((len(films), 2)), np.zeros((PLACES, PLACES), int)
    for number, film in enumerate(films):
        x, y, w, h = (np.array(film.boxes) / np.tile(film.film_px, 2)).T[..., None]
        centres[number] = np.mean(x + w / 2), np.mean(y + h / 2)
        rows, columns = (y <= at) & (at < y + h), (x <= at) & (at < x + w)
        covered += (rows[:, :, None] & columns[:, None]).any(axis=0)
    others = len(films) - 1
    mean = (centres.sum(axis=0) - centres) / others if others > 0 else np.full_like(centres, np.nan)
    row, column = np.unravel_index(int(covered.argmax()), covered.shape)
    return mean, np.array([at[column], at[row]])


def pointing_game(films: Sequence[Pointed], findings: Sequence[str]) -> pd.DataFrame:
    """Judge how often the peak of a map lies in a box, beside three pointers that see no film.

    Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, without tolerance: a
    film counts once a finding, and is hit in any of its boxes.

    Returns:
        A row a finding, and last `ALL`: finding, films, boxes, hits, pointing (hits / films) with
        low and high, and what the blind score: centre (the middle of the film), mean_place (the
        mean box centre of the finding's other films; of a finding of either side it lies between
        the lungs) and best_place (the one place that hits most, chosen on these very boxes: no
        fixed place does better, so a map that does has seen something). NaN where undefined.
    """
    rows, pooled = [], []
    for finding in findings:
        of = [film for film in films if film.finding == finding]
        mean, best = blind_places(of)
        hits = []
        for film, others in zip(of, mean, strict=True):
            shares = (np.array([0.5, 0.5]), others, best)
            blind = [film.hit(*(s * film.film_px)) if np.isfinite(s[0]) else np.nan for s in shares]
            hits.append([film.hit(*film.peak_px), *blind])
        pooled += hits
        rows.append(_pointing_row(finding, sum(len(film.boxes) for film in of), hits))
    rows.append(_pointing_row(ALL, sum(row["boxes"] for row in rows), pooled))
    return pd.DataFrame(rows)


def _pointing_row(finding: str, boxes: int, hits: list[list[float]]) -> dict[str, Any]:
    """Count the hits [n, 4] of the map's peak and of the three blind pointers."""
    scored = pd.DataFrame(hits, columns=["pointing", *BLIND], dtype=float)
    count = int(scored["pointing"].sum())
    low, high = wilson(count, len(hits))
    row = {"finding": finding, "films": len(hits), "boxes": boxes, "hits": count}
    row |= {"pointing": scored["pointing"].mean(), "low": low, "high": high}
    return row | scored[list(BLIND)].mean().to_dict()


def shown(film: np.ndarray, display_px: int) -> np.ndarray:
    """Bring a film, uint8 [height, width], to `display_px` on its longer side."""
    height, width = film.shape
    scale = display_px / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(film).resize(size, Image.Resampling.LANCZOS))


def overlay(
    film: np.ndarray, heat: np.ndarray, square: Square, film_px: tuple[int, int], boxes: list[Box]
) -> Image.Image:
    """Colour a film by a map's positive evidence, and outline the boxes and the cut square.

    Args:
        film: uint8 [h, w], as `shown`.
        heat: the map on the same pixels, of `on_film`. Its maximum has the brightest colour.
        square: the part of the film that the network was shown.
        film_px: width and height of the film in its own pixels.
        boxes: the boxes to outline, in the film's own pixels.

    Returns:
        RGB, of the size of `film`.
    """
    grey = np.repeat(film[..., None], 3, axis=2).astype(np.float64)
    top = np.nanmax(heat)
    if top > 0:
        level = np.nan_to_num(heat / top, nan=0.0).clip(0, 1)
        fade = ((level - CLEAR_BELOW) / (1 - CLEAR_BELOW)).clip(0, 1)
        alpha = OPACITY * (fade * fade * (3 - 2 * fade))[..., None]
        low, high = COLOUR_RANGE
        colour = COLOURS(low + (high - low) * level)[..., :3] * 255
        grey = grey * (1 - alpha) + colour * alpha
    image = Image.fromarray(grey.round().astype(np.uint8))
    scale = film.shape[1] / film_px[0], film.shape[0] / film_px[1]
    crop = Box(square.x0_px, square.y0_px, square.side_px, square.side_px)
    _outline(image, crop, scale, CROP_COLOUR, CROP_OPACITY, 1)
    for box in boxes:
        _outline(image, box, scale, BOX_COLOUR, 1.0, 2)
    return image


def _outline(
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
