"""A statistic of a sample and of its resamples, in one array.

A trail is float64 [1 + resamples, ...]: first the statistic of the films as they are, then that of
every resample of their patients; NaN where undefined. What is computed of trails, such as a mean
over findings, is computed of the sample and of every resample at once.
"""

from typing import Any

import numpy as np

from ribcage import metrics
from ribcage.evaluation import bootstrap, intervals
from ribcage.evaluation.bootstrap import Resamples

MOST_LACKING = 0.5
"""No mean over findings in a resample that leaves a larger share of them undefined."""


def undefined(resamples: Resamples) -> np.ndarray:
    """The trail of what is defined nowhere, [1 + resamples]."""
    return np.full(1 + resamples.count, np.nan)


def sums(values: np.ndarray, resamples: Resamples) -> np.ndarray:
    """Sum films' values, float64 [1 + resamples, m].

    Args:
        values: [n, m], of the films whose patients the resamples draw.
        resamples: of them.
    """
    values = np.asarray(values, np.float64)
    return np.vstack([values.sum(axis=0), resamples.sums(values)])


def mean(columns: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the findings that are defined in the sample, [1 + resamples].

    A resample may lack a finding's positives: its mean is over the others, and undefined where
    more than half are lacking.

    Args:
        columns: [1 + resamples, m], a trail a finding.
        weights: of the same shape; all the same where None.
    """
    weights = np.ones_like(columns) if weights is None else weights
    held = np.isfinite(columns[0])
    columns, weights = columns[:, held], weights[:, held]
    known = np.isfinite(columns)
    total = (weights * known).sum(axis=1)
    found = bootstrap.share(np.where(known, columns * weights, 0).sum(axis=1), total)
    lacking = 1 - known.sum(axis=1) / max(known.shape[1], 1)
    return np.where(lacking > MOST_LACKING, np.nan, found)


def row(
    trail: np.ndarray, counted: dict[str, int], effective: float | None = None
) -> dict[str, Any]:
    """Write a trail as `metrics.row`, its interval from the resamples.

    Args:
        trail: [1 + resamples].
        counted: see `metrics.counts`.
        effective: of an area or another share, on how many patients it rests, as
            `intervals.effective_patients`; None for what is no share or is a mean of many.
    """
    value = float(trail[0])
    if effective is None:
        return metrics.row(value, counted, intervals.interval(trail[1:]))
    ends = intervals.logit_interval(value, trail[1:], effective)
    return metrics.row(value, counted, ends)
