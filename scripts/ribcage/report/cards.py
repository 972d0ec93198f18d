"""The cards of a gallery: a film, what a network says of it and where it looks, and who is right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ribcage.findings import FINDINGS
from ribcage.report import pictures
from ribcage.report.cams import Cams
from ribcage.report.cells import FEW_PATIENTS

OUTCOMES = {
    "TP": "true positive",
    "FP": "false positive",
    "FN": "false negative",
    "TN": "true negative",
}
KINDS = {
    "right-on": "right, on target",
    "right-off": "right, off target",
    "wrong-on": "wrong, on target",
    "wrong-off": "wrong, off target",
    "right": "right, place not judged",
    "wrong": "wrong, place not judged",
}
NO_EVIDENCE = "no cell speaks for the finding"
"""Said of a map that is nowhere above 0: whatever it shows, it is no place."""
IN_LOGITS = ("cam", "occlusion")
"""Methods whose maps have a unit; those of the others compare within one map alone."""
SMALLEST = 1e-6
"""Probabilities this near to 0 and 1 are as far apart as any."""


@dataclass
class Pool:
    """Films that a page shows, each embedded once however many maps lie over it.

    Attributes:
        films: by image: id, src, width and height (film pixels), and lungs (SVG paths).
        cards: how many cards were made: each has a number of its own.
    """

    films: dict[str, dict[str, Any]] = field(default_factory=dict)
    cards: int = 0

    def film(self, image: str, cams: Cams) -> dict[str, Any]:
        """A film as the cards refer to it, taken in where it is new."""
        if image not in self.films:
            outline = cams.outlines[image]
            width, height = outline["film_px"]
            self.films[image] = {
                "id": f"film-{len(self.films)}",
                "src": pictures.file_uri(cams.film(image)),
                "width": width,
                "height": height,
                "lungs": outline["lungs"],
            }
        return self.films[image]


def cards(
    cams: Cams, rows: pd.DataFrame, people: pd.DataFrame, curves: pd.DataFrame, pool: Pool
) -> list[dict[str, Any]]:
    """Make a card of each map.

    Args:
        cams: what draw_cams left of an experiment.
        rows: those of its maps that are shown.
        people: the kept images by name: labels, age, sex and view.
        curves: of the experiment, for what its probabilities mean.
        pool: of the page's films.
    """
    bins = reliability(curves)
    return [_card(cams, row, people.loc[row["image"]], bins, pool) for _, row in rows.iterrows()]


def _card(
    cams: Cams, row: pd.Series, person: pd.Series, bins: Mapping[str, pd.DataFrame], pool: Pool
) -> dict[str, Any]:
    image, finding = row["image"], row["finding"]
    film, outline = pool.film(image, cams), cams.outlines[image]
    heat, kind = pictures.file_uri(cams.heat(image, finding)), kind_of(row)
    pool.cards += 1
    age = "" if pd.isna(person["age_years"]) else f"{person['age_years']:.0f}"
    return {
        "id": f"map-{pool.cards}",
        "film": film,
        "heat": heat,
        "boxes": outline["boxes"].get(finding, []),
        "crop": outline["crop"],
        "peak": (row["peak_x_px"], row["peak_y_px"]) if has_peak(row) else None,
        "finding": finding,
        "outcome": OUTCOMES[row["outcome"]],
        "kind": kind,
        "kind_words": KINDS[kind] if row["scale"] > 0 else f"{kind}, {NO_EVIDENCE}",
        "alt": f"Map of {finding} over film {image}; its peak: {place(row)}",
        "plain_alt": f"Film {image}",
        "facts": _facts(row, person, bins.get(finding), age),
        "data": {
            "experiment": cams.name,
            "finding": finding,
            "outcome": row["outcome"],
            "kind": kind,
            "why": row["why"],
            "probability": f"{row['probability']:.6g}",
            "view": person["view_position"],
            "sex": person["sex"],
            "age": age,
            "order": pool.cards,
        },
    }


def kind_of(row: Mapping[str, Any]) -> str:
    """Right or wrong by the label, on or off target by a reader's box where there is one.

    A map without a peak, or on which nothing speaks for the finding, points at no place: right or
    wrong is all that it is.
    """
    right = "right" if row["outcome"] in ("TP", "TN") else "wrong"
    return f"{right}-{row['target']}" if has_peak(row) and not pd.isna(row["target"]) else right


def has_peak(row: Mapping[str, Any]) -> bool:
    """Whether a map's highest cell means a place: it stands out, and speaks for the finding."""
    return bool(
        row["scale"] > 0 and np.isfinite(row["peak_x_px"]) and np.isfinite(row["peak_y_px"])
    )


def place(row: Mapping[str, Any]) -> str:
    """Where a map peaks, in words; beside the lungs where no box says what is right."""
    if not row["scale"] > 0:
        return f"none, {NO_EVIDENCE}"
    if not has_peak(row):
        return "none, all cells are equal"
    lungs = {True: "in the lungs", False: "beside the lungs"}
    where = [] if pd.isna(row["in_lungs"]) else [lungs[bool(row["in_lungs"])]]
    if not pd.isna(row["target"]):
        where.insert(0, "in a reader's box" if row["target"] == "on" else "beside the reader's box")
    elif row["outcome"] in ("TP", "FN"):
        where.append("no reader boxed it")
    else:
        where.append("by its label there is nothing to point at")
    return ", ".join(where)


def _facts(
    row: pd.Series, person: pd.Series, bins: pd.DataFrame | None, age: str
) -> list[tuple[str, str]]:
    """What stands under the pictures, as names and values."""
    called = "called" if row["probability"] >= row["threshold"] else "not called"
    facts = [
        ("predicted", f"{row['probability']:.3f} at a threshold of {row['threshold']:.3f}: {called}"),
        ("of films like it", alike(bins, row["probability"])),
        ("peak", place(row)),
        ("evidence", _evidence(row)),
        ("overlap", "" if pd.isna(row["iou"]) else f"IoU {row['iou']:.2f}, IoBB {row['iobb']:.2f}"),
        ("labels", ", ".join(f for f in FINDINGS if person[f]) or "No Finding"),
        ("experts", _experts(row)),
        ("patient", f"{person['sex']}, {f'{age} years' if age else 'age unknown'}, {person['view_position']}"),
        ("chosen as", str(row["why"])),
        ("film", row["image"]),
    ]  # fmt: skip
    return [(name, said) for name, said in facts if said]


def _evidence(row: pd.Series) -> str:
    """How strong a map is, and how much of it lies in the lungs; empty where nothing speaks."""
    if not row["scale"] > 0:
        return ""
    said = [f"up to {row['scale']:.2f} logits a cell"] if row["method"] in IN_LOGITS else []
    if not pd.isna(row["lungs_share"]):
        said.append(
            f"{100 * row['lungs_share']:.0f} % of the map lies in the lungs, which fill "
            f"{100 * row['lungs_area']:.0f} % of the picture"
        )
    return "; ".join(said)


def _experts(row: pd.Series) -> str:
    if pd.isna(row["expert"]):
        return ""
    asked = "" if row["expert_question"] == row["finding"] else f"{row['expert_question']} "
    return f"{asked}{'seen' if row['expert'] else 'not seen'}"


def reliability(curves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By finding, what share of test films of like probabilities has the label, with intervals."""
    rows = curves[(curves["split"] == "test") & (curves["curve"] == "reliability")]
    return {str(finding): part for finding, part in rows.groupby("class")}


def alike(bins: pd.DataFrame | None, probability: float) -> str:
    """What a probability is worth: one film has no interval, films like it have.

    Args:
        bins: of `reliability`, of the finding; None where it has none.
        probability: of the film.

    Returns:
        Empty where too few films stand behind it.
    """
    if bins is None or not len(bins):
        return ""
    near = bins.iloc[int((_logit(bins["x"]) - _logit(probability)).abs().argmin())]
    if near["films"] < FEW_PATIENTS:
        return ""
    ends = ""
    if not pd.isna(near["low"]):
        ends = f" ({100 * near['low']:.0f}–{100 * near['high']:.0f})"
    return (
        f"{100 * near['y']:.0f} %{ends} of the {int(near['films'])} test films with the nearest "
        f"probabilities, {near['x']:.3f} on average, have the label"
    )


def _logit(probability: Any) -> Any:  # noqa: ANN401 - a number or a column of them
    inside = np.clip(probability, SMALLEST, 1 - SMALLEST)
    return np.log(inside / (1 - inside))
