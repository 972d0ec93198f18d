"""The section on provenance: hashes, differences from the default, and how to make it again."""

import copy
import json

import pytest

from conftest import ROOT
from ribcage import settings
from ribcage.findings import FINDINGS
from ribcage.report import provenance
from ribcage.report.limits import limits
from ribcage.report.provenance import Checkout, again, checkout, code, commit, differences, seeds
from shell import clone, sh

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def params():
    return settings.read(ROOT / "params.yaml")


def test_differences_name_what_was_added_changed_and_taken_away(params):
    own = copy.deepcopy(params)
    assert list(differences(params, own)) == []
    own["train_classifier"]["lr"] = 1e-4
    own["experiments"] = {"mine <b>": {"size_px": 64}}
    own["seeds"] = [1, 2]
    rows = {row[0]: row[1:] for row in differences(params, own)}
    assert rows["train_classifier.lr"] == [str(params["train_classifier"]["lr"]), "0.0001"]
    assert rows["seeds"] == ["[1]", "[1, 2]"]
    assert rows["experiments.mine <b>"] == ["–", '{"size_px": 64}']
    for name in params["experiments"]:
        assert rows[f"experiments.{name}"][1] == "–"


def test_a_switch_is_no_number_and_a_whole_number_is_the_same_written_otherwise():
    assert list(differences({"a": 1, "b": 1}, {"a": 1.0, "b": True})) == [["b", "1", "true"]]


def test_every_seed_is_found(params):
    found = list(seeds(params))
    assert f"seeds = {json.dumps(params['seeds'])}" in found
    assert f"split_patients.seed = {params['split_patients']['seed']}" in found


def test_an_experiment_called_seed_is_none():
    own = {"experiments": {"seed": {"size_px": 64, "seed": 3}}, "seeds": [1]}
    assert list(seeds(own)) == ["experiments.seed.seed = 3", "seeds = [1]"]


def test_code_is_one_hash_a_step_and_moves_with_any_file():
    job = {"deps": {"scripts/a.py": "1", "scripts/b.py": "2", "data/x": "3"}}
    other = {"deps": {"scripts/b.py": "2", "scripts/a.py": "1", "data/x": "9"}}
    (row,) = code({"step/one": job, "step/two": other}).rows
    assert row[:3] == ["step", 2, 2] and len(row[3]) == 64
    changed = {"deps": {"scripts/a.py": "1", "scripts/b.py": "4"}}
    assert code({"step/one": changed}).rows[0][3] != row[3]


def test_commands_are_true_of_the_run(params):
    clean = again(Checkout(SHA, (), {}, False), params, False)
    assert f"git checkout {SHA}" in clean["commands"] and "params.yaml" not in clean["commands"]
    assert clean["sentences"] == [
        "The films are phantoms, which are drawn anew, the same to the byte."
    ]
    params["import_predictions"] = {"theirs": {"file": "theirs.csv"}}
    dirty = again(Checkout(SHA, ("scripts/a.py",), {}, True), params, True)
    assert "not committed (scripts/a.py)" in dirty["sentences"][0]
    assert "of this page into params.yaml" in dirty["commands"]
    assert "`dvc pull`" in dirty["sentences"][-1]
    assert dirty["sentences"][2].endswith("name: import_predictions.theirs (theirs.csv).")
    local = {**params, "source": {"kind": "local", "mirror": "none", "origin": "/films"}}
    lost = again(Checkout("", (), None, False), local, True)
    assert "git" not in lost["commands"] and "no git checkout" in lost["sentences"][0]
    assert "The films must lie in /films" in lost["sentences"][1]


def test_git_is_asked_and_its_absence_is_borne(tmp_path, monkeypatch):
    folder = tmp_path / "clone"
    folder.mkdir()
    clone(folder)
    monkeypatch.chdir(folder)
    at = checkout()
    assert len(at.sha) == 40 and at.changed == () and not at.pulls
    assert at.params == settings.read(folder / "params.yaml") and commit() == at.sha
    (folder / "scripts" / "new.py").write_text("")
    assert checkout().changed == ("scripts/new.py",)
    assert commit().endswith("with uncommitted changes of code")
    (folder / "dvc.lock").write_text("{}")
    sh("dvc remote add --default store /nowhere", folder)
    sh("git add --all", folder)
    sh("git commit -q -m run", folder)
    assert checkout().pulls
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout() == Checkout("", (), None, False)
    assert commit() == "unknown (not a git checkout)"


def test_the_section_shows_the_parameters_as_they_can_be_written_back(
    tmp_path, params, monkeypatch
):
    default = copy.deepcopy(params)
    default["seeds"] = [7]
    monkeypatch.setattr(provenance, "checkout", lambda: Checkout(SHA, (), default, False))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sources.csv").write_text("file,from\n<b>,x\n")
    meta = {"source_sha256": "f" * 64, "labels_version": "phantom"}
    shown = provenance.section([], meta, tmp_path, params)
    assert shown["changes"].rows == [["seeds", "[7]", json.dumps(params["seeds"])]]
    assert shown["changes_sentence"].startswith(
        "1 parameter is not as in params.yaml of commit 0123456789"
    )
    (tmp_path / "params.yaml").write_text(shown["params"])
    again = settings.load_yaml(tmp_path / "params.yaml")
    assert again == params and list(again["experiments"]) == list(params["experiments"])
    names = [row[0] for row in shown["versions"].rows]
    assert {"opencv-python-headless", "threadpoolctl"} <= set(names) and "captum" not in names
    turned = {**params, "experiments": dict(reversed(params["experiments"].items()))}
    other = provenance.section([], meta, tmp_path, turned)
    assert list(json.loads(other["params"])["experiments"]) == list(turned["experiments"])
    assert shown["facts"].rows == other["facts"].rows  # one hash of what was set
    monkeypatch.setattr(provenance, "checkout", lambda: Checkout("", (), None, False))
    unknown = provenance.section([], meta, tmp_path, params)
    assert "unknown" in unknown["changes_sentence"] and unknown["changes"].rows == []


def metrics_with(experts, patients=30, seeds=(1,)):
    rows = {key: {"auroc": {"value": 0.8, "patients": patients}} for key in FINDINGS}
    return {"metrics": {"experts": experts, "seeds": list(seeds), "splits": {"test": rows}}}


def facts_with(**test):
    held = {"films": 50, "patients": 30, "ap": 20, "women": 25, "ages": [15.3, 48.0, 72.0], **test}
    return {"sides": {"test": held}}


def test_limits_are_of_this_run():
    said = limits(metrics_with({}), facts_with(), "phantom")
    assert said[0] == "For research and teaching only; not for clinical use."
    text = " ".join(said)
    assert "Phantoms are drawings" in text and "no lateral films" in text and "one hospital" in text
    assert "40.0 % of the films are AP" in text and "median age is 48 years" in text
    assert "one seed was trained" in text and "radiologists" not in text
    text = " ".join(limits(metrics_with({}, 3, (1, 2)), facts_with(ages=None), "nih"))
    assert "drawings" not in text and "the NIH Clinical Center" in text and "median age" not in text
    assert (
        "No finding is on the films of 20 test patients or more" in text and "the 2 seeds" in text
    )


def test_label_noise_is_told_with_what_was_measured_and_only_then():
    as_reader = {"sensitivity": {"value": 0.5}, "ppv": {"value": 0.25}}
    enough = {"labels_as_reader": as_reader, "model_on_experts": {"value": 0.8, "patients": 25}}
    few = {**enough, "model_on_experts": {"value": 0.8, "patients": 3}}
    said = " ".join(limits(metrics_with({"four": {"Pneumothorax": enough}}), facts_with(), "nih"))
    assert "found 50 % of what the radiologists saw and 25 % of what they named was seen" in said
    said = " ".join(limits(metrics_with({"four": {"Pneumothorax": few}}), facts_with(), "nih"))
    assert "radiologists" not in said
