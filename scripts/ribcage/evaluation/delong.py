"""Standard errors of an AUROC in closed form, as a check on the bootstrap.

DeLong's takes every film for a subject of its own; Obuchowski's knows that films of one patient are
alike. Both rest on placements: a positive's is the share of negatives below it, a negative's the
share of positives above it, ties a half; the mean of either is the AUROC.

E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44, 837-845 (1988);
X. Sun, W. Xu, IEEE Signal Processing Letters 21, 1389-1393 (2014), for the placements by ranks;
N. A. Obuchowski, Biometrics 53, 567-578 (1997).
"""

import numpy as np
from scipy.stats import rankdata


def placements(known: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The share of the other class that each film is rightly ordered with, float [n]; ties a half.

    Args:
        known: bool [n], with both classes.
        given: float [n], higher for the finding.
    """
    positives = int(known.sum())
    ranks = rankdata(given)
    placed = np.empty(len(given))
    placed[known] = (ranks[known] - rankdata(given[known])) / (len(given) - positives)
    placed[~known] = 1 - (ranks[~known] - rankdata(given[~known])) / positives
    return placed


def delong_se(known: np.ndarray, given: np.ndarray) -> float:
    """DeLong's standard error of the AUROC of independent films.

    Args:
        known: bool [n].
        given: float [n], higher for the finding.

    Returns:
        NaN with fewer than two positives or negatives, or where a score is NaN.
    """
    if min(known.sum(), (~known).sum()) < 2 or np.isnan(given).any():
        return float("nan")
    placed = placements(known, given)
    parts = (np.var(placed[side], ddof=1) / side.sum() for side in (known, ~known))
    return float(np.sqrt(sum(parts)))


def clustered_se(known: np.ndarray, given: np.ndarray, patients: np.ndarray) -> float:
    """Obuchowski's standard error of the AUROC, for films that come in patients.

    With one film a patient it is DeLong's, exactly.

    Args:
        known: bool [n].
        given: float [n], higher for the finding.
        patients: [n], whose film it is.

    Returns:
        NaN with fewer than two patients who have a positive film, or two who have a negative one,
        or where a score is NaN; also where films are so few that its variance comes out negative.
    """
    names, codes = np.unique(patients, return_inverse=True)
    if not known.any() or known.all() or np.isnan(given).any():
        return float("nan")
    placed = placements(known, given)
    area = placed[known].mean()
    beyond, variance = [], 0.0
    for side in (known, ~known):
        # By patient, how far the films of this class lie from the AUROC in sum.
        beyond.append(np.bincount(codes[side], placed[side] - area, minlength=len(names)))
        holders = len(np.unique(codes[side]))
        if holders < 2:
            return float("nan")
        variance += holders / (holders - 1) * float(np.sum((beyond[-1] / side.sum()) ** 2))
    shared = float(beyond[0] @ beyond[1]) / (int(known.sum()) * int((~known).sum()))
    variance += 2 * len(names) / (len(names) - 1) * shared
    return float(np.sqrt(variance)) if variance >= 0 else float("nan")
