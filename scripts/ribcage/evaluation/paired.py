"""Metrics with their values in every resample: differences of the same patients are paired."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ribcage import metrics
from ribcage.evaluation import trails
from ribcage.evaluation.bootstrap import Ranked, share
from ribcage.evaluation.intervals import (
    Interval,
    difference_interval,
    effective_of_area,
    interval,
    logit_interval,
)

LEAST_OF_MEAN = 5
"""No interval of a mean of which half of the parts rest on fewer effective patients. Measured: of
14 findings with 2 positive patients each, nominal 95 % hold the truth in 90 %; with 5, in 95 %."""


class Measured(NamedTuple):
    """A metric of some films, and the same of each resample of their patients.

    Attributes:
        value: NaN where undefined.
        draws: float64 [resamples]; NaN where a resample left it undefined.
        counted: what stands behind it, as `metrics.counts` counts.
        effective: on how many patients it rests, as `intervals.effective_patients`; None for a
            mean, whose interval is the middle of its draws.
        is_difference: of two such metrics, so that it has no ends at 0 and 1.
    """

    value: float
    draws: np.ndarray
    counted: dict[str, int]
    effective: float | None = None
    is_difference: bool = False


def undefined(counted: dict[str, int], resamples: int) -> Measured:
    """A metric that these films do not give."""
    return Measured(float("nan"), np.full(resamples, np.nan), counted)


def area(
    known: np.ndarray,
    given: np.ndarray,
    codes: np.ndarray,
    patients: int,
    blocks: Iterable[np.ndarray],
) -> Measured:
    """AUROC of some of the films whose patients are drawn; undefined with one class, or a NaN.

    Args:
        known: bool [n].
        given: float [n].
        codes: int [n], each film's patient, as in `Resamples`.
        patients: how many the codes name.
        blocks: of `Resamples.blocks`, which a caller with many rankings draws once.
    """
    blocks = list(blocks)
    counted = metrics.counts(known, codes)
    if not metrics.defined(known) or np.isnan(given).any():
        return undefined(counted, sum(block.shape[1] for block in blocks))
    ranked = Ranked(known, given, codes, patients)
    right, total = zip(*(ranked.pairs(block) for block in blocks), strict=True)
    draws = share(np.concatenate(right), np.concatenate(total))
    return Measured(metrics.auroc(known, given), draws, counted, effective_of_area(known, codes))


def difference(one: Measured, other: Measured) -> Measured:
    """One minus the other, resample by resample; counted is the first one's."""
    rests_on = None
    if one.effective is not None and other.effective is not None:
        rests_on = min(one.effective, other.effective)
    return Measured(one.value - other.value, one.draws - other.draws, one.counted, rests_on, True)


def mean_of(parts: Iterable[Measured], counted: dict[str, int], resamples: int) -> Measured:
    """The mean of the parts that are defined, as `trails.mean` takes it.

    Args:
        parts: such as the findings of a macro mean.
        counted: what stands behind the mean.
        resamples: how many draws a part has.
    """
    held = [part for part in parts if np.isfinite(part.value)]
    if not held:
        return undefined(counted, resamples)
    trail = trails.mean(np.column_stack([np.append(part.value, part.draws) for part in held]))
    rest = [part.effective for part in held if part.effective is not None]
    few = bool(rest) and float(np.median(rest)) < LEAST_OF_MEAN
    draws = np.full(resamples, np.nan) if few else trail[1:]
    return Measured(float(trail[0]), draws, counted)


def ends_of(measured: Measured) -> Interval:
    """The 95 % interval of a metric."""
    if measured.effective is None:
        return interval(measured.draws)
    ends = difference_interval if measured.is_difference else logit_interval
    return ends(measured.value, measured.draws, measured.effective)


def row(measured: Measured) -> dict[str, Any]:
    """A metric as it is written to JSON, with its interval: see `metrics.row`."""
    return metrics.row(measured.value, measured.counted, ends_of(measured))
