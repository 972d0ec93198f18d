import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from conftest import predictions_of
from ribcage.evaluation import strata
from ribcage.evaluation.bootstrap import Resamples
from ribcage.findings import FINDINGS

FILMS = 1200
SETTINGS = {"resamples": 200, "seed": 1}
FITTED = {"thresholds": {f: {"specificity": 0.7} for f in FINDINGS}}


@pytest.fixture(scope="module")
def films():
    """Three films a patient; AP films are ranked worse. Hernia never occurs."""
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(rng.random((FILMS, 14)) < 0.12, columns=FINDINGS)
    truth["Hernia"] = False
    people = pd.DataFrame({"image": [f"{n:04d}.png" for n in range(FILMS)]})
    people["patient"] = np.arange(FILMS) // 3
    people["follow_up"] = np.arange(FILMS) % 3
    people["age_years"] = rng.uniform(0, 95, FILMS)
    people.loc[rng.random(FILMS) < 0.1, "age_years"] = np.nan
    people["sex"] = rng.choice(["F", "M"], FILMS)
    people["view_position"] = rng.choice(["PA", "AP"], FILMS)
    given = predictions_of(truth)
    noisy = (people["view_position"] == "AP").to_numpy()[:, None] & (rng.random((FILMS, 14)) < 0.6)
    given = given.where(~noisy, rng.random((FILMS, 14)))
    rows = pd.concat([people[["image", "patient"]].assign(split="test"), given], axis=1)
    return truth, rows, people


@pytest.fixture(scope="module")
def marks():
    return {"drain": np.arange(FILMS) % 4 == 0, "line": np.arange(FILMS) % 8 == 1}


@pytest.fixture(scope="module")
def table(films, marks):
    return strata.score(*films, marks, FITTED, SETTINGS)


def cell(table, variable, group, name="macro", metric="auroc"):
    at = table.set_index(["variable", "group", "class", "metric"])
    return at.loc[(variable, group, name, metric)]


def test_every_group_class_and_metric_has_one_row(table):
    groups = table.groupby("variable", sort=False)["group"].unique().map(list).to_dict()
    assert groups == {
        "view_position": ["PA", "AP"],
        "sex": ["F", "M"],
        "age_years": ["0-17", "18-39", "40-59", "60-79", "80+"],
        "follow_up": ["first film", "later films"],
        "findings": ["1", "2", "3+"],
        "device": ["with any mark", "without a mark"],
    }
    assert list(table.columns) == strata.COLUMNS
    assert len(table) == 16 * 15 * 2
    assert not table.duplicated(["variable", "group", "class", "metric"]).any()


def test_values_are_the_librarys_on_the_group_and_the_gap_is_to_all_others(films, table):
    truth, rows, people = films
    old, rest = people["age_years"] >= 80, people["age_years"] < 80  # an unknown age is in neither
    row = cell(table, "age_years", "80+", "Mass")
    ours = roc_auc_score(truth["Mass"][old], rows["Mass"][old])
    others = roc_auc_score(truth["Mass"][rest], rows["Mass"][rest])
    assert row["value"] == pytest.approx(ours, abs=1e-12)
    assert row["gap"] == pytest.approx(ours - others, abs=1e-12)
    assert row["films"] == old.sum() and row["positives"] == truth["Mass"][old].sum()
    assert row["patients"] == people["patient"][old & truth["Mass"]].nunique()
    assert row["low"] < row["value"] < row["high"]
    assert row["gap_low"] < row["gap"] < row["gap_high"]


def test_the_miss_rate_is_the_share_of_positives_below_the_threshold(films, table):
    truth, rows, people = films
    women = people["sex"] == "F"
    row = cell(table, "sex", "F", "Edema", "miss_rate")
    missed = {sex: (rows["Edema"] < 0.7)[truth["Edema"] & (women == sex)].mean() for sex in (0, 1)}
    assert row["value"] == pytest.approx(missed[1], abs=1e-12)
    assert row["gap"] == pytest.approx(missed[1] - missed[0], abs=1e-12)
    assert row["low"] <= row["value"] <= row["high"]


def test_a_worse_view_is_seen_and_two_groups_have_opposite_gaps(table):
    worse, better = (cell(table, "view_position", view) for view in ("AP", "PA"))
    assert worse["gap_high"] < 0 < better["gap_low"]
    for gap in ("gap", "gap_low", "gap_high"):
        other = {"gap": "gap", "gap_low": "gap_high", "gap_high": "gap_low"}[gap]
        assert worse[gap] == pytest.approx(-better[other], abs=1e-12)
    sex = cell(table, "sex", "F")
    assert sex["gap_low"] < 0 < sex["gap_high"]


def test_groups_of_findings_are_their_positives_against_films_without_any(films, table):
    truth, rows, _ = films
    number = truth.sum(axis=1)
    row = cell(table, "findings", "2", "Nodule")
    chosen = (truth["Nodule"] & (number == 2)) | (number == 0)
    expected = roc_auc_score(truth["Nodule"][chosen], rows["Nodule"][chosen])
    others = (truth["Nodule"] & (number != 2)) | (number == 0)
    assert row["value"] == pytest.approx(expected, abs=1e-12)
    assert row["gap"] == pytest.approx(
        expected - roc_auc_score(truth["Nodule"][others], rows["Nodule"][others]), abs=1e-12
    )
    assert row["films"] == (number == 2).sum() and row["negatives"] == (number == 0).sum()
    macro = cell(table, "findings", "2")
    assert (macro["positives"], macro["negatives"]) == ((number == 2).sum(), (number == 0).sum())


def test_macro_is_the_mean_over_what_is_defined(table):
    group = table.query("variable == 'sex' and group == 'M' and metric == 'auroc'")
    values = group.set_index("class")["value"]
    assert np.isnan(values["Hernia"]) and group.set_index("class")["gap"].isna().sum() == 1
    assert values["macro"] == pytest.approx(values.drop("macro").mean(), abs=1e-12)
    gaps = group.set_index("class")["gap"]
    assert gaps["macro"] == pytest.approx(gaps.drop("macro").mean(), abs=1e-12)


def test_too_few_films_are_undefined_with_their_counts(films):
    truth, rows, people = films
    few = truth.copy()
    women = (people["sex"] == "F").to_numpy()
    few.loc[women, "Mass"] = False
    few.loc[np.flatnonzero(women)[:4], "Mass"] = True
    table = strata.score(few, rows, people, {}, FITTED, SETTINGS)
    assert "device" not in set(table["variable"])
    for metric in ("auroc", "miss_rate"):
        row = cell(table, "sex", "F", "Mass", metric)
        names = ["value", "low", "high", "gap", "gap_low", "gap_high"]
        assert row[names].isna().all() and row["positives"] == 4
        assert np.isfinite(cell(table, "sex", "M", "Mass", metric)["value"])


def test_a_finding_that_the_model_does_not_know_is_undefined(films):
    truth, rows, people = films
    table = strata.score(truth, rows.assign(Mass=np.nan), people, {}, FITTED, SETTINGS)
    mass = table[table["class"] == "Mass"]
    assert mass["value"].isna().all() and (mass["positives"] > 0).any()
    assert np.isfinite(cell(table, "sex", "F")["value"])


def test_without_thresholds_there_is_no_miss_rate(films):
    assert set(strata.score(*films, {}, None, SETTINGS)["metric"]) == {"auroc"}
    unknown = {"thresholds": FITTED["thresholds"] | {"Mass": {"specificity": None}}}
    table = strata.score(*films, {}, unknown, SETTINGS)
    assert np.isnan(cell(table, "sex", "F", "Mass", "miss_rate")["value"])


def test_the_order_of_films_and_monotone_scores_change_nothing(films, marks, table):
    truth, rows, people = films
    order = np.random.default_rng(5).permutation(FILMS)
    turned = [part.iloc[order].reset_index(drop=True) for part in (truth, rows, people)]
    borne = {mark: films[order] for mark, films in marks.items()}
    again = strata.score(*turned, borne, FITTED, SETTINGS)
    pd.testing.assert_frame_equal(again, table, rtol=1e-12)
    steeper = rows.assign(**{f: rows[f] ** 3 for f in FINDINGS})
    fitted = {"thresholds": {f: {"specificity": 0.7**3} for f in FINDINGS}}
    again = strata.score(truth, steeper, people, marks, fitted, SETTINGS)
    pd.testing.assert_frame_equal(again, table, rtol=1e-12)


def matched(films, **changes):
    truth, rows, people = films
    resamples = Resamples(rows["patient"].to_numpy(), 200, 1)
    return strata.view_matched(truth, rows.assign(**changes), people, resamples)


def test_view_matched_pairs_are_counted_as_by_hand(films):
    truth, rows, people = films
    found = matched(films)
    known, given = truth["Fibrosis"].to_numpy(), rows["Fibrosis"].to_numpy()
    right = total = 0.0
    for view in ("PA", "AP"):
        here = (people["view_position"] == view).to_numpy()
        one, other = given[here & known][:, None], given[here & ~known][None, :]
        right += (one > other).sum() + (one == other).sum() / 2
        total += one.size * other.size
    row = found["Fibrosis"]
    assert row["value"] == pytest.approx(right / total, abs=1e-12)
    assert row["low"] < row["value"] < row["high"] and row["positives"] == known.sum()
    values = [found[f]["value"] for f in FINDINGS if f != "Hernia"]
    assert found["Hernia"]["value"] is None and found["macro"]["findings"] == 13
    assert found["macro"]["value"] == pytest.approx(np.mean(values), abs=1e-12)


def test_a_model_that_only_tells_the_view_earns_a_half(films):
    view = (films[2]["view_position"] == "AP").astype(float)
    found = matched(films, **dict.fromkeys(FINDINGS, view))
    assert found["Mass"]["value"] == found["macro"]["value"] == 0.5
    unknown = matched(films, Mass=np.nan)
    assert unknown["Mass"]["value"] is None and unknown["macro"]["findings"] == 12
