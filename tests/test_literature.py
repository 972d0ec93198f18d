from collections import defaultdict

import pandas as pd
import pytest

from ribcage.findings import FINDINGS
from ribcage.literature import NIH_BOXES, SPLITS, pooled, published, published_boxes


def test_the_two_tables_hold_every_row_once_and_share_none():
    tables = {split: published(split) for split in SPLITS}
    assert [len(rows) for rows in tables.values()] == [46, 154]
    for split, rows in tables.items():
        assert {row["split"] for row in rows} == {split}
    keys = [
        {(row["study"], row["model"], row["source"]) for row in rows} for rows in tables.values()
    ]
    assert not keys[0] & keys[1]
    assert len(published()) == sum(len(rows) for rows in tables.values())


def test_no_row_of_the_official_table_speaks_of_another_split():
    for row in published("official"):
        assert "andom" not in row["note"] and "20 %" not in row["note"]
    chest8 = [row for row in published() if "ChestX-ray8" in row["study"]]
    assert len(chest8) == 32 and not any(row["class"] == "macro" for row in chest8)


def test_every_row_can_be_looked_up_and_is_an_auroc_of_a_known_class():
    seen = set()
    for row in published():
        assert row["class"] in (*FINDINGS, "macro") and 0.5 < row["auroc"] < 0.96
        assert row["source"] and "index" not in row["source"] and 2017 <= row["year"] <= 2026
        assert float(row["printed"]) == row["auroc"] and len(row["printed"]) >= 4
        assert row["second_hand"] == ("the study itself was not read" in row["source"])
        assert row["second_hand"] == bool(row["identifier"]) and row["identifier"] != row["source"]
        assert "computed" not in row["note"] or row["study"] == "Azure"
        assert isinstance(row["second_hand"], bool)
        key = (row["study"], row["model"], row["split"], row["class"])
        assert key not in seen
        seen.add(key)


def test_means_are_those_of_their_rows():
    of = defaultdict(dict)
    for row in published():
        of[row["study"], row["model"]][row["class"]] = row["auroc"]
    computed = {(row["study"], row["model"]) for row in published() if row["computed"]}
    whole = {key: rows for key, rows in of.items() if len(rows) == 15}
    assert computed == {key for key in whole if key[0] != "SwinCheX"}
    assert len(whole) == 10
    for key, rows in whole.items():
        mean = sum(rows[finding] for finding in FINDINGS) / 14
        assert mean == pytest.approx(rows["macro"], abs=0.0006), key


def test_digits_are_those_of_the_source():
    wang = {row["class"]: row["printed"] for row in published("official")[:15]}
    assert (wang["Cardiomegaly"], wang["Pneumonia"]) == ("0.8100", "0.6580")
    chexnet = {row["class"]: row for row in published() if row["study"] == "CheXNet (v3)"}
    assert chexnet["Pneumonia"]["printed"] == "0.7680"
    (swin,) = (r for r in published() if r["study"] == "SwinCheX" and r["class"] == "macro")
    assert swin["printed"] == "0.810" and "README" in swin["source"]


def test_azure_is_quoted_with_its_mean_only_and_the_reason():
    (azure,) = (row for row in published() if row["study"] == "Azure")
    assert (azure["class"], azure["auroc"], azure["split"]) == ("macro", 0.845, "random")
    assert "alphabetical" in azure["note"]
    (hermoza,) = (row for row in published("official") if row["study"] == "Hermoza et al.")
    assert hermoza["second_hand"] and not published("official")[0]["second_hand"]


def test_every_figure_is_among_those_that_were_found_in_a_source(facts_folder):
    listed = pd.read_csv(facts_folder / "published_auroc.csv").replace({"MEAN14": "macro"})
    listed = listed[listed["verified"].str.startswith("yes")]
    whole = listed["split"].eq("official")
    kinds = whole.map({True: "official", False: "random"})
    found = set(zip(kinds, listed["year"], listed["class"], listed["auroc"], strict=True))
    for row in published():
        assert (row["split"], row["year"], row["class"], row["auroc"]) in found
    secondary = listed[listed["verified"] == "yes, secondary"]
    keys = ["year", "class", "auroc"]
    of_others = set(secondary[keys].itertuples(index=False, name=None))
    for row in published("official"):
        assert row["second_hand"] == (tuple(row[key] for key in keys) in of_others)


def test_published_boxes_are_shares_of_nihs_boxes():
    rows = published_boxes()
    assert len(rows) == 144 and sum(NIH_BOXES.values()) == 984
    seen = set()
    for row in rows:
        boxes = row["accuracy"] * NIH_BOXES[row["finding"]]
        assert 0 <= row["accuracy"] <= 1 and row["measure"] in ("IoU", "IoBB")
        assert row["second_hand"] == ("was not read" in row["source"])
        if not row["second_hand"]:  # four digits of a share of so many boxes
            assert abs(boxes - round(boxes)) < 0.05, row
            assert row["false_boxes"] >= 0
        key = (row["study"], row["model"], row["measure"], row["threshold"], row["finding"])
        assert key not in seen
        seen.add(key)


def test_pooled_shares_weigh_findings_by_their_boxes():
    wang = [row for row in published_boxes() if row["source"].endswith("Table 7")]
    assert pooled([row for row in wang if row["threshold"] == 0.1]) == pytest.approx(
        607 / 984, 1e-3
    )
    of = [{"finding": finding, "accuracy": 0.5} for finding in NIH_BOXES]
    assert pooled(of) == 0.5
    with pytest.raises(KeyError):
        pooled(of[1:])


WANG = ("Wang et al.", "network of ChestX-ray8"), ("Wang et al.", "network of ChestX-ray14")
LISTED_AS = {
    "Wang 2017 Table 4 (ChestX-ray8 model)": (*WANG[0], "arXiv:1705.02315v5, Table 4"),
    "Wang 2017 Table 7 (ChestX-ray8 model)": (*WANG[0], "arXiv:1705.02315v5, Table 7"),
    "Wang v5 Table 19 (ChestX-ray14 model, official split)": (
        *WANG[1],
        "arXiv:1705.02315v5, Table 19",
    ),
    "Hermoza 2020": (
        *("Hermoza et al.", "region proposals"),
        "restated in another project's table; the study itself was not read",
    ),
}
"""Study, model and source as the package names them, by the list's own names."""


def test_every_published_share_is_among_those_that_were_found_in_a_source(facts_folder):
    listed = pd.read_csv(facts_folder / "published_localisation.csv")
    listed = listed[listed["verified"].str.startswith("yes") & listed["study"].isin(LISTED_AS)]
    columns = ["study", "metric", "threshold", "class", "accuracy", "avg_false_positives"]
    found = {
        (*LISTED_AS[study], *rest, None if pd.isna(false_boxes) else false_boxes)
        for study, *rest, false_boxes in listed[columns].itertuples(index=False, name=None)
    }
    keys = ["study", "model", "source", "measure", "threshold"]
    keys += ["finding", "accuracy", "false_boxes"]
    assert {tuple(row[key] for key in keys) for row in published_boxes()} == found
