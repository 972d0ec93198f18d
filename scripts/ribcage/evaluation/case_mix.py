"""What of the gap between validation and test goes with who is in them, and how they were filmed.

Validation's patients are as a rule drawn from the pool that training has; a test set that others
chose may hold older patients, more bedside films, or more findings a film. Films of validation are
weighted so that their mix is the test's. What the weights take from the gap is case mix; what they
leave is not, or is a part of the mix that the table does not tell.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from ribcage import metrics
from ribcage.evaluation import density_ratio, paired
from ribcage.evaluation.bootstrap import Ranked, Resamples, share
from ribcage.evaluation.paired import Measured
from ribcage.findings import FINDINGS
from ribcage.words import plural

LEAST_PATIENTS = 20
"""With a positive film, on both sides; no finding of fewer takes part."""
FEW = 0.2
"""Weights that leave the worth of a smaller share of the films are said to be rough."""
OFF = 0.1
"""In standard deviations: a mix that stays farther apart was not reached (Austin,
Statistics in Medicine 28, 3083-3107, 2009)."""

MIX = "mix of views, ages, sexes, follow-ups and numbers of findings"

Side = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
"""Labels bool [n, 14], predictions, and curated rows of the same films in the same order."""


class Drawn(NamedTuple):
    """Resamples of films, or of patients with all their films.

    Attributes:
        codes: int [n], what of these a film belongs to, in 0 to size - 1.
        size: how many there are.
        blocks: how often, or with what weight, each was drawn, float64 [size, some resamples].
    """

    codes: np.ndarray
    size: int
    blocks: Iterator[np.ndarray]


def compare(val: Side, test: Side, settings: dict[str, Any]) -> dict[str, Any]:
    """Divide the gap in macro AUROC between validation and test.

    The weights are fitted anew in each resample of patients, so that the intervals hold what is not
    known of the mix, too: with fixed ones, a mix that differs by chance would pass for a finding.

    Args:
        val: labels, predictions and curated rows of the validation films.
        test: the same of the test films.
        settings: `resamples` and `seed`. Patients of the two sides are drawn independently.

    Returns:
        `findings` that took part; rows {value, low, high, positives, negatives, patients} of macro
        AUROC: `val`, `test`, `val_as_test` (val weighted to the test's mix), `gap` (val - test),
        `case_mix` (val - val_as_test), `rest` (val_as_test - test); `films` and `effective_films`
        of val, as many as weigh the same as the weighted ones (Kish); `covariates`, each with the
        means of `val`, `test` and `val_as_test` and `off`, how far the last two lie apart in
        standard deviations of both sides' films (null where they have none); and a `sentence`.
        All null where no finding took part.
    """
    findings = [f for f in FINDINGS if _judged(val, f) and _judged(test, f)]
    ours = Resamples(val[1]["patient"].to_numpy(), settings["resamples"], settings["seed"])
    # Another seed: the same one would tie the draws of patients who are strangers.
    seed = settings["seed"] + 1
    theirs = Resamples(test[1]["patient"].to_numpy(), settings["resamples"], seed)
    found = {
        "val": _macro(val, findings, Drawn(ours.codes, ours.patients, ours.blocks())),
        "test": _macro(test, findings, Drawn(theirs.codes, theirs.patients, theirs.blocks())),
    }
    weights = np.ones(len(val[0]))
    found["val_as_test"] = paired.undefined(found["val"].counted, settings["resamples"])
    if findings:
        inputs = _inputs(pd.concat([_covariates(val), _covariates(test)], ignore_index=True))
        weights, drawn = density_ratio.weigh(inputs, ours, theirs)
        films = Drawn(np.arange(len(weights)), len(weights), drawn)
        found["val_as_test"] = _macro(val, findings, films, weights)
    both = {
        name: number + found["test"].counted[name] for name, number in found["val"].counted.items()
    }
    for name, one, other in (
        ("gap", "val", "test"),
        ("case_mix", "val", "val_as_test"),
        ("rest", "val_as_test", "test"),
    ):
        found[name] = paired.difference(found[one], found[other])._replace(counted=both)
    told = {
        "findings": len(findings),
        **{name: paired.row(measured) for name, measured in found.items()},
        "films": len(weights),
        "effective_films": round(_effective(weights), 1) if findings else None,
        "covariates": _balance(val, test, weights) if findings else [],
    }
    return told | {"sentence": _sentence(told)}


def _judged(side: Side, finding: str) -> bool:
    truth, rows, _ = side
    known = truth[finding].to_numpy(bool)
    patients = rows["patient"].to_numpy()[known]
    enough = np.unique(patients).size >= LEAST_PATIENTS and not known.all()
    return bool(enough and not rows[finding].isna().any())


def _macro(
    side: Side, findings: list[str], drawn: Drawn, weights: np.ndarray | None = None
) -> Measured:
    """Macro AUROC of a side; `weights` are those of the value, float [n]."""
    truth, rows, _ = side
    patients = rows["patient"].to_numpy()
    counted = metrics.counts(truth[findings].to_numpy(bool).any(axis=1), patients)
    values, ranked = [], []
    for finding in findings:
        known, given = truth[finding].to_numpy(bool), rows[finding].to_numpy(np.float64)
        values.append(float(sk.roc_auc_score(known, given, sample_weight=weights)))
        ranked.append(Ranked(known, given, drawn.codes, drawn.size))
    means = [
        np.mean([share(*one.pairs(block)) for one in ranked], axis=0)
        if ranked
        else np.full(block.shape[1], np.nan)
        for block in drawn.blocks
    ]
    value = float(np.mean(values)) if values else float("nan")
    return Measured(value, np.concatenate(means), counted)


def _covariates(side: Side) -> pd.DataFrame:
    """What the mix is made of, a row a film, as a reader understands it; NaN is an unknown age."""
    truth, _, people = side
    number = truth.to_numpy(bool).sum(axis=1)
    columns = {
        "AP view": people["view_position"] == "AP",
        "male": people["sex"] == "M",
        "age in years": people["age_years"],
        "follow-up number": people["follow_up"],
        "no finding": number == 0,
        "1 finding": number == 1,
        "2 findings": number == 2,
        "3 or more findings": number >= 3,
    }
    return pd.DataFrame({name: np.asarray(column, np.float64) for name, column in columns.items()})


def _inputs(covariates: pd.DataFrame) -> pd.DataFrame:
    """What the weights are told, a row a film.

    Measured on a peer's films: without squares, the mean follow-up number stays 0.26 standard
    deviations short of the test's, with them 0.15; products of the covariates do not help.
    """
    age, follow_up = covariates["age in years"], np.log1p(covariates["follow-up number"])
    known = age.fillna(age.median() if age.notna().any() else 0)
    return covariates.drop(columns=["age in years", "follow-up number", "no finding"]).assign(
        age=known,
        age_squared=known**2,
        age_unknown=age.isna(),
        follow_up=follow_up,
        follow_up_squared=follow_up**2,
    )


def _effective(weights: np.ndarray) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())


def _balance(val: Side, test: Side, weights: np.ndarray) -> list[dict[str, Any]]:
    """Means of each covariate before and after weighting, and how far it stays from the test's."""
    ours, theirs = _covariates(val), _covariates(test)
    found = []
    for name in ours:
        known = ours[name].notna().to_numpy()
        means = {
            "val": ours[name].mean(),
            "test": theirs[name].mean(),
            "val_as_test": np.average(ours[name][known], weights=weights[known])
            if known.any()
            else np.nan,
        }
        deviation = pd.concat([ours[name], theirs[name]]).std(ddof=0)
        off = (means["val_as_test"] - means["test"]) / deviation if deviation else np.nan
        cells = {key: metrics.number(float(mean)) for key, mean in (means | {"off": off}).items()}
        found.append({"covariate": name, **cells})
    return found


def _sentence(told: dict[str, Any]) -> str:
    """Say it to a reader who knows films, and no statistics."""
    if not told["findings"]:
        return (
            f"No finding has {LEAST_PATIENTS} patients both among the validation films and among "
            "the test films, so their scores are not compared."
        )
    val, test, gap = (told[name] for name in ("val", "test", "gap"))
    parts = [
        f"The macro AUROC over {plural(told['findings'], 'finding')} is {val['value']:.3f} on the "
        f"validation films and {test['value']:.3f} on the test films."
    ]
    as_test = f"weighted to the test's {MIX}, validation gives {told['val_as_test']['value']:.3f}"
    if _may_be_nothing(gap):
        parts.append(f"The gap of {_number(gap)} may be chance; {as_test}.")
        return " ".join(parts + _doubts(told))
    mix, rest = told["case_mix"], told["rest"]
    parts.append(f"The gap is {_number(gap)}; {as_test}.")
    if _may_be_nothing(mix):
        parts.append(f"So no part of the gap can be put down to that mix: {_number(mix)}.")
    elif mix["value"] * gap["value"] > 0:
        parts.append(f"So {_number(mix)} of the gap is case mix.")
    else:
        parts.append(f"So that mix hides a part of the gap: alone, it would make {_number(mix)}.")
    causes = "which has other causes, such as that training stopped where validation was best"
    ends = "which may be chance" if _may_be_nothing(rest) else causes
    parts.append(f"What remains is {_number(rest)}, {ends}.")
    return " ".join(parts + _doubts(told))


def _doubts(told: dict[str, Any]) -> list[str]:
    doubts = []
    if told["effective_films"] < FEW * told["films"]:
        doubts.append(
            f"Few validation films are like the test's: weighted, the {told['films']:,} are "
            f"worth {told['effective_films']:,.0f}, so this is rough."
        )
    apart = [c["covariate"] for c in told["covariates"] if c["off"] and abs(c["off"]) > OFF]
    if apart:
        doubts.append(f"The weights did not quite reach the test's mix ({', '.join(apart)}).")
    return doubts


def _may_be_nothing(row: dict[str, Any]) -> bool:
    return row["low"] is None or row["low"] <= 0 <= row["high"]


def _number(row: dict[str, Any]) -> str:
    """A difference with its interval, in three decimals and a proper minus."""
    if row["low"] is None:
        return f"{row['value']:.3f}".replace("-", "\N{MINUS SIGN}")
    text = f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    return text.replace("-", "\N{MINUS SIGN}")
