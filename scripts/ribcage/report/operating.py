"""What the networks do once a threshold turns probabilities into calls."""

from collections.abc import Sequence
from typing import Any

from ribcage.findings import FINDINGS
from ribcage.report.cells import NONE, TOO_FEW, number, scored, span
from ribcage.report.outcome import Experiment, Import, can_tell, tested
from ribcage.report.sections import Table

SHORT = {"youden": "Youden", "f1": "highest F1"}
"""Of the rules by which a threshold is fitted, for the tables."""
VALIDATION = " on validation"

Judged = Sequence[Experiment | Import]


def kinds(settings: dict[str, Any]) -> dict[str, str]:
    """The four rules by which a threshold is fitted on validation, in words."""
    return {
        "youden": "most sensitivity and specificity together (Youden)",
        "f1": "the highest F1",
        "sensitivity": f"{100 * settings['sensitivity']:g} % sensitivity{VALIDATION}",
        "specificity": f"{100 * settings['specificity']:g} % specificity{VALIDATION}",
    }


def section(best: Experiment, judged: Judged) -> dict[str, Any]:
    """Sensitivity, specificity, PPV, NPV, F1 and counts at each threshold.

    Args:
        best: whose findings are shown one by one.
        judged: whose means are shown; those without fitted thresholds (imports that had no
            validation films) are left out.
    """
    scores, words = tested(best), kinds(best["metrics"]["settings"])
    tables = [
        {"title": f"{best['name']}: {words[kind]}", "table": _findings(scores, kind)}
        for kind in words
        if kind in scores["micro"]["at"]
    ]
    return {
        "sentence": _sentence(best, words),
        "tables": tables,
        "means": _means([e for e in judged if tested(e)["micro"]["at"]], words),
        "means_sentence": "The means of all experiments. Macro: the mean of the findings; micro: all "
        "cells together; weighted: the mean weighted by positives; samples: the mean over the films, "
        "of which one without findings and calls counts 0.",
    }


def _sentence(best: Experiment, words: dict[str, str]) -> str:
    if not tested(best)["micro"]["at"]:
        return (
            "There are no validation films on which a threshold could be fitted, and none is fitted on "
            "the films that judge it: nothing is called."
        )
    start = (
        "A threshold is fitted for each finding on the validation films, never on those that judge it, so that "
        "what it was fitted to comes out on test only roughly."
    )
    held = tested(best)["micro"]["at"].get("youden")
    if held is None or None in (held["ppv"]["value"], held["sensitivity"]["value"]):
        return start
    if not can_tell(tested(best)):
        return f"{start} There are {TOO_FEW} how good the calls are."
    cells = held["confusion"]
    called = cells["tp"] + cells["fp"]
    return (
        f"{start} At that of {words['youden']}, {best['name']} makes {called:,} calls, all findings together; "
        f"{cells['tp']:,} of them ({100 * held['ppv']['value']:.0f} %) agree with the label, and "
        f"{100 * held['sensitivity']['value']:.0f} % of the labels are found."
    )


def _findings(scores: dict[str, Any], kind: str) -> Table:
    metrics = ("sensitivity", "specificity", "ppv", "npv", "f1")
    rows = []
    for name in (*FINDINGS, "macro", "micro"):
        at = scores[name]["at"].get(kind)
        if at is None:
            continue
        cells = at.get("confusion") or {}
        rows.append(
            [name, number(at.get("threshold"))]
            + [scored(at[metric], name) if metric in at else NONE for metric in metrics]
            + [
                NONE if cells.get(cell) is None else f"{cells[cell]:,}"
                for cell in ("tp", "fp", "fn", "tn")
            ]
        )
    for name in ("weighted", "samples"):
        at = (scores.get(name) or {}).get("at", {}).get(kind)
        if at:
            row = [span(at["recall"]), NONE, span(at["precision"]), NONE, span(at["f1"])]
            rows.append([name, NONE, *row, *[NONE] * 4])
    header = ["finding", "threshold", "sensitivity", "specificity", "PPV", "NPV", "F1", "called, has it", "called, has not", "missed", "rightly not called"]  # fmt: skip
    return Table(header, rows, sums=("macro", "micro", "weighted", "samples"))


def _means(judged: Judged, words: dict[str, str]) -> Table:
    rows = []
    for kind in words:
        said = SHORT.get(kind, words[kind].removesuffix(VALIDATION))
        for one in judged:
            scores = tested(one)
            macro, micro = (scores[name]["at"].get(kind) for name in ("macro", "micro"))
            if macro is None or micro is None:
                continue
            means = [scores.get(n, {}).get("at", {}).get(kind, {}).get("f1") for n in ("weighted", "samples")]  # fmt: skip
            cells = [macro["sensitivity"], macro["specificity"], macro["ppv"], macro["f1"], micro["f1"], *means]  # fmt: skip
            rows.append([one["name"], said, *(NONE if c is None else span(c) for c in cells)])
    header = ["experiment", "threshold", "recall, macro", "specificity, macro", "precision, macro", "F1, macro", "F1, micro", "F1, weighted", "F1, samples"]  # fmt: skip
    return Table(header, rows, text=(0, 1))
