"""Overlap: how many of the readers' boxes the boxes of maps find, beside guesses without a film.

What is asked, and by whom it was asked first, stands in localisation.py.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ribcage.boxes import Box
from ribcage.explanation.localisation import MEASURES, Groups, Guesses, Pair, overlaps


def guessed_box(at: np.ndarray, film_px: tuple[int, int]) -> Box:
    """A box cut to the film.

    Args:
        at: [4], x and y of its centre, width and height, as shares of the film's sides.
        film_px: the film's width and height.
    """
    corners = np.stack([at[:2] - at[2:] / 2, at[:2] + at[2:] / 2]).clip(0, 1) * film_px
    return Box(*corners[0].tolist(), *(corners[1] - corners[0]).tolist())


def counted(pairs: Sequence[Pair], found: Sequence[Sequence[Box]]) -> tuple[np.ndarray, np.ndarray]:
    """Count what detected boxes find and what they find falsely, at each of `MEASURES`.

    Args:
        pairs: n of them.
        found: the detected boxes of each.

    Returns:
        Two int [n, measures]: readers' boxes that a detected box overlaps by more than the
        threshold; detected boxes that overlap no reader's box so much.
    """
    right, false = np.zeros((2, len(pairs), len(MEASURES)), int)
    for row, (pair, boxes) in enumerate(zip(pairs, found, strict=True)):
        of = dict(zip(("IoU", "IoBB"), overlaps(boxes, pair.boxes), strict=True))
        for column, (measure, threshold) in enumerate(MEASURES):
            passed = of[measure] > threshold
            right[row, column] = passed.any(axis=0).sum()
            false[row, column] = (~passed.any(axis=1)).sum()
    return right, false


def accuracies(
    method: str,
    pairs: Sequence[Pair],
    found: Sequence[Sequence[Box]],
    groups: Groups,
    blind: Guesses,
) -> pd.DataFrame:
    """Judge the boxes of maps at each of `MEASURES`.

    Args:
        method: the maps'.
        pairs: n of them.
        found: the detected boxes of each.
        groups: of the pairs.
        blind: of the pairs.

    Returns:
        A row a finding (and `ALL`), measure and threshold: method, finding, measure, threshold,
        boxes, accuracy (the share of the readers' boxes that are found) with low and high; centre
        and mean_place, what a box of the finding's mean size there finds, of the films that have
        one; false_boxes, detected boxes a film that match no reader's. NaN where undefined.
    """
    right, false = counted(pairs, found)
    has_mean = np.isfinite(blind.mean[:, 0])
    middle = np.concatenate([np.full((len(pairs), 2), 0.5), blind.mean[:, 2:]], axis=1)
    guessed = {}
    for name, places in (("centre", middle), ("mean_place", blind.mean)):
        boxes = [
            [guessed_box(at, pair.film_px)] if known else []
            for pair, at, known in zip(pairs, places, has_mean, strict=True)
        ]
        guessed[name], _ = counted(pairs, boxes)
    held, one = groups.boxes * has_mean, np.ones(len(pairs), int)
    rows = []
    for column, (measure, threshold) in enumerate(MEASURES):
        scored = zip(
            groups.names,
            groups.rows,
            groups.shares(right[:, column], groups.boxes),
            *(groups.values(counts[:, column], held) for counts in guessed.values()),
            groups.values(false[:, column], one),
            strict=True,
        )
        for finding, of, (accuracy, ends), centre, mean_place, false_boxes in scored:
            rows.append(
                {
                    "method": method,
                    "finding": finding,
                    "measure": measure,
                    "threshold": threshold,
                    "boxes": int(groups.boxes[of].sum()),
                    "accuracy": accuracy,
                    "low": ends.low,
                    "high": ends.high,
                    "centre": centre,
                    "mean_place": mean_place,
                    "false_boxes": false_boxes,
                }
            )
    order = {name: number for number, name in enumerate(groups.names)}
    return pd.DataFrame(rows).sort_values("finding", key=lambda of: of.map(order), kind="stable")
