"""Lungs without a network: an average pair of lungs, laid where a film's tones fit it best.

Lungs are two dark fields with a bright column between them and a bright wall around them. That
pattern is known beforehand, so it is sought in all sizes and places of a film, dark on bright and
bright on dark; where it fits best, the film's own tones draw the outline. Slower and coarser than
the segmenter, but it cannot be surprised by what that one has never seen.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from ribcage.lungs import clean, falls, quality

RIGHT_LUNG = (
    (0.34, 0.01), (0.24, 0.04), (0.18, 0.10), (0.12, 0.19), (0.08, 0.28), (0.04, 0.46),
    (0.00, 0.71), (0.00, 0.93), (0.18, 0.87), (0.36, 0.88), (0.36, 0.68), (0.42, 0.43),
    (0.43, 0.25), (0.40, 0.08),
)  # fmt: skip
LEFT_LUNG = (
    (0.66, 0.02), (0.62, 0.05), (0.59, 0.13), (0.57, 0.24), (0.58, 0.41), (0.74, 0.69),
    (0.78, 0.88), (0.96, 0.99), (1.00, 0.93), (1.00, 0.73), (0.96, 0.46), (0.92, 0.29),
    (0.88, 0.18), (0.82, 0.09), (0.73, 0.02),
)  # fmt: skip
"""The mean outline of the phantoms' lungs, as shares of their box; right is the patient's."""

SEARCH_SIDE = 64
"""Fit at this side: 4 px of 256 are finer than the fit is sure."""
ROOM = 0.16
"""The pattern holds so much of the surroundings, as a share of the lungs' box, on each side."""
WIDTHS = np.linspace(0.42, 0.90, 9)
HEIGHTS = np.linspace(0.38, 0.90, 9)
USUAL = {"width": (0.68, 0.13), "height": (0.62, 0.14), "x": (0.50, 0.06), "y": (0.45, 0.08)}
"""Mean and spread of the lungs' box in ordinary films, as shares of the film's side."""
UNUSUAL = 0.025
"""What each squared spread from the usual costs, in units of correlation."""
OUTWARDS = (0.3, 0.02)
"""What speaks for the lungs in doubt, in units of contrast and of the side: a box must not cut."""
REACH = 0.10
"""No further from the average outline, as a share of the side: there the arms' gaps begin."""


class Fit(NamedTuple):
    """Where the average lungs fit: their box in shares of the film's side, and how well."""

    score: float
    x0: float
    y0: float
    width: float
    height: float


@cache
def atlas(width: int, height: int, room_x: int = 0, room_y: int = 0) -> np.ndarray:
    """Draw the average lungs: bool [height + 2 room_y, width + 2 room_x]."""
    shape = height + 2 * room_y, width + 2 * room_x
    return drawn(shape, (room_x, room_y), (width - 1, height - 1)) > 0


def drawn(shape: tuple[int, int], at: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """Draw the average lungs in a box of some size, x and y, at some place: uint8 [h, w]."""
    picture = np.zeros(shape, np.uint8)
    for lung in (RIGHT_LUNG, LEFT_LUNG):
        cv2.fillPoly(picture, [np.round(np.array(lung) * size + at).astype(np.int32)], 1)
    return picture


def tones(film: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Even out a film's exposure: float32 [n, n], about -2.5 (dark) to 2.5 (bright).

    Each pixel is compared with the mean and the spread of its wider surroundings. What lies beside
    the film, and frames without any structure, count as neither dark nor bright.

    Args:
        film: uint8 [n, n].
        inside: bool [n, n], where the film is.
    """
    n = len(film)
    pixels = cv2.GaussianBlur(film.astype(np.float32), (0, 0), n / 100)
    weight = (inside & ~frame(film)).astype(np.float32)

    def around(values: np.ndarray) -> np.ndarray:
        spread = (0, 0), n / 6
        share = np.maximum(cv2.GaussianBlur(weight, *spread), 1e-3)
        blurred: np.ndarray = cv2.GaussianBlur(values * weight, *spread) / share
        return blurred

    centred = pixels - around(pixels)
    deviation = np.sqrt(np.maximum(around(centred**2), 1.0))
    return np.asarray((centred / deviation).clip(-2.5, 2.5) * weight, np.float32)


def frame(film: np.ndarray) -> np.ndarray:
    """Find flat margins, black or white, from each edge inwards: bool [n, n]."""
    inner = [slice(0, len(film)), slice(0, len(film))]
    for axis in (1, 0):  # rows are judged without the flat columns beside them
        low, high = np.percentile(film[inner[0], inner[1]], (10, 90), axis=1 - axis)
        structured = np.flatnonzero(high - low > 12)
        if not structured.size:
            return np.ones(film.shape, bool)
        inner[axis] = slice(structured[0], structured[-1] + 1)
    flat = np.ones(film.shape, bool)
    flat[inner[0], inner[1]] = False
    return flat


def fit(toned: np.ndarray) -> Fit:
    """Lay the average lungs, dark on bright, over a film in all sizes and places.

    Args:
        toned: float32 [n, n] of `tones`.

    Returns:
        The best place; its score is a correlation in [-1, 1], less what is unusual about it.
    """
    n = SEARCH_SIDE
    small = cv2.resize(toned, (n, n), interpolation=cv2.INTER_AREA)
    margin = n // 4
    padded = np.pad(small, margin)
    best = Fit(-1.0, 0.0, 0.0, 1.0, 1.0)
    for width in WIDTHS:
        for height in HEIGHTS:
            w, h = round(width * n), round(height * n)
            room_x, room_y = round(ROOM * w), round(ROOM * h)
            pattern = -atlas(w, h, room_x, room_y).astype(np.float32)
            scores = cv2.matchTemplate(padded, pattern, cv2.TM_CCOEFF_NORMED)
            y, x = np.mgrid[: scores.shape[0], : scores.shape[1]]
            x0, y0 = (x - margin + room_x) / n, (y - margin + room_y) / n
            here = {"width": width, "height": height, "x": x0 + width / 2, "y": y0 + height / 2}
            odd = sum(((here[k] - mean) / spread) ** 2 for k, (mean, spread) in USUAL.items())
            scores = np.nan_to_num(scores, nan=-1.0) - UNUSUAL * np.asarray(odd)
            at = np.unravel_index(int(scores.argmax()), scores.shape)
            if scores[at] > best.score:
                best = Fit(float(scores[at]), float(x0[at]), float(y0[at]), width, height)
    return best


def outline(toned: np.ndarray, fitted: Fit) -> np.ndarray:
    """Let the tones draw the lungs' outline near the average one: float32 [n, n] in [0, 1].

    Args:
        toned: float32 [n, n] of `tones`, lungs dark.
        fitted: where the average lungs lie.
    """
    n = len(toned)
    at, size = (fitted.x0 * n, fitted.y0 * n), (fitted.width * n, fitted.height * n)
    prior = drawn((n, n), at, size)
    if not prior.any() or prior.all():
        return prior.astype(np.float32)
    depth, away = (cv2.distanceTransform(each, cv2.DIST_L2, 5) for each in (prior, 1 - prior))
    signed = (depth - away) / n
    core, near = signed > 0.02, (signed < -0.02) & (signed > -0.12)
    if not core.any() or not near.any():
        return prior.astype(np.float32)
    dark, bright = np.median(toned[core]), np.median(toned[near])
    contrast = max(float(bright - dark), 0.3)
    evidence = ((dark + bright) / 2 - toned) / contrast + OUTWARDS[0]
    likely = 1 / (1 + np.exp(-(6 * evidence + 60 * (signed + OUTWARDS[1]))))
    return np.asarray(np.where(signed > -REACH, likely, 0.0), np.float32)


def find(film: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Find the lungs of a film, ordinary or inverted.

    Args:
        film: uint8 [256, 256], the whole film in its square.
        inside: bool [256, 256], where the film is.

    Returns:
        Bool [256, 256], and how sure it is, in [0, 1].
    """
    toned = tones(film, inside)
    fits = {sign: fit(sign * toned) for sign in (1.0, -1.0)}
    sign = max(fits, key=lambda key: fits[key].score)
    mask = clean(outline(sign * toned, fits[sign]), inside)
    return mask, quality(mask, 1.0, inside) * falls(fits[sign].score, 0.2, 0.5, 1.0, 1.01)
