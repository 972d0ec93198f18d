"""The curves of a split with their bands: ROC, precision-recall (PR) and reliability."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from ribcage import metrics
from ribcage.evaluation.bootstrap import Ranked, Resamples
from ribcage.evaluation.calibration import bin_of
from ribcage.evaluation.intervals import interval
from ribcage.findings import FINDINGS

CURVE_POINTS = 200
"""At most so many points of a curve are kept for the report; the metrics use all."""
GRID = np.linspace(0, 1, CURVE_POINTS)
"""Where bands and macro curves are taken: in 1 - specificity (ROC) and in recall (PR)."""
COLUMNS = ["class", "curve", "x", "y", "low", "high", "threshold", "films"]


class OnGrid(NamedTuple):
    """A curve at `GRID`.

    Attributes:
        whole: float [g], of all films.
        drawn: float [resamples, g]; NaN rows where a resample left it undefined.
    """

    whole: np.ndarray
    drawn: np.ndarray


def of_split(
    truth: pd.DataFrame, rows: pd.DataFrame, resamples: Resamples, bins: int
) -> pd.DataFrame:
    """Draw the curves of each finding, of all cells together (micro), and their mean (macro).

    A finding without positives, without negatives or with a probability that is NaN has no curve.
    Bands hold 95 % of the resamples at each x, so they are pointwise. The macro curves are means at
    the same x: of sensitivities by linear interpolation, of precisions as steps.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films: a probability a finding.
        resamples: of these n films' patients.
        bins: of the reliability curves.

    Returns:
        Rows of class, curve, x, y, low, high, threshold, films. `roc`: x is 1 - specificity, y
        sensitivity. `pr`: recall, precision (PPV). `reliability`, none for macro: the mean
        probability of the films of a bin, and the share of them that are positive. threshold is
        the score of the point, NaN for macro and reliability; films are those of a bin, absent
        elsewhere.
    """
    every = np.arange(len(rows))
    parts, on_grid = [], []
    for finding in FINDINGS:
        known, given = truth[finding].to_numpy(), rows[finding].to_numpy(np.float64)
        if metrics.defined(known) and not np.isnan(given).any():
            table, both = _of_class(known, given, every, resamples, bins)
            parts.append(table.assign(**{"class": finding}))
            on_grid.append(both)
    scored = [finding for finding in FINDINGS if rows[finding].notna().all()]
    known = truth[scored].to_numpy().ravel()
    if metrics.defined(known):
        given = rows[scored].to_numpy(np.float64).ravel()
        films = np.repeat(every, len(scored))
        table, _ = _of_class(known, given, films, resamples, bins)
        parts.append(table.assign(**{"class": "micro"}))
    if on_grid:
        for name, held in zip(("roc", "pr"), zip(*on_grid, strict=True), strict=True):
            parts.append(_macro(held).assign(**{"class": "macro", "curve": name}))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat([part.reindex(columns=COLUMNS) for part in parts], ignore_index=True)
    return table.astype({"threshold": np.float64, "films": "Int64"})


def _of_class(
    known: np.ndarray, given: np.ndarray, films: np.ndarray, resamples: Resamples, bins: int
) -> tuple[pd.DataFrame, tuple[OnGrid, OnGrid]]:
    """Curves of m cells, each of one of the n films; and ROC and PR at `GRID`."""
    both = _on_grid(Ranked(known, given, resamples.codes[films], resamples.patients), resamples)
    table = points(known, given)
    for name, curve in zip(("roc", "pr"), both, strict=True):
        rows = table["curve"] == name
        for column, band in zip(("low", "high"), _bands(curve.drawn), strict=True):
            table.loc[rows, column] = np.interp(table.loc[rows, "x"], GRID, band)
        # The start of a curve is drawn from no film: at x = 0 the band is that of what comes next.
        table.loc[rows & ~np.isfinite(table["threshold"]), ["low", "high"]] = np.nan
    share = _reliability(known, given, films, resamples, bins)
    return pd.concat([table, share], ignore_index=True), both


def _on_grid(ranked: Ranked, resamples: Resamples) -> tuple[OnGrid, OnGrid]:
    whole = ranked.curves(np.ones((resamples.patients, 1)), GRID)
    parts = [ranked.curves(block, GRID) for block in resamples.blocks()]
    drawn = [np.concatenate(part) for part in zip(*parts, strict=True)]
    roc, pr = (OnGrid(one[0], many) for one, many in zip(whole, drawn, strict=True))
    return roc, pr


def _bands(drawn: np.ndarray) -> np.ndarray:
    """Low and high at each x, float [2, g], from float [resamples, g]."""
    return np.array([interval(column) for column in drawn.T]).T


def _macro(curves: tuple[OnGrid, ...]) -> pd.DataFrame:
    """The mean of findings' curves; in a resample, of those that are defined there."""
    total = np.zeros_like(curves[0].drawn)
    held = np.zeros_like(total)
    for curve in curves:
        finite = np.isfinite(curve.drawn)
        total[finite] += curve.drawn[finite]
        held += finite
    mean = np.divide(total, held, out=np.full_like(total, np.nan), where=held > 0)
    low, high = _bands(mean)
    whole = np.mean([curve.whole for curve in curves], axis=0)
    return pd.DataFrame({"x": GRID, "y": whole, "low": low, "high": high})


def points(known: np.ndarray, given: np.ndarray) -> pd.DataFrame:
    """ROC and PR curves as rows: curve, x, y, threshold; empty where undefined.

    Args:
        known: bool [n].
        given: float [n], higher for the finding.
    """
    if not metrics.defined(known):
        return pd.DataFrame(columns=["curve", "x", "y", "threshold"])
    false_rate, true_rate, at = sk.roc_curve(known, given)
    roc = pd.DataFrame({"curve": "roc", "x": false_rate, "y": true_rate, "threshold": at})
    precision, recall, at = sk.precision_recall_curve(known, given, drop_intermediate=True)
    at = np.append(at, np.inf)  # the end at recall 0 belongs to no score
    pr = pd.DataFrame({"curve": "pr", "x": recall, "y": precision, "threshold": at})
    return pd.concat([_thin(roc), _thin(pr)], ignore_index=True)


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    """Keep both ends, and points spread evenly along x and along the list."""
    if len(curve) <= CURVE_POINTS:
        return curve
    half = CURVE_POINTS // 2
    by_place = np.linspace(0, len(curve) - 1, half).round().astype(int)
    x = curve["x"].to_numpy()
    order = np.argsort(x, kind="stable")
    by_x = order[np.searchsorted(x[order], np.linspace(0, 1, half)).clip(max=len(curve) - 1)]
    return curve.iloc[np.unique(np.concatenate([by_place, by_x]))]


def _reliability(
    known: np.ndarray, given: np.ndarray, films: np.ndarray, resamples: Resamples, bins: int
) -> pd.DataFrame:
    """Mean probability and share of positives by bin; the bins stay as they are in all resamples.

    Where all or none of a bin are positive, resamples show no spread: its interval is undefined.
    """
    of_bin = bin_of(given, bins)
    held = np.bincount(of_bin, minlength=bins)
    used = held > 0
    total = np.bincount(of_bin, weights=given, minlength=bins)
    positive = np.bincount(of_bin[known], minlength=bins)
    n = len(resamples.codes)
    cells, found = films * bins + of_bin, (films * bins + of_bin)[known]
    sums = resamples.sums(
        np.hstack([np.bincount(at, minlength=n * bins).reshape(n, bins) for at in (cells, found)])
    )
    nothing = np.full((resamples.count, bins), np.nan)
    drawn = np.divide(sums[:, bins:], sums[:, :bins], out=nothing, where=sums[:, :bins] > 0)
    low, high = np.where((positive > 0) & (positive < held), _bands(drawn), np.nan)
    share = {"x": total / held.clip(1), "y": positive / held.clip(1), "low": low, "high": high}
    return pd.DataFrame({"curve": "reliability", **share, "films": held})[used]
