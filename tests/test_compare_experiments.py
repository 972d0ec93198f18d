import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from compare_experiments import main
from conftest import predictions_of
from ribcage.findings import FINDINGS
from ribcage.tables import write_table

SEEN = {"val": 0, "test": 12}
META = {"labels_version": "other", "source_sha256": "0" * 64}
FILMS = 600
SETTINGS = {"resamples": 200, "seed": 1}
TRAINED = {
    "plain": {"architecture": "densenet121", "size_px": 64, "view": "lungs", "weighting": "no"},
    "weighted": {"architecture": "densenet121", "size_px": 64, "view": "lungs", "weighting": "yes"},
    "blind": {"architecture": "densenet121", "size_px": 32, "view": "lungs", "weighting": "yes"},
}


def row(value, **more):
    return {"value": value, "low": None, "high": None, **more}


def macro_scores(value):
    parts = {name: row(value) for name in ("ap", "brier", "ece")}
    return {"macro": {"auroc": {"value": value, "low": 0.1, "high": 0.9, "findings": 13}, **parts}}


@pytest.fixture
def curated(tmp_path):
    rng = np.random.default_rng(1)
    truth = pd.DataFrame(rng.random((FILMS, 14)) < 0.2, columns=FINDINGS)
    truth["Hernia"] = False
    table = pd.DataFrame({"image": [f"{n:04d}.png" for n in range(FILMS)]})
    table["patient"] = np.arange(FILMS) // 2
    table = pd.concat([table, truth], axis=1)
    write_table(table, tmp_path / "curated.parquet", META)
    return table


def write(folder, curated, given, seeds=None, val=True, order=slice(None)):
    """A folder as score_predictions, score_metadata_baseline and import_predictions leave it."""
    split = np.where((np.arange(len(curated)) < 200) & val, "val", "test")
    rows = pd.concat([curated[["image", "patient"]].assign(split=split), given], axis=1)
    folder.mkdir(parents=True)
    write_table(rows[order], folder / "predictions.parquet", META)
    splits = ({"val": macro_scores(0.7)} if val else {}) | {"test": macro_scores(0.6)}
    report = {"splits": splits} | ({"seeds": seeds} if seeds else {})
    (folder / "metrics.json").write_text(json.dumps(report))


@pytest.fixture
def run(curated, tmp_path):
    """Three networks, of which one is blind, and a baseline; return what main writes."""
    truth, rng = curated[list(FINDINGS)], np.random.default_rng(3)
    chance = pd.DataFrame(rng.random((FILMS, 14)), columns=FINDINGS)
    given = {"plain": predictions_of(truth), "weighted": predictions_of(truth, 5), "blind": chance}
    for name, probabilities in given.items():
        order = slice(None, None, -1) if name == "weighted" else slice(None)
        write(tmp_path / name, curated, probabilities, seeds=[1, 2], order=order)
        for seed, seen in enumerate((0, None if name == "blind" else 7), start=1):
            (tmp_path / "models" / name / str(seed)).mkdir(parents=True)
            config = {"seen": {"val": 0, "test": seen}}
            path = tmp_path / "models" / name / str(seed) / "config.json"
            path.write_text(json.dumps(config))
    write(tmp_path / "metadata_baseline", curated, chance.assign(Mass=0.1))
    (tmp_path / "imported").mkdir()

    def compare(imports=()):
        listed = [{"name": name, "seen": SEEN} for name in imports]
        (tmp_path / "imported/imports.json").write_text(json.dumps(listed))
        folders = [tmp_path / name for name in TRAINED]
        out = tmp_path / "experiments.csv", tmp_path / "comparison.json"
        main(
            [folder / "predictions.parquet" for folder in folders],
            [folder / "metrics.json" for folder in folders],
            [tmp_path / "models" / name / seed for name in TRAINED for seed in "12"],
            *(tmp_path / name for name in ("metadata_baseline", "imported", "curated.parquet")),
            *out,
            SETTINGS,
            TRAINED,
        )
        return pd.read_csv(out[0]), json.loads(out[1].read_text())

    compare.folder, compare.given = tmp_path, given
    return compare


def test_the_table_has_a_row_an_experiment_the_baseline_first(run):
    table, _ = run()
    assert table["experiment"].tolist() == ["metadata_baseline", *TRAINED]
    assert table["kind"].tolist() == ["without looking", *["trained"] * 3]
    assert table["seeds"].isna().tolist() == [True, False, False, False]
    assert table["size_px"].tolist()[1:] == [64, 64, 32] and (table["films"] == 400).all()
    columns = ["auroc", "auroc_low", "auroc_high", "ap", "brier", "ece", "findings", "seen"]
    expected = [f"{split}_{name}" for split in ("val", "test") for name in columns]
    assert table.columns[-16:].tolist() == expected
    assert (table["val_auroc"] == 0.7).all() and (table["test_ece"] == 0.6).all()
    assert (table["test_findings"] == 13).all() and (table["test_auroc_high"] == 0.9).all()
    assert table["test_seen"].fillna(-1).tolist() == [0, 7, 7, -1]
    text = (run.folder / "experiments.csv").read_text()
    assert "plain,trained,densenet121,64,lungs,no,2,400,0.7,0.1,0.9" in text


def test_differences_are_those_of_the_librarys_scores_on_test_films(run, curated):
    _, comparison = run()
    assert [(p["one"], p["other"]) for p in comparison["pairs"]] == [
        ("plain", "weighted"),
        ("plain", "blind"),
        ("weighted", "blind"),
    ]
    test = np.arange(FILMS) >= 200
    known = curated["Edema"][test]
    for metric, score in (("auroc", roc_auc_score), ("ap", average_precision_score)):
        value = {n: score(known, given["Edema"][test]) for n, given in run.given.items()}
        for pair in comparison["pairs"]:
            found = pair[metric]["Edema"]
            expected = value[pair["one"]] - value[pair["other"]]
            assert found["value"] == pytest.approx(expected, abs=1e-12)
            assert found["low"] < found["value"] < found["high"]
            assert found["positives"] == known.sum()


def test_settings_that_differ_are_named(run):
    pairs = run()[1]["pairs"]
    assert [pair["differs"] for pair in pairs] == [
        ["weighting"],
        ["size_px", "weighting"],
        ["size_px"],
    ]


def test_a_better_network_is_better_in_nearly_all_resamples_and_an_equal_one_in_half(run):
    _, comparison = run()
    same, better, _ = comparison["pairs"]
    assert better["auroc"]["macro"]["better_share"] == 1 and better["auroc"]["macro"]["low"] > 0
    assert same["auroc"]["macro"]["low"] < 0 < same["auroc"]["macro"]["high"]
    values = [better["auroc"][f]["value"] for f in FINDINGS if f != "Hernia"]
    assert better["auroc"]["macro"]["value"] == pytest.approx(np.mean(values), abs=1e-12)
    assert better["auroc"]["macro"]["findings"] == 13
    hernia = better["ap"]["Hernia"]
    assert hernia["value"] is None and hernia["better_share"] is None and hernia["positives"] == 0


def test_networks_are_set_against_the_baseline(run, curated):
    against = run()[1]["against_baseline"]
    assert list(against) == list(TRAINED)
    known = curated["Mass"][200:]
    plain = roc_auc_score(known, run.given["plain"]["Mass"][200:])
    assert against["plain"]["Mass"]["value"] == pytest.approx(plain - 0.5, abs=1e-12)
    blind = against["blind"]["Nodule"]  # the same numbers as the baseline's
    assert (blind["value"], blind["low"], blind["high"], blind["better_share"]) == (0, 0, 0, 0.5)


def test_paired_differences_are_surer_than_the_scores_would_say(run, curated):
    nearly = run.given["plain"] + np.random.default_rng(0).normal(0, 0.01, (FILMS, 14))
    write(run.folder / "imported" / "twin", curated, nearly)
    pairs = run(["twin"])[1]["pairs"]
    width = {
        pair["one"]: pair["auroc"]["Mass"]["high"] - pair["auroc"]["Mass"]["low"]
        for pair in pairs
        if pair["other"] == "twin"
    }
    assert width["plain"] < width["weighted"] / 4


def test_an_import_of_the_same_films_is_compared_and_another_only_listed(run, curated):
    write(run.folder / "imported" / "same", curated, run.given["plain"])
    unknown = run.given["weighted"].assign(Mass=np.nan)
    write(run.folder / "imported" / "own", curated, unknown, val=False)
    table, comparison = run(["own", "same"])
    assert table["experiment"].tolist()[-2:] == ["own", "same"]
    assert table["films"].tolist()[-2:] == [600, 400] and table["val_auroc"].isna()[4]
    assert set(comparison["against_baseline"]) == {*TRAINED, "same"}
    pair = next(p for p in comparison["pairs"] if (p["one"], p["other"]) == ("plain", "same"))
    assert pair["differs"] == [] and pair["auroc"]["macro"]["value"] == 0


def test_a_finding_that_an_import_does_not_know_is_undefined(run, curated):
    write(run.folder / "imported" / "same", curated, run.given["plain"].assign(Mass=np.nan))
    against = run(["same"])[1]["against_baseline"]["same"]
    assert against["Mass"]["value"] is None and against["Mass"]["positives"] > 0
    assert against["macro"]["findings"] == 12


def test_twice_is_the_same_bytes(run):
    run()
    files = [run.folder / name for name in ("experiments.csv", "comparison.json")]
    before = [path.read_bytes() for path in files]
    run()
    assert [path.read_bytes() for path in files] == before
