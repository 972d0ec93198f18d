import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest

from ribcage.findings import FINDINGS
from ribcage.report.model_card import table
from ribcage.tables import write_table
from write_model_card import main

META = {"labels_version": "v2020", "source_sha256": "7" * 64}
HOSTILE = "<img src=x>|a\n# b"
PARTS = [
    "Model details",
    "Intended use",
    "Training and evaluation data",
    "Metrics",
    "Results on the test films",
    "Groups of patients and films",
    "Calibration",
    "Caveats",
]
SETTINGS = {
    "architecture": "densenet121",
    "view": "lungs",
    "size_px": 224,
    "weighting": "weighted",
    "init": HOSTILE,
    "start_px": "none",
    "start_samples": 9_000,
    "start_lr": 0.002,
    "samples": 13_500,
    "batch_size": 16,
    "optimizer": "adamw",
    "lr": 0.0015,
    "weight_decay": 0.01,
}


def row(value, patients=50, spread=0.02, **more):
    """A metric as metrics.json has it."""
    ends = (None, None) if value is None else (round(value - spread, 6), round(value + spread, 6))
    counts = {"positives": 60, "negatives": 400, "patients": patients}
    return {"value": value, "low": ends[0], "high": ends[1], **counts, **more}


def scores_of(value, patients=50):
    ece = {"ece": row(0.04, patients, expected=0.01), "brier": row(0.08, patients)}
    after = {"ece_temperature": row(0.031, patients), "ece_prior": row(0.022, patients)}
    ap = row(None if value is None else 0.3, patients, prevalence=0.13)
    return {"auroc": row(value, patients), "ap": ap, **ece, **after}


def metrics():
    scores = {finding: scores_of(0.8) for finding in FINDINGS}
    scores |= {"macro": scores_of(0.811), "micro": scores_of(0.822)}
    scores |= {"Hernia": scores_of(None, 0), "Edema": scores_of(0.9, 19)}
    return {
        "fitted": {"calibration": {}},
        "films": {"val": 200, "test": 460},
        "settings": {"resamples": 2000, "specificity": 0.9},
        "splits": {"test": scores},
        "case_mix": {"sentence": "Of the gap of 0.03, 0.02 is | case mix."},
    }


def strata():
    rows = []
    for name, gap, patients in (("macro", 0.04, 50), ("Mass", -0.09, 50), ("Edema", 0.3, 19)):
        for metric in ("auroc", "miss_rate"):
            rows.append(["view_position", "AP", 180, name, metric, 0.75, 0.7, 0.8, gap, gap - 0.02])
            rows[-1] += [gap + 0.02, 40, 140, patients]
    rows.append(["device", HOSTILE, 9, "macro", "auroc", *[np.nan] * 6, 2, 7, 2])
    rows.append(["sex", "F", 200, "Nodule", "auroc", 0.7, 0.6, 0.8, -0.4, -0.9, 0.1, 40, 160, 30])
    columns = "variable group films class metric value low high gap gap_low gap_high positives"
    return pd.DataFrame(rows, columns=[*columns.split(), "negatives", "patients"])


@pytest.fixture
def made(tmp_path):
    """What the card is written from, and the call that writes it."""
    for seed in (10, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"w" * seed)
        positives = {f: 0 if f == "Hernia" else 9 for f in FINDINGS}
        config = {
            **META,
            "seed": seed,
            "best_epoch": seed + 1,
            "task": "multi-label",
            "normalisation": "each film to mean 0",
            "precision": "float32",
            "device": "cpu",
            "versions": {"torch": "2.15.0", "numpy": "2.4.6"},
            "train_positives": positives,
            "seen": {"sentence": f"{HOSTILE} has seen no film of this split."},
        }
        (folder / "config.json").write_text(json.dumps(config))
    split = pd.DataFrame({"image": ["b.png", "a.png", "c.png", "d.png"], "patient": [1, 1, 2, 3]})
    split = split.assign(split=["train", "train", "val", "test"])
    write_table(split, tmp_path / "split.parquet", META)
    certificate = {"kind": "official", "leaky": False, "verdict": "No patient is on two sides."}
    (tmp_path / "certificate.json").write_text(json.dumps(certificate))
    (tmp_path / "metrics.json").write_text(json.dumps(metrics()))
    strata().to_csv(tmp_path / "strata.csv", index=False)

    def write():
        main(
            models=[tmp_path / "10", tmp_path / "2"],
            metrics_file=tmp_path / "metrics.json",
            strata=tmp_path / "strata.csv",
            split=tmp_path / "split.parquet",
            certificate=tmp_path / "certificate.json",
            card=tmp_path / "model_card.md",
            experiment="dense_224",
            settings=SETTINGS,
            title="A <b>run</b>",
        )
        return (tmp_path / "model_card.md").read_text()

    return tmp_path, write


def cells(text, first):
    """The cells of the table rows that begin so."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_a_card_has_every_part_and_strings_from_outside_stay_text(made):
    _, write = made
    text = write()
    assert text.startswith("# Model card: dense\\_224\n")
    assert re.findall("^## (.*)$", text, re.M) == PARTS
    assert "A \\<b\\>run" in text and "<" not in text.replace("\\<", "")
    assert "\\<img src=x\\>\\|a \\# b has seen no film" in text and "\n# b" not in text
    assert not re.search(r"\b(None|nan)\b", text)
    widths = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block
        widths[block.splitlines()[0]] = counts.pop() - 1
    assert len(widths) == 7


def test_a_start_at_small_films_is_told_where_there_was_one(made, monkeypatch):
    _, write = made
    assert not cells(write(), "first trained at")
    monkeypatch.setitem(SETTINGS, "start_px", 64)
    ((_, told),) = cells(write(), "first trained at")
    assert told == "64 x 64 px, 9,000 films seen, highest learning rate 0.002"


def test_weights_and_split_can_be_told_by_their_hashes(made):
    _, write = made
    text = write()
    digests = [hashlib.sha256(b"w" * seed).hexdigest() for seed in (2, 10)]
    assert re.findall(r"^\| (?:2|10) \| (?:3|11) \| (\w+) \|$", text, re.M) == digests
    assert "2 networks, one a seed." in text and "numpy 2.4.6, torch 2.15.0" in text
    digest = hashlib.sha256(b"a.png\nb.png\n").hexdigest()
    assert cells(text, "train") == [["train", "2", "1", digest]]
    assert f"sha256 is {'7' * 64}." in text and "NIH's version of 2020." in text


def test_scores_on_too_few_patients_are_withheld(made):
    _, write = made
    text = write()
    results, calibrated = cells(text, "Edema")
    assert results[3:5] == ["too few: 19 patients"] * 2 and calibrated[1].startswith("too few")
    assert cells(text, "Hernia")[0][3] == "undefined"
    assert "nothing is learnt of it" in text and "No training film has Hernia" in text
    area = cells(text, "Mass")[0]
    assert area[:2] == ["Mass", "60"] and area[3] == "0.800 (0.780–0.820)" and area[5] == "0.130"
    assert "its macro AUROC is 0.811 (0.791–0.831), over 13 of 14" in text
    assert "1 of them is on fewer than 20 test patients: too few to judge." in text
    assert cells(text, "macro")[1][1:5] == [
        "0.040 (0.020–0.060)",
        "0.010",
        "0.031 (0.011–0.051)",
        "0.022 (0.002–0.042)",
    ]


def test_gaps_that_chance_explains_are_not_named(made):
    folder, write = made
    text = write()
    gap = "+0.040 (+0.020 to +0.060)"
    group = ["view position: AP", "180", "0.750 (0.700–0.800)", gap, "0.750 (0.700–0.800)", gap]
    assert cells(text, "view position: AP") == [group]
    assert len(cells(text, "Nodule")) == 2 and len(cells(text, "Edema")) == 2
    assert [row[4] for row in cells(text, "Mass")[1:3]] == ["−0.090 (−0.110 to −0.070)"] * 2
    assert "of 2 whose interval leaves out zero; of two groups" in text
    rows = strata()
    rows[rows["class"] == "macro"].to_csv(folder / "strata.csv", index=False)
    assert "No finding is on enough patients in a group" in write()
    rows[rows["class"].isin(["macro", "Nodule"])].to_csv(folder / "strata.csv", index=False)
    assert "No finding's gap between groups has an interval that leaves out zero." in write()


def test_groups_of_few_patients_and_means_of_them_are_withheld(made):
    folder, write = made
    rows = strata()
    rows.assign(patients=19).to_csv(folder / "strata.csv", index=False)
    values = metrics()
    for finding in FINDINGS:
        values["splits"]["test"][finding] = scores_of(0.8, 19)
    (folder / "metrics.json").write_text(json.dumps({**values, "fitted": None}))
    text = write()
    assert cells(text, "view position: AP")[0][2:] == ["too few: 19 patients"] * 4
    assert cells(text, "Mass")[0][3] == "too few: 19 patients"
    assert "On 460 test films there are too few patients with each finding to tell" in text
    assert "its macro AUROC" not in text and "no validation films to fit" in text
    assert len(cells(text, "macro")[1]) == 4


def test_of_two_groups_the_one_that_fares_worse_is_named(made):
    folder, write = made
    rows = strata()
    mirror = rows[rows["group"] == "AP"].assign(group="PA")
    ends = {"gap_low": -mirror["gap_high"], "gap_high": -mirror["gap_low"]}
    mirror = mirror.assign(gap=-mirror["gap"], **ends)
    pd.concat([rows, mirror]).to_csv(folder / "strata.csv", index=False)
    text = write()
    assert "of 2 whose interval leaves out zero" in text
    assert [row[1:3] for row in cells(text, "Mass")[1:3]] == [
        ["view position: AP", "AUROC"],
        ["view position: PA", "missed"],
    ]


def test_a_leaky_split_and_phantoms_are_said_to_be_such(made):
    folder, write = made
    assert "its scores are too high" not in write()
    certificate = {"kind": "leaky_by_image", "leaky": True, "verdict": "Patients leak."}
    (folder / "certificate.json").write_text(json.dumps(certificate))
    config = json.loads((folder / "2/config.json").read_text())
    (folder / "2/config.json").write_text(json.dumps({**config, "labels_version": "phantom"}))
    values = metrics()
    for name in ("ece_temperature", "ece_prior"):
        values["splits"]["test"]["macro"][name] = None
    (folder / "metrics.json").write_text(json.dumps({**values, "case_mix": None}))
    text = write()
    assert "**Patients are on both sides of this split: its scores are too high.**" in text
    assert "Phantoms are drawings" in text and "knows nothing of patients" in text
    assert cells(text, "macro")[1][3:5] == ["not fitted"] * 2 and "case mix" not in text


def test_a_cell_cannot_end_its_row():
    assert table(["a"], [["x|y\nz<b>"]]) == "| a |\n| --- |\n| x\\|y z\\<b\\> |"
