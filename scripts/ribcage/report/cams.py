"""What draw_cams left of each experiment, as the section on explanation reads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage.explanation.terms import ALL
from ribcage.report.outcome import Experiment
from ribcage.tables import read_table

NAMES = {
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "layer_cam": "LayerCAM",
    "guided_grad_cam": "Guided Grad-CAM",
    "occlusion": "occlusion",
}


@dataclass(frozen=True)
class Cams:
    """The maps of an experiment, and how they were judged.

    Attributes:
        name: of the experiment.
        style: its class of the style sheet.
        folder: of draw_cams.
        method: of the maps that are shown.
        rows: cams.parquet, a row a shown map.
        pointing: localisation.csv, a row a method and finding.
        overlap: overlap.csv, a row a method, finding, measure and threshold.
        sanity: sanity.json.
        outlines: outlines.json.
    """

    name: str
    style: str
    folder: Path
    method: str
    rows: pd.DataFrame
    pointing: pd.DataFrame
    overlap: pd.DataFrame
    sanity: dict[str, Any]
    outlines: dict[str, Any]

    def film(self, image: str) -> Path:
        """The picture of a film."""
        return self.folder / "films" / f"{Path(image).stem}.webp"

    def heat(self, image: str, finding: str) -> Path:
        """The picture of a map alone."""
        return self.folder / "heats" / f"{Path(image).stem}-{finding}.webp"

    def points(self, finding: str = ALL, method: str | None = None) -> pd.Series:
        """The row of the pointing game: of the shown method, or of another."""
        of = self.pointing["method"] == (method or self.method)
        return self.pointing[of & (self.pointing["finding"] == finding)].iloc[0]

    def overlaps(self, finding: str, measure: str, method: str | None = None) -> pd.DataFrame:
        """The shares of boxes that are found, a row a threshold from the lowest."""
        held = self.overlap
        of = (held["method"] == (method or self.method)) & (held["finding"] == finding)
        return held[of & (held["measure"] == measure)].sort_values("threshold")

    @property
    def methods(self) -> list[str]:
        """All methods that were judged, in the order of params.yaml."""
        return [str(method) for method in self.pointing["method"].unique()]


def read(experiment: Experiment) -> Cams:
    """Read the folder of draw_cams of an experiment."""
    folder: Path = experiment["cams"]
    sanity, outlines = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("sanity.json", "outlines.json")
    )
    return Cams(
        experiment["name"],
        experiment["style"],
        folder,
        sanity["method"],
        read_table(folder / "cams.parquet"),
        pd.read_csv(folder / "localisation.csv"),
        pd.read_csv(folder / "overlap.csv"),
        sanity,
        outlines,
    )
