import json

import numpy as np
import pandas as pd
import pytest

from ribcage.evaluation import case_mix
from ribcage.findings import FINDINGS

SETTINGS = {"resamples": 200, "seed": 1}


def side(seed, patients, ap_share, skill=(2.0, 0.3), findings=FINDINGS[:3]):
    """Films of patients; the model's skill (a shift of positives) is that of PA and of AP films."""
    rng = np.random.default_rng(seed)
    films = patients * 3
    patient = np.repeat(np.arange(patients), 3)
    bedside = np.repeat(rng.random(patients) < ap_share, 3)
    truth = pd.DataFrame(False, index=range(films), columns=FINDINGS)
    rows = pd.DataFrame({"image": [f"{n:05d}.png" for n in range(films)]})
    rows = rows.assign(patient=patient, split="val")
    for finding in FINDINGS:
        known = rng.random(films) < 0.15 if finding in findings else np.zeros(films, bool)
        truth[finding] = known
        rows[finding] = rng.normal(size=films) + np.where(bedside, skill[1], skill[0]) * known
    people = rows[["image", "patient"]].assign(
        follow_up=np.tile(np.arange(3), patients),
        age_years=np.repeat(rng.uniform(20, 80, patients), 3),
        sex=np.repeat(rng.choice(["F", "M"], patients), 3),
        view_position=np.where(bedside, "AP", "PA"),
    )
    return truth, rows, people


def inside(row, value):
    return row["low"] <= value <= row["high"]


def test_a_gap_that_is_wholly_case_mix_goes_with_the_weights():
    found = case_mix.compare(side(1, 800, 0.2), side(2, 800, 0.7), SETTINGS)
    assert found["findings"] == 3
    assert found["gap"]["value"] > 0.06 and found["gap"]["low"] > 0
    assert found["case_mix"]["value"] == pytest.approx(found["gap"]["value"], abs=0.03)
    assert found["case_mix"]["low"] > 0 and inside(found["rest"], 0)
    assert "of the gap is case mix" in found["sentence"]
    assert "which may be chance" in found["sentence"]
    assert 0 < found["effective_films"] < found["films"] == 2400
    view = found["covariates"][0]
    assert view["covariate"] == "AP view" and view["test"] - view["val"] > 0.4
    assert view["val_as_test"] == pytest.approx(view["test"], abs=0.03) and abs(view["off"]) < 0.1


def test_a_gap_that_is_no_case_mix_stays():
    ours, theirs = side(1, 800, 0.4), side(2, 800, 0.4, skill=(1.2, -0.3))
    found = case_mix.compare(ours, theirs, SETTINGS)
    assert found["gap"]["low"] > 0.06
    assert inside(found["case_mix"], 0) and abs(found["case_mix"]["value"]) < 0.02
    assert found["rest"]["low"] > 0 and inside(found["rest"], found["gap"]["value"])
    assert "no part of the gap can be put down" in found["sentence"]
    assert "which has other causes" in found["sentence"]


def test_a_mix_that_hides_a_gap_is_said():
    """The test has the easier films, and the model does worse on each kind of them."""
    ours, theirs = side(1, 900, 0.8), side(2, 900, 0.2, skill=(0.8, -1.0))
    found = case_mix.compare(ours, theirs, SETTINGS)
    assert found["case_mix"]["high"] < 0 < found["gap"]["low"] < found["rest"]["value"]
    assert "hides a part of the gap" in found["sentence"]


def test_no_gap_is_not_divided():
    found = case_mix.compare(side(1, 300, 0.4), side(2, 300, 0.4), SETTINGS)
    assert inside(found["gap"], 0)
    assert "may be chance" in found["sentence"] and "case mix" not in found["sentence"]


def test_the_parts_add_up_and_can_be_written():
    found = case_mix.compare(side(1, 200, 0.2), side(2, 300, 0.5), SETTINGS)
    values = {name: found[name]["value"] for name in ("val", "test", "val_as_test")}
    assert found["gap"]["value"] == pytest.approx(values["val"] - values["test"])
    assert found["gap"]["value"] == pytest.approx(
        found["case_mix"]["value"] + found["rest"]["value"]
    )
    for name in ("positives", "negatives", "patients"):
        assert found["gap"][name] == found["val"][name] + found["test"][name]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == case_mix.compare(side(1, 200, 0.2), side(2, 300, 0.5), SETTINGS)


def test_only_findings_with_20_patients_on_both_sides_take_part():
    ours, theirs = side(1, 100, 0.4), side(2, 100, 0.4, findings=FINDINGS[:2])
    assert case_mix.compare(ours, theirs, SETTINGS)["findings"] == 2
    unknown = ours[0], ours[1].assign(**{FINDINGS[0]: np.nan}), ours[2]
    assert case_mix.compare(unknown, theirs, SETTINGS)["findings"] == 1
    nothing = case_mix.compare(ours, side(3, 5, 0.4), SETTINGS)
    assert nothing["findings"] == 0 and nothing["covariates"] == []
    assert nothing["gap"]["value"] is None and nothing["effective_films"] is None
    assert nothing["sentence"].startswith("No finding has 20 patients")


def test_unknown_ages_and_unlike_films_are_borne_and_said():
    ours, theirs = side(1, 400, 0.02), side(2, 400, 0.98)
    ours[2].loc[::7, "age_years"] = np.nan
    found = case_mix.compare(ours, theirs, SETTINGS)
    assert "so this is rough" in found["sentence"] and "did not quite reach" in found["sentence"]
    for one in (ours, theirs):
        one[2]["age_years"] = np.nan
    age = case_mix.compare(ours, theirs, SETTINGS)["covariates"][2]
    assert age == {
        "covariate": "age in years",
        **dict.fromkeys(("val", "test", "val_as_test", "off")),
    }
