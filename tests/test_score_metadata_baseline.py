import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.tables import read_meta, read_table, write_table
from score_metadata_baseline import FEATURES, features_of, main

META = {"labels_version": "other", "source_sha256": "0" * 64}
FILMS = 900


@pytest.fixture
def data(tmp_path):
    """Effusion goes with AP, Hernia with age; Mass with nothing; Fibrosis is never in train."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image": [f"{n:08d}_000.png" for n in range(FILMS)]})
    table["patient"] = np.arange(FILMS) // 3
    table["view_position"] = rng.choice(["PA", "AP"], FILMS)
    table["sex"] = rng.choice(["F", "M"], FILMS)
    table["age_years"] = rng.uniform(0, 90, FILMS)
    table.loc[rng.random(FILMS) < 0.1, "age_years"] = np.nan
    table["follow_up"] = np.arange(FILMS) % 3
    chance = {"Effusion": np.where(table["view_position"] == "AP", 0.6, 0.1)}
    chance["Hernia"] = np.where(table["age_years"].fillna(0) > 60, 0.5, 0.02)
    labels = {f: rng.random(FILMS) < chance.get(f, np.full(FILMS, 0.2)) for f in FINDINGS}
    side = np.array(["train", "train", "val", "test"])[np.arange(FILMS) // 3 % 4]
    labels["Fibrosis"] &= side != "train"
    table = pd.concat([table, pd.DataFrame(labels)], axis=1)
    write_table(table, tmp_path / "curated.parquet", META)
    rows = table[["image", "patient"]].assign(split=side, official=None)
    write_table(rows, tmp_path / "split.parquet", META)
    return tmp_path


def score(data, model="logistic", name="baseline"):
    settings = {"resamples": 100, "sensitivity": 0.9, "specificity": 0.9, "bins": 10, "seed": 1}
    main(data / "curated.parquet", data / "split.parquet", data / name, model, settings)
    return json.loads((data / name / "metrics.json").read_text())


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_it_finds_what_the_table_tells_and_nothing_else(data, model):
    report = score(data, model)
    test = report["splits"]["test"]
    assert test["Effusion"]["auroc"]["value"] > 0.7
    assert test["Hernia"]["auroc"]["value"] > 0.8
    assert test["Mass"]["auroc"]["value"] == pytest.approx(0.5, abs=0.12)
    assert report["model"] == model and report["features"] == list(FEATURES)
    assert set(report["splits"]) == {"val", "test"}
    assert set(test) == {*FINDINGS, "macro", "micro", "weighted", "samples"}
    assert test["Effusion"]["auroc"]["low"] < test["Effusion"]["auroc"]["value"]
    cut = report["fitted"]["thresholds"]["Effusion"]["youden"]
    assert test["Effusion"]["at"]["youden"]["threshold"] == cut


def test_a_finding_that_train_lacks_is_left_undefined_and_said(data):
    report = score(data)
    assert report["not_fitted"] == ["Fibrosis"]
    row = report["splits"]["test"]["Fibrosis"]["auroc"]
    assert row["value"] is None and row["positives"] > 0


def test_scores_are_those_of_the_predictions_it_leaves(data):
    report = score(data)
    given = read_table(data / "baseline" / "predictions.parquet")
    curated = read_table(data / "curated.parquet").set_index("image")
    assert list(given.columns) == ["image", "patient", "split", *FINDINGS]
    assert (given.dtypes.iloc[3:] == np.float32).all() and set(given["split"]) == {"val", "test"}
    assert read_meta(data / "baseline" / "predictions.parquet") == META
    test = given[given["split"] == "test"]
    expected = roc_auc_score(curated.loc[test["image"], "Edema"], test["Edema"])
    assert report["splits"]["test"]["Edema"]["auroc"]["value"] == pytest.approx(expected, abs=1e-6)


def test_coefficients_say_what_it_leans_on(data):
    score(data)
    rows = pd.read_csv(data / "baseline" / "coefficients.csv")
    assert "Fibrosis" not in set(rows["finding"])
    told = rows[rows["finding"] == "Effusion"].set_index("feature")["coefficient"]
    assert told["is_ap"] > 0 and told.abs().idxmax() == "is_ap"
    score(data, "boosting", "trees")
    assert pd.read_csv(data / "trees" / "coefficients.csv").empty


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_twice_is_the_same_bytes_and_val_and_test_teach_nothing(data, model):
    score(data, model)
    score(data, model, "again")
    for path in (data / "baseline").iterdir():
        assert path.read_bytes() == (data / "again" / path.name).read_bytes(), path.name
    curated = read_table(data / "curated.parquet")
    judged = (read_table(data / "split.parquet")["split"] != "train").to_numpy()
    curated.loc[judged, list(FINDINGS)] = ~curated.loc[judged, list(FINDINGS)]
    write_table(curated, data / "curated.parquet", META)
    score(data, model, "turned")
    one, other = (read_table(data / n / "predictions.parquet") for n in ("baseline", "turned"))
    assert one.equals(other)


def test_unknown_ages_are_a_column_of_their_own():
    table = pd.DataFrame({"view_position": ["AP", "PA"], "sex": ["F", "M"], "follow_up": [0, 7]})
    inputs = features_of(table.assign(age_years=[np.nan, 30.0]), 47.0)
    expected = [[1, 0, 47, 0, 1], [0, 1, 30, np.log(8), 0]]
    np.testing.assert_allclose(inputs, expected)


def test_a_split_that_lacks_train_is_refused_and_unknown_ages_are_not(data):
    curated = read_table(data / "curated.parquet").assign(age_years=np.nan)
    write_table(curated, data / "curated.parquet", META)
    assert score(data)["splits"]["test"]["Effusion"]["auroc"]["value"] > 0.7
    rows = read_table(data / "split.parquet")
    write_table(rows[rows["split"] != "train"], data / "split.parquet", META)
    with pytest.raises(InputError, match="needs films in train"):
        score(data, name="other")
