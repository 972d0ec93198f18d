"""The scores of one split: every finding, macro and micro, each with what it rests on."""

from typing import Any

import numpy as np
import pandas as pd

from ribcage import metrics, thresholds
from ribcage.errors import InputError
from ribcage.evaluation import calibration, confusion, delong, ranking, trails
from ribcage.evaluation.bootstrap import Resamples
from ribcage.evaluation.intervals import effective_of_area
from ribcage.evaluation.paired import LEAST_OF_MEAN
from ribcage.findings import FINDINGS

Scores = dict[str, dict[str, Any]]
Fitted = dict[str, dict[str, dict[str, float | None]]]

CORRECTIONS = {
    "_temperature": ("temperature", calibration.tempered),
    "_prior": ("offset", calibration.shifted),
}
"""By the end of a metric's name, what of `Fitted` corrects the probabilities, and how."""


def fit_on(truth: pd.DataFrame, rows: pd.DataFrame, settings: dict[str, Any]) -> Fitted:
    """Fit each finding's thresholds and corrections, on validation films.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films.
        settings: `sensitivity` and `specificity`, which two of the thresholds keep.

    Returns:
        `thresholds` and `calibration`, by finding, as of `thresholds.fit` and `calibration.fit`;
        null where undefined.

    Raises:
        InputError: see `probabilities`.
    """
    given = probabilities(rows)
    fitted: Fitted = {"thresholds": {}, "calibration": {}}
    for k, finding in enumerate(FINDINGS):
        held = np.isfinite(given[:, k])  # of no film, where the model does not know the finding
        known, score = truth[finding].to_numpy(bool)[held], given[held, k]
        targets = settings["sensitivity"], settings["specificity"]
        cuts = thresholds.fit(known, score, *targets)
        fitted["thresholds"][finding] = {kind: metrics.exact(cut) for kind, cut in cuts.items()}
        found = calibration.fit(known, score)
        fitted["calibration"][finding] = {name: metrics.exact(x) for name, x in found.items()}
    return fitted


def probabilities(rows: pd.DataFrame) -> np.ndarray:
    """The probabilities in the findings' order, float64 [n, 14].

    A column that is NaN throughout is a finding that the model does not know.

    Raises:
        InputError: a finding has probabilities for some films only, or values outside [0, 1].
    """
    given = rows[list(FINDINGS)].to_numpy(np.float64)
    known = np.isfinite(given)
    for k, finding in enumerate(FINDINGS):
        if known[:, k].any() and not known[:, k].all():
            film = rows["image"].iloc[int((~known[:, k]).argmax())]
            raise InputError(
                f"{film}: has no probability of {finding}, which other films have; give one for "
                "every film, or for none"
            )
        outside = (given[:, k] < 0) | (given[:, k] > 1)
        if outside.any():
            film = rows["image"].iloc[int(outside.argmax())]
            value = given[int(outside.argmax()), k]
            raise InputError(
                f"{film}: {value:g} is no probability of {finding}; give numbers in 0 to 1"
            )
    return given


def score_split(
    truth: pd.DataFrame,
    rows: pd.DataFrame,
    resamples: Resamples,
    fitted: Fitted | None,
    settings: dict[str, Any],
) -> Scores:
    """Score the films of one split.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films: image, patient, a probability a finding.
        resamples: of these films' patients.
        fitted: of `fit_on`; None where there is no validation set.
        settings: `bins` of the calibration error.

    Returns:
        By finding, `macro` and `micro`, rows {value, low, high, positives, negatives, patients}:
        those of `ranking.NAMES`; `brier` and `ece`, and both with `_temperature` and `_prior`,
        after the corrections of `fitted`. Beside these, `se_delong` and `se_clustered` in a
        finding's `auroc`, `prevalence` in `ap`, `expected` in each `ece` (what chance alone would
        show), and `findings` in the rows of macro (the mean over the findings that are defined)
        and micro (all cells of the findings that the model knows). `at` holds what
        `confusion.score` says of each kind of threshold, and is all that `weighted` and `samples`
        have; it is empty without `fitted`.

    Raises:
        InputError: see `probabilities`.
    """
    known, given = truth[list(FINDINGS)].to_numpy(bool), probabilities(rows)
    versions = _corrected(given, fitted)
    drawn = {}
    scores: Scores = {}
    patients = rows["patient"].to_numpy()
    for k, finding in enumerate(FINDINGS):
        column = {end: values[:, [k]] for end, values in versions.items()}
        scores[finding], drawn[finding] = _of_class(known[:, [k]], column, resamples, settings)
        errors = _standard_errors(known[:, k], given[:, k], patients)
        scores[finding]["auroc"].update(errors)
    held = np.isfinite(given).all(axis=0)
    counted = metrics.counts(known[:, held].any(axis=1), patients)
    rest = [effective_of_area(known[:, k], patients) for k in range(len(FINDINGS))]
    scores["macro"] = _macro(scores, drawn, counted, rest)
    scores["micro"], _ = _of_class(known, versions, resamples, settings)
    at = {} if fitted is None else _at(known, given, fitted["thresholds"], resamples)
    for name in (*scores, "weighted", "samples"):
        found = {kind: classes[name] for kind, classes in at.items()}
        scores[name] = {**scores.get(name, {}), "at": found}
    return scores


def spread(truth: pd.DataFrame, by_seed: list[pd.DataFrame]) -> dict[str, Any]:
    """Say how far the scores of networks that differ in nothing but the seed lie apart.

    Args:
        truth: bool [n, 14].
        by_seed: the predictions of these films, one a seed, each in the films' order.

    Returns:
        Nothing for one seed. Else by finding and `macro`, of `auroc` and `ap`: `mean`, `sd` (with
        one degree of freedom taken off), `least`, `most`; null where undefined. Macro is the mean
        over the findings that are defined, seed by seed.
    """
    if len(by_seed) < 2:
        return {}
    of = {"auroc": metrics.auroc, "ap": metrics.average_precision}
    known = truth[list(FINDINGS)].to_numpy(bool)
    found: dict[str, Any] = {name: {} for name in (*FINDINGS, "macro")}
    for metric, measure in of.items():
        values = np.full((len(by_seed), len(FINDINGS)), np.nan)
        for seed, rows in enumerate(by_seed):
            given = probabilities(rows)
            for k in np.flatnonzero(np.isfinite(given).all(axis=0)):
                values[seed, k] = measure(known[:, k], given[:, k])
        columns = np.column_stack([values, trails.mean(values)])
        for name, column in zip(found, columns.T, strict=True):
            found[name][metric] = {
                "mean": metrics.exact(column.mean()),
                "sd": metrics.exact(column.std(ddof=1)),
                "least": metrics.exact(column.min()),
                "most": metrics.exact(column.max()),
            }
    return found


def _at(
    known: np.ndarray,
    given: np.ndarray,
    cuts: dict[str, dict[str, float | None]],
    resamples: Resamples,
) -> dict[str, dict[str, Any]]:
    """Score the calls at each kind of threshold; a threshold that is null calls nothing."""
    found = {}
    for kind in thresholds.KINDS:
        at = np.array([cuts[finding][kind] for finding in FINDINGS], np.float64)
        found[kind] = confusion.score(known, given, at, resamples)
    return found


def _corrected(given: np.ndarray, fitted: Fitted | None) -> dict[str, np.ndarray]:
    """The probabilities as they are and after each correction; NaN where there is none."""
    versions = {"": given, **{end: np.full_like(given, np.nan) for end in CORRECTIONS}}
    if fitted is not None:
        for k, finding in enumerate(FINDINGS):
            for end, (name, correct) in CORRECTIONS.items():
                value = fitted["calibration"][finding][name]
                if value is not None:
                    versions[end][:, k] = correct(given[:, k], value)
    return versions


def _of_class(
    known: np.ndarray,
    versions: dict[str, np.ndarray],
    resamples: Resamples,
    settings: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Score one finding, or the cells of several: rows, and their trails.

    Args:
        known: bool [n, m].
        versions: of `_corrected`, [n, m] each.
        resamples: of the n films' patients.
        settings: `bins`.
    """
    scores: dict[str, Any] = {}
    drawn: dict[str, np.ndarray] = {}
    for end, given in versions.items():
        held = np.isfinite(given).all(axis=0)
        cells, of = known[:, held].ravel(), given[:, held].ravel()
        patients = np.repeat(resamples.codes, held.sum())
        # The same patients, count and seed: cells are drawn with their films.
        again = Resamples(patients, resamples.count, resamples.seed)
        judged = calibration.score(cells, of, again, settings["bins"])
        if not end:
            judged = {**ranking.score(cells, of, again), **judged}
        counted = metrics.counts(cells, patients)
        if not held.any():
            counted = metrics.counts(known.ravel(), np.repeat(resamples.codes, known.shape[1]))
        rests_on = effective_of_area(cells, patients)
        rows = {
            name + end: trails.row(trail, counted, rests_on if name in ranking.NAMES else None)
            for name, trail in judged.items()
        }
        rows["ece" + end]["expected"] = metrics.exact(calibration.chance_ece(of, settings["bins"]))
        if not end:
            share = cells.mean() if cells.size else float("nan")
            rows["ap"]["prevalence"] = metrics.exact(share)
        if known.shape[1] > 1:
            rows = {name: {**row, "findings": int(held.sum())} for name, row in rows.items()}
        scores |= rows
        drawn |= {name + end: trail for name, trail in judged.items()}
    return scores, drawn


def _standard_errors(
    known: np.ndarray, given: np.ndarray, patients: np.ndarray
) -> dict[str, float | None]:
    """DeLong's standard errors of an AUROC, films taken as independent, and patients."""
    if not metrics.defined(known) or not np.isfinite(given).all():
        return {"se_delong": None, "se_clustered": None}
    return {
        "se_delong": metrics.exact(delong.delong_se(known, given)),
        "se_clustered": metrics.exact(delong.clustered_se(known, given, patients)),
    }


def _macro(
    scores: Scores,
    drawn: dict[str, dict[str, np.ndarray]],
    counted: dict[str, int],
    rest: list[float],
) -> dict[str, Any]:
    """Mean each metric, and what stands beside it, over the findings of which it is defined.

    Args:
        scores: by finding.
        drawn: their trails.
        counted: what stands behind the means.
        rest: on how many patients each finding's ranking rests.
    """
    found = {}
    for name in drawn[FINDINGS[0]]:
        columns = np.column_stack([drawn[finding][name] for finding in FINDINGS])
        defined = [f for f in FINDINGS if np.isfinite(drawn[f][name][0])]
        held = np.isfinite(columns[0])
        few = held.any() and np.median(np.array(rest)[held]) < LEAST_OF_MEAN
        row = trails.row(trails.mean(columns), counted, 0 if few else None)
        for beside in {"ap": ["prevalence"]}.get(name, ["expected"] if "ece" in name else []):
            shown = [scores[finding][name][beside] for finding in defined]
            row[beside] = metrics.exact(float(np.mean(shown)) if shown else float("nan"))
        found[name] = {**row, "findings": len(defined)}
    return found
