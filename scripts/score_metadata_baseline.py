"""Fit and score a model on view, age, sex and follow-up number alone: what needs no look at a film.

Whatever a network scores above this, it may have seen; up to this, it may know from how a film was
taken and of whom. Measured on all of NIH's table, by the mean AUROC of five folds of train_val's
patients (standard error 0.001 to 0.002): logistic regression on the plain columns 0.654 (with the
logarithm of the follow-up number), with cubic splines 0.656, with squares 0.656, with squares and
products 0.660; boosted trees 0.659 to 0.660. The test films had no part in that choice.
"""

import json
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ribcage import metrics
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.evaluation.bootstrap import Resamples
from ribcage.evaluation.scoring import Scores, fit_on, score_split
from ribcage.findings import FINDINGS
from ribcage.progress import say
from ribcage.tables import labels_of, read_meta, read_table, write_numbers, write_table

FEATURES = ("is_ap", "is_male", "age_years", "log_follow_up", "age_unknown")
"""What the model is told; never the patient's ID, which would only name the patient."""

NUMBERS = ("age_years", "log_follow_up")
PRODUCTS = tuple(
    (one, other)
    for one, other in combinations_with_replacement(FEATURES, 2)
    if one != other or one in NUMBERS  # the square of a yes or no says nothing new
)
TERMS = (*FEATURES, *(" x ".join(pair) for pair in PRODUCTS))


def features_of(table: pd.DataFrame, median_age: float) -> np.ndarray:
    """Make the model's inputs, float64 [n, 5], in the order of `FEATURES`.

    Args:
        table: view_position (PA, AP), sex (M, F), age_years (NaN: unknown), follow_up (from 0 on).
        median_age: in years, taken where the age is unknown; a column of its own says where.
    """
    age = table["age_years"]
    columns = {
        "is_ap": table["view_position"] == "AP",
        "is_male": table["sex"] == "M",
        "age_years": age.fillna(median_age),
        # Measured: the number itself costs 0.01 of mean AUROC on validation, beside its logarithm.
        "log_follow_up": np.log1p(table["follow_up"]),
        "age_unknown": age.isna(),
    }
    return pd.DataFrame(columns)[list(FEATURES)].to_numpy(np.float64)


def terms_of(inputs: np.ndarray) -> np.ndarray:
    """Add squares and products: [n, 5] to [n, 17], in the order of `TERMS`."""
    at = [(FEATURES.index(one), FEATURES.index(other)) for one, other in PRODUCTS]
    return np.column_stack([inputs, *(inputs[:, one] * inputs[:, other] for one, other in at)])


def model_of(kind: str, films: int) -> ClassifierMixin:
    """Make a model to fit one finding.

    Args:
        kind: `logistic` (with squares and products of the features) or `boosting`.
        films: that it will learn from; a leaf holds a hundredth of them, 5 to 500.
    """
    if kind == "logistic":
        steps = StandardScaler(), FunctionTransformer(terms_of), LogisticRegression(max_iter=1000)
        return make_pipeline(*steps)
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=60,
        max_leaf_nodes=8,
        min_samples_leaf=min(max(films // 100, 5), 500),
        l2_regularization=10,
        early_stopping=False,
        random_state=0,
    )


def fit(
    kind: str, inputs: np.ndarray, labels: pd.DataFrame, asked: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit a model a finding, and ask it.

    Args:
        kind: see `model_of`.
        inputs: of the training films, [n, 5].
        labels: theirs, bool [n, 14].
        asked: inputs of other films, [m, 5].

    Returns:
        Probabilities float32 [m, 14], NaN for a finding that has one class only in training; and
        the coefficients of a logistic model: finding, feature (of `TERMS`), coefficient,
        of features brought to mean 0 and standard deviation 1 in training.
    """
    given, weights = {}, []
    for finding in FINDINGS:
        known = labels[finding].to_numpy()
        if not metrics.defined(known):
            given[finding] = np.full(len(asked), np.nan, np.float32)
            continue
        model = model_of(kind, len(inputs)).fit(inputs, known)
        given[finding] = model.predict_proba(asked)[:, 1].astype(np.float32)
        if kind == "logistic":
            rows = {"finding": finding, "feature": TERMS, "coefficient": model[-1].coef_[0]}
            weights.append(pd.DataFrame(rows))
    columns = ["finding", "feature", "coefficient"]
    found = pd.concat(weights) if weights else pd.DataFrame(columns=columns)
    return pd.DataFrame(given), found


def main(curated: Path, split: Path, baseline: Path, model: str, settings: dict[str, Any]) -> None:
    """Write `reports/metadata_baseline/`: metrics.json, predictions.parquet, coefficients.csv.

    Args:
        curated: the kept images with their labels.
        split: image, patient, split.
        baseline: the folder to write. metrics.json: model, features, `not_fitted` (findings with
            one class only in train), settings, fitted (`scoring.fit_on` val), and by split the
            scores of `scoring.score_split`; coefficients.csv is empty for a model that has none.
        model: `logistic` or `boosting`.
        settings: the block score_predictions: resamples, sensitivity, specificity, bins, seed.

    Raises:
        InputError: the split has no train film, or neither val nor test films.
    """
    table = read_table(split)[["image", "patient", "split"]].merge(
        read_table(curated).drop(columns="patient"), on="image", validate="1:1"
    )
    learnt = table[table["split"] == "train"]
    rows = table[table["split"].isin(("val", "test"))].reset_index(drop=True)
    if learnt.empty or rows.empty:
        raise InputError(f"{split}: needs films in train, and in val or test, to fit and to judge")
    median = float(learnt["age_years"].median())
    median = 0.0 if np.isnan(median) else median  # all ages unknown: then the column says nothing
    labels = labels_of(learnt, str(curated))
    inputs = features_of(learnt, median)
    given, weights = fit(model, inputs, labels, features_of(rows, median))
    baseline.mkdir()
    predictions = pd.concat([rows[["image", "patient", "split"]], given], axis=1)
    write_table(predictions, baseline / "predictions.parquet", read_meta(curated))
    write_numbers(weights, baseline / "coefficients.csv")
    truth = labels_of(rows, str(curated))
    val = (rows["split"] == "val").to_numpy()
    fitted = fit_on(truth[val], predictions[val], settings)
    splits: dict[str, Scores] = {}
    for name, chosen in {"val": val, "test": ~val}.items():
        patients = rows["patient"][chosen].to_numpy()
        resamples = Resamples(patients, settings["resamples"], settings["seed"])
        splits[name] = score_split(truth[chosen], predictions[chosen], resamples, fitted, settings)
        area = splits[name]["macro"]["auroc"]
        over = f"over {area['findings']} findings, no film seen"
        say(f"{name}: macro AUROC {metrics.told(area)} {over}")
    lacking = [f for f in FINDINGS if not metrics.defined(labels[f].to_numpy())]
    about = {"model": model, "features": FEATURES, "not_fitted": lacking}
    report = {**about, "settings": settings, "fitted": fitted, "splits": splits}
    (baseline / "metrics.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
