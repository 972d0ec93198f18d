"""Expert labels in the form that fetch_tables writes, made up; figures against scikit-learn's."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from conftest import predictions_of
from ribcage.answers import QUESTIONS, answers_on
from ribcage.errors import InputError
from ribcage.evaluation.experts import score
from ribcage.findings import FINDINGS
from ribcage.literature import PUBLISHED_BOUNDS

SETTINGS = {"resamples": 300, "seed": 1}
FILMS, TEST = 240, 200
FOUR = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")


def made_up(seed=0):
    """Truth, predictions and people: 240 films of 90 patients, the last 40 validation."""
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(rng.random((FILMS, 14)) < 0.3, columns=FINDINGS)
    rows = predictions_of(truth, seed)
    rows.insert(0, "split", ["test"] * TEST + ["val"] * (FILMS - TEST))
    rows.insert(0, "patient", np.sort(rng.integers(0, 90, FILMS)))
    rows.insert(0, "image", [f"{n:08d}_000.png" for n in range(FILMS)])
    return truth, rows


def flipped(values, share, rng):
    return values ^ (rng.random(values.shape) < share)


def write_experts(folder, truth, rows, kinds=("four", "all", "readers")):
    """Experts who mostly agree with the labels; films in another order, and one of another run."""
    rng = np.random.default_rng(7)
    images = [*rows["image"][::-1], "99999999_000.png"]
    said = {name: np.append(truth[name].to_numpy()[::-1], True) for name in FINDINGS}
    four = pd.DataFrame({"image": images, "set": "test"})
    answers = dict.fromkeys(FOUR, np.zeros(len(images), bool))
    answers |= {q: np.any([said[f] for f in QUESTIONS[q]], axis=0) for q in FOUR[1:]}
    for question in FOUR:
        four[question] = flipped(answers[question], 0.2, rng).astype(int)
    everything = pd.DataFrame({"image": images, "Abnormal": 1})
    for finding in FINDINGS:
        everything[finding] = flipped(said[finding], 0.2, rng).astype(int)
    readings = []
    for reader in ("11", "12", "13", "14", "15"):
        one = everything.assign(reader=reader)
        for finding in FINDINGS:
            one[finding] = flipped(everything[finding] == 1, 0.15, rng).astype(int)
        readings.append(one)
    readers = pd.concat(readings)[["image", "reader", "Abnormal", *FINDINGS]]
    for kind, table in (("four", four), ("all", everything), ("readers", readers)):
        if kind in kinds:
            table.to_csv(folder / f"expert_{kind}.csv", index=False)
    return four.set_index("image"), everything.set_index("image"), readers


def test_without_expert_files_there_is_nothing(tmp_path):
    truth, rows = made_up()
    assert score(truth, rows, tmp_path, SETTINGS) == {}
    assert answers_on(tmp_path, rows["image"].tolist()).isna().all(axis=None)


def test_model_and_labels_are_scored_on_the_test_films_alone(tmp_path):
    truth, rows = made_up()
    four, everything, _ = write_experts(tmp_path, truth, rows)
    found = score(truth, rows, tmp_path, SETTINGS)
    json.dumps(found, allow_nan=False)
    assert found["films"]["four"] == {"listed": 241, "scored": 200, "val": 40, "left_out": 1}
    assert found["without"] == {"four": "Fracture", "all": "Abnormal"}
    assert list(found["four"]) == ["Pneumothorax", "Nodule or mass", "Airspace opacity"]
    test = rows[:TEST]
    for table, kind in ((four, "four"), (everything, "all")):
        for question, row in found[kind].items():
            ours = list(QUESTIONS[question])
            known = table.loc[test["image"], question].to_numpy() == 1
            labels = truth[ours][:TEST].any(axis=1).to_numpy()
            given = test[ours].max(axis=1)
            assert row["ours"] == ours and row["films"] == TEST
            area = row["model_on_experts"]
            assert area["value"] == pytest.approx(sk.roc_auc_score(known, given), abs=1e-6)
            assert area["low"] < area["value"] < area["high"] and area["positives"] == known.sum()
            assert area["patients"] == test["patient"][known].nunique()
            on_labels = row["model_on_labels"]
            assert on_labels["value"] == pytest.approx(sk.roc_auc_score(labels, given), abs=1e-6)
            assert on_labels["positives"] == labels.sum()
            gap = row["difference"]
            assert gap["value"] == pytest.approx(area["value"] - on_labels["value"], abs=2e-6)
            assert gap["high"] - gap["low"] < area["high"] - area["low"] + (
                on_labels["high"] - on_labels["low"]
            )
            reader = {name: one["value"] for name, one in row["labels_as_reader"].items()}
            expected = {
                "sensitivity": sk.recall_score(known, labels),
                "specificity": sk.recall_score(~known, ~labels),
                "ppv": sk.precision_score(known, labels),
                "npv": sk.precision_score(~known, ~labels),
                "kappa": sk.cohen_kappa_score(known, labels),
            }
            assert reader == pytest.approx(expected, abs=1e-6)
            for one in row["labels_as_reader"].values():
                assert one["low"] <= one["value"] <= one["high"]


def test_readers_are_judged_by_the_others(tmp_path):
    truth, rows = made_up()
    *_, readings = write_experts(tmp_path, truth, rows, kinds=("readers",))
    found = score(truth, rows, tmp_path, SETTINGS)
    assert set(found) == {"films", "without", "readers", "readers_mean"}
    test = rows[:TEST]
    for finding in ("Mass", "Hernia"):
        votes = readings.pivot(index="image", columns="reader", values=finding)
        votes = votes.loc[test["image"]]
        areas = [
            sk.roc_auc_score(votes[one], votes.drop(columns=one).mean(axis=1)) for one in votes
        ]
        model = [sk.roc_auc_score(votes[one], test[finding]) for one in votes]
        kappas = [
            sk.cohen_kappa_score(votes[one], votes[other]) for one, other in combinations(votes, 2)
        ]
        most = votes.mean(axis=1) > 0.5
        row = found["readers"][finding]
        assert row["others_auroc"]["value"] == pytest.approx(np.mean(areas), abs=1e-6)
        assert row["model_auroc"]["value"] == pytest.approx(np.mean(model), abs=1e-6)
        assert row["kappa"]["value"] == pytest.approx(np.mean(kappas), abs=1e-6)
        assert row["majority_auroc"]["value"] == pytest.approx(
            sk.roc_auc_score(most, test[finding]), abs=1e-6
        )
        assert row["others_auroc"]["positives"] == most.sum() and row["films"] == TEST
        assert row["others_auroc"]["readers"] == 5 and row["kappa"]["pairs"] == 10
        for name in ("others_auroc", "model_auroc", "kappa", "majority_auroc"):
            assert row[name]["low"] < row[name]["value"] < row[name]["high"]
    mean = found["readers_mean"]
    for name, one in mean.items():
        values = [found["readers"][finding][name]["value"] for finding in FINDINGS]
        assert one["value"] == pytest.approx(np.mean(values), abs=2e-6) and one["findings"] == 14
        assert one["low"] < one["value"] < one["high"]


def test_films_that_some_readers_did_not_read_count_for_the_others(tmp_path):
    truth, rows = made_up()
    *_, readings = write_experts(tmp_path, truth, rows, kinds=())
    lone = rows["image"][3]
    few = readings["image"].isin(rows["image"][:60]) & (readings["reader"] == "12")
    alone = (readings["image"] == lone) & (readings["reader"] != "15")
    kept = readings[~few & ~alone]
    kept.to_csv(tmp_path / "expert_readers.csv", index=False)
    row = score(truth, rows, tmp_path, SETTINGS)["readers"]["Mass"]
    votes = kept.pivot(index="image", columns="reader", values="Mass").loc[rows["image"][:TEST]]
    areas, model = [], []
    for one in votes:
        others = votes.drop(columns=one).mean(axis=1)
        both = votes[one].notna() & others.notna()
        areas.append(sk.roc_auc_score(votes[one][both], others[both]))
        mine = votes[one].notna().to_numpy()
        model.append(sk.roc_auc_score(votes[one][mine], rows["Mass"][:TEST][mine]))
    kappas = [
        sk.cohen_kappa_score(*votes[[one, other]].dropna().to_numpy().T)
        for one, other in combinations(votes, 2)
    ]
    assert row["others_auroc"]["value"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert row["model_auroc"]["value"] == pytest.approx(np.mean(model), abs=1e-6)
    assert row["kappa"]["value"] == pytest.approx(np.mean(kappas), abs=1e-6)


def test_what_is_undefined_is_null_with_its_counts(tmp_path):
    truth, rows = made_up()
    _, everything, readings = write_experts(tmp_path, truth, rows, kinds=("four",))
    everything["Hernia"] = 0
    everything.reset_index().to_csv(tmp_path / "expert_all.csv", index=False)
    readings["Hernia"] = 0
    readings.to_csv(tmp_path / "expert_readers.csv", index=False)
    rows[["Nodule", "Edema"]] = np.nan
    truth["Fibrosis"] = False
    found = score(truth, rows, tmp_path, SETTINGS)
    json.dumps(found, allow_nan=False)
    hernia = found["all"]["Hernia"]
    assert hernia["model_on_experts"]["value"] is None is hernia["difference"]["value"]
    assert hernia["model_on_experts"]["positives"] == 0 and hernia["model_on_labels"]["value"]
    assert hernia["labels_as_reader"]["sensitivity"]["value"] is None
    assert hernia["labels_as_reader"]["kappa"]["value"] == 0
    assert found["all"]["Fibrosis"]["labels_as_reader"]["ppv"]["low"] is None
    assert found["four"]["Nodule or mass"]["model_on_experts"]["value"] is None
    assert found["four"]["Nodule or mass"]["labels_as_reader"]["ppv"]["value"] > 0.5
    readers, mean = found["readers"], found["readers_mean"]
    assert readers["Hernia"]["others_auroc"] == readers["Hernia"]["model_auroc"]
    assert readers["Hernia"]["kappa"]["value"] is None is readers["Hernia"]["kappa"]["low"]
    assert readers["Edema"]["model_auroc"]["value"] is None
    assert readers["Edema"]["others_auroc"]["value"] > 0.5
    assert mean["others_auroc"]["findings"] == 11 == mean["model_auroc"]["findings"]
    assert mean["kappa"]["findings"] == 13


def test_a_file_none_of_whose_films_were_scored_gives_nulls(tmp_path):
    truth, rows = made_up()
    write_experts(tmp_path, truth, rows)
    rows["image"] = "x" + rows["image"]
    found = score(truth, rows, tmp_path, SETTINGS)
    json.dumps(found, allow_nan=False)
    assert found["films"]["readers"] == {"listed": 241, "scored": 0, "val": 0, "left_out": 241}
    assert found["all"]["Mass"]["model_on_experts"]["value"] is None
    assert found["readers_mean"]["others_auroc"] == {
        **dict.fromkeys(("value", "low", "high")),
        **dict.fromkeys(("positives", "negatives", "patients", "findings"), 0),
    }


def test_the_order_of_films_means_nothing_and_the_same_call_gives_the_same_bytes(tmp_path):
    truth, rows = made_up()
    write_experts(tmp_path, truth, rows)
    first = score(truth, rows, tmp_path, SETTINGS)
    assert json.dumps(first) == json.dumps(score(truth, rows, tmp_path, SETTINGS))
    order = np.random.default_rng(3).permutation(FILMS)
    other = score(truth.iloc[order], rows.iloc[order], tmp_path, SETTINGS)
    one = first["four"]["Nodule or mass"]
    for name, row in other["four"]["Nodule or mass"]["labels_as_reader"].items():
        assert row == pytest.approx(one["labels_as_reader"][name], abs=2e-6)
    assert other["readers_mean"]["kappa"] == pytest.approx(first["readers_mean"]["kappa"], abs=2e-6)


def test_answers_of_both_tables_stand_beside_the_films(tmp_path):
    truth, rows = made_up()
    four, everything, _ = write_experts(tmp_path, truth, rows)
    everything[5:].reset_index().to_csv(tmp_path / "expert_all.csv", index=False)
    four[20:].reset_index().to_csv(tmp_path / "expert_four.csv", index=False)
    images = [*rows["image"], "88888888_000.png"]
    answers = answers_on(tmp_path, images)
    assert list(answers.columns) == list(QUESTIONS) and list(answers.index) == images
    assert set(answers.dtypes) == {pd.BooleanDtype()}
    assert answers.loc["88888888_000.png"].isna().all()
    last, inner = rows["image"].iloc[-1], rows["image"].iloc[-10]
    assert answers.loc[last].isna().all()
    assert answers.loc[inner, "Nodule or mass"] is pd.NA
    assert answers.loc[inner, "Pneumothorax"] == everything.loc[inner, "Pneumothorax"]
    both = rows["image"][:100]
    assert (answers.loc[both, "Pneumothorax"] == four.loc[both, "Pneumothorax"]).all()


def test_a_table_that_fetch_tables_did_not_write_is_refused(tmp_path):
    truth, rows = made_up()
    four, everything, _ = write_experts(tmp_path, truth, rows, kinds=())
    path = tmp_path / "expert_four.csv"
    four.drop(columns="Pneumothorax").reset_index().to_csv(path, index=False)
    with pytest.raises(InputError, match=r"expert_four.csv: has no column 'Pneumothorax'"):
        score(truth, rows, tmp_path, SETTINGS)
    path.unlink()
    everything.replace({"Mass": {1: 2}}).reset_index().to_csv(
        tmp_path / "expert_all.csv", index=False
    )
    with pytest.raises(InputError, match=r"expert_all.csv: has a cell other than 0 or 1"):
        score(truth, rows, tmp_path, SETTINGS)


def test_the_published_bounds_name_every_finding_in_order():
    assert tuple(PUBLISHED_BOUNDS) == FINDINGS
    means = np.mean(list(PUBLISHED_BOUNDS.values()), axis=0)[:3]
    assert means == pytest.approx([0.798, 0.356, 0.231], abs=0.001)
    held = [bound for bound in PUBLISHED_BOUNDS.values() if bound.positives >= 20]
    assert len(held) == 10
    assert np.mean(held, axis=0)[:3] == pytest.approx([0.850, 0.442, 0.262], abs=0.001)


def test_the_published_bounds_are_those_computed_from_the_files(facts_folder):
    listed = pd.read_csv(facts_folder / "inter_reader_810.csv", index_col="label")
    for finding, bound in PUBLISHED_BOUNDS.items():
        row = listed.loc[finding, ["auc_other4_vs_1", "nlp_ppv", "nlp_sens", "n_gt3"]]
        assert list(bound) == row.tolist()
