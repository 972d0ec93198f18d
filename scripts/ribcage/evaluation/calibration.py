"""Whether a probability says what it means: errors, and two corrections fitted on validation.

Bins hold the same number of films each (equal mass), so that a rare finding's few high
probabilities are no bin of their own; films of the same probability stay in one bin.
"""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, gammaln, logit

from ribcage import metrics
from ribcage.evaluation import trails
from ribcage.evaluation.bootstrap import Resamples, share

CLIP = 1e-7
"""Probabilities are brought within this of 0 and 1, whose logits are infinite."""
STEEPEST = 100.0
"""The logits are divided by 0.01 to 100: a temperature beyond says nothing."""
FARTHEST = 60.0
"""An offset beyond leaves no logit of a clipped probability its sign, however rare the finding."""


def logits(given: np.ndarray) -> np.ndarray:
    """Logits of probabilities, float64 [n], finite: see CLIP."""
    return logit(np.asarray(given, np.float64).clip(CLIP, 1 - CLIP))


def fit(known: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """Fit a temperature, and an offset, each alone, at the least log loss.

    Temperature scaling: Guo et al., ICML 2017. The offset corrects a wrong prior: a network whose
    loss counted a positive w times gives logits that are about log(w) too high (Saerens et al.,
    Neural Computation 14, 21-41, 2002).

    Args:
        known: bool [n], of validation films.
        given: float [n], their probabilities.

    Returns:
        `temperature` T of sigmoid(z / T), from 0.01 to 100 (the end, where scores rank backwards
        or perfectly), and `offset` b of sigmoid(z + b). NaN where only one class occurs.
    """
    if not metrics.defined(known):
        return {"temperature": float("nan"), "offset": float("nan")}
    z = logits(given)

    def too_steep(slope: float) -> float:
        return float(z @ (expit(slope * z) - known))

    def too_high(offset: float) -> float:
        return float((expit(z + offset) - known).sum())

    # Both are derivatives of a convex loss: they rise, and are zero at the least loss.
    flattest = 1 / STEEPEST
    if not z.any():
        slope = 1.0  # all probabilities are a half: any temperature is as good
    elif too_steep(flattest) >= 0:
        slope = flattest
    elif too_steep(STEEPEST) <= 0:
        slope = STEEPEST
    else:
        slope = brentq(too_steep, flattest, STEEPEST, xtol=1e-12)
    return {"temperature": 1 / slope, "offset": brentq(too_high, -FARTHEST, FARTHEST, xtol=1e-12)}


def tempered(given: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities sigmoid(z / T), float64 [n]; NaN where T is."""
    return expit(logits(given) / temperature)


def shifted(given: np.ndarray, offset: float) -> np.ndarray:
    """Probabilities sigmoid(z + b), float64 [n]; NaN where b is."""
    return expit(logits(given) + offset)


def bin_of(given: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each film, int [n] from 0 on: of equal mass, ties together in the lowest.

    Args:
        given: float [n].
        bins: at most so many; ties may leave some empty.
    """
    below = np.searchsorted(np.sort(given), given, side="left")
    return below * bins // max(len(given), 1)


def reliability(known: np.ndarray, given: np.ndarray, bins: int) -> pd.DataFrame:
    """Compare what was said with what was so, by bins of equal mass.

    Returns:
        A row a bin that holds films, the lowest first: mean (of the probabilities), share (of
        positives), films.
    """
    table = pd.DataFrame({"bin": bin_of(given, bins), "given": given, "known": known})
    rows = table.groupby("bin").agg(
        mean=("given", "mean"), share=("known", "mean"), films=("known", "size")
    )
    return rows.reset_index(drop=True)


def ece(known: np.ndarray, given: np.ndarray, bins: int) -> float:
    """Expected calibration error: the mean distance of probability and share over the films.

    Naeini et al., AAAI 2015, with bins of equal mass. NaN without films.
    """
    rows = reliability(known, given, bins)
    gaps = (rows["mean"] - rows["share"]).abs() * rows["films"]
    return float(gaps.sum() / len(known)) if len(known) else float("nan")


def chance_ece(given: np.ndarray, bins: int) -> float:
    """The expected calibration error that perfectly calibrated probabilities show by chance.

    A bin's number of positives is a sum of coins of unlike bias. Its mean distance from its mean
    is taken from the binomial distribution of the same mean and variance (de Moivre's formula).
    Films count as independent: those of one patient are not, so that chance does a little more.

    Args:
        given: float [n], the probabilities.
        bins: as in `ece`.
    """
    if not len(given):
        return float("nan")
    at = bin_of(given, bins)
    mean = np.bincount(at, weights=given)
    variance = np.bincount(at, weights=given * (1 - given))
    return float(_mean_deviation(mean[variance > 0], variance[variance > 0]).sum() / len(given))


def _mean_deviation(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    missed = variance / mean
    chance = (1 - missed).clip(min=1e-6)  # at 0 it would be Poisson's distribution
    films = mean / chance
    next_up = np.floor(mean) + 1
    ways = gammaln(films + 1) - gammaln(next_up + 1) - gammaln(films - next_up + 1)
    log = ways + next_up * np.log(chance) + (films - next_up) * np.log1p(-chance)
    return 2 * next_up * (1 - chance) * np.exp(log)


def score(
    known: np.ndarray, given: np.ndarray, resamples: Resamples, bins: int
) -> dict[str, np.ndarray]:
    """Brier score and expected calibration error of a sample and its resamples: see `trails`.

    The bins are those of the sample. Chance adds to the calibration error of a sample, and once
    more to that of its resamples: these are lowered by their mean excess, so that they spread
    around the sample's error and no interval lies above it.

    Args:
        known: bool [n].
        given: float [n], probabilities.
        resamples: of these n films' patients.
        bins: as in `ece`.
    """
    if not len(known):
        return {name: trails.undefined(resamples) for name in ("brier", "ece")}
    gap = given - known
    at = bin_of(given, bins)
    in_bins = np.where(at[:, None] == np.arange(bins), gap[:, None], 0)
    sums = trails.sums(np.column_stack([np.ones(len(gap)), gap**2, in_bins]), resamples)
    films = sums[:, 0]
    errors = share(np.abs(sums[:, 2:]).sum(axis=1), films)
    excess = max(float(errors[1:].mean()) - errors[0], 0)
    errors[1:] = (errors[1:] - excess).clip(min=0)
    return {"brier": share(sums[:, 1], films), "ece": errors}
