"""What is said of where maps peak: in readers' boxes, more often than a guess that never looks?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ribcage.explanation.terms import ALL
from ribcage.findings import FINDINGS
from ribcage.report.cams import NAMES, Cams
from ribcage.report.cells import FEW_PATIENTS, NONE, UNDEFINED, few, signed
from ribcage.report.dots import Dot, Group, dots
from ribcage.report.figures import Figure, slug
from ribcage.report.sections import Table
from ribcage.words import plural

BETTER, ALIKE, WORSE = "better", "not told apart", "worse"
BLIND = {"mean_place": "mean place", "centre": "film's centre", "best_place": "best place"}
"""Guesses that never look, by column."""
COARSE = 3
"""Cells a side up to which a map can say little more than which part of the chest."""
SMALL = "Nodule"
"""The finding of the smallest boxes."""

Row = Mapping[str, Any]
"""A row of localisation.csv."""


def verdict(row: Row) -> str:
    """Whether maps peak in boxes more often than the finding's mean place lies in them.

    Returns:
        BETTER, ALIKE or WORSE by the 95 % interval of the difference; else why there is none.
    """
    if row["patients"] < FEW_PATIENTS:
        return few(row["patients"])
    if pd.isna(row["over_low"]):
        return UNDEFINED
    if row["over_low"] > 0:
        return BETTER
    return WORSE if row["over_high"] < 0 else ALIKE


def share(value: float) -> str:
    """A share as a percentage; a dash where there is none."""
    return NONE if pd.isna(value) else f"{100 * value:.0f} %"


def shares(row: Row, name: str, what: str = "") -> str:
    """A share with its interval, and what that is: `40 % (33–47)`."""
    ends = ""
    if not pd.isna(row["low"]):
        ends = f" ({what}{100 * row['low']:.0f}–{100 * row['high']:.0f})"
    return share(row[name]) + ends


def points(row: Row) -> str:
    """The difference from the mean place, in points: `+5 (−2 to +12)`."""
    if pd.isna(row["over_mean_place"]):
        return NONE
    ends = ""
    if not pd.isna(row["over_low"]):
        ends = f" ({_in_points(row['over_low'])} to {_in_points(row['over_high'])})"
    return _in_points(row["over_mean_place"]) + ends


def _in_points(share: float) -> str:
    return signed(100 * share, 0)


def sentence(cams: Cams) -> str:
    """Whether the maps of an experiment find the place, in one breath."""
    row = cams.points()
    if not row["films"]:
        return "No test film has a reader's box, so where the maps point cannot be judged."
    if row["patients"] < FEW_PATIENTS:
        return (
            f"Readers' boxes are on test films of {plural(int(row['patients']), 'patient')}: too few to "
            "say whether the maps point at the finding."
        )
    start = (
        f"The maps of {cams.name} peak inside a reader's box in {shares(row, 'pointing', '95 % interval ')} of "
        f"{plural(int(row['films']), 'case')} on {plural(int(row['patients']), 'patient')}. "
        f"A pointer that never looks, at the finding's mean place, hits {share(row['mean_place'])}"
    )
    return f"{start}: {_verdict(row)}"


def _verdict(row: Row) -> str:
    judged = verdict(row)
    if judged == BETTER:
        return f"the maps do better by {points(row)} points, more than chance would."
    if judged == WORSE:
        return f"the maps do worse, by {points(row)} points. Do not read them as the place of a finding."
    if judged == ALIKE:
        return (
            f"the difference of {points(row)} points may be chance, so the maps do not show that the "
            "network finds the place. Read them with doubt."
        )
    return "no verdict, for want of an interval."


def coarse(cams: Cams) -> str:
    """How large the cells of the shown maps are, against the smallest finding; empty without maps."""
    if not len(cams.rows):
        return ""
    grid, cell = int(cams.rows["grid"].median()), float(cams.rows["cell_px"].median())
    if grid == 1:
        return "Each map is one cell, as large as what the network was shown: it points nowhere."
    said = f"Each map has {grid} × {grid} cells, of {cell:.0f} film pixels a side (median)"
    boxes = [box for one in cams.outlines.values() for box in one["boxes"].get(SMALL, [])]
    if boxes:
        side = float(np.median([np.sqrt(w * h) for _, _, w, h in boxes]))
        said += (
            f"; the box of a nodule has {side:.0f} (median of the {len(boxes)} shown), so a cell is "
            f"{cell / side:.1f} times as wide"
        )
    if grid <= COARSE:
        said += ". That is coarse: such a map names a part of the chest, hardly a spot in it"
    return f"{said}."


def by_finding(cams: Cams) -> str:
    """For which findings the maps beat the mean place, and for which not; empty without boxes."""
    of: dict[str, list[str]] = {}
    for finding in FINDINGS:
        row = cams.points(finding)
        if row["films"]:
            judged = verdict(row)
            of.setdefault(judged if judged in (BETTER, ALIKE, WORSE) else "none", []).append(
                finding
            )
    words = {
        BETTER: "Better than its mean place beyond chance",
        WORSE: "Worse",
        ALIKE: "Not told apart from it",
        "none": "On too few patients, or too uniform, to tell",
    }
    return " ".join(f"{said}: {', '.join(of[key])}." for key, said in words.items() if key in of)


def figures(cams: Cams) -> list[Figure]:
    """The pointing game by finding, and its difference from the mean place; none on few patients."""
    if cams.points()["patients"] < FEW_PATIENTS:
        return []
    hits, over = [], []
    for finding in (*FINDINGS, ALL):
        row = cams.points(finding)
        if not row["films"]:
            continue
        if row["patients"] < FEW_PATIENTS:
            hits.append(Group(finding, [], few(row["patients"])))
            over.append(Group(finding, [], few(row["patients"])))
            continue
        one = Dot("maps", row["pointing"], row["low"], row["high"], cams.style, cams.name)
        blind = [Dot(said, row[name], np.nan, np.nan, "plain") for name, said in BLIND.items() if not pd.isna(row[name])]  # fmt: skip
        hits.append(Group(finding, [one, *blind]))
        gap = Dot(
            "difference",
            row["over_mean_place"],
            row["over_low"],
            row["over_high"],
            cams.style,
            cams.name,
        )
        held = not pd.isna(gap.value)
        over.append(Group(finding, [gap] if held else [], "" if held else UNDEFINED))
    title = f"How often maps of {cams.name} peak in a reader's box"
    drawn = dots(hits, "share of cases", title, least=0.0)
    blind_words = ", ".join(BLIND.values())
    caption = f"Coloured: how often the map's peak lies in a reader's box, with its 95 % interval. Grey below it, from above: {blind_words}, which never look. {_above(cams)}"
    title = f"Peaks in boxes less those of the mean place, {cams.name}"
    gaps = dots(over, "share of cases, maps less mean place", title, 0.0)
    gap_caption = f"The same cases, maps less mean place, with 95 % intervals: right of the dotted line the maps find what their mean place does not. {by_finding(cams)}"
    return [
        Figure(slug(f"pointing {cams.name}"), drawn, caption),
        Figure(slug(f"pointing over mean place {cams.name}"), gaps, gap_caption),
    ]


def _above(cams: Cams) -> str:
    """How many judged findings' maps hit more often than the best fixed place."""
    rows = [cams.points(finding) for finding in FINDINGS]
    held = [row for row in rows if row["patients"] >= FEW_PATIENTS]
    if not held:
        return "No finding is on enough patients to be drawn by itself."
    more = sum(row["pointing"] > row["best_place"] for row in held)
    return f"For {more} of {plural(len(held), 'finding')} the maps hit more often than the best fixed place, which was chosen on these very boxes."


def table(cams: Cams) -> Table:
    """The pointing game by finding; without rows where no test film has a box."""
    rows = []
    for finding in (*FINDINGS, ALL):
        row = cams.points(finding)
        if row["films"]:
            counts = [f"{int(row[name]):,}" for name in ("films", "patients", "boxes", "hits")]
            withheld = row["patients"] < FEW_PATIENTS
            cells = [few(row["patients"])] if withheld else [shares(row, "pointing")]
            cells += [share(row[name]) for name in BLIND]
            cells += [NONE, NONE] if withheld else [points(row), verdict(row)]
            rows.append([finding, *counts, *cells])
    header = ["finding", "cases", "patients", "boxes", "hits", "maps"]
    header += [*BLIND.values(), "maps less mean place, points", "beyond chance"]
    return Table(header, rows, sums=(ALL,))


def compared(every: Sequence[Cams]) -> dict[str, Any] | None:
    """Experiments and methods side by side on all boxed test films; None on few patients."""
    held = [(cams, method, cams.points(method=method)) for cams in every for method in cams.methods]
    held = [one for one in held if one[2]["patients"] >= FEW_PATIENTS]
    if not held:
        return None
    judged = [(cams, method, row, verdict(row)) for cams, method, row in held]
    return {
        "sentence": _comparison(judged),
        "figure": _comparison_figure(every, held),
        "table": _comparison_table(judged),
    }


Judged = tuple[Cams, str, Row, str]


def _comparison(judged: Sequence[Judged]) -> str:
    told = [one for one in judged if one[3] in (BETTER, ALIKE, WORSE)]
    if not told:
        return "No method can be judged, for want of intervals."
    highest = max(row["pointing"] for _, _, row, _ in told)
    top = [one for one in told if one[2]["pointing"] == highest]
    names = "; ".join(
        f"{NAMES[method]} of {cams.name}, {shares(row, 'pointing')}" for cams, method, row, _ in top
    )
    if len(told) == 1:
        words = {
            BETTER: "more often than the mean place, beyond chance",
            WORSE: "less often than the mean place, beyond chance",
            ALIKE: "not told apart from the mean place",
        }
        return f"One method can be judged: {names}, {words[told[0][3]]}."
    better = sum(judged == BETTER for *_, judged in told)
    return (
        f"{better or 'None'} of {len(told)} pairs of an experiment and a method {'points' if better == 1 else 'point'} "
        f"at boxes more often than the mean place, beyond chance. The highest share {'has' if len(top) == 1 else 'have'} "
        f"{names}. The highest of several is flattered by being the highest."
    )  # fmt: skip


def _comparison_figure(every: Sequence[Cams], held: Sequence[tuple[Cams, str, Row]]) -> Figure:
    groups = []
    for cams in every:
        of = [(method, row) for owner, method, row in held if owner is cams]
        alone = len(of) == 1
        if not alone:
            groups.append(Group(cams.name, [], experiment=cams.name))
        for method, row in of:
            dot = Dot(f"{cams.name}, {NAMES[method]}", row["pointing"], row["low"], row["high"], cams.style, cams.name)  # fmt: skip
            groups.append(
                Group(
                    f"{cams.name}, {NAMES[method]}" if alone else NAMES[method],
                    [dot],
                    experiment=cams.name,
                )
            )
    places = {
        round(float(row["mean_place"]), 6) for _, _, row in held if not pd.isna(row["mean_place"])
    }
    guide = places.pop() if len(places) == 1 else None
    line = (
        f" The dotted line is the mean place of each finding, {share(guide)}."
        if guide is not None
        else ""
    )
    title = "How often the peak lies in a reader's box, by experiment and method"
    drawn = dots(groups, "share of cases", title, guide, 0.0)
    caption = f"How often the peak of a map lies in a reader's box, all findings together, with 95 % intervals.{line}"
    return Figure("pointing-by-method", drawn, caption)  # fmt: skip


def _comparison_table(judged: Sequence[Judged]) -> Table:
    rows = []
    for cams, method, row, said in judged:
        cells = [cams.name, NAMES[method], shares(row, "pointing"), points(row), said]
        for measure, threshold in (("IoU", 0.1), ("IoBB", 0.25)):
            found = cams.overlaps(ALL, measure, method)
            at = found[np.isclose(found["threshold"], threshold)]
            cells.append(NONE if at.empty else shares(at.iloc[0], "accuracy"))
        rows.append(cells)
    header = ["experiment", "method", "peak in a box", "less mean place, points", "beyond chance"]
    return Table(
        [*header, "boxes found, IoU over 0.1", "boxes found, IoBB over 0.25"], rows, (0, 1)
    )
