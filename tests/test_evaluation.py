import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from conftest import predictions_of
from ribcage.errors import InputError
from ribcage.evaluation.evaluate import evaluate, seed_mean
from ribcage.findings import FINDINGS

FILMS = 400
SETTINGS = {"resamples": 60, "sensitivity": 0.9, "specificity": 0.9, "bins": 5, "seed": 1}


def curated_films(seed=1):
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(rng.random((FILMS, 14)) < 0.2, columns=FINDINGS)
    truth["Hernia"] = False  # a finding that never occurs
    people = pd.DataFrame({"image": [f"{n:04d}.png" for n in range(FILMS)]})
    people["patient"] = np.arange(FILMS) // 2
    people["follow_up"] = np.arange(FILMS) % 2
    people["age_years"] = rng.integers(20, 90, FILMS).astype(float)
    people["sex"] = rng.choice(["F", "M"], FILMS)
    people["view_position"] = rng.choice(["AP", "PA"], FILMS)
    return pd.concat([people, truth], axis=1)


def predicted(curated, seed=0, split=None):
    """Predictions of all films: the first half val, the second test, unless told otherwise."""
    given = predictions_of(curated[list(FINDINGS)], seed)
    halves = np.where(np.arange(len(curated)) < FILMS // 2, "val", "test")
    rows = curated[["image", "patient"]].assign(split=split or halves)
    return pd.concat([rows, given], axis=1)


@pytest.fixture(scope="module")
def curated():
    return curated_films()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Tables without marks or experts' labels."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "marks.csv").write_text("image,mark\n")
    return folder


@pytest.fixture(scope="module")
def found(curated, bare):
    return evaluate("some", [1], [predicted(curated)], curated, bare, SETTINGS)


def test_scores_are_the_librarys_with_intervals_around_them(found, curated):
    given = predictions_of(curated[list(FINDINGS)])["Mass"].to_numpy()
    test = np.arange(FILMS) >= FILMS // 2
    row = found.metrics["splits"]["test"]["Mass"]["auroc"]
    known = curated["Mass"].to_numpy()[test]
    assert row["value"] == pytest.approx(roc_auc_score(known, given[test]), abs=1e-12)
    assert row["low"] < row["value"] < row["high"]
    assert row["positives"] == known.sum()
    assert row["patients"] == curated["patient"][test][known].nunique()
    ap = found.metrics["splits"]["test"]["Mass"]["ap"]
    assert ap["value"] == pytest.approx(average_precision_score(known, given[test]), abs=1e-12)
    assert found.metrics["films"] == {"val": 200, "test": 200}


def test_all_of_it_is_json_without_nan(found):
    text = json.dumps(found.metrics, allow_nan=False)
    assert json.loads(text)["splits"]["test"]["Hernia"]["auroc"]["value"] is None
    assert {"view_matched", "marks", "macro", "micro"} <= set(found.metrics["splits"]["test"])
    assert found.metrics["case_mix"]["gap"]["low"] is not None
    assert found.metrics["experts"] == {} and found.metrics["spread"] == {}


def test_labels_follow_the_image_not_the_row(found, curated, bare):
    shuffled = predicted(curated).sample(frac=1, random_state=3).reset_index(drop=True)
    again = evaluate("some", [1], [shuffled], curated, bare, SETTINGS)
    for name in ("Mass", "macro", "micro"):
        one, other = (f.metrics["splits"]["test"][name]["auroc"] for f in (found, again))
        assert one["value"] == pytest.approx(other["value"], abs=1e-12)
        assert (one["low"], one["high"]) == (other["low"], other["high"])


def test_without_validation_nothing_is_fitted_and_the_ranking_is_still_judged(curated, bare):
    rows = predicted(curated, split="test")
    metrics = evaluate("theirs", [], [rows], curated, bare, SETTINGS).metrics
    assert metrics["fitted"] is None and metrics["case_mix"] is None
    assert set(metrics["splits"]) == {"test"}
    assert metrics["splits"]["test"]["Mass"]["at"] == {}
    assert metrics["splits"]["test"]["Mass"]["auroc"]["low"] > 0.5


def test_a_finding_that_the_model_does_not_know_is_undefined_with_its_counts(curated, bare):
    rows = predicted(curated).assign(Mass=np.nan)
    found = evaluate("some", [1], [rows], curated, bare, SETTINGS)
    row = found.metrics["splits"]["test"]["Mass"]["auroc"]
    assert row["value"] is None and row["positives"] > 0
    assert found.metrics["splits"]["test"]["macro"]["auroc"]["findings"] == 12
    assert "Mass" not in set(found.curves["class"])
    json.dumps(found.metrics, allow_nan=False)


def test_a_run_without_test_films_says_so_in_counts(curated, bare):
    rows = predicted(curated, split="val")
    metrics = evaluate("some", [1], [rows], curated, bare, SETTINGS).metrics
    assert metrics["films"] == {"val": FILMS, "test": 0}
    assert metrics["splits"]["test"]["macro"]["auroc"]["value"] is None
    assert metrics["splits"]["val"]["macro"]["auroc"]["value"] > 0.7


def test_seeds_are_averaged_spread_is_told_and_they_must_agree_on_the_films(curated, bare):
    one, two = predicted(curated), predicted(curated, seed=5)
    found = evaluate("some", [1, 2], [one, two], curated, bare, SETTINGS)
    expected = (one[list(FINDINGS)] + two[list(FINDINGS)]) / 2
    assert np.allclose(found.rows[list(FINDINGS)], expected)
    spread = found.metrics["spread"]["macro"]["auroc"]
    assert spread["least"] < spread["mean"] < spread["most"] and spread["sd"] > 0
    with pytest.raises(InputError, match="some: its seeds scored different films"):
        seed_mean([one, two.iloc[10:]], "some")


def test_a_film_that_is_not_curated_is_refused(curated, bare):
    rows = predicted(curated)
    rows.loc[3, "image"] = "elsewhere.png"
    with pytest.raises(InputError, match=r"some: elsewhere\.png is not among the curated"):
        evaluate("some", [1], [rows], curated, bare, SETTINGS)
