import hashlib
import json

import pandas as pd
import pytest

from conftest import ROOT
from fetch_tables import main as fetch_tables
from ribcage.boxes import Box, kept
from ribcage.entries import read_entries
from ribcage.findings import BOXED

FILM = (100, 80)


@pytest.mark.parametrize(
    ("box", "cut", "share"),
    [
        (Box(10, 10, 20, 20), (0, 0, 100, 80), 1),
        (Box(10, 10, 20, 20), (20, 0, 100, 80), 0.5),
        (Box(10, 10, 20, 20), (20, 20, 100, 80), 0.25),
        (Box(10, 10, 20, 20), (50, 50, 60, 60), 0),
        (Box(90, 10, 20, 20), (0, 0, 100, 80), 1),  # no cut takes what lies beside the film
        (Box(90, 10, 20, 20), (0, 0, 95, 80), 0.75),
        (Box(90, 10, 20, 20), (-20, -20, 120, 120), 1),
        (Box(10, 10, 0, 20), (50, 50, 60, 60), 1),
    ],
)
def test_the_share_that_a_cut_leaves_of_a_box(box, cut, share):
    assert kept(box, FILM, *cut) == pytest.approx(share)


def test_the_official_tables_are_read_whole(official, tmp_path):
    listed = json.loads((ROOT / "scripts/ribcage/nih_files.json").read_text())["tables"]
    for known in listed:
        data = (official / known["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == known["sha256"]
        assert len(data) == known["bytes"]
    fetch_tables(official, tmp_path / "tables", "local")
    assert "ChestX-ray14" in (tmp_path / "tables" / "LICENCES.md").read_text()
    original = pd.read_csv(official / "BBox_List_2017.csv", skiprows=1, header=None)
    boxes = pd.read_csv(tmp_path / "tables" / "boxes.csv")
    assert len(boxes) == 984 and "Infiltrate" not in set(boxes["finding"])
    assert (boxes.iloc[:, 2:].to_numpy() == original.iloc[:, 2:6].to_numpy()).all()
    check_boxes(boxes, read_entries(official / "Data_Entry_2017_v2020.csv"))
    test = set((official / "test_list.txt").read_text().split("\n"))
    assert set(boxes["image"]) <= test and len(test) == 25_596


def check_boxes(boxes, table):
    """What is known of NIH's boxes."""
    of = table.set_index("image").loc[boxes["image"]]
    assert boxes["image"].nunique() == 880 and of["patient"].nunique() == 726
    films = of[~of.index.duplicated()]
    assert films["view_position"].value_counts().to_dict() == {"PA": 478, "AP": 402}
    assert boxes["image"].value_counts().value_counts().to_dict() == {1: 787, 2: 83, 3: 9, 4: 1}
    assert not boxes.duplicated(["image", "finding"]).any()
    assert (boxes["x_px"] + boxes["w_px"]).max() <= 1024
    assert (boxes["y_px"] + boxes["h_px"]).max() <= 1024
    assert all(
        row[finding] for (_, row), finding in zip(of.iterrows(), boxes["finding"], strict=True)
    )
    share = 100 * boxes["w_px"] * boxes["h_px"] / 1024**2
    median = share.groupby(boxes["finding"]).median().round(2).to_dict()
    counts = boxes["finding"].value_counts().to_dict()
    assert {f: (counts[f], median[f]) for f in BOXED} == {
        "Atelectasis": (180, 1.88),
        "Cardiomegaly": (146, 17.09),
        "Effusion": (153, 5.57),
        "Infiltration": (123, 5.66),
        "Mass": (85, 1.48),
        "Nodule": (79, 0.46),
        "Pneumonia": (120, 5.72),
        "Pneumothorax": (98, 3.58),
    }
