"""The scores of one split: every finding, macro and micro, and the curves behind them."""

from typing import Any

import numpy as np
import pandas as pd

from ribcage import metrics
from ribcage.findings import FINDINGS

Scores = dict[str, dict[str, Any]]


def score_split(truth: pd.DataFrame, rows: pd.DataFrame) -> tuple[Scores, pd.DataFrame]:
    """Score the films of one split.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films: patient, and a probability a finding.

    Returns:
        By finding, `macro` and `micro`: `auroc` and `ap`, each {value, low, high, positives,
        negatives, patients}; and the curves, rows of class, curve, x, y, threshold. Macro is the
        mean over the findings that are defined; its `findings` says how many. `low` and `high`
        are null: intervals need a bootstrap over patients.
    """
    patients = rows["patient"].to_numpy()
    scores: Scores = {}
    drawn: dict[str, pd.DataFrame] = {}
    for finding in FINDINGS:
        known, given = truth[finding].to_numpy(), rows[finding].to_numpy(np.float64)
        scores[finding] = _both(known, given, patients)
        drawn[finding] = metrics.curves(known, given)
    known = truth.to_numpy().ravel()
    given = rows[list(FINDINGS)].to_numpy(np.float64).ravel()
    scores["micro"] = _both(known, given, np.repeat(patients, len(FINDINGS)))
    drawn["micro"] = metrics.curves(known, given)
    scores["macro"] = _macro(scores, truth, patients)
    whole = [curve for name in FINDINGS if not (curve := drawn[name]).empty]
    if whole:
        drawn["macro"] = pd.concat(
            [
                metrics.macro_roc([curve[curve["curve"] == "roc"] for curve in whole]),
                metrics.macro_pr([curve[curve["curve"] == "pr"] for curve in whole]),
            ]
        )
    parts = [curve.assign(**{"class": name}) for name, curve in drawn.items() if len(curve)]
    return scores, pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _both(known: np.ndarray, given: np.ndarray, patients: np.ndarray) -> dict[str, Any]:
    counted = metrics.counts(known, patients)
    area = metrics.row(metrics.auroc(known, given), counted)
    precision = metrics.row(metrics.average_precision(known, given), counted)
    precision["prevalence"] = metrics.number(float(known.mean()))
    return {"auroc": area, "ap": precision}


def _macro(scores: Scores, truth: pd.DataFrame, patients: np.ndarray) -> dict[str, Any]:
    counted = metrics.counts(truth.to_numpy().any(axis=1), patients)
    found = {}
    for name in ("auroc", "ap"):
        values = [scores[finding][name]["value"] for finding in FINDINGS]
        held = [value for value in values if value is not None]
        found[name] = metrics.row(float(np.mean(held)) if held else float("nan"), counted)
        found[name]["findings"] = len(held)
    defined = [f for f in FINDINGS if scores[f]["ap"]["value"] is not None]
    shares = [scores[f]["ap"]["prevalence"] for f in defined]
    found["ap"]["prevalence"] = metrics.number(float(np.mean(shares)) if shares else float("nan"))
    return found
