"""A made-up data set, as the steps up to the split would leave it, for tests of the pages."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from describe_data import main as describe_data
from ribcage.duplicates import read_duplicates
from ribcage.findings import FINDINGS, NO_FINDING
from ribcage.leaks import certify
from ribcage.measures import RULES, Measures
from ribcage.tables import read_table, write_table
from score_metadata_baseline import main as score_baseline
from write_datasheet import main as write_datasheet

META = {"labels_version": "other", "source_sha256": "5" * 64}
HOSTILE = "<img src=x onerror=alert(1)>\"'.png"
FILMS = 90
OFF = dict.fromkeys(RULES, "none")
JUDGED = {"resamples": 100, "sensitivity": 0.9, "specificity": 0.9, "bins": 10, "seed": 1}


def write_tables(folder, films):
    """Tables, of whose films the first two are dropped and the last has a hostile name."""
    rng = np.random.default_rng(0)
    names = [f"{n:08d}_000.png" for n in range(films - 1)] + [HOSTILE]
    labels = pd.DataFrame(rng.random((films, 14)) < 0.3, columns=FINDINGS)
    labels["Hernia"] = False
    labels[NO_FINDING] = ~labels.any(axis=1)
    table = pd.DataFrame({"image": names, "batch": "b", "patient": np.arange(films)})
    table = table.assign(follow_up=0, age_years=50.0, sex="F", view_position="PA")
    table = table.assign(width_px=64, height_px=48, original_width_px=640, original_height_px=480)
    table = pd.concat([table.assign(spacing_mm=0.15), labels], axis=1)
    write_table(table.assign(fault=None), folder / "images.parquet", META)
    write_table(table.iloc[2:], folder / "curated.parquet", META)
    dropped = pd.DataFrame({"image": names[:2], "reason": ["on the list rotated", "<b>broken</b>"]})
    dropped.to_csv(folder / "dropped.csv", index=False)
    split = table[["image", "patient"]].iloc[2:]
    sides = np.where(np.arange(films - 2) < 20, "train", "test")
    sides[20:35] = "val"
    write_table(split.assign(split=sides), folder / "split.parquet", META)
    (folder / "tables").mkdir()
    sources = pd.DataFrame([["entries.csv", HOSTILE, 3, "0" * 64]])
    sources.columns = ["file", "from", "bytes", "sha256"]
    sources.to_csv(folder / "tables" / "sources.csv", index=False)
    masses = table["image"][labels["Mass"]]
    marks = pd.DataFrame({"image": masses, "mark": "drain"})
    marks.to_csv(folder / "tables" / "marks.csv", index=False)
    return table.iloc[2:], sides


def describe(folder, **changes):
    """What follows from these tables: measures, duplicates, certificate, baseline, `data/`."""
    curated, split = folder / "curated.parquet", folder / "split.parquet"
    table = read_table(curated)
    rng = np.random.default_rng(1)
    names = [name for name, kind in Measures.__annotations__.items() if kind is float]
    numbers = pd.DataFrame(rng.random((len(table), len(names))), columns=names)
    (folder / "films").mkdir()
    for image in table["image"]:
        Image.new("L", (64, 48), 90).save(folder / "films" / image)
    write_table(pd.concat([table[["image"]], numbers], axis=1), folder / "measures.parquet", META)
    pairs = pd.DataFrame([[table["image"][0], table["image"][87], 3, False]])
    pairs.columns = ["image", "other", "distance_bits", "same_pixels"]
    pairs.to_csv(folder / "duplicates.csv", index=False)
    spared = pd.DataFrame(
        [[table["image"][80], "on the list rotated"]], columns=["image", "reason"]
    )
    spared.to_csv(folder / "spared.csv", index=False)
    rows = read_table(split).assign(official=None)
    found = certify("random", rows, table, read_duplicates(folder / "duplicates.csv"), 0)
    (folder / "certificate.json").write_text(json.dumps(found))
    score_baseline(curated, split, folder / "baseline", "logistic", JUDGED)
    names = ["tables", "images", "measures", "duplicates", "curated", "dropped", "spared", "split"]
    ends = {"dropped": ".csv", "spared": ".csv", "duplicates": ".csv", "tables": ""}
    describe_data(
        **{name: folder / f"{name}{ends.get(name, '.parquet')}" for name in names},
        **{
            "certificate": folder / "certificate.json",
            "baseline": folder / "baseline",
            "films": [folder / "films"],
            "description": folder / "data",
            "thresholds": OFF,
            "extreme_films": 2,
            "picture_px": 32,
            **changes,
        },
    )
    write_datasheet(
        folder / "tables", folder / "data", folder / "data.html", folder / "datasheet.md", "A test"
    )


def write_described(folder):
    """All of it in a folder, with a list that names one film."""
    write_tables(folder, FILMS)
    (folder / "tables" / "blacklists").mkdir()
    (folder / "tables" / "blacklists" / "rotated.csv").write_text("00000000_000.png\n")
    describe(folder)
    return folder
