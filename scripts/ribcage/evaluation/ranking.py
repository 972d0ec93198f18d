"""How well scores rank films, of a sample and of its resamples: see `trails`."""

import numpy as np

from ribcage import metrics
from ribcage.evaluation import bootstrap, trails
from ribcage.evaluation.bootstrap import Ranked, Resamples

NAMES = (
    "auroc",
    "ap",
    "auroc_partial",
    "auroc_patient_weighted",
    "ap_patient_weighted",
    "ap_balanced",
)


def patient_weights(resamples: Resamples) -> np.ndarray:
    """What a film weighs so that every patient weighs 1, float64 [n]."""
    return 1 / np.bincount(resamples.codes)[resamples.codes]


def balanced_weights(known: np.ndarray) -> np.ndarray:
    """What a film weighs so that positives and negatives weigh 1 each in sum, float64 [n]."""
    return np.where(known, 1 / known.sum(), 1 / (~known).sum())


def score(known: np.ndarray, given: np.ndarray, resamples: Resamples) -> dict[str, np.ndarray]:
    """Rank films, as they are and weighted.

    Args:
        known: bool [n].
        given: float [n], higher for the finding.
        resamples: of these n films' patients.

    Returns:
        By name of NAMES, a trail. `auroc_partial` goes up to a false positive rate of
        `metrics.MOST_FALSE`. `_patient_weighted`: a film weighs 1 / films of its patient.
        `ap_balanced`: positives and negatives weigh the same in sum, as if every other film had
        the finding, so that findings of other prevalence compare.
    """
    if not metrics.defined(known):
        return {name: trails.undefined(resamples) for name in NAMES}
    weights = patient_weights(resamples)
    weighted = bootstrap.draw_areas(known, given, resamples, weights)
    ranked = Ranked(known, given, resamples.codes, resamples.patients)
    parts = [
        (*ranked.areas(block), ranked.partial(block, metrics.MOST_FALSE), ranked.balanced(block))
        for block in resamples.blocks()
    ]
    area, precision, partial, balanced = map(np.concatenate, zip(*parts, strict=True))
    equal = balanced_weights(known)
    found = {
        "auroc": (metrics.auroc(known, given), area),
        "ap": (metrics.average_precision(known, given), precision),
        "auroc_partial": (metrics.partial_auroc(known, given), partial),
        "auroc_patient_weighted": (metrics.auroc(known, given, weights), weighted.auroc),
        "ap_patient_weighted": (metrics.average_precision(known, given, weights), weighted.ap),
        "ap_balanced": (metrics.average_precision(known, given, equal), balanced),
    }
    return {name: np.append(value, drawn) for name, (value, drawn) in found.items()}
