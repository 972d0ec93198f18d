"""Localisation: whether maps point at what readers boxed, beside guesses that see no film.

Two questions are asked of every pair of a film and a finding that has boxes on it:

- the pointing game: does the peak of the finding's map lie in one of its boxes? (Zhang et al.,
  Top-down Neural Attention by Excitation Backprop, ECCV 2016; here without tolerance.)
- overlap: is there a detected box that overlaps the reader's box by more than a threshold, as IoU,
  the intersection over the union, or as IoBB, the intersection over the area of the detected box?
  (Wang et al., ChestX-ray8, CVPR 2017, whose thresholds are `MEASURES`.)

Guesses see no film: its centre; the mean place of the finding's boxes, of other patients alone; and
the best place, the one place that hits most films, chosen on these very boxes, so that no fixed
place does better on them. For overlap a guess is a box there, of the mean size of other patients'
boxes. Intervals resample the patients.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from ribcage.boxes import Box
from ribcage.evaluation.bootstrap import Resamples, share
from ribcage.evaluation.intervals import (
    UNKNOWN,
    Interval,
    difference_interval,
    effective_patients,
    logit_interval,
)
from ribcage.explanation.terms import ALL

MARKED_SHARE = 0.5
"""A pixel is marked where the map reaches this share of its own maximum on the film."""
LEAST_EVIDENCE = 0.25
"""A connected part counts if it has this share of the evidence of the part that has most."""
MEASURES = (
    *(("IoU", at) for at in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
    *(("IoBB", at) for at in (0.1, 0.25, 0.5, 0.75, 0.9)),
)
OVER = ("over_mean_place", "over_low", "over_high")


class Pair(NamedTuple):
    """A film and one of its findings that has boxes on it.

    Attributes:
        finding: its name.
        patient: whose film it is.
        film_px: width and height of the film.
        boxes: of the readers, in film pixels, one at least.
    """

    finding: str
    patient: int
    film_px: tuple[int, int]
    boxes: tuple[Box, ...]

    def hit(self, x_px: float, y_px: float) -> bool:
        """Whether a point lies in any of the boxes."""
        return any(box.holds(x_px, y_px) for box in self.boxes)


class Seen(NamedTuple):
    """What a map says of a pair: its peak, and its boxes of `detected`, in film pixels."""

    peak_px: tuple[float, float]
    detected: tuple[Box, ...]


def detected(heat: np.ndarray) -> tuple[Box, ...]:
    """Draw boxes around what a map marks.

    They are the bounding boxes of the connected parts (corners connect) of the pixels that reach
    `MARKED_SHARE` of the map's maximum, of those parts whose summed evidence is at least
    `LEAST_EVIDENCE` of the largest sum.

    Args:
        heat: float [height, width], on the film's own pixels, NaN where the map says nothing.

    Returns:
        The part with most evidence first; none where the map has no positive evidence.
    """
    top = np.nanmax(heat)
    if not top > 0:
        return ()
    marked = heat >= MARKED_SHARE * top
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marked.astype(np.uint8))
    evidence = np.bincount(labels[marked], weights=heat[marked], minlength=count)
    order = np.argsort(-evidence, kind="stable")
    kept = [part for part in order if part and evidence[part] >= LEAST_EVIDENCE * evidence.max()]
    return tuple(Box(*stats[part, : cv2.CC_STAT_AREA].astype(float).tolist()) for part in kept)


def overlaps(found: Sequence[Box], drawn: Sequence[Box]) -> np.ndarray:
    """IoU and IoBB of every detected box with every reader's box, float64 [2, found, drawn]."""
    result = np.zeros((2, len(found), len(drawn)))
    for at, one in enumerate(found):
        for beside, other in enumerate(drawn):
            x0, y0, w, h = one
            both = other.shared(x0, y0, x0 + w, y0 + h)
            union = w * h + other.w_px * other.h_px - both
            result[:, at, beside] = share(np.array([both, both]), np.array([union, w * h]))
    return result


def best_overlaps(found: Sequence[Box], drawn: Sequence[Box]) -> tuple[float, float]:
    """The highest IoU and the highest IoBB of any two; NaN without readers' boxes, else 0."""
    if not drawn:
        return float("nan"), float("nan")
    iou, iobb = overlaps(found, drawn).max(axis=(1, 2), initial=0.0)
    return float(iou), float(iobb)


class Guesses(NamedTuple):
    """Places and boxes that see no film, of n pairs; shares of the film's width and height.

    Attributes:
        mean: float64 [n, 4], x and y of the mean centre, and mean width and height, of the boxes of
            the finding that other patients have; NaN where no other patient has any.
        best: float64 [n, 2], the place that hits most pairs of the finding; NaN where its boxes
            have no area, so that no place hits any.
    """

    mean: np.ndarray
    best: np.ndarray


def guesses(pairs: Sequence[Pair]) -> Guesses:
    """Say where a pointer and a box would be put by one who knows the finding alone."""
    made = Guesses(np.full((len(pairs), 4), np.nan), np.full((len(pairs), 2), np.nan))
    for finding in {pair.finding for pair in pairs}:
        rows = [row for row, pair in enumerate(pairs) if pair.finding == finding]
        of = [np.array(pairs[row].boxes) / np.tile(pairs[row].film_px, 2) for row in rows]
        made.best[rows] = _best_place(of)
        boxes = np.concatenate(of)
        boxes[:, :2] += boxes[:, 2:] / 2
        whose = np.repeat([pairs[row].patient for row in rows], [len(one) for one in of])
        for row in rows:
            others = boxes[whose != pairs[row].patient]
            if len(others):
                made.mean[row] = others.mean(axis=0)
    return made


def _best_place(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """The place in most films' boxes; boxes [m, 4] a film, all as shares of its sides.

    Moved left and up until a box would be left, a place stays in all of its boxes: so the most that
    any place hits is hit where some box's left edge meets some box's upper edge. The first such
    place is taken, and of what is hit alike around it the middle, where no rounding matters.
    """
    film = np.repeat(np.arange(len(boxes)), [len(of_film) for of_film in boxes])
    x0, y0, w, h = np.concatenate(boxes).T
    x1, y1 = x0 + w, y0 + h
    most, best = 0, np.full(2, np.nan)
    for x in np.unique(x0):
        on = np.flatnonzero((x0 <= x) & (x < x1))
        if not len(on):
            continue
        tops = np.unique(y0[on])[:, None]
        starts = np.flatnonzero(np.diff(film[on], prepend=-1))
        hit = np.logical_or.reduceat((y0[on] <= tops) & (tops < y1[on]), starts, axis=1).sum(axis=1)
        if hit.max() > most:
            most, best = int(hit.max()), np.array([x, tops[hit.argmax(), 0]])
    if most:
        ends = np.concatenate([x0, x1]), np.concatenate([y0, y1])
        best += [edges[edges > at].min() for edges, at in zip(ends, best, strict=True)]
        best /= 2
    return best


class Groups:
    """Pairs by finding, and shares of them with intervals that resample the patients.

    Args:
        pairs: all of them.
        findings: in the order of the rows.
        resamples: how many.
        seed: of the draws.
    """

    def __init__(
        self, pairs: Sequence[Pair], findings: Sequence[str], resamples: int, seed: int
    ) -> None:
        self.names = [*findings, ALL]
        of = np.array([pair.finding for pair in pairs], dtype=object)
        self.rows = [of == name for name in findings] + [np.ones(len(pairs), bool)]
        self.patients = np.array([pair.patient for pair in pairs])
        self.boxes = np.array([len(pair.boxes) for pair in pairs], int)
        self._resamples = Resamples(self.patients, resamples, seed)

    def values(self, part: np.ndarray, whole: np.ndarray) -> list[float]:
        """sum(part) / sum(whole) of each group; NaN where the whole is 0."""
        return [float(share(part[rows].sum(), whole[rows].sum())) for rows in self.rows]

    def shares(
        self, part: np.ndarray, whole: np.ndarray, difference: bool = False
    ) -> Iterator[tuple[float, Interval]]:
        """Yield sum(part) / sum(whole) of each group, with its 95 % interval.

        Args:
            part: float [n], of each pair.
            whole: int [n]; a pair of 0 is not counted.
            difference: whether the share is a difference of two, which may be negative.

        Yields:
            NaN where the whole is 0. No interval where the pairs are all alike: resamples of them
            cannot tell how others would differ.
        """
        columns = [values * rows for rows in self.rows for values in (part, whole)]
        sums = self._resamples.sums(np.stack(columns, axis=1)) if len(part) else None
        each = enumerate(zip(self.rows, self.values(part, whole), strict=True))
        for number, (rows, value) in each:
            ends = UNKNOWN
            counted = rows & (whole > 0)
            if sums is not None and len(np.unique(part[counted] / whole[counted])) > 1:
                drawn = share(sums[:, 2 * number], sums[:, 2 * number + 1])
                whose = np.repeat(self.patients[rows], whole[rows])
                patients = effective_patients(np.ones(len(whose), bool), whose)
                between = difference_interval if difference else logit_interval
                ends = between(value, drawn, patients)
            yield value, ends


def pointing_game(
    method: str, pairs: Sequence[Pair], peaks: np.ndarray, groups: Groups, blind: Guesses
) -> pd.DataFrame:
    """Judge how often the peak of a map lies in a box, beside pointers that see no film.

    Args:
        method: the map's.
        pairs: n of them.
        peaks: float [n, 2], x and y in film pixels; a map without a peak, NaN, misses.
        groups: of the pairs.
        blind: of the pairs.

    Returns:
        A row a finding and last `ALL`: method, finding, films, patients, boxes, hits, pointing
        (hits / films) with low and high; centre, mean_place and best_place, the shares that the
        guesses hit; over_mean_place with over_low and over_high, pointing - mean_place on the same
        films, which are those that have a mean place. NaN where undefined.
    """
    sizes = np.array([pair.film_px for pair in pairs], float).reshape(-1, 2)
    places = {
        "pointing": peaks.reshape(-1, 2),
        "centre": sizes / 2,
        "mean_place": blind.mean[:, :2] * sizes,
        "best_place": blind.best * sizes,
    }
    one = np.ones(len(pairs), int)
    has_mean = np.isfinite(blind.mean[:, 0]).astype(int)
    hits = {
        name: np.array([pair.hit(*at) for pair, at in zip(pairs, found, strict=True)], float)
        for name, found in places.items()
    }
    over = has_mean * (hits["pointing"] - hits["mean_place"])
    frame = pd.DataFrame({"method": method, "finding": groups.names})
    frame["films"] = [int(rows.sum()) for rows in groups.rows]
    frame["patients"] = [len(np.unique(groups.patients[rows])) for rows in groups.rows]
    frame["boxes"] = [int(groups.boxes[rows].sum()) for rows in groups.rows]
    frame["hits"] = [int(hits["pointing"][rows].sum()) for rows in groups.rows]
    shares = [(value, *ends) for value, ends in groups.shares(hits["pointing"], one)]
    frame[["pointing", "low", "high"]] = shares
    frame["centre"] = groups.values(hits["centre"], one)
    frame["mean_place"] = groups.values(hits["mean_place"], has_mean)
    frame["best_place"] = groups.values(hits["best_place"], one)
    shares = [(value, *ends) for value, ends in groups.shares(over, has_mean, difference=True)]
    return frame.assign(**dict(zip(OVER, np.array(shares).T, strict=True)))
