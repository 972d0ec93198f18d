"""Lungs: from a network's probabilities to clean masks, boxes with margins, and their quality."""

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from ribcage.shards import Square, cut, square_around

MASK_SIDE = 256
"""Masks are kept at this side over the film's square: small, and fine enough for a box."""


class Box(NamedTuple):
    """A box in film pixels, half-open."""

    x0_px: int
    y0_px: int
    x1_px: int
    y1_px: int


class Margins(NamedTuple):
    """What is added around the lungs, as shares of the film's longer side."""

    sides: float
    top: float
    bottom: float


def whole(width: int, height: int) -> Square:
    """The square that holds a whole film; what lies beside the film is black."""
    return square_around(0, 0, width, height, width, height)


def see(film: np.ndarray, size_px: int) -> np.ndarray:
    """Show a whole film to the network: uint8 [size_px, size_px], the aspect ratio kept."""
    height, width = film.shape
    return cut(film, whole(width, height), size_px)


def on_film(width: int, height: int) -> np.ndarray:
    """The part of the square mask that a film covers: bool [256, 256]."""
    square = whole(width, height)
    centres = (np.arange(MASK_SIDE) + 0.5) * square.side_px / MASK_SIDE
    x, y = square.x0_px + centres, square.y0_px + centres
    inside: np.ndarray = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None, :]
    return inside


def clean(probability: np.ndarray) -> np.ndarray:
    """Make lungs of a probability map: the two largest parts, gaps closed, holes filled.

    Args:
        probability: float [n, n] in [0, 1], of any size.

    Returns:
        Bool [256, 256].
    """
    scaled = cv2.resize(
        probability.astype(np.float32), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_LINEAR
    )
    raw = (scaled > 0.5).astype(np.uint8)
    closed = cv2.morphologyEx(
        raw, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    )
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    order = 1 + np.argsort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    kept = [k for k in order[:2] if stats[k, cv2.CC_STAT_AREA] >= 0.005 * MASK_SIDE**2]
    mask = np.isin(labels, kept).astype(np.uint8) if count > 1 else np.zeros_like(raw)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED) > 0


def _falls(value: float, low: float, good_low: float, good_high: float, high: float) -> float:
    """1 where a value is ordinary, falling to 0 where it is impossible."""
    return float(np.interp(value, (low, good_low, good_high, high), (0.0, 1.0, 1.0, 0.0)))


def quality(mask: np.ndarray, agreement: float) -> float:
    """How plausible a mask is as a pair of lungs, in [0, 1].

    The least of: two parts; their area, width, height and proportion; the smaller beside the
    larger; they lie side by side; and how well the network's views of the film agree (Dice).

    Args:
        mask: bool [256, 256], cleaned.
        agreement: Dice of the network's masks of the film and of its mirror image.
    """
    count, _, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return 0.0
    areas = stats[1:, cv2.CC_STAT_AREA] / mask.size
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    width = (columns[-1] - columns[0] + 1) / MASK_SIDE
    height = (rows[-1] - rows[0] + 1) / MASK_SIDE
    scores = [
        _falls(float(areas.sum()), 0.05, 0.12, 0.50, 0.65),
        _falls(width, 0.25, 0.42, 1.0, 1.01),
        _falls(height, 0.20, 0.32, 0.97, 1.05),
        _falls(width / height, 0.45, 0.75, 1.7, 2.3),
        _falls(agreement, 0.70, 0.90, 1.0, 1.01),
    ]
    if count == 3:
        beside = abs(centres[1, 0] - centres[2, 0]) / MASK_SIDE
        scores += [
            _falls(float(areas.min() / areas.max()), 0.05, 0.35, 1.0, 1.01),
            _falls(beside, 0.10, 0.20, 0.7, 0.9),
        ]
    else:  # lungs that have grown together are as wide as two; a single one is not enough
        scores.append(0.55 * _falls(width, 0.40, 0.55, 1.0, 1.01))
    return round(min(scores), 4)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap of two masks in [0, 1]; two empty ones overlap wholly."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 1.0


def box_around(
    mask: np.ndarray, width: int, height: int, margins: Margins, min_height_to_width: float
) -> Box:
    """The lungs' box with margins, in film pixels, kept inside the film.

    Args:
        mask: bool [256, 256] over the film's square, not empty.
        width: of the film, in pixels.
        height: of the film, in pixels.
        margins: shares of the film's longer side.
        min_height_to_width: a flatter box is made higher, downwards first: where opaque bases
            end the mask early, what is missing lies below.
    """
    square = whole(width, height)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    scale = square.side_px / MASK_SIDE
    x0 = square.x0_px + columns[0] * scale - margins.sides * square.side_px
    x1 = square.x0_px + (columns[-1] + 1) * scale + margins.sides * square.side_px
    y0 = square.y0_px + rows[0] * scale - margins.top * square.side_px
    y1 = square.y0_px + (rows[-1] + 1) * scale + margins.bottom * square.side_px
    lacking = max(min_height_to_width * (x1 - x0) - (y1 - y0), 0.0)
    y1 += lacking
    y0 -= max(y1 - height, 0.0) if lacking else 0.0
    return Box(
        max(int(np.floor(x0)), 0),
        max(int(np.floor(y0)), 0),
        min(int(np.ceil(x1)), width),
        min(int(np.ceil(y1)), height),
    )


def encode_rle(mask: np.ndarray) -> str:
    """Write a mask as COCO's uncompressed run lengths: column by column, zeros first.

    Args:
        mask: bool [256, 256].
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], turns, [mask.size]]))
    return " ".join(map(str, runs))


def decode_rle(text: str) -> np.ndarray:
    """Read `encode_rle`'s run lengths: bool [256, 256].

    Raises:
        ValueError: the runs do not fill the mask.
    """
    runs = np.array(text.split(), np.int64)
    if runs.sum() != MASK_SIDE**2 or (runs < 0).any():
        raise ValueError(f"run lengths sum to {runs.sum()}, not to {MASK_SIDE**2}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((MASK_SIDE, MASK_SIDE), order="F")


def over_film(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bring a mask of the film's square to the film's pixels: bool [height, width]."""
    square = whole(width, height)
    side = square.side_px
    large = Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)
    top, left = -square.y0_px, -square.x0_px
    return np.asarray(large)[top : top + height, left : left + width]
