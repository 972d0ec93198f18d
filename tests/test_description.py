import numpy as np
import pandas as pd
import pytest

from ribcage.description import PUBLISHED, against_published, describe
from ribcage.entries import read_entries
from ribcage.findings import FINDINGS, NO_FINDING
from ribcage.lists import official_lists

META = {"labels_version": "other", "source_sha256": "5" * 64}


@pytest.fixture
def used():
    """Seven films of three patients: the first has three, grows from 9 to 11, and is a woman."""
    table = pd.DataFrame({"image": [f"{n}.png" for n in range(7)]})
    table["patient"] = [1, 1, 1, 2, 2, 3, 3]
    table["age_years"] = [9.0, 10, 11, 50, 51, 95, np.nan]
    table["sex"] = ["F"] * 3 + ["M"] * 4
    table["view_position"] = ["AP", "PA", "PA", "PA", "PA", "AP", "AP"]
    table["split"] = ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    table["list"] = ["train_val"] * 5 + ["test"] * 2
    for finding in FINDINGS:
        table[finding] = False
    table.loc[[0, 1, 5], "Mass"] = True
    table.loc[[1, 5], "Effusion"] = True
    table[NO_FINDING] = ~table[list(FINDINGS)].any(axis=1)
    table = table.assign(width_px=64, height_px=48, original_width_px=640, original_height_px=480)
    return table.assign(spacing_mm=0.15)


def described(used, **changes):
    measures = pd.DataFrame({"image": used["image"], "mean_grey": np.arange(7.0), "phash": "0"})
    pairs = pd.DataFrame(
        [["0.png", "1.png", 0, True], ["0.png", "5.png", 4, False], ["1.png", "2.png", 3, False]],
        columns=["image", "other", "distance_bits", "same_pixels"],
    )
    reasons = pd.DataFrame(
        {"image": ["9.png", "8.png"], "reason": ["9.png: no PNG", "8.png: no PNG"]}
    )
    given = {
        "indexed": used,
        "used": used,
        "measures": measures,
        "pairs": pairs,
        "dropped": reasons,
        "spared": reasons.head(0),
        "blacklists": {"one": {"0.png"}, "two": {"3.png", "elsewhere.png"}},
        "meta": META,
    }
    return describe(**given | changes)


def test_the_counts_are_those_of_the_rows(used):
    facts = described(used)
    train, every = facts["sides"]["train"], facts["sides"]["all"]
    assert (train["films"], train["patients"], train["ap"], train["women"]) == (3, 1, 1, 3)
    assert train["ages"][1] == 10 and every["no_finding"] == 4
    mass = facts["findings"]["Mass"]
    assert mass == {
        "indexed": 3,
        "train": 2,
        "val": 0,
        "test": 1,
        "patients": 2,
        "test_patients": 1,
    }
    assert [row["train"] for row in facts["findings_a_film"]] == [1, 1, 1]
    both = facts["together"][FINDINGS.index("Effusion")]
    assert both[FINDINGS.index("Mass")] == 2 and both[FINDINGS.index("Effusion")] == 2
    assert facts["sizes"]["stored"] == [{"width": 64, "height": 48, "films": 7}]
    assert facts["dropped"] == {"no PNG": 2} and facts["spared"] == {}
    assert facts["decoded"] == 7 and facts["published"] == []


def test_a_patient_is_counted_once_at_the_first_film(used):
    people = described(used)["people"]
    assert people["most_films"] == 3 and (people["women"], people["men"]) == (1, 2)
    assert people["ages"][0] == {"from": 0, "F": 1, "M": 0}
    assert people["ages"][9] == {"from": 90, "F": 0, "M": 1}
    assert [row["patients"] for row in people["films"][:3]] == [0, 2, 1]


def test_measures_keep_quantiles_and_shape(used):
    (name,) = described(used)["measures"]
    found = described(used)["measures"][name]
    assert name == "mean_grey" and found["quantiles"][3] == 3
    assert len(found["edges"]) == len(found["counts"]) + 1 and sum(found["counts"]) == 5


def test_duplicates_are_told_by_whose_they_are(used):
    assert described(used)["duplicates"] == {
        "same_within": 1, "same_across": 0, "near_within": 1, "near_across": 1,
    }  # fmt: skip


def test_lists_are_audited_alone_together_and_by_what_they_did(used):
    audits = {a["name"]: a for a in described(used)["audits"]}
    assert list(audits) == ["all lists together", "one", "two", "dropped in this run"]
    assert audits["all lists together"]["named"] == 2 and audits["two"]["listed"] == 2
    assert audits["dropped in this run"]["named"] == 0


def test_tables_alone_are_described_too(used):
    nothing = pd.DataFrame({"image": [], "mean_grey": np.zeros(0)})
    none = pd.DataFrame(columns=["image", "other", "distance_bits", "same_pixels"])
    facts = described(used.assign(width_px=0, height_px=0), measures=nothing, pairs=none)
    assert facts["measures"] == {} and facts["decoded"] == 0
    assert sum(facts["duplicates"].values()) == 0


def test_every_published_figure_of_nih_s_table_is_met(official):
    table = read_entries(official / "Data_Entry_2017_v2020.csv")
    table["list"] = table["image"].map(official_lists(official))
    found = against_published(table)
    assert [row["what"] for row in found] == [what for what, _ in PUBLISHED]
    for row in found:
        assert row["here"] == row["published"], row["what"]
