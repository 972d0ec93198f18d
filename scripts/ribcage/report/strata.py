"""What the section on strata says: for whom a network works better or worse."""

from typing import Any

import numpy as np

from ribcage.findings import FINDINGS
from ribcage.report.cells import (
    NONE,
    VARIABLES,
    change,
    is_sure,
    scored,
    signed,
    span,
    why_not,
    withheld,
)
from ribcage.report.dots import Dot, Group, dots
from ribcage.report.figures import Drawing, Figure
from ribcage.report.groups import HOW, Row, gap_of, gaps, judged, named, rows_of, shown, titled
from ribcage.report.outcome import Experiment, best_of, tested, two_splits
from ribcage.report.results import dot_of
from ribcage.report.sections import Table
from ribcage.words import plural

MOST_GAPS = 15
"""Rows of the list of gaps by finding."""
CHANCE = 0.05
"""The share of 95 % intervals that leave out zero where there is no gap."""


def section(experiments: list[Experiment]) -> dict[str, Any]:
    """Scores by group of films, gaps with intervals, missed findings, and the two splits.

    Args:
        experiments: each with its `strata`, a DataFrame [variable, group, films, class, metric,
            value, low, high, gap, gap_low, gap_high, positives, negatives, patients].
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    areas = {e["name"]: rows_of(e["strata"], "auroc") for e in experiments}
    misses = {e["name"]: rows_of(e["strata"], "miss_rate") for e in experiments}
    own, missed = areas[best["name"]], misses[best["name"]]
    figures = []
    if own:
        chart = _chart(experiments, areas, "gap", "AUROC of the group less that of the others", 0)
        figures.append(Figure("gaps-by-group", chart, _gap_caption(own, best["name"])))
    if missed:
        chart = _chart(experiments, misses, "value", "share of findings missed", _overall(best))
        figures.append(Figure("missed-by-group", chart, _miss_caption(missed, best)))
    found = _gaps(own)
    return {
        "name": best["name"],
        "sentence": _sentence(own, best["name"]),
        "how": " ".join(HOW) if own else "",
        "device": ""
        if any(row["variable"] == "device" for row in own)
        else "The source has no list of devices such as drains and pacemakers, so that films with and without are not told apart.",
        "legend": [{"name": e["name"], "style": e["style"]} for e in experiments],
        "figures": figures,
        "macro": _macro(own, missed),
        "gaps": found,
        "groups": _groups(own),
        "matched": _matched(best),
        "splits": _splits(best),
    }


def _of(rows: list[Row], variable: str, group: str, name: str) -> Row | None:
    for row in rows:
        if (row["variable"], str(row["group"]), row["class"]) == (variable, group, name):
            return row
    return None


def _order(rows: list[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["variable"], str(row["group"])) for row in rows))


def _chart(
    experiments: list[Experiment],
    by_name: dict[str, list[Row]],
    what: str,
    label: str,
    guide: float | None,
) -> Drawing:
    groups: list[Group] = []
    heading = ""
    for variable, group in _order(by_name[experiments[0]["name"]]):
        if variable != heading:
            heading = variable
            groups.append(Group(titled(variable), []))
        groups.append(_row_of(experiments, by_name, variable, group, what))
    return dots(groups, label, f"{label}, by group", guide)


def _overall(best: Experiment) -> float | None:
    """The share of labels missed on all test films, where the threshold of the groups is fitted."""
    found = tested(best)["macro"]["at"].get("specificity")
    if found is None or found["sensitivity"]["value"] is None:
        return None
    return 1 - float(found["sensitivity"]["value"])


def _row_of(
    experiments: list[Experiment],
    by_name: dict[str, list[Row]],
    variable: str,
    group: str,
    what: str,
) -> Group:
    found: list[Dot] = []
    why = "not scored"
    for experiment in experiments:
        rows = by_name[experiment["name"]]
        row = _of(rows, variable, group, "macro")
        if row is None:
            continue
        drawn = gap_of(row) if what == "gap" else row
        if withheld(row):
            why = why_not(row)
        elif _of(judged(rows), variable, group, "macro") is None:
            why = "too few patients with each finding"
        elif drawn["value"] is None:
            why = "undefined"
        else:
            name = experiment["name"]
            found.append(dot_of(f"{name}, {group}", drawn, experiment["style"], name))
    return Group(group, found, "" if found else why)


def _sentence(rows: list[Row], name: str) -> str:
    groups = [row for row in judged(rows) if row["class"] == "macro"]
    macro = [row for row in gaps(rows) if row["class"] == "macro"]
    if not macro:
        return "No group of films has enough patients to be held against the others."
    sure = [row for row in macro if is_sure(gap_of(row))]
    start = (
        f"{name} was scored on {plural(len(groups), 'group')} of test films, each against the others. "
        f"That makes {plural(len(macro), 'gap')}: between two groups that make up all films there is one alone."
    )
    if not sure:
        return f"{start} None is larger than chance may make it."
    large = max(sure, key=lambda row: abs(row["gap"]))
    return (
        f"{start} The largest sure gap is at {named(large)}: macro AUROC {span(large)}, "
        f"{change(gap_of(large))} against the others. {plural(len(sure), 'gap')} of {len(macro)} "
        f"{'is' if len(sure) == 1 else 'are'} larger than chance; chance alone would make about {CHANCE * len(macro):.1f} seem so."
    )


def _gap_caption(rows: list[Row], name: str) -> str:
    start = "Gap of the macro AUROC: each group of films less the others, with its 95 % interval. On the dotted line there is no gap; at its left the group fares worse."
    macro = [row for row in gaps(rows) if row["class"] == "macro"]
    if not macro:
        return f"{start} All groups are too small."
    low = min(macro, key=lambda row: row["gap"])
    if is_sure(gap_of(low)):
        return f"{start} {name} fares worst at {named(low)}: {change(gap_of(low))}."
    return f"{start} The lowest is {named(low)}: {change(gap_of(low))}{_no_more([low])}."


def _miss_caption(rows: list[Row], best: Experiment) -> str:
    specificity = 100 * best["metrics"]["settings"]["specificity"]
    start = (
        f"Underdiagnosis: of the labels in a group, the share that is missed at {specificity:g} % specificity on validation, the mean of the findings. "
        f"To the left is good, and groups should not differ; the dotted line is {best['name']} on all test films."
    )
    macro = [row for row in judged(rows) if row["class"] == "macro"]
    if not macro:
        return f"{start} All groups are too small."
    most, least = (take(macro, key=lambda row: row["value"]) for take in (max, min))
    if any(is_sure(gap_of(row)) for row in macro):
        return f"{start} Most are missed at {named(most)}, {span(most)}; fewest at {named(least)}, {span(least)}."
    return (
        f"{start} The highest share is at {named(most)}, {span(most)}, the lowest at {named(least)}, "
        f"{span(least)}{_no_more(macro)}."
    )


def _no_more(rows: list[Row]) -> str:
    """Said where no gap is sure, if their intervals are known."""
    return ", no more than chance may do" if any(row["gap_low"] is not None for row in rows) else ""


def _macro(areas: list[Row], misses: list[Row]) -> Table:
    rows = []
    for variable, group in _order(areas):
        row = _of(areas, variable, group, "macro")
        missed = _of(misses, variable, group, "macro")
        if row is not None:
            cells = [titled(variable), group]
            cells += [f"{row[name]:,.0f}" for name in ("films", "patients")]
            for one in (row, missed) if misses else (row,):
                cells += [NONE, NONE] if one is None else [shown(one), shown(one, "gap")]
            rows.append(cells)
    header = ["of", "group", "films", "patients with a finding", "macro AUROC", "against the others"]  # fmt: skip
    header += ["share missed", "against the others"] if misses else []
    return Table(header, rows, text=(0, 1))


def _gaps(rows: list[Row]) -> dict[str, Any]:
    found = [row for row in gaps(rows) if row["class"] in FINDINGS]
    if not found:
        return {
            "sentence": "No finding is on enough patients in a group and in the others to be judged there.",
            "table": Table([], []),
        }
    sure = sorted((r for r in found if is_sure(gap_of(r))), key=lambda r: -abs(r["gap"]))
    table = [
        [row["class"], named(row), f"{row['positives']:,.0f}", f"{row['patients']:,.0f}", span(row), change(gap_of(row))]
        for row in sure[:MOST_GAPS]
    ]  # fmt: skip
    header = ["finding", "group", "positives", "patients", "AUROC", "against the others"]
    most = f"; the {MOST_GAPS} largest are shown" if len(sure) > MOST_GAPS else ""
    return {
        "sentence": f"Of {plural(len(found), 'gap')} of a finding between a group and the others, {len(sure):,} {'is' if len(sure) == 1 else 'are'} larger than chance{most}. "
        f"Chance alone would make about {CHANCE * len(found):.0f} seem so: take a single one as a question, not as an answer.",
        "table": Table(header, table, text=(0, 1)),
    }


def _groups(rows: list[Row]) -> list[dict[str, Any]]:
    """A table a variable: the AUROC of each finding in each group."""
    tables = []
    for variable in dict.fromkeys(row["variable"] for row in rows):
        own = [row for row in rows if row["variable"] == variable]
        groups = list(dict.fromkeys(str(row["group"]) for row in own))
        cells = []
        for name in (*FINDINGS, "macro"):
            found = [_of(own, variable, group, name) for group in groups]
            cells.append([name, *(NONE if r is None else shown(r) for r in found)])
        table = Table(["finding", *groups], cells, sums=("macro",))
        tables.append({"title": VARIABLES.get(variable, variable), "table": table})
    return tables


def _matched(best: Experiment) -> dict[str, Any]:
    scores = tested(best)
    matched = scores["view_matched"]
    rows, drops = [], {}
    for name in (*FINDINGS, "macro"):
        whole, within = scores[name]["auroc"], matched[name]
        told = None not in (whole["value"], within["value"])
        lacking = name in FINDINGS and withheld(whole)
        if told and not lacking and name in FINDINGS:
            drops[name] = whole["value"] - within["value"]
        less = signed(within["value"] - whole["value"]) if told and not lacking else NONE
        rows.append([name, scored(whole, name), scored(within, name), less])
    header = ["finding", "AUROC, all films", "pairs of the same view only", "difference"]
    text = (
        "The very ill are filmed in bed (AP), the others standing (PA), so that a network which only tells the view already ranks some findings. "
        "Here a film with the finding is compared with those without it of the same view alone: what is left is not the view. "
    )
    if drops:
        most = max(drops, key=lambda finding: drops[finding])
        mean = np.mean(list(drops.values()))
        text += f"For {best['name']} the AUROC changes by {signed(-mean)} on average; it falls most for {most} ({signed(-drops[most])})."
    return {"sentence": text, "table": Table(header, rows, sums=("macro",))}


def _splits(best: Experiment) -> dict[str, Any]:
    mix = best["metrics"]["case_mix"] or {"findings": 0, "covariates": []}
    found = two_splits(best)
    if not mix["findings"]:
        return {"sentence": found["sentence"], "how": "", "tables": []}
    rows = [
        [name, change(row) if name.startswith(("gap", "of that")) else span(row)]
        for name, row in found["rows"].items()
    ]
    means = [
        [c["covariate"], *(_mean(c[side]) for side in ("val", "val_as_test", "test"))]
        for c in mix["covariates"]
    ]
    return {
        "sentence": found["sentence"],
        "how": f"Over {plural(mix['findings'], 'finding')} with enough patients on both sides. “Weighted to the test's mix” counts those validation films "
        f"more that are like the test's; so weighted, the {plural(mix['films'], 'film')} are worth {mix['effective_films']:,.0f}. The second table says how alike the sides then are (means).",
        "tables": [
            Table(["macro AUROC", best["name"]], rows),
            Table(["of the films", "validation", "validation, weighted", "test"], means),
        ],
    }


def _mean(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
