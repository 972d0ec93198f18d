"""Published figures on ChestX-ray14: AUROCs, in two tables that must not be mixed, and boxes found.

Models score about 0.03 higher on random splits than on NIH's official one, whose test films are
harder: a figure says little without its split. Only figures that were found in a source stand in
literature.csv, each with where to look it up; `second_hand` where that was not the study itself.
Left out are figures whose split could not be told; those of which nothing says that a patient's
films stayed together; and those that were met in one place alone, in a repository without a name.
"""

import csv
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_suffix(".csv")
BOXES_FILE = FILE.with_name("localisation.csv")
SPLITS = ("official", "random")


class Bound(NamedTuple):
    """How far radiologists and NIH's labels agree on a finding.

    Attributes:
        readers_auroc: the mean vote of four readers as a score for the fifth, their mean.
        labels_ppv: of the films that NIH's label names, the share in which the experts see it.
        labels_sensitivity: of the films where the experts see it, the share that it names.
        positives: films of which the experts' majority says that it is there.
    """

    readers_auroc: float
    labels_ppv: float
    labels_sensitivity: float
    positives: int


PUBLISHED_BOUNDS = {
    "Atelectasis": Bound(0.820, 0.667, 0.224, 303),
    "Cardiomegaly": Bound(0.900, 0.629, 0.272, 81),
    "Effusion": Bound(0.925, 0.639, 0.376, 226),
    "Infiltration": Bound(0.751, 0.125, 0.213, 61),
    "Mass": Bound(0.905, 0.569, 0.333, 99),
    "Nodule": Bound(0.852, 0.551, 0.292, 130),
    "Pneumonia": Bound(0.560, 0.000, 0.000, 2),
    "Pneumothorax": Bound(0.933, 0.667, 0.559, 136),
    "Consolidation": Bound(0.858, 0.324, 0.145, 83),
    "Edema": Bound(0.774, 0.000, 0.000, 23),
    "Emphysema": Bound(0.647, 0.026, 0.143, 7),
    "Fibrosis": Bound(0.747, 0.048, 0.077, 13),
    "Pleural_Thickening": Bound(0.780, 0.244, 0.204, 49),
    "Hernia": Bound(0.718, 0.500, 0.400, 5),
}
"""For runs without the experts' files: computed from those of Nabulsi et al., Scientific Reports
11, 15523 (2021): 810 PA films of the official test list, five readers each, the truth the majority
of three of them. The films were chosen to be rich in findings, and the readers saw no report."""


def published(split: str | None = None) -> list[dict[str, Any]]:
    """Read the published AUROCs.

    Args:
        split: the one table, `official` or `random` (by patient); both where None, each row with
            its split.

    Returns:
        In the file's order: study, identifier (of a study that was not read itself; else empty),
        year, model, split, class (a finding or `macro`), auroc, printed (the same with the digits
        of the source), computed (whether a mean was computed here from its rows), second_hand,
        source (where the figure was found), note.
    """
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = [_row(cells) for cells in csv.DictReader(file)]
    return [row for row in rows if split in (None, row["split"])]


def _row(cells: dict[str, str]) -> dict[str, Any]:
    return {
        **cells,
        "year": int(cells["year"]),
        "auroc": float(cells["auroc"]),
        "printed": cells["auroc"],
        "computed": cells["computed"] == "1",
        "second_hand": cells["second_hand"] == "1",
    }


NIH_BOXES = {
    "Atelectasis": 180,
    "Cardiomegaly": 146,
    "Effusion": 153,
    "Infiltration": 123,
    "Mass": 85,
    "Nodule": 79,
    "Pneumonia": 120,
    "Pneumothorax": 98,
}
"""The boxes that NIH's radiologists drew, all on films of the official test list."""


def published_boxes() -> list[dict[str, Any]]:
    """Read the published shares of NIH's boxes that maps find.

    Left out are methods that learnt from such boxes, and figures that were met in one place alone,
    in a repository without a name.

    Returns:
        In the file's order: study, year, model, measure (IoU, or IoBB: the intersection over the
        area of the detected box), threshold (which the overlap exceeds), finding, accuracy (the
        share of its boxes that are found), false_boxes (mean number a film of detected boxes that
        match none; None where it was not told), second_hand, source.
    """
    with BOXES_FILE.open(encoding="utf-8", newline="") as file:
        return [
            {
                **cells,
                "year": int(cells["year"]),
                "threshold": float(cells["threshold"]),
                "accuracy": float(cells["accuracy"]),
                "false_boxes": float(cells["false_boxes"]) if cells["false_boxes"] else None,
                "second_hand": cells["second_hand"] == "1",
            }
            for cells in csv.DictReader(file)
        ]


def pooled(rows: list[dict[str, Any]]) -> float:
    """The share of all of NIH's boxes that is found, of one row a finding.

    Args:
        rows: of `published_boxes`, one study, model, measure and threshold.

    Raises:
        KeyError: a finding has no row.
    """
    found = {row["finding"]: row["accuracy"] for row in rows}
    hits = sum(found[finding] * boxes for finding, boxes in NIH_BOXES.items())
    return float(hits / sum(NIH_BOXES.values()))
