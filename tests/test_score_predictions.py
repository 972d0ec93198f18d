import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from conftest import predictions_of
from ribcage import metrics, shortcuts
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.scoring import score_split
from ribcage.tables import write_table
from score_predictions import main, seed_mean

META = {"labels_version": "other", "source_sha256": "0" * 64}
FILMS = 400


@pytest.fixture
def curated(tmp_path):
    rng = np.random.default_rng(1)
    truth = pd.DataFrame(rng.random((FILMS, 14)) < 0.2, columns=FINDINGS)
    truth["Hernia"] = False  # a finding that never occurs
    table = pd.DataFrame({"image": [f"{n:04d}.png" for n in range(FILMS)]})
    table["patient"] = np.arange(FILMS) // 2
    write_table(pd.concat([table, truth], axis=1), tmp_path / "curated.parquet", META)
    return pd.concat([table, truth], axis=1)


def predict(curated, folder, seed=0, order=slice(None)):
    rows = pd.concat(
        [curated[["image", "patient"]], predictions_of(curated[list(FINDINGS)], seed)], axis=1
    )
    rows.insert(2, "split", np.where(np.arange(FILMS) < FILMS // 2, "val", "test"))
    folder.mkdir(parents=True)
    write_table(rows[order], folder / "predictions.parquet", META)
    return folder


def score(tmp_path, folders, marks="image,mark\n"):
    out, curves = tmp_path / "metrics.json", tmp_path / "curves.csv"
    extracts = tmp_path / "headline.json", tmp_path / "roc.csv"
    (tmp_path / "tables").mkdir(exist_ok=True)
    (tmp_path / "tables" / "marks.csv").write_text(marks)
    tables = tmp_path / "curated.parquet", tmp_path / "tables"
    main(folders, *tables, out, curves, *extracts, "some")
    return json.loads(out.read_text()), pd.read_csv(curves)


def test_scores_are_the_librarys_on_each_split(curated, tmp_path):
    folder = predict(curated, tmp_path / "1")
    report, _ = score(tmp_path, [folder])
    given = predictions_of(curated[list(FINDINGS)])
    test = np.arange(FILMS) >= FILMS // 2
    row = report["splits"]["test"]["Mass"]
    known = curated["Mass"][test]
    assert row["auroc"]["value"] == pytest.approx(
        roc_auc_score(known, given["Mass"][test]), abs=1e-6
    )
    expected = average_precision_score(known, given["Mass"][test])
    assert row["ap"]["value"] == pytest.approx(expected, abs=1e-6)
    assert row["ap"]["prevalence"] == pytest.approx(known.mean(), abs=1e-6)
    assert row["auroc"]["positives"] == known.sum()
    assert row["auroc"]["patients"] == curated["patient"][test][known].nunique()
    assert (report["experiment"], report["seeds"]) == ("some", [1])


def test_labels_follow_the_image_not_the_row(curated, tmp_path):
    straight, _ = score(tmp_path, [predict(curated, tmp_path / "1")])
    reverse, _ = score(tmp_path, [predict(curated, tmp_path / "2", order=slice(None, None, -1))])
    assert straight["splits"] == reverse["splits"]


def test_a_finding_that_never_occurs_is_null_and_left_out_of_macro(curated, tmp_path):
    report, curves = score(tmp_path, [predict(curated, tmp_path / "1")])
    scores = report["splits"]["test"]
    assert scores["Hernia"]["auroc"]["value"] is None
    assert scores["Hernia"]["auroc"]["positives"] == 0
    values = [scores[f]["auroc"]["value"] for f in FINDINGS if f != "Hernia"]
    assert scores["macro"]["auroc"]["findings"] == 13
    assert scores["macro"]["auroc"]["value"] == pytest.approx(np.mean(values), abs=1e-6)
    assert "Hernia" not in set(curves["class"]) and "macro" in set(curves["class"])


def test_curves_have_the_areas_of_the_metrics(curated, tmp_path):
    report, curves = score(tmp_path, [predict(curated, tmp_path / "1")])
    for name in ("Edema", "macro", "micro"):
        roc = curves[
            (curves["split"] == "test") & (curves["class"] == name) & (curves["curve"] == "roc")
        ]
        value = report["splits"]["test"][name]["auroc"]["value"]
        assert auc(roc["x"], roc["y"]) == pytest.approx(value, abs=5e-3)


def test_seeds_are_averaged_and_must_agree_on_the_films(curated, tmp_path):
    one, two = predict(curated, tmp_path / "1"), predict(curated, tmp_path / "2", seed=5)
    mean = seed_mean([one, two])
    expected = (
        predictions_of(curated[list(FINDINGS)]) + predictions_of(curated[list(FINDINGS)], 5)
    ) / 2
    assert np.allclose(mean[list(FINDINGS)], expected)
    other = predict(curated, tmp_path / "3", order=slice(10, None))
    with pytest.raises(InputError, match="scored other films"):
        seed_mean([one, other])


def test_better_predictions_score_higher_and_random_ones_a_half(curated):
    truth = curated[list(FINDINGS)]
    rows = curated[["patient"]].join(predictions_of(truth))
    good, _ = score_split(truth, rows)
    rng = np.random.default_rng(3)
    chance, _ = score_split(truth, rows.assign(**{f: rng.random(FILMS) for f in FINDINGS}))
    assert good["macro"]["auroc"]["value"] > 0.8
    assert chance["macro"]["auroc"]["value"] == pytest.approx(0.5, abs=0.05)
    assert chance["macro"]["ap"]["value"] == pytest.approx(0.2, abs=0.05)


def test_youdens_threshold_is_the_best_cut():
    truth = np.array([0, 0, 1, 0, 1, 1], bool)
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    cut = metrics.youden_threshold(truth, score)
    sums = {t: (score >= t)[truth].mean() + (score < t)[~truth].mean() for t in score}
    assert sums[cut] == max(sums.values())
    assert np.isnan(metrics.youden_threshold(np.zeros(3, bool), np.ones(3)))


def test_thinning_keeps_the_ends():
    rng = np.random.default_rng(0)
    truth = rng.random(5000) < 0.3
    curves = metrics.curves(truth, rng.random(5000) + truth)
    roc = curves[curves["curve"] == "roc"]
    assert len(roc) <= metrics.CURVE_POINTS
    assert (roc.iloc[0][["x", "y"]] == 0).all() and (roc.iloc[-1][["x", "y"]] == 1).all()


def test_extracts_for_dvc_are_those_of_the_scores(curated, tmp_path):
    report, curves = score(tmp_path, [predict(curated, tmp_path / "1")])
    short = json.loads((tmp_path / "headline.json").read_text())
    for split in ("val", "test"):
        macro = report["splits"][split]["macro"]
        assert short[split] == {"auroc": macro["auroc"]["value"], "ap": macro["ap"]["value"]}
    roc = pd.read_csv(tmp_path / "roc.csv")
    chosen = curves.query("split == 'test' and `class` == 'macro' and curve == 'roc'")
    assert np.array_equal(roc["false_positive_rate"], chosen["x"])
    assert np.array_equal(roc["true_positive_rate"], chosen["y"]) and len(roc) > 10


def listed(images, mark="drain"):
    return "\n".join(["image,mark", *(f"{image},{mark}" for image in images)]) + "\n"


def test_a_pair_of_mark_and_finding_is_scored_with_without_and_where_they_part(curated, tmp_path):
    rng = np.random.default_rng(2)
    borne = np.where(curated["Mass"], rng.random(FILMS) < 0.7, rng.random(FILMS) < 0.2)
    report, _ = score(tmp_path, [predict(curated, tmp_path / "1")], listed(curated["image"][borne]))
    test = np.arange(FILMS) >= FILMS // 2
    pair = report["splits"]["test"]["marks"]["drain"]["Mass"]
    known, given = curated["Mass"], predictions_of(curated[list(FINDINGS)])["Mass"]
    assert pair["share_of_positives"] == pytest.approx(borne[test & known].mean(), abs=1e-6)
    assert pair["share_of_negatives"] == pytest.approx(borne[test & ~known].mean(), abs=1e-6)
    for name, chosen in {
        "all": test,
        "with_mark": test & borne,
        "without_mark": test & ~borne,
        "broken": test & (known != borne),
    }.items():
        expected = roc_auc_score(known[chosen], given[chosen])
        assert pair[name]["value"] == pytest.approx(expected, abs=1e-6), name
        assert pair[name]["positives"] == known[chosen].sum()
        assert (pair[name]["low"], pair[name]["high"]) == (None, None)
    alone = roc_auc_score(known[test], borne[test])
    assert pair["mark_alone"]["value"] == pytest.approx(alone, abs=1e-6) and alone > 0.65
    assert "Hernia" not in report["splits"]["test"]["marks"]["drain"]


def test_a_mark_that_speaks_against_a_finding_is_broken_the_other_way(curated):
    truth = curated[list(FINDINGS)]
    rows = curated[["patient"]].join(predictions_of(truth))
    rng = np.random.default_rng(2)
    known = truth["Mass"].to_numpy()
    borne = np.where(known, rng.random(FILMS) < 0.2, rng.random(FILMS) < 0.7)
    pair = shortcuts.score_marks(truth, rows, {"site": borne})["site"]["Mass"]
    chosen = known == borne
    assert pair["broken"]["positives"] == (known & borne).sum()
    assert pair["broken"]["value"] == pytest.approx(
        roc_auc_score(known[chosen], rows["Mass"][chosen]), abs=1e-6
    )


def test_too_few_films_behind_a_pair_are_null_or_left_out(curated):
    truth = curated[list(FINDINGS)]
    rows = curated[["patient"]].join(predictions_of(truth))
    always = truth["Mass"].to_numpy()  # no positive is without the mark
    four = np.arange(FILMS) < 4
    scores = shortcuts.score_marks(truth, rows, {"drain": always, "line": four})
    assert scores["line"] == {}
    pair = scores["drain"]["Mass"]
    assert pair["mark_alone"]["value"] == 1
    for name in ("with_mark", "without_mark", "broken"):
        assert pair[name]["value"] is None


def test_no_list_of_marks_is_said_and_a_list_of_other_films_is_refused(curated, tmp_path):
    report, _ = score(tmp_path, [predict(curated, tmp_path / "1")])
    assert report["splits"]["test"]["marks"] == {}
    with pytest.raises(InputError, match=r"marks\.csv: names no film that is scored, as 0000\.png"):
        score(tmp_path, [tmp_path / "1"], listed(["elsewhere.png"]))
