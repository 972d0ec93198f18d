"""What calling films by thresholds gets right, of a sample and of its resamples: see `trails`.

What has no denominator is undefined, not zero: no PPV without a call, no sensitivity and no F1
without a positive. The means over films alone follow scikit-learn's `zero_division=0`.
"""

from typing import Any, NamedTuple

import numpy as np

from ribcage import metrics
from ribcage.evaluation import trails
from ribcage.evaluation.bootstrap import Resamples, share
from ribcage.evaluation.intervals import effective_patients
from ribcage.findings import FINDINGS

RATES = ("sensitivity", "specificity", "ppv", "npv", "f1")
MEANS = {"precision": "ppv", "recall": "sensitivity", "f1": "f1"}
"""What a mean is called, and the rate of a finding that it means."""


class Confusion(NamedTuple):
    """Confusion tables, float64 [1 + resamples, m] each."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    def pooled(self) -> "Confusion":
        """The table of all columns together, [1 + resamples, 1]."""
        return Confusion(*(cells.sum(axis=1, keepdims=True) for cells in self))

    def rates(self) -> dict[str, np.ndarray]:
        """By name of RATES, [1 + resamples, m]."""
        tp, fp, fn, tn = self
        positives = tp + fn
        return {
            "sensitivity": share(tp, positives),
            "specificity": share(tn, tn + fp),
            "ppv": share(tp, tp + fp),
            "npv": share(tn, tn + fn),
            "f1": np.where(positives > 0, share(2 * tp, 2 * tp + fp + fn), np.nan),
        }

    def kappa(self) -> np.ndarray:
        """Cohen's kappa of truth and call, [1 + resamples, m]."""
        tp, fp, fn, tn = self
        # Cohen's (p_o - p_e) / (1 - p_e), with the films' number cancelled.
        return share(2 * (tp * tn - fn * fp), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))


def among(known: np.ndarray, called: np.ndarray) -> dict[str, np.ndarray]:
    """Which films each rate of RATES is a share of, bool of the arguments' shape."""
    return {
        "sensitivity": known,
        "specificity": ~known,
        "ppv": called,
        "npv": ~called,
        "f1": known | called,
    }


def tabulate(
    known: np.ndarray, called: np.ndarray, resamples: Resamples, held: np.ndarray | bool = True
) -> Confusion:
    """Count films by truth and call.

    Args:
        known: bool [n, m].
        called: bool [n, m].
        resamples: of these n films' patients.
        held: bool [n, m], which are counted; all where True.
    """
    cells = [known & called, ~known & called, known & ~called, ~known & ~called]
    cells = [cell & held for cell in cells]
    return Confusion(*np.split(trails.sums(np.hstack(cells), resamples), 4, axis=1))


def score(
    known: np.ndarray, given: np.ndarray, at: np.ndarray, resamples: Resamples
) -> dict[str, dict[str, Any]]:
    """Score the calls at one threshold a finding.

    Args:
        known: bool [n, 14].
        given: float [n, 14], NaN columns where the model does not know a finding.
        at: float [14], the thresholds; NaN where there is none.
        resamples: of these n films' patients.

    Returns:
        By finding, `threshold`, a row of each of RATES, and `confusion` {tp, fp, fn, tn}; by
        `micro` the same of all cells, without threshold; by `macro` the means over findings, each
        row with `findings`, over how many; by `weighted` (mean over findings, weighted by their
        positives) and `samples` (mean over films) rows of `precision`, `recall` and `f1`. Findings
        without scores or threshold are undefined, and in no mean.
    """
    called = given >= at
    held = np.isfinite(at) & np.isfinite(given).all(axis=0)
    table = tabulate(known, called, resamples)
    table = Confusion(*(np.where(held, cells, np.nan) for cells in table))
    found = _of_findings(known, called, np.where(held, at, np.nan), table, resamples.codes)
    # Where no finding has a threshold, the counts are of all; what is counted is undefined.
    of = held if held.any() else ~held
    pooled = Confusion(*(cells[:, of] for cells in table)).pooled()
    patients = np.repeat(resamples.codes[:, None], of.sum(), axis=1)
    counted = metrics.counts(known[:, of], patients)
    films_of = among(known[:, of], called[:, of])
    micro = {
        name: trails.row(rate[:, 0], counted, effective_patients(films_of[name], patients))
        for name, rate in pooled.rates().items()
    }
    found["micro"] = {name: {**row, "findings": int(held.sum())} for name, row in micro.items()}
    found["micro"]["confusion"] = _written(pooled, 0)
    rates, positives = table.rates(), table.tp + table.fn
    counted = metrics.counts(np.logical_or.reduce(known[:, of], axis=1), resamples.codes)
    found["macro"] = {name: _mean(rates[name], counted) for name in RATES}
    found["weighted"] = {
        name: _mean(rates[rate], counted, positives) for name, rate in MEANS.items()
    }
    by_film = _means_of_films(known[:, held], called[:, held], resamples)
    found["samples"] = {name: trails.row(trail, counted) for name, trail in by_film.items()}
    return found


def _of_findings(
    known: np.ndarray, called: np.ndarray, at: np.ndarray, table: Confusion, patients: np.ndarray
) -> dict[str, dict[str, Any]]:
    rates, found = table.rates(), {}
    for k, finding in enumerate(FINDINGS):
        has, said = known[:, k], called[:, k]
        counted = metrics.counts(has, patients)
        films_of = among(has, said)
        rows: dict[str, Any] = {
            name: trails.row(rates[name][:, k], counted, effective_patients(films, patients))
            for name, films in films_of.items()
        }
        rows["confusion"] = _written(table, k)
        found[finding] = {"threshold": metrics.exact(float(at[k])), **rows}
    return found


def _mean(
    columns: np.ndarray, counted: dict[str, int], weights: np.ndarray | None = None
) -> dict[str, Any]:
    row = trails.row(trails.mean(columns, weights), counted)
    return {**row, "findings": int(np.isfinite(columns[0]).sum())}


def _written(table: Confusion, column: int) -> dict[str, int | None]:
    counts = {name: cells[0, column] for name, cells in table._asdict().items()}
    return {name: None if np.isnan(count) else int(count) for name, count in counts.items()}


def _means_of_films(
    known: np.ndarray, called: np.ndarray, resamples: Resamples
) -> dict[str, np.ndarray]:
    """Each film's precision, recall and F1, 0 where they have no denominator; then their mean."""
    if not known.size:
        return {name: trails.undefined(resamples) for name in MEANS}
    right, calls, positives = ((x.sum(axis=1)) for x in (known & called, called, known))
    of_film = [
        np.nan_to_num(share(right, calls)),
        np.nan_to_num(share(right, positives)),
        np.nan_to_num(share(2 * right, calls + positives)),
        np.ones(len(right)),
    ]
    sums = trails.sums(np.column_stack(of_film), resamples)
    return {name: share(sums[:, k], sums[:, -1]) for k, name in enumerate(MEANS)}
