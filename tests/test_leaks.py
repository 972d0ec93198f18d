import json

import pandas as pd
import pytest

from ribcage import leaks
from ribcage.duplicates import MAX_PARTNERS, read_duplicates
from ribcage.errors import InputError
from ribcage.findings import FINDINGS

ROWS = [  # image, patient, split, official, view
    ("a", 1, "train", "train_val", "PA"),
    ("b", 1, "train", "train_val", "AP"),
    ("c", 2, "train", "train_val", "PA"),
    ("d", 3, "train", "test", "PA"),
    ("e", 4, "val", "train_val", "PA"),
    ("f", 5, "test", "test", "AP"),
    ("g", 6, "test", "test", "PA"),
]


@pytest.fixture
def split():
    columns = ["image", "patient", "split", "official", "view_position"]
    return pd.DataFrame(ROWS, columns=columns)


@pytest.fixture
def curated(split):
    table = split[["image", "patient", "view_position"]].assign(width_px=64)
    labels = pd.DataFrame({f: [False] * len(table) for f in FINDINGS})
    labels["Mass"] = table["image"].isin(["a", "g"])
    labels["Hernia"] = table["image"].isin(["f"])
    return pd.concat([table, labels], axis=1)


def duplicates(tmp_path, *rows):
    path = tmp_path / "duplicates.csv"
    path.write_text("\n".join(["image,other,distance_bits,same_pixels", *rows]) + "\n")
    return read_duplicates(path)


def pair(found, one, other):
    (row,) = (row for row in found["pairs"] if (row["one"], row["other"]) == (one, other))
    return row


def test_a_clean_split_is_certified_with_its_counts(split, curated, tmp_path):
    found = leaks.certify("random", split, curated, duplicates(tmp_path), 3)
    assert not found["leaky"]
    assert found["films"] == {"train": 4, "val": 1, "test": 2}
    assert found["patients"] == {"train": 3, "val": 1, "test": 2}
    assert [(row["one"], row["other"]) for row in found["pairs"]] == [
        ("train", "val"),
        ("train", "test"),
        ("val", "test"),
    ]
    assert all(row["patients"] == row["films"] == 0 for row in found["pairs"])
    assert found["prevalence"]["Mass"] == {"train": 0.25, "val": 0, "test": 0.5, "ratio": 2}
    assert found["prevalence"]["Hernia"]["ratio"] is None
    assert found["views"]["train"] == {"PA": 0.75, "AP": 0.25}
    assert found["official_test"] == {"listed": 3, "train": 1, "val": 0, "test": 2, "whole": False}
    assert found["verdict"].startswith("No patient and no film is on two sides; among 7 films")
    leaks.refuse(found)
    json.dumps(found, allow_nan=False)


def test_patients_are_counted_by_the_tables_id_and_not_by_the_splits(split, curated, tmp_path):
    curated.loc[curated["image"] == "f", "patient"] = 1  # the split says that it is patient 5
    found = leaks.certify("random", split, curated, duplicates(tmp_path), 3)
    assert found["leaky"] and pair(found, "train", "test")["patients"] == 1
    assert pair(found, "train", "val")["patients"] == 0
    with pytest.raises(InputError, match=r"train and test share 1 patient; correct the .* random"):
        leaks.refuse(found)


def test_a_film_on_two_sides_is_a_leak(split, curated, tmp_path):
    twice = pd.concat([split, split[split["image"] == "a"].assign(split="test")])
    found = leaks.certify("random", twice, curated, duplicates(tmp_path), 3)
    row = pair(found, "train", "test")
    assert (row["films"], row["patients"]) == (1, 1)
    with pytest.raises(InputError, match="share 1 patient and 1 film;"):
        leaks.refuse(found)


def test_duplicates_count_only_across_sides(split, curated, tmp_path):
    pairs = duplicates(
        tmp_path,
        "a,b,0,True",  # both in train
        "a,e,0,True",
        "c,f,3,False",
        "d,g,2,False",
        "f,x,0,True",  # x was dropped
    )
    found = leaks.certify("random", split, curated, pairs, 3)
    assert (pair(found, "train", "val")["same_pixels"], pair(found, "val", "test")) == (
        1,
        {"one": "val", "other": "test"}
        | dict.fromkeys(
            ("patients", "films", "same_pixels", "near_duplicates", "films_with_twin"), 0
        ),
    )
    assert pair(found, "train", "test")["films_with_twin"] == 4 and not found["at_least"]
    assert pair(found, "train", "test")["same_pixels"] == 0
    assert pair(found, "train", "test")["near_duplicates"] == 2
    assert "1 pair with the same pixels and 2 other near-duplicate pairs" in found["verdict"]
    leaks.refuse(found)  # told, but nothing to stop for: the patients differ


def test_a_film_with_as_many_twins_as_are_written_may_have_more(split, curated, tmp_path):
    twins = [f"a,x{n:02d},0,True" for n in range(MAX_PARTNERS)]
    found = leaks.certify("random", split, curated, duplicates(tmp_path, "a,f,9,False", *twins), 3)
    assert (
        found["at_least"]
        and "at least 0 pairs with the same pixels and 1 other" in found["verdict"]
    )


def test_only_all_of_the_official_test_set_is_called_whole(split, curated, tmp_path, monkeypatch):
    """A part of the list, or a list that is not NIH's, must not pass for NIH's test set."""

    def whole(listed):
        none = duplicates(tmp_path)
        return leaks.certify("official", split, curated, none, listed)["official_test"]["whole"]

    split["official"] = split["split"].map(lambda side: "test" if side == "test" else "train_val")
    assert not whole(2)
    monkeypatch.setattr(leaks, "OFFICIAL_TEST", 2)
    assert whole(2)
    monkeypatch.setattr(leaks, "OFFICIAL_TEST", 3)
    assert not whole(3)
    monkeypatch.setattr(leaks, "OFFICIAL_TEST", 2)
    split.loc[split["image"] == "a", "split"] = "test"
    assert not whole(2)


def test_tables_without_films_say_that_nobody_looked(split, curated, tmp_path):
    found = leaks.certify("official", split, curated.assign(width_px=0), duplicates(tmp_path), 3)
    assert found["films_compared"] == 0 and "no film was decoded" in found["verdict"]


def test_a_leaky_draw_that_shares_nobody_is_not_called_clean(split, curated, tmp_path):
    found = leaks.certify("leaky_by_image", split, curated, duplicates(tmp_path), 3)
    assert found["leaky"] and found["verdict"].startswith("THIS SPLIT MAY LEAK")


def test_a_film_without_a_row_and_a_table_without_a_column_are_refused(split, curated, tmp_path):
    with pytest.raises(InputError, match="c is not among the curated"):
        none = duplicates(tmp_path)
        leaks.certify("random", split, curated[curated["image"] != "c"], none, 3)
    (tmp_path / "d.csv").write_text("image,other\n")
    with pytest.raises(InputError, match="column distance_bits is missing"):
        read_duplicates(tmp_path / "d.csv")
