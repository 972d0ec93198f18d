import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from conftest import predictions_of
from ribcage import thresholds
from ribcage.errors import InputError
from ribcage.evaluation import calibration, confusion, delong, ranking
from ribcage.evaluation.bootstrap import Resamples
from ribcage.evaluation.scoring import fit_on, score_split, spread
from ribcage.findings import FINDINGS

FILMS = 400
SETTINGS = {"resamples": 200, "sensitivity": 0.9, "specificity": 0.9, "bins": 10, "seed": 1}
ERRORS = [name + end for end in ("", "_temperature", "_prior") for name in ("brier", "ece")]


def labelled(seed=1):
    truth = pd.DataFrame(np.random.default_rng(seed).random((FILMS, 14)) < 0.2, columns=FINDINGS)
    truth["Hernia"] = False  # a finding that never occurs
    return truth


def predicted(truth, seed=0):
    table = pd.DataFrame({"image": [f"{n:04d}.png" for n in range(len(truth))]})
    table["patient"] = np.arange(len(truth)) // 2
    return pd.concat([table, predictions_of(truth, seed)], axis=1)


def score(truth, rows, fitted=None):
    resamples = Resamples(rows["patient"].to_numpy(), SETTINGS["resamples"], SETTINGS["seed"])
    scores = score_split(truth, rows, resamples, fitted, SETTINGS)
    json.dumps(scores, allow_nan=False)
    return scores


@pytest.fixture(scope="module")
def films():
    truth = labelled()
    return truth, predicted(truth)


@pytest.fixture(scope="module")
def fitted():
    truth = labelled(2)
    return fit_on(truth, predicted(truth, 3), SETTINGS)


@pytest.fixture(scope="module")
def scores(films, fitted):
    return score(*films, fitted)


def rows_of(scores):
    """Every row of a class's scores, by name."""
    for name, row in scores.items():
        if name != "at":
            yield name, row
    for kind, at in scores["at"].items():
        for name, row in at.items():
            if name not in ("threshold", "confusion"):
                yield f"{kind} {name}", row


def test_scores_are_the_librarys(films, scores):
    truth, rows = films
    known, given = truth["Mass"], rows["Mass"]
    row = scores["Mass"]
    assert row["auroc"]["value"] == pytest.approx(roc_auc_score(known, given), abs=1e-12)
    assert row["ap"]["value"] == pytest.approx(average_precision_score(known, given), abs=1e-12)
    assert row["ap"]["prevalence"] == pytest.approx(known.mean(), abs=1e-12)
    assert row["brier"]["value"] == pytest.approx(brier_score_loss(known, given), abs=1e-12)
    assert row["auroc"]["positives"] == known.sum()
    assert row["auroc"]["negatives"] == (~known).sum()
    assert row["auroc"]["patients"] == rows["patient"][known].nunique()
    cells = truth.to_numpy().ravel(), rows[list(FINDINGS)].to_numpy().ravel()
    micro = scores["micro"]
    assert micro["auroc"]["value"] == pytest.approx(roc_auc_score(*cells), abs=1e-12)
    assert micro["brier"]["value"] == pytest.approx(brier_score_loss(*cells), abs=1e-12)
    assert micro["auroc"]["positives"] == truth.to_numpy().sum()
    expected = delong.delong_se(known.to_numpy(), given.to_numpy())
    assert row["auroc"]["se_delong"] == expected
    expected = delong.clustered_se(known.to_numpy(), given.to_numpy(), rows["patient"].to_numpy())
    assert row["auroc"]["se_clustered"] == expected


def test_every_row_is_whole_and_its_interval_holds_its_value(scores):
    assert set(scores) == {*FINDINGS, "macro", "micro", "weighted", "samples"}
    for name in (*FINDINGS, "macro", "micro"):
        assert set(scores[name]) == {*ranking.NAMES, *ERRORS, "at"}
        assert set(scores[name]["at"]) == set(thresholds.KINDS)
    for name in ("weighted", "samples"):
        assert set(scores[name]) == {"at"}
        assert all(set(at) == set(confusion.MEANS) for at in scores[name]["at"].values())
    for held in scores.values():
        for name, row in rows_of(held):
            assert {"value", "low", "high", "positives", "negatives", "patients"} <= set(row), name
            if row["value"] is None:
                assert row["low"] is None and row["high"] is None
            else:
                assert row["low"] - 1e-6 <= row["value"] <= row["high"] + 1e-6, name


def test_a_finding_that_never_occurs_is_null_and_left_out_of_macro(scores):
    row = scores["Hernia"]
    for name in ranking.NAMES:
        assert row[name]["value"] is None and row[name]["positives"] == 0
    assert row["auroc"]["se_delong"] is None
    assert row["brier"]["value"] > 0 and row["brier_prior"]["value"] is None
    assert row["at"]["youden"]["threshold"] is None
    for name in ("auroc", "ap"):
        values = [scores[f][name]["value"] for f in FINDINGS if f != "Hernia"]
        assert scores["macro"][name]["findings"] == 13
        assert scores["macro"][name]["value"] == pytest.approx(np.mean(values), abs=1e-12)
    assert scores["macro"]["brier"]["findings"] == 14
    assert scores["macro"]["brier_prior"]["findings"] == 13
    assert scores["micro"]["brier_prior"]["findings"] == 13
    cells = {name: scores["micro"][name]["negatives"] for name in ("brier", "brier_prior")}
    assert cells["brier"] == cells["brier_prior"] + FILMS


def test_a_corrected_error_is_that_of_the_corrected_probabilities(films, fitted, scores):
    truth, rows = films
    known, given = truth["Edema"].to_numpy(), rows["Edema"].to_numpy()
    fits = fitted["calibration"]["Edema"]
    for end, corrected in (
        ("_temperature", calibration.tempered(given, fits["temperature"])),
        ("_prior", calibration.shifted(given, fits["offset"])),
    ):
        row = scores["Edema"]
        expected = brier_score_loss(known, corrected)
        assert row["brier" + end]["value"] == pytest.approx(expected, abs=1e-12)
        expected = calibration.ece(known, corrected, 10)
        assert row["ece" + end]["value"] == pytest.approx(expected, abs=1e-12)
        assert row["ece" + end]["expected"] == calibration.chance_ece(corrected, 10)
    assert scores["macro"]["ece_prior"]["value"] < scores["macro"]["ece"]["value"] / 2


def test_calls_are_made_at_the_thresholds_of_validation(films, fitted, scores):
    truth, rows = films
    for kind in thresholds.KINDS:
        cut = fitted["thresholds"]["Nodule"][kind]
        row = scores["Nodule"]["at"][kind]
        assert row["threshold"] == cut
        expected = f1_score(truth["Nodule"], rows["Nodule"] >= cut)
        assert row["f1"]["value"] == pytest.approx(expected, abs=1e-12)
        assert sum(row["confusion"].values()) == FILMS


def test_without_validation_there_are_no_calls_and_no_corrections(films, scores):
    plain = score(*films)
    for name in (*FINDINGS, "macro", "micro"):
        assert plain[name]["at"] == {}
        for metric in (*ranking.NAMES, "brier", "ece"):
            assert plain[name][metric] == scores[name][metric]
        for metric in ("brier_temperature", "ece_temperature", "brier_prior", "ece_prior"):
            assert plain[name][metric]["value"] is None
            assert plain[name][metric]["negatives"] > 0
    assert plain["weighted"] == plain["samples"] == {"at": {}}


def test_better_predictions_score_higher_and_random_ones_a_half(films):
    truth, rows = films
    rng = np.random.default_rng(3)
    chance = score(truth, rows.assign(**{f: rng.random(FILMS) for f in FINDINGS}))
    assert score(truth, rows)["macro"]["auroc"]["value"] > 0.8
    assert chance["macro"]["auroc"]["value"] == pytest.approx(0.5, abs=0.05)
    assert chance["macro"]["auroc_partial"]["value"] == pytest.approx(0.5, abs=0.05)
    assert chance["macro"]["ap"]["value"] == pytest.approx(0.2, abs=0.05)
    assert chance["macro"]["ap_balanced"]["value"] == pytest.approx(0.5, abs=0.07)


def close(one, other):
    """Two scores that may differ in the last digits of sums alone."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    return one == other or (None not in (one, other) and abs(one - other) < 1e-6)


def test_findings_that_change_their_labels_change_their_scores(films, fitted, scores):
    truth, rows = films
    names = {"Mass": "Edema", "Edema": "Mass"}
    swapped = {part: {names.get(f, f): x for f, x in of.items()} for part, of in fitted.items()}
    order = list(FINDINGS)
    again = score(
        truth.rename(columns=names)[order],
        rows.rename(columns=names)[["image", "patient", *order]],
        swapped,
    )
    assert again["Mass"] == scores["Edema"] and again["Edema"] == scores["Mass"]
    for name in ("macro", "micro", "weighted", "samples"):
        assert close(again[name], scores[name])


def test_the_order_of_films_means_nothing(films, fitted, scores):
    truth, rows = films
    order = np.random.default_rng(0).permutation(FILMS)
    again = score(truth.iloc[order], rows.iloc[order].reset_index(drop=True), fitted)
    assert close(again, scores)


def test_a_finding_that_the_model_does_not_know_is_undefined_with_its_counts(films, fitted):
    truth, rows = films
    partial = score(truth, rows.assign(Mass=np.nan), fitted)
    for name, row in rows_of(partial["Mass"]):
        assert row["value"] is None, name
        assert row["positives"] == truth["Mass"].sum()
    assert partial["macro"]["auroc"]["findings"] == 12
    assert partial["micro"]["auroc"]["findings"] == 13
    kept = [f for f in FINDINGS if f != "Mass"]
    expected = roc_auc_score(truth[kept].to_numpy().ravel(), rows[kept].to_numpy().ravel())
    assert partial["micro"]["auroc"]["value"] == pytest.approx(expected, abs=1e-12)
    nothing = score(truth, rows.assign(**dict.fromkeys(FINDINGS, np.nan)), fitted)
    for name in (*FINDINGS, "macro", "micro", "weighted", "samples"):
        assert all(row["value"] is None for _, row in rows_of(nothing[name])), name
    unknown = fit_on(truth, rows.assign(Mass=np.nan), SETTINGS)
    assert set(unknown["thresholds"]["Mass"].values()) == {None}
    assert unknown["calibration"]["Mass"] == {"temperature": None, "offset": None}


def test_a_split_without_films_is_undefined_throughout(films, fitted):
    truth, rows = films
    nothing = score(truth[:0], rows[:0], fitted)
    for held in nothing.values():
        assert all(row["value"] is None for _, row in rows_of(held))
    empty = fit_on(truth[:0], rows[:0], SETTINGS)
    assert {cut for cuts in empty["thresholds"].values() for cut in cuts.values()} == {None}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({7: np.nan}, r"0007\.png: has no probability of Mass, which other films have"),
        ({3: 1.5}, r"0003\.png: 1\.5 is no probability of Mass; give numbers in 0 to 1"),
    ],
)
def test_what_is_no_probability_is_refused(films, values, sentence):
    truth, rows = films
    column = rows["Mass"].to_numpy(copy=True)
    for film, value in values.items():
        column[film] = value
    with pytest.raises(InputError, match=sentence):
        score(truth, rows.assign(Mass=column))


def test_what_is_fitted_is_fitted_finding_by_finding(films):
    truth, rows = films
    found = fit_on(truth, rows, SETTINGS)
    known, given = truth["Edema"].to_numpy(), rows["Edema"].to_numpy()
    assert found["thresholds"]["Edema"] == thresholds.fit(known, given, 0.9, 0.9)
    assert found["calibration"]["Edema"] == calibration.fit(known, given)
    assert set(found["thresholds"]["Hernia"].values()) == {None}
    json.dumps(found, allow_nan=False)


def test_the_spread_between_seeds_is_of_their_scores(films):
    truth, rows = films
    assert spread(truth, [rows]) == {}
    seeds = [predicted(truth, seed) for seed in (0, 5, 6)]
    found = spread(truth, seeds)
    values = [roc_auc_score(truth["Mass"], given["Mass"]) for given in seeds]
    expected = {"mean": np.mean(values), "sd": np.std(values, ddof=1)}
    expected |= {"least": min(values), "most": max(values)}
    assert found["Mass"]["auroc"] == pytest.approx(expected, abs=1e-12)
    assert set(found) == {*FINDINGS, "macro"}
    assert set(found["Hernia"]["ap"].values()) == {None}
    macro = [score(truth, given)["macro"]["auroc"]["value"] for given in seeds]
    assert found["macro"]["auroc"]["mean"] == pytest.approx(np.mean(macro), abs=1e-12)
    json.dumps(found, allow_nan=False)
