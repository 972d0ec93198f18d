"""Point metrics of predictions against labels. What is undefined is NaN, never repaired."""

from typing import Any

import numpy as np
from sklearn import metrics as sk

LEAST = 5
"""No AUROC of some films with fewer positives or negatives: one film would move it by tenths."""
MOST_FALSE = 0.1
"""The false positive rate up to which the partial AUROC looks: beyond it no reader would work."""


def defined(truth: np.ndarray) -> bool:
    """Whether both classes occur, so that a ranking can be judged."""
    return bool(truth.any() and not truth.all())


def auroc(truth: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Area under the ROC curve; NaN where only one class occurs.

    Args:
        truth: bool [n].
        score: float [n], higher for the finding.
        weights: float [n], what a film counts; 1 where None.
    """
    if not defined(truth):
        return float("nan")
    return float(sk.roc_auc_score(truth, score, sample_weight=weights))


def average_precision(
    truth: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Average precision, of scores as they are; NaN without positives or without negatives.

    Arguments as in `auroc`.
    """
    if not defined(truth):
        return float("nan")
    return float(sk.average_precision_score(truth, score, sample_weight=weights))


def partial_auroc(truth: np.ndarray, score: np.ndarray, most: float = MOST_FALSE) -> float:
    """Area up to a false positive rate, brought to 0.5 for chance and 1 for perfect.

    McClish, Medical Decision Making 9, 190-195 (1989). NaN where only one class occurs.

    Args:
        truth: bool [n].
        score: float [n], higher for the finding.
        most: the false positive rate up to which, in 0 to 1.
    """
    return float(sk.roc_auc_score(truth, score, max_fpr=most)) if defined(truth) else float("nan")


def exact(value: float) -> float | None:
    """A number for JSON at full precision; what is undefined is null there."""
    return None if np.isnan(value) else float(value)


def number(value: float) -> float | None:
    """A number for JSON in six digits; what is undefined is null there."""
    return None if np.isnan(value) else round(float(value), 6)


def row(
    value: float, counted: dict[str, int], drawn: tuple[float, float] | None = None
) -> dict[str, float | int | None]:
    """A metric as it is written: value, low, high, and what `counts` counted.

    Args:
        value: written at full precision; null where it is NaN.
        counted: see `counts`.
        drawn: ends of the 95 % interval, as of `intervals.interval`; None where none was asked
            for. Null where the value is undefined.
    """
    low, high = drawn if drawn is not None and not np.isnan(value) else (float("nan"),) * 2
    return {"value": exact(value), "low": number(low), "high": number(high), **counted}


def told(row: dict[str, Any]) -> str:
    """A metric for a log line: value and interval in three decimals."""
    if row["value"] is None:
        return "undefined"
    ends = "" if row["low"] is None else f" ({row['low']:.3f}-{row['high']:.3f})"
    return f"{row['value']:.3f}{ends}"


def counts(truth: np.ndarray, patients: np.ndarray) -> dict[str, int]:
    """Positives, negatives, and the patients who have a positive film."""
    return {
        "positives": int(truth.sum()),
        "negatives": int((~truth).sum()),
        "patients": int(np.unique(patients[truth]).size),
    }
