"""What draw_cams would leave of an experiment, made up: a few maps with known numbers."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from made_up import META
from ribcage.findings import FINDINGS
from ribcage.tables import write_table

MEASURES = [("IoU", at / 10) for at in range(1, 8)]
MEASURES += [("IoBB", at) for at in (0.1, 0.25, 0.5, 0.75, 0.9)]
FILM_PX, CELL_PX = (32, 24), 12.0
BOX = [4.0, 4.0, 6.0, 6.0]
LUNGS = ["M2.0,2.0 L12.0,2.0 L12.0,20.0 Z", "M18.0,2.0 L28.0,2.0 L28.0,20.0 Z"]
SHOWN = {
    "finding": "Mass",
    "outcome": "FP",
    "why": "most wrong",
    "probability": 0.875,
    "threshold": 0.25,
    "expert": None,
    "expert_question": None,
    "method": "cam",
    "peak_x_px": 7.0,
    "peak_y_px": 7.0,
    "hit": None,
    "target": None,
    "in_lungs": True,
    "lungs_share": 0.75,
    "lungs_area": 0.4,
    "n_boxes": 0,
    "iou": np.nan,
    "iobb": np.nan,
    "scale": 1.5,
    "grid": 2,
    "cell_px": CELL_PX,
}
"""A map without a box; `hit`, `target`, `n_boxes`, `iou` and `iobb` say more of one with a box."""
BOXED = {"hit": True, "target": "on", "n_boxes": 1, "iou": 0.25, "iobb": 0.5}
BOXED |= {"outcome": "TP", "why": "boxed"}
POINTING = {
    "films": 10,
    "patients": 10,
    "boxes": 11,
    "hits": 4,
    "pointing": 0.4,
    "low": 0.2,
    "high": 0.6,
    "centre": 0.1,
    "mean_place": 0.5,
    "best_place": 0.55,
    "over_mean_place": -0.1,
    "over_low": -0.3,
    "over_high": 0.1,
}


def pointing_of(rows, methods=("cam",)):
    """localisation.csv, of what differs from `POINTING` by finding; other findings have no box."""
    nothing = {key: 0 if isinstance(value, int) else np.nan for key, value in POINTING.items()}
    return pd.DataFrame(
        [
            {"method": method, "finding": finding}
            | (POINTING | rows[finding] if finding in rows else nothing)
            for method in methods
            for finding in (*FINDINGS, "All")
        ]
    )


def overlap_of(pointing, accuracy=0.3, mean_place=0.2):
    """overlap.csv of the same boxes: the higher the threshold, the fewer are found."""
    rows = []
    for _, row in pointing.iterrows():
        for measure, threshold in MEASURES:
            known = 1 - threshold if row["boxes"] else np.nan
            found = {"accuracy": accuracy * known, "mean_place": mean_place * known}
            found |= {"low": 0.8 * accuracy * known, "high": 1.2 * accuracy * known}
            found |= {"centre": 0.1 * known, "false_boxes": 1.5 * known, "boxes": row["boxes"]}
            of = {"method": row["method"], "finding": row["finding"]}
            rows.append(of | {"measure": measure, "threshold": threshold} | found)
    return pd.DataFrame(rows)


def sanity_of(head=0.05, every=0.1, alarm=None, grid=2, films=40):
    """sanity.json; every mean map peaks in its first cell."""
    mean = np.zeros((grid, grid))
    mean[0, 0], mean[1, 1] = 0.5, -0.25
    scores = {
        kind: {"maps": films, "mean": value, "low": value - 0.04, "high": value + 0.04}
        for kind, value in (("head", head), ("all", every))
    }
    found = list(FINDINGS) if alarm else []
    return {
        "method": "cam",
        "layer": "denseblock3",
        "randomised": {"films": films, "draws": 5, "alarm": max(head, every) >= 0.5, **scores},
        "corners": {"alarm": alarm, "cell": [0, 0], "findings": found, "agreement": 0.9},
        "mean_maps": {"films": 88, **{finding: mean.tolist() for finding in FINDINGS}},
    }


def write_cams(folder, shown, pointing=None, overlap=None, sanity=None):
    """Write the folder.

    Args:
        folder: to make.
        shown: what differs from `SHOWN`, a dictionary with `image` at least a map.
        pointing, overlap, sanity: of the functions above.
    """
    pointing = pointing_of({"Mass": {}, "All": {}}) if pointing is None else pointing
    overlap = overlap_of(pointing) if overlap is None else overlap
    frame = pd.DataFrame([SHOWN | row for row in shown], columns=["image", *SHOWN])
    frame = frame.astype({"hit": "boolean", "in_lungs": "boolean", "expert": "boolean"})
    outlines = {}
    for part in ("films", "heats", "overlays"):
        (folder / part).mkdir(parents=True)
    for image, finding, boxes in zip(
        frame["image"], frame["finding"], frame["n_boxes"], strict=True
    ):
        stem = image.removesuffix(".png")
        grey = sum(map(ord, stem)) % 200
        Image.new("L", FILM_PX, grey).save(folder / "films" / f"{stem}.webp")
        heat = Image.new("RGBA", FILM_PX, (200, 90, 10, 128))
        for kind in ("heats", "overlays"):
            heat.save(folder / kind / f"{stem}-{finding}.webp")
        of = outlines.setdefault(image, {"film_px": list(FILM_PX), "crop": [-2, 0, 26]})
        of["lungs"] = LUNGS
        of.setdefault("boxes", {}).update({finding: [BOX] * boxes} if boxes else {})
    frame = frame.astype({"target": "string", "expert_question": "string"})
    write_table(frame, folder / "cams.parquet", META)
    pointing.to_csv(folder / "localisation.csv", index=False)
    overlap.to_csv(folder / "overlap.csv", index=False)
    sanity = sanity_of() if sanity is None else sanity
    (folder / "sanity.json").write_text(json.dumps(sanity))
    (folder / "outlines.json").write_text(json.dumps(outlines))
