"""How well maps point, out of finished runs: what presets/localise.yaml and its docs state.

    python benchmarks/localisation.py RUN/reports/EXPERIMENT ...

Each folder is of an experiment of a finished run, whose `cams/localisation.csv` judged every method
on all test films with a reader's box: the pointing game beside the mean place of the finding's
boxes, with 95 % intervals that resample patients. Read only; nothing is trained or drawn anew, so
one seed's first network stands behind each figure. Writes benchmarks/localisation.json and prints
it.
"""

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "localisation.json"
PACKAGES = ("torch", "numpy", "pandas", "opencv-python-headless")
COUNTS = ("films", "patients", "boxes", "hits")
SHARES = (
    *("pointing", "low", "high", "centre", "mean_place", "best_place"),
    *("over_mean_place", "over_low", "over_high"),
)
SETTINGS = ("size_px", "start_px", "view", "samples", "epochs")
GRADIENT = ("grad_cam", "grad_cam_pp", "layer_cam", "guided_grad_cam")
"""Methods that look at `layer`."""


def digits(value: float | None) -> float | None:
    """Four digits; None where undefined."""
    return None if value is None or pd.isna(value) else round(float(value), 4)


def judged(rows: pd.DataFrame, layer: str) -> dict[str, Any]:
    """What the rows of one method say: of all findings, and of each that has a box."""
    method = rows["method"].iloc[0]
    found: dict[str, Any] = {"layer": layer} if method in GRADIENT else {}
    for row in rows[rows["films"] > 0].to_dict("records"):
        counts = {name: int(row[name]) for name in COUNTS}
        found[row["finding"]] = counts | {name: digits(row[name]) for name in SHARES}
    return found


def one_experiment(folder: Path) -> dict[str, Any]:
    """Read the results of an experiment of a finished run.

    Args:
        folder: its `reports/<experiment>`; its models lie beside, in `models/<experiment>`.
    """
    model = folder.parents[1] / "models" / folder.name / "1" / "config.json"
    config = json.loads(model.read_text(encoding="utf-8"))
    sanity = json.loads((folder / "cams" / "sanity.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    macro = metrics["splits"]["test"]["macro"]["auroc"]
    table = pd.read_csv(folder / "cams" / "localisation.csv")
    means = sanity["mean_maps"]
    grid = len(next(cells for name, cells in means.items() if name != "films"))
    return {
        "settings": {name: config["settings"].get(name, config.get(name)) for name in SETTINGS},
        "labels": config["labels_version"],
        "trained_on": f"{config['device']} ({config['precision']})",
        "shown": {"method": sanity["method"], "layer": sanity["layer"], "cells_a_side": grid},
        "test_macro_auroc": {end: digits(macro[end]) for end in ("value", "low", "high")},
        "methods": {
            str(method): judged(rows, sanity["layer"])
            for method, rows in table.groupby("method", sort=False)
        },
    }


def main(folders: list[Path]) -> None:
    """Read every experiment and write the result."""
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"system": platform.platform(terse=True), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "runs": 1,
        "experiments": {folder.name: one_experiment(folder.resolve()) for folder in folders},
    }
    text = json.dumps(found, indent=1, allow_nan=False)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main([Path(name) for name in sys.argv[1:]])
