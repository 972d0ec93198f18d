"""Thresholds: the score from which on a film counts as positive. Fitted on validation alone."""

import numpy as np
from sklearn import metrics as sk

from ribcage import metrics

KINDS = ("youden", "f1", "sensitivity", "specificity")
"""What a threshold is the best for, or what it keeps."""

ROUNDING = 1e-12
"""9 of 10 films are a sensitivity of 0.9, whatever the last digit of the quotient says."""


def youden(known: np.ndarray, given: np.ndarray) -> float:
    """The threshold with the largest sensitivity + specificity (Youden, Cancer 3, 32-35, 1950).

    The highest of several equally good thresholds. NaN where only one class occurs.

    Args:
        known: bool [n].
        given: float [n], higher for the finding.
    """
    if not metrics.defined(known):
        return float("nan")
    false_rate, true_rate, at = sk.roc_curve(known, given, drop_intermediate=False)
    best = int(np.argmax((true_rate - false_rate)[1:])) + 1  # the first is at +infinity
    return float(at[best])


def fit(
    known: np.ndarray, given: np.ndarray, sensitivity: float, specificity: float
) -> dict[str, float]:
    """Find the four thresholds of a finding; every one is a score that a film has.

    Args:
        known: bool [n], of validation films.
        given: float [n], their scores, higher for the finding.
        sensitivity: the share of the positives to find, in 0 to 1.
        specificity: the share of the negatives to leave alone, in 0 to 1.

    Returns:
        By kind: `youden`, see there; `f1`, the highest of those with the largest F1;
        `sensitivity`, the highest that reaches it; `specificity`, the lowest that reaches it. NaN
        where only one class occurs, or where calling the films of the highest score is already too
        unspecific.
    """
    if not metrics.defined(known):
        return dict.fromkeys(KINDS, float("nan"))
    # From the highest score to the lowest.
    negatives, false, missed, true, at = sk.confusion_matrix_at_thresholds(known, given)
    found = np.flatnonzero(true / (true + missed) >= sensitivity - ROUNDING)
    spared = np.flatnonzero(negatives / (negatives + false) >= specificity - ROUNDING)
    return {
        "youden": youden(known, given),
        "f1": float(at[np.argmax(2 * true / (2 * true + false + missed))]),
        "sensitivity": float(at[found[0]]),
        "specificity": float(at[spared[-1]]) if len(spared) else float("nan"),
    }
