import numpy as np
import pandas as pd

from ribcage.audit import ADULTS, SIDES, audit, groups, outstanding
from ribcage.findings import FINDINGS, NO_FINDING


def population(films=2000, seed=0):
    """Two films a patient; one patient in ten is a small child."""
    rng = np.random.default_rng(seed)
    patients = np.arange(films) // 2
    child = patients % 10 == 0
    table = pd.DataFrame({"patient": patients, "age_years": np.where(child, 1.0, 50.0)})
    table["sex"] = np.where(patients // 10 % 2 == 0, "F", "M")
    table["view_position"] = np.where(rng.random(films) < 0.4, "AP", "PA")
    table["list"], table["split"] = "train_val", None
    for finding in FINDINGS:
        table[finding] = rng.random(films) < 0.1
    table[NO_FINDING] = ~table[list(FINDINGS)].any(axis=1)
    return table, child


def row_of(found, group):
    (row,) = (row for row in found["groups"] if row["group"] == group)
    return row


def test_a_list_that_takes_children_is_found_out():
    table, child = population()
    rng = np.random.default_rng(1)
    named = np.where(child, rng.random(len(table)) < 0.5, rng.random(len(table)) < 0.005)
    found = audit(table, named)
    assert [row["group"] for row in outstanding(found)] == ["0–1"]
    row = row_of(found, "0–1")
    assert row["films"] == child.sum() and row["named"] == (named & child).sum()
    assert row["share"] == round(named[child].mean(), 6)
    assert row["others"] == round(named[~child].mean(), 6)
    whole = pd.Series(named).groupby(table["patient"]).all().sum()
    assert found["patients_whole"] == whole > 0


def test_a_list_that_takes_at_random_accuses_nobody():
    for seed in range(20):
        table, _ = population(seed=seed)
        named = np.random.default_rng(1000 + seed).random(len(table)) < 0.02
        assert outstanding(audit(table, named)) == []


def test_a_patient_with_many_films_is_no_pattern():
    """By films, and by patients as if all had as many, such a group would often stand out."""
    accused = 0
    for seed in range(40):
        table, _ = population(films=3000, seed=seed)
        table["patient"] = np.r_[np.repeat([0, 1, 2, 3, 4, 5], 60), np.arange(10, 2650)]
        table["Hernia"] = table["patient"] < 6
        named = np.random.default_rng(1000 + seed).random(len(table)) < 0.02
        accused += bool(outstanding(audit(table, named)))
    assert accused <= 2


def test_what_only_goes_with_the_view_is_not_held_against_a_finding():
    table, _ = population(films=20_000)
    rng = np.random.default_rng(5)
    bed = (table["view_position"] == "AP").to_numpy()
    table["Edema"] = rng.random(len(table)) < np.where(bed, 0.1, 0.001)
    found = audit(table, rng.random(len(table)) < np.where(bed, 0.05, 0.001))
    assert [row["group"] for row in outstanding(found)] == ["AP"]
    edema = row_of(found, "Edema")
    assert edema["ratio"] > 2 and edema["same_view"] < 1.3


def test_kinds_can_be_left_out():
    table, _ = population()
    table["list"] = np.where(table.index < 1000, "test", "train_val")
    named = table.index.to_numpy() < 100
    assert "test" in [row["group"] for row in outstanding(audit(table, named))]
    assert "test" not in [row["group"] for row in audit(table, named, SIDES)["groups"]]


def test_nobody_named_is_no_error():
    table, _ = population()
    found = audit(table, np.zeros(len(table), bool))
    assert found["named"] == 0 and outstanding(found) == []


def test_groups_cover_every_film_once_by_age():
    table, _ = population()
    table.loc[3, "age_years"] = np.nan
    table.loc[4, "age_years"] = 17.9
    ages = {name: has for kind, name, has in groups(table) if kind == "age in years"}
    assert ages.pop(ADULTS).sum() == (table["age_years"] >= 18).sum()
    assert np.sum([*ages.values()], axis=0).tolist() == [1] * len(table)
    assert ages["unknown"][3] and ages["15–17"][4]
