"""What the section on calibration says: whether a probability means what it says."""

from collections.abc import Sequence
from typing import Any

from ribcage.findings import FINDINGS
from ribcage.report import curves
from ribcage.report.cells import TOO_FEW, corrected, mean, number, scored, span
from ribcage.report.dots import Group, dots
from ribcage.report.figures import Figure
from ribcage.report.outcome import Experiment, Import, best_of, can_tell, tested
from ribcage.report.results import dot_of
from ribcage.report.sections import Table

METRICS = {
    "calibration error (ECE)": "ece",
    "after temperature": "ece_temperature",
    "after prior correction": "ece_prior",
    "Brier score": "brier",
    "Brier, temperature": "brier_temperature",
    "Brier, prior": "brier_prior",
}
NEAR = 1.5
"""Up to so many times what chance alone shows, a calibration error says nothing."""


HOW = (
    "Two corrections are fitted on the validation films, each one number a finding. Temperature divides the logit: "
    "it makes all probabilities bolder or meeker. Prior correction adds to the logit: it moves all of them up or down, which "
    "is what a weighted loss asks for. Neither changes the ranking."
)
UNFITTED = "No correction could be fitted, for want of validation films with and without a finding: the probabilities are shown as they are."


def section(experiments: list[Experiment], imports: Sequence[Import] = ()) -> dict[str, Any]:
    """Calibration errors before and after two corrections that were fitted on validation.

    Args:
        experiments: in the order of params.yaml.
        imports: predictions from elsewhere.
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    judged = [*experiments, *imports]
    shown = _shown(judged)
    rows = [[e["name"], *_cells(e, shown)] for e in judged]
    figures = curves.small(judged, "reliability", [best])
    return {
        "name": best["name"],
        "sentence": _sentence(best),
        "how": HOW if len(shown) == len(METRICS) else UNFITTED,
        "table": Table(["experiment, mean of the findings", *shown], rows),
        "figure": _figure(judged, shown),
        "findings": _findings(best),
        "small": {
            "title": f"Reliability of each finding: {best['name']}",
            "sentence": "One picture a finding, with 95 % bands; the value is the calibration error. On the dotted line a probability means what it says.",
            "figures": figures,
        },
    }


def _sentence(best: Experiment) -> str:
    row = tested(best)["macro"]["ece"]
    if row["value"] is None:
        return f"The calibration of {best['name']} is undefined."
    start = (
        f"A probability of 0.30 should mean that 30 of 100 such films have the label. Those of {best['name']} are off by "
        f"{span(row)} on average, the mean of the findings"
    )
    expected = row.get("expected")
    if expected is None:
        return f"{start}."
    if not can_tell(tested(best)):
        return f"{start}; there are {TOO_FEW} whether that is more than chance."
    verdict = (
        f"and this is less than {NEAR:g} times that, so no miscalibration is claimed"
        if row["value"] < NEAR * expected
        else f"and this is at least {NEAR:g} times that, so this is more"
    )
    return f"{start}; probabilities without fault would show {expected:.3f} by chance, {verdict}."


def _shown(judged: Sequence[Experiment | Import]) -> dict[str, str]:
    """The metrics that anybody has: without validation films, nobody has corrected ones."""
    return {
        said: metric
        for said, metric in METRICS.items()
        if metric in ("ece", "brier")
        or any(tested(e)["macro"][metric]["value"] is not None for e in judged)
    }


def _cells(one: Experiment | Import, shown: dict[str, str]) -> list[str]:
    macro = tested(one)["macro"]
    plain = macro["ece"]
    return [
        mean(macro[metric], plain["findings"])
        if metric in ("ece", "brier")
        else corrected(macro[metric], plain, "macro")
        for metric in shown.values()
    ]


def _figure(judged: Sequence[Experiment | Import], shown: dict[str, str]) -> Figure:
    groups = []
    drawn = {said: metric for said, metric in shown.items() if metric.startswith("ece")}
    for one in judged:
        found = []
        for said, metric in drawn.items():
            row = tested(one)["macro"][metric]
            style = one["style"] if metric == "ece" else "plain"
            # A mean over fewer findings does not compare with the one above it.
            same = row["findings"] == tested(one)["macro"]["ece"]["findings"]
            if same and row["value"] is not None:
                found.append(dot_of(f"{one['name']}, {said}", row, style, one["name"]))
        groups.append(Group(one["name"], found, "" if found else "undefined", one["name"]))
    caption = "Calibration error of each experiment, the mean of the findings, with its 95 % interval; near 0 is good."
    if len(drawn) > 1:
        caption += (
            " Coloured: as it is. Grey under it: after temperature, then after prior correction, where "
            "they could be fitted for the same findings."
        )
    title = "Calibration error of each experiment"
    chart = dots(groups, "calibration error (ECE)", title, 0, 0)
    return Figure("calibration-error", chart, caption)


def _findings(best: Experiment) -> Table:
    fitted = (best["metrics"]["fitted"] or {}).get("calibration", {})
    rows = []
    for name in (*FINDINGS, "macro", "micro"):
        scores, found = tested(best)[name], fitted.get(name, {})
        row = [name, scored(scores["ece"], name), number(scores["ece"].get("expected"))]
        if fitted:
            row += [number(found.get(k), 2) for k in ("temperature", "offset")]
            row += [
                corrected(scores[m], scores["ece"], name) for m in ("ece_temperature", "ece_prior")
            ]
        rows.append([*row, scored(scores["brier"], name)])
    header = ["finding", "calibration error", "by chance alone"]
    if fitted:
        header += ["temperature", "offset (logits)", "error after temperature", "error after prior correction"]  # fmt: skip
    return Table([*header, "Brier score"], rows, sums=("macro", "micro"))
