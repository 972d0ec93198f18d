"""What is said of boxes that maps find: overlap with readers' boxes, and what others published."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ribcage.explanation.terms import ALL
from ribcage.findings import FINDINGS
from ribcage.literature import NIH_BOXES, pooled
from ribcage.report.cams import Cams
from ribcage.report.cells import FEW_PATIENTS, NONE, few
from ribcage.report.charts import Band, Line, chart
from ribcage.report.figures import Figure, slug
from ribcage.report.pointing import share, shares
from ribcage.report.sections import Table
from ribcage.words import plural

MEASURES = {
    "IoU": "the intersection of a detected box and a reader's over their union",
    "IoBB": "the intersection over the area of the detected box",
}
FIRST = {"IoU": 0.1, "IoBB": 0.25}
"""The thresholds that sentences speak of."""
BESIDE = ("Wang et al.", {"IoU": "network of ChestX-ray8", "IoBB": "network of ChestX-ray14"})
"""Whose figures are drawn: study, and the model by measure."""

Published = dict[str, Any]
"""A row of `literature.published_boxes`."""


def section(cams: Cams, published: Sequence[Published], source_kind: str) -> dict[str, Any]:
    """Boxes that the maps of an experiment find, beside guesses and published figures.

    Args:
        cams: of the best experiment.
        published: shares of NIH's boxes that others found.
        source_kind: phantom, local or nih.
    """
    boxes = int(cams.overlaps(ALL, "IoU")["boxes"].max())
    beside = source_kind == "nih" and boxes == sum(NIH_BOXES.values())
    enough = cams.points()["patients"] >= FEW_PATIENTS
    return {
        "how": "A detected box surrounds a connected part of what reaches half of the map's highest value; a reader's box counts as found if a detected one overlaps it by more than the threshold. "
        + " ".join(f"{name} is {meaning}." for name, meaning in MEASURES.items()),
        "sentence": _sentence(cams) if boxes else "No test film has a reader's box.",
        "figures": [_figure(cams, m, published if beside else []) for m in MEASURES] if enough else [],
        "table": _thresholds(cams) if enough else Table([], []),
        "findings": _by_finding(cams) if enough else Table([], []),
        "published": _published(published, cams if beside else None),
        "published_sentence": _beside(source_kind, boxes),
    }  # fmt: skip


def _sentence(cams: Cams) -> str:
    if cams.points()["patients"] < FEW_PATIENTS:
        return f"There are boxes on {plural(int(cams.points()['patients']), 'patient')}: too few to judge what the maps find."
    parts = []
    for measure, threshold in FIRST.items():
        row = _at(cams.overlaps(ALL, measure), threshold)
        parts.append(
            f"at {measure} over {threshold:g} the maps find {shares(row, 'accuracy')} of {int(row['boxes']):,} boxes, "
            f"{_beside_mean_place(row)} what a box of the finding's mean size at its mean place finds, {share(row['mean_place'])}, "
            f"with {row['false_boxes']:.1f} false boxes a film"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _beside_mean_place(row: pd.Series) -> str:
    """Where the maps' interval lies beside the guess's one value: a description, no test."""
    if pd.isna(row["low"]) or pd.isna(row["mean_place"]):
        return "beside"
    if row["low"] > row["mean_place"]:
        return "an interval above"
    return f"an interval {'below' if row['high'] < row['mean_place'] else 'around'}"


def _at(rows: pd.DataFrame, threshold: float) -> pd.Series:
    return rows[np.isclose(rows["threshold"], threshold)].iloc[0]


def _figure(cams: Cams, measure: str, published: Sequence[Published]) -> Figure:
    rows = cams.overlaps(ALL, measure)
    at = rows["threshold"].to_numpy(float)
    ours, mean, centre = (rows[c].to_numpy(float) for c in ("accuracy", "mean_place", "centre"))
    low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
    lines = [
        Line("a box at the film's centre", at, centre, "guide"),
        Line("a box at the mean place", at, mean, "guide dashed"),
    ]
    others = _pooled(published, measure)
    if others:
        x, y = (np.array(axis) for axis in zip(*others, strict=True))
        lines.append(Line("Wang et al. 2017", x, y, "published", dotted=True))
    lines.append(Line(cams.name, at, ours, cams.style, dotted=True, experiment=cams.name))
    band = Band(cams.name, at, low, high, cams.style, cams.name)
    title = f"Share of readers' boxes found, by threshold of {measure}, {cams.name}"
    top = min(1.0, 0.05 + float(np.nanmax(np.concatenate([ours, mean, centre, high]))))
    drawn = chart(
        lines,
        f"{measure} over",
        "share of boxes found",
        title,
        (0.0, float(at.max())),
        (0.0, top),
        [band],
    )
    clear = int((low > mean).sum())
    caption = f"Boxes found by threshold of {measure}: solid the maps, with a 95 % band; broken a box at the mean place, dotted one at the film's centre. The band lies above the broken line at {clear} of {plural(len(at), 'threshold')}; the broken line has a spread of its own, which is not drawn."
    if others:
        caption += " Thin and dark: Wang et al. 2017 on the same boxes."
    return Figure(slug(f"{measure} {cams.name}"), drawn, caption)  # fmt: skip


def _pooled(published: Sequence[Published], measure: str) -> list[tuple[float, float]]:
    study, models = BESIDE
    rows = [r for r in published if (r["study"], r["model"], r["measure"]) == (study, models[measure], measure)]  # fmt: skip
    at = sorted({row["threshold"] for row in rows})
    return [(t, pooled([row for row in rows if row["threshold"] == t])) for t in at]


def _thresholds(cams: Cams) -> Table:
    rows = []
    for measure in MEASURES:
        for _, row in cams.overlaps(ALL, measure).iterrows():
            blind = [share(row[name]) for name in ("mean_place", "centre")]
            rows.append([f"{measure} over {row['threshold']:g}", shares(row, "accuracy"), *blind, f"{row['false_boxes']:.2f}"])  # fmt: skip
    return Table(
        ["overlap", "maps", "mean place", "film's centre", "maps: false boxes a film"], rows
    )


def _by_finding(cams: Cams) -> Table:
    rows, header = [], ["finding", "boxes"]
    header += [f"{m} over {t:g}" for m in MEASURES for t in cams.overlaps(ALL, m)["threshold"]]
    for finding in (*FINDINGS, ALL):
        held = [cams.overlaps(finding, measure) for measure in MEASURES]
        boxes = int(held[0]["boxes"].max()) if len(held[0]) else 0
        if not boxes:
            continue
        patients = cams.points(finding)["patients"]
        cells = [share(value) for part in held for value in part["accuracy"]]
        if patients < FEW_PATIENTS:
            cells = [few(patients)] + [NONE] * (len(cells) - 1)
        rows.append([finding, f"{boxes:,}", *cells])
    return Table(header, rows, sums=(ALL,))


def _beside(source_kind: str, boxes: int) -> str:
    whole = sum(NIH_BOXES.values())
    start = f"What others published is on the {whole} boxes that NIH's radiologists drew"
    if source_kind == "phantom":
        return f"{start}; boxes of phantoms are known exactly and drawn otherwise, so that nothing here compares with it."
    if source_kind != "nih":
        return f"{start}; this run's films come from a local folder, not as NIH's whole set, and do not compare with it."
    if boxes != whole:
        return f"{start}; {boxes} of them are on this run's test films, so that it does not compare with it."  # fmt: skip
    return f"{start}, which are those of this run: its experiment stands in the first rows."


def _published(published: Sequence[Published], own: Cams | None) -> Table:
    """A row a study, measure and threshold; a column a finding."""
    findings = list(NIH_BOXES)
    rows: list[list[Any]] = []
    if own is not None:
        for measure in MEASURES:
            at = own.overlaps(ALL, measure)["threshold"]
            for number, threshold in enumerate(at):
                cells = [share(own.overlaps(f, measure)["accuracy"].iloc[number]) for f in findings]
                rows.append([own.name, "this run", f"{measure} over {threshold:g}", *cells])
    of: dict[tuple[str, str, str, float], dict[str, Published]] = {}
    for row in published:
        key = (row["study"], row["model"], row["measure"], row["threshold"])
        of.setdefault(key, {})[row["finding"]] = row
    for (study, model, measure, threshold), held in of.items():
        one = next(iter(held.values()))
        cells = [share(held[f]["accuracy"]) if f in held else NONE for f in findings]
        rows.append([f"{study} {one['year']}", f"{model}; {one['source']}", f"{measure} over {threshold:g}", *cells])  # fmt: skip
    return Table(["study", "model and source", "overlap", *findings], rows, (0, 1, 2))
