"""Weights that give the films of one side the mix of the other's, and the same of each resample.

A film weighs the ratio of the two densities at its covariates, which is the odds of a logistic
regression that tells the sides apart (Bickel, Brückner and Scheffer, JMLR 10, 2137-2155, 2009).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ribcage.evaluation.bootstrap import Resamples

CLIP = 0.99
"""Weights above this quantile of theirs are cut to it: a few odd films must not speak for all."""
RIDGE = 1.0
"""Holds back the coefficients of covariates in standard deviations, where few films tell them."""


def weigh(
    table: pd.DataFrame, ours: Resamples, theirs: Resamples
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Weigh the films of our side so that their mix is that of the other side.

    In each resample the regression takes one step of Newton's from the fit to all films, which is
    as good as a fit for an interval (Andrews, Econometrica 70, 119-162, 2002).

    Args:
        table: numbers without NaN, a row a film, ours first.
        ours: resamples of the patients of our n films.
        theirs: of the other side's, as many.

    Returns:
        Weights float64 [n], of mean 1; and what each film weighs in each resample, how often its
        patient was drawn included, float64 [n, at most BLOCK] at a time.
    """
    films = len(ours.codes)
    inputs = StandardScaler().fit_transform(table.to_numpy(np.float64))
    model = LogisticRegression(C=1 / RIDGE, max_iter=1000)
    model.fit(inputs, np.arange(len(inputs)) >= films)
    inputs = np.column_stack([np.ones(len(inputs)), inputs])
    coefficients = np.concatenate([model.intercept_, model.coef_[0]])
    weights = _weights(inputs[:films], coefficients[:, None])[:, 0]
    return weights, _draw(inputs[:films], _refit(inputs, coefficients, ours, theirs), ours)


def _refit(
    inputs: np.ndarray, coefficients: np.ndarray, ours: Resamples, theirs: Resamples
) -> np.ndarray:
    """One step of Newton's towards the fit to each resample, float64 [k, resamples]."""
    films, size = len(ours.codes), len(coefficients)
    chance = expit(inputs @ coefficients)
    slope = inputs * ((np.arange(len(inputs)) >= films) - chance)[:, None]
    spread = inputs * (chance * (1 - chance))[:, None]
    bend = (inputs[:, :, None] * spread[:, None, :]).reshape(len(inputs), -1)
    terms = np.column_stack([slope, bend])
    sums = ours.sums(terms[:films]) + theirs.sums(terms[films:])
    ridge = np.full(size, RIDGE)
    ridge[0] = 0  # the intercept is not held back
    slopes = sums[:, :size] - ridge * coefficients
    bends = sums[:, size:].reshape(-1, size, size) + np.diag(ridge)
    steps = np.linalg.solve(bends, slopes[:, :, None])[:, :, 0]
    return (coefficients + steps).T


def _weights(inputs: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Weights of films, the odds of being a test film, clipped and of mean 1, float64 [n, m].

    Args:
        inputs: [n, k].
        coefficients: [k, m], of so many fits.
    """
    odds = np.exp((inputs @ coefficients).clip(-50, 50))
    odds = odds.clip(max=np.quantile(odds, CLIP, axis=0))
    return odds / odds.mean(axis=0)


def _draw(inputs: np.ndarray, coefficients: np.ndarray, ours: Resamples) -> Iterator[np.ndarray]:
    start = 0
    for block in ours.blocks():
        own = coefficients[:, start : start + block.shape[1]]
        start += block.shape[1]
        yield block[ours.codes] * _weights(inputs, own)
