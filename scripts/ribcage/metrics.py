"""Point metrics of predictions against labels. What is undefined is NaN, never repaired."""

import numpy as np
import pandas as pd
from sklearn import metrics as sk

CURVE_POINTS = 200
"""At most so many points of a curve are kept for the report; the metrics use all."""


def defined(truth: np.ndarray) -> bool:
    """Whether both classes occur, so that a ranking can be judged."""
    return bool(truth.any() and not truth.all())


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN where only one class occurs.

    Args:
        truth: bool [n].
        score: float [n], higher for the finding.
    """
    return float(sk.roc_auc_score(truth, score)) if defined(truth) else float("nan")


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Average precision, of scores as they are; NaN without positives or without negatives."""
    return float(sk.average_precision_score(truth, score)) if defined(truth) else float("nan")


def youden_threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """The score from which on a film counts as positive, at the largest sensitivity + specificity.

    The highest of several equally good thresholds. NaN where only one class occurs.
    """
    if not defined(truth):
        return float("nan")
    false_rate, true_rate, thresholds = sk.roc_curve(truth, score, drop_intermediate=False)
    best = int(np.argmax((true_rate - false_rate)[1:])) + 1  # the first is at +infinity
    return float(thresholds[best])


def number(value: float) -> float | None:
    """A number for JSON, which has no NaN: what is undefined is null there."""
    return None if np.isnan(value) else round(value, 6)


def row(value: float, counted: dict[str, int]) -> dict[str, float | int | None]:
    """A metric as it is written: value, low, high, and what `counts` counted.

    `low` and `high` are null: intervals need a bootstrap over patients.
    """
    return {"value": number(value), "low": None, "high": None, **counted}


def counts(truth: np.ndarray, patients: np.ndarray) -> dict[str, int]:
    """Positives, negatives, and the patients who have a positive film."""
    return {
        "positives": int(truth.sum()),
        "negatives": int((~truth).sum()),
        "patients": int(np.unique(patients[truth]).size),
    }


def curves(truth: np.ndarray, score: np.ndarray) -> pd.DataFrame:
    """ROC and PR curves as rows: curve, x, y, threshold; empty where undefined.

    ROC: x is 1 - specificity, y sensitivity. PR: x is recall, y precision (PPV).
    """
    if not defined(truth):
        return pd.DataFrame(columns=["curve", "x", "y", "threshold"])
    false_rate, true_rate, at = sk.roc_curve(truth, score)
    roc = pd.DataFrame({"curve": "roc", "x": false_rate, "y": true_rate, "threshold": at})
    precision, recall, at = sk.precision_recall_curve(truth, score, drop_intermediate=True)
    at = np.append(at, np.inf)  # the end at recall 0 belongs to no score
    pr = pd.DataFrame({"curve": "pr", "x": recall, "y": precision, "threshold": at})
    return pd.concat([_thin(roc), _thin(pr)], ignore_index=True)


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    """Keep both ends, and points spread evenly along x and along the list."""
    if len(curve) <= CURVE_POINTS:
        return curve
    half = CURVE_POINTS // 2
    by_place = np.linspace(0, len(curve) - 1, half).round().astype(int)
    x = curve["x"].to_numpy()
    order = np.argsort(x, kind="stable")
    by_x = order[np.searchsorted(x[order], np.linspace(0, 1, half)).clip(max=len(curve) - 1)]
    return curve.iloc[np.unique(np.concatenate([by_place, by_x]))]


def macro_roc(roc_curves: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean ROC curve: sensitivities at the same 1 - specificity, by interpolation.

    Its area is the mean of the areas up to the thinning of the curves.
    """
    grid = np.linspace(0, 1, CURVE_POINTS)
    rates = [np.interp(grid, curve["x"], curve["y"]) for curve in roc_curves]
    rows = pd.DataFrame({"curve": "roc", "x": grid, "y": np.mean(rates, axis=0)})
    return rows.assign(threshold=np.nan)


def macro_pr(pr_curves: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean PR curve: the mean precision at the same recall, as a step function."""
    grid = np.linspace(0, 1, CURVE_POINTS)
    rates = []
    for curve in pr_curves:
        ordered = curve.sort_values(["x", "y"], ascending=[True, False])
        x, y = ordered["x"].to_numpy(), ordered["y"].to_numpy()
        # Average precision reads the precision of the next recall that was reached.
        rates.append(y[np.searchsorted(x, grid, side="left").clip(max=len(x) - 1)])
    rows = pd.DataFrame({"curve": "pr", "x": grid, "y": np.mean(rates, axis=0)})
    return rows.assign(threshold=np.nan)
