import json

import numpy as np
import pandas as pd
import pytest

from ribcage.findings import FINDINGS
from ribcage.tables import read_meta, read_table, write_table
from score_predictions import main
from test_evaluation import SETTINGS, curated_films, predicted

META = {"labels_version": "other", "source_sha256": "0" * 64}
OUTPUTS = {
    "metrics_file": "metrics.json",
    "curves": "curves.csv",
    "strata": "strata.csv",
    "mean": "predictions.parquet",
    "headline": "headline.json",
    "roc": "roc.csv",
    "pr": "pr.csv",
    "reliability": "reliability.csv",
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    curated = curated_films()
    write_table(curated, folder / "curated.parquet", META)
    for seed in (1, 2):
        (folder / str(seed)).mkdir()
        write_table(predicted(curated, seed), folder / str(seed) / "predictions.parquet", META)
    (folder / "marks.csv").write_text("image,mark\n")
    score(folder)
    return folder


def score(folder, seeds=(2, 1)):
    main(
        [folder / str(seed) for seed in seeds],
        folder / "curated.parquet",
        folder,
        **{name: folder / file for name, file in OUTPUTS.items()},
        experiment="some",
        settings=SETTINGS,
    )


def test_all_files_are_written_and_the_seeds_named(scored):
    metrics = json.loads((scored / "metrics.json").read_text())
    assert (metrics["experiment"], metrics["seeds"]) == ("some", [1, 2])
    assert metrics["settings"] == SETTINGS
    rows = read_table(scored / "predictions.parquet")
    assert list(rows) == ["image", "patient", "split", *FINDINGS]
    assert read_meta(scored / "predictions.parquet") == META
    assert list(pd.read_csv(scored / "curves.csv"))[:3] == ["split", "class", "curve"]
    assert {"variable", "group", "gap"} <= set(pd.read_csv(scored / "strata.csv"))


def test_the_same_bytes_again(scored):
    before = {file: (scored / file).read_bytes() for file in OUTPUTS.values()}
    score(scored)
    assert before == {file: (scored / file).read_bytes() for file in OUTPUTS.values()}


def test_extracts_for_dvc_are_those_of_the_scores(scored):
    metrics = json.loads((scored / "metrics.json").read_text())
    short = json.loads((scored / "headline.json").read_text())
    for split in ("val", "test"):
        scores = metrics["splits"][split]
        for name in ("auroc", "ap", "brier", "ece"):
            assert short[split]["macro"][name] == scores["macro"][name]["value"]
        assert short[split]["macro"]["auroc_low"] == scores["macro"]["auroc"]["low"]
        assert short[split]["auroc"]["Mass"] == scores["Mass"]["auroc"]["value"]
    curves = pd.read_csv(scored / "curves.csv")
    chosen = curves.query("split == 'test' and `class` == 'macro' and curve == 'roc'")
    roc = pd.read_csv(scored / "roc.csv")
    assert np.array_equal(roc["false_positive_rate"], chosen["x"])
    assert np.array_equal(roc["true_positive_rate"], chosen["y"]) and len(roc) > 10
    assert list(pd.read_csv(scored / "pr.csv")) == ["recall", "precision"]
    reliability = pd.read_csv(scored / "reliability.csv")
    assert (
        len(reliability) == SETTINGS["bins"]
        and reliability["share_of_positives"].is_monotonic_increasing
    )
