"""What looking is worth: experiments against the model that never looks, and against each other."""

from typing import Any

from ribcage.findings import FINDINGS
from ribcage.report.cells import (
    NONE,
    TOO_FEW,
    VIEWS,
    change,
    few,
    is_sure,
    span,
    tells,
    why_not,
    withheld,
)
from ribcage.report.dots import Group, dots
from ribcage.report.figures import Figure
from ribcage.report.outcome import Experiment, best_of, can_tell, looking, tested
from ribcage.report.results import dot_of
from ribcage.report.sections import Table
from ribcage.words import plural

Pair = dict[str, Any]


def section(
    experiments: list[Experiment], comparison: dict[str, Any], baseline: dict[str, Any]
) -> dict[str, Any]:
    """Paired differences with intervals: both sides scored the same films, drawn together.

    Args:
        experiments: in the order of params.yaml.
        comparison: comparison.json: `pairs` and `against_baseline`.
        baseline: scores of score_metadata_baseline on the test films.
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    blind = comparison["against_baseline"]
    own = blind.get(best["name"], {})
    pairs = comparison["pairs"]
    return {
        "sentence": _sentence(best, own, baseline),
        "figures": [_macro(experiments, blind), _by_finding(best, own)] if own else [],
        "views": _views(experiments, pairs),
        "pairs_sentence": _pairs_sentence(pairs),
        "pairs": Table(
            ["one", "other", "they differ in", "macro AUROC: one less other", "one is better in", "macro average precision: one less other"],
            [_pair(pair, {e["name"] for e in experiments}) for pair in pairs],
            text=(0, 1, 2),
        ),
        "findings": [_findings(pair) for pair in pairs],
    }  # fmt: skip


def _sentence(best: Experiment, own: dict[str, Any], baseline: dict[str, Any]) -> str:
    row = own.get("macro")
    if row is None or row["value"] is None:
        return "No experiment could be compared with the model that never looks at the film."
    blind = span(baseline["macro"]["auroc"])
    return (
        f"Who knows only view, age, sex and follow-up number reaches a macro AUROC of {blind}. "
        f"{looking(best, own)}"
    )


def _macro(experiments: list[Experiment], blind: dict[str, Any]) -> Figure:
    groups, clear, judged = [], 0, 0
    for experiment in experiments:
        rows = blind.get(experiment["name"], {})
        row = rows.get("macro")
        if row is None or row["value"] is None:
            groups.append(Group(experiment["name"], [], "undefined", experiment["name"]))
            continue
        if not tells(rows):
            groups.append(Group(experiment["name"], [], "too few patients", experiment["name"]))
            continue
        judged += 1
        clear += is_sure(row) and row["value"] > 0
        name = experiment["name"]
        dot = dot_of(name, row, experiment["style"], name)
        groups.append(Group(name, [dot], experiment=name))
    caption = (
        "Macro AUROC of each experiment less that of the model that never looks, with the 95 % interval of the difference. "
        "Right of the dotted line looking helps"
        + (
            f": for {clear} of {plural(judged, 'experiment')} beyond doubt of chance."
            if judged
            else f"; there are {TOO_FEW}."
        )
    )
    title = "Macro AUROC of each experiment less that of the model that never looks"
    drawn = dots(groups, "difference of macro AUROC", title, 0)
    return Figure("worth-of-looking", drawn, caption)


def _by_finding(best: Experiment, own: dict[str, Any]) -> Figure:
    groups, clear, judged = [], [], 0
    for finding in FINDINGS:
        row, counted = own.get(finding), tested(best)[finding]["auroc"]
        if row is None or row["value"] is None or withheld(counted):
            lost = counted if withheld(counted) else {"value": None}
            groups.append(Group(finding, [], why_not(lost)))
            continue
        judged += 1
        if is_sure(row) and row["value"] > 0:
            clear.append(finding)
        groups.append(Group(finding, [dot_of(finding, row, best["style"], best["name"])]))
    caption = f"The same by finding, for {best['name']}: right of the dotted line it knows more than view, age and sex tell."
    if judged:
        caption += (
            f" It does, beyond doubt of chance, for {len(clear)} of {plural(judged, 'finding')}."
        )
    title = f"AUROC of {best['name']} less that of the model that never looks, by finding"
    drawn = dots(groups, "difference of AUROC", title, 0)
    return Figure("worth-of-looking-by-finding", drawn, caption)


def _views(experiments: list[Experiment], pairs: list[Pair]) -> dict[str, Any]:
    """What the lungs, and what lies beside them, are worth: pairs that differ in the view alone."""
    view = {e["name"]: e["settings"]["view"] for e in experiments}
    alone = [pair for pair in pairs if pair["differs"] == ["view"]]
    rows = [
        [view[p["one"]], view[p["other"]], p["one"], p["other"], change(p["auroc"]["macro"])]
        for p in alone
        if p["one"] in view and p["other"] in view
    ]
    header = ["one sees", "other sees", "one", "other", "macro AUROC: one less other"]
    blank = [e for e in experiments if e["settings"]["view"] == "no_lungs"]
    meanings = "; ".join(f"“{name}” is {words}" for name, words in VIEWS.items())
    sentence = (
        f"What a network is shown: {meanings}. What it scores without lungs it has from elsewhere. "
    )
    if blank and not can_tell(tested(blank[0])):
        sentence += f"For {blank[0]['name']} there are {TOO_FEW}. "
    elif blank:
        macro = tested(blank[0])["macro"]["auroc"]
        sentence += f"Without lungs {blank[0]['name']} still reaches a macro AUROC of {span(macro)}, where 0.5 is chance. "
    if not rows:
        sentence += "No two experiments of this run differ in the view alone, so that what the lungs are worth is not known; add two to see it."
    return {"sentence": sentence, "table": Table(header, rows, text=(0, 1, 2, 3))}


def _pairs_sentence(pairs: list[Pair]) -> str:
    if not pairs:
        return "There are no two experiments to compare."
    judged = [pair for pair in pairs if tells(pair["auroc"])]
    if not judged:
        return f"Two experiments are compared on the same films; there are {TOO_FEW} whether they differ."
    sure = [pair for pair in judged if is_sure(pair["auroc"]["macro"])]
    return (
        "Two experiments are compared on the same films, with the same patients drawn for both: what is hard for both cancels, and the interval of the difference is "
        f"narrower than those of the two values. Of {plural(len(judged), 'pair')}, {len(sure)} {'differs' if len(sure) == 1 else 'differ'} in macro AUROC by more than chance may."
    )


def _pair(pair: Pair, trained: set[str]) -> list[str]:
    area, precision = pair["auroc"]["macro"], pair["ap"]["macro"]
    share = area.get("better_share")
    here = {pair["one"], pair["other"]} <= trained
    return [
        pair["one"],
        pair["other"],
        ", ".join(pair["differs"]) or ("nothing" if here else "unknown: imported"),
        change(area),
        NONE if share is None else f"{100 * share:.0f} % of the draws",
        change(precision),
    ]


def _findings(pair: Pair) -> dict[str, Any]:
    rows = [
        [name, *(_cell(pair[metric].get(name), name) for metric in ("auroc", "ap"))]
        for name in (*FINDINGS, "macro")
    ]
    header = ["finding", "AUROC: difference", "average precision: difference"]
    title = f"{pair['one']} less {pair['other']}, by finding"
    return {"title": title, "table": Table(header, rows, sums=("macro",))}


def _cell(row: Pair | None, name: str) -> str:
    if row is not None and row["value"] is not None and name in FINDINGS and withheld(row):
        return few(row["patients"])
    return change(row)
