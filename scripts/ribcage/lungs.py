"""Lungs: from a network's probabilities to clean masks, boxes with margins, and their quality."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from ribcage.shards import Square, cut, square_around

METHODS = ("unet", "unet_ensemble", "lung_finder", "whole_film")
"""That find lungs, in the order in which they are asked."""
MASK_SIDE = 256
"""Masks are kept at this side over the film's square: small, and fine enough for a box."""
MOST_PARTS, LEAST_PART = 5, 0.005
"""Lungs are sought among so many of the largest parts, each at least this share of the square."""


class Box(NamedTuple):
    """A box in film pixels, half-open."""

    x0_px: int
    y0_px: int
    x1_px: int
    y1_px: int

    @classmethod
    def of(cls, row: Mapping[str, Any] | pd.Series) -> Self:
        """Read the box of a row of data/lungs."""
        return cls(*(int(row[key]) for key in cls._fields))


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


def clean(
    probability: np.ndarray, inside: np.ndarray | None = None, threshold: float = 0.5
) -> np.ndarray:
    """Make lungs of a probability map: the likeliest pair of its parts, gaps closed, holes filled.

    Args:
        probability: float [n, n] in [0, 1], of any size.
        inside: bool [256, 256], where the film is; all of the square if not given.
        threshold: lungs are where the probability is higher.

    Returns:
        Bool [256, 256].
    """
    scaled = cv2.resize(
        probability.astype(np.float32), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_LINEAR
    )
    film = np.ones(scaled.shape, bool) if inside is None else inside
    raw = ((scaled > threshold) & film).astype(np.uint8)
    without_slivers = cv2.morphologyEx(
        raw, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    )
    closed = cv2.morphologyEx(
        without_slivers, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    )
    kept = likeliest(closed > 0, film).astype(np.uint8)
    outlines, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled: np.ndarray = cv2.drawContours(np.zeros_like(kept), outlines, -1, 1, cv2.FILLED) > 0
    return filled & film


def likeliest(mask: np.ndarray, film: np.ndarray) -> np.ndarray:
    """Keep the two parts of a mask that make the largest plausible pair of lungs, or the best one.

    So go gas under the diaphragm, a gap between arm and chest, a black panel beside the body: each
    is too small beside a lung, too low, or lies along the film's border.

    Args:
        mask: bool [256, 256].
        film: bool [256, 256], where the film is.

    Returns:
        Bool [256, 256]: at the most two parts, none under half a per cent of the square.
    """
    _, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:MOST_PARTS]
    parts = [
        Part.of(labels == k, stats[k], centres[k], film)
        for k in order
        if stats[k, cv2.CC_STAT_AREA] >= LEAST_PART * mask.size
    ]
    # A single part is a pair that has grown together where it is wide; else half of one at best.
    choices = [([a], a.free * a.area * (1.0 if a.width > 0.45 else 0.35)) for a in parts]
    choices += [([a, b], beside(a, b) * (a.area + b.area)) for a, b in combinations(parts, 2)]
    chosen, _ = max(choices, key=lambda choice: choice[1], default=([], 0.0))
    return np.any([part.mask for part in chosen], axis=0) if chosen else np.zeros_like(mask)


class Part(NamedTuple):
    """A connected part of a mask; lengths and areas are shares of the film's square."""

    mask: np.ndarray
    area: float
    x: float
    top: float
    bottom: float
    width: float
    free: float
    """1 if the part is clear of the film's border, 0 if it lies along more than a side of it."""

    @classmethod
    def of(cls, mask: np.ndarray, stats: np.ndarray, centre: np.ndarray, film: np.ndarray) -> Self:
        """Measure a part, from OpenCV's statistics of it."""
        _, top, width, height, area = (float(v) for v in stats)
        inner = cv2.erode(
            film.astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        along = float((mask & (inner == 0)).sum()) / height
        return cls(
            mask,
            area / mask.size,
            float(centre[0]) / MASK_SIDE,
            top / MASK_SIDE,
            (top + height) / MASK_SIDE,
            width / MASK_SIDE,
            falls(along, -1.0, 0.0, 0.6, 1.2),
        )


def beside(one: Part, other: Part) -> float:
    """How plausible two parts are as the two lungs of one chest, in [0, 1]."""
    heights = one.bottom - one.top, other.bottom - other.top
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return min(
        falls(min(one.area, other.area) / max(one.area, other.area), 0.05, 0.35, 1.0, 1.01),
        falls(abs(one.x - other.x), 0.10, 0.20, 0.60, 0.80),
        falls(shared / min(heights), 0.0, 0.6, 1.0, 1.01),
        falls(min(heights) / max(heights), 0.15, 0.45, 1.0, 1.01),
        one.free,
        other.free,
    )


def falls(value: float, low: float, good_low: float, good_high: float, high: float) -> float:
    """1 where a value is ordinary, falling to 0 where it is impossible."""
    return float(np.interp(value, (low, good_low, good_high, high), (0.0, 1.0, 1.0, 0.0)))


def quality(mask: np.ndarray, agreement: float, film: np.ndarray | None = None) -> float:
    """How plausible a mask is as a pair of lungs, in [0, 1].

    The least of: two parts; their area, width, height and proportion; how plausible they are beside
    each other (`beside`); and how well the network's views of the film agree.

    Args:
        mask: bool [256, 256], cleaned.
        agreement: mean Dice of the network's masks of several views of the film.
        film: bool [256, 256], where the film is; all of the square if not given.
    """
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return 0.0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    width = (columns[-1] - columns[0] + 1) / MASK_SIDE
    height = (rows[-1] - rows[0] + 1) / MASK_SIDE
    inside = np.ones(mask.shape, bool) if film is None else film
    parts = [Part.of(labels == k, stats[k], centres[k], inside) for k in range(1, count)]
    scores = [
        falls(float(mask.mean()), 0.04, 0.10, 0.50, 0.65),
        falls(width, 0.25, 0.38, 1.0, 1.01),
        falls(height, 0.20, 0.30, 0.97, 1.05),
        falls(width / height, 0.45, 0.72, 1.7, 2.3),
        falls(agreement, 0.70, 0.98, 1.0, 1.01),
    ]
    if count == 3:
        scores.append(beside(*parts))
    else:  # lungs that have grown together are as wide as two; a single one is not enough
        scores.append(0.55 * falls(width, 0.40, 0.55, 1.0, 1.01))
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
