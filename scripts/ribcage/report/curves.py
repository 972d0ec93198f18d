"""ROC, precision-recall and reliability curves with their bands, for groups of models."""

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ribcage.findings import FINDINGS
from ribcage.report.cells import scored, span, withheld
from ribcage.report.charts import Band, Line, chart
from ribcage.report.outcome import Experiment, tested

DIAGONAL = np.array([0.0, 1.0])
BAND_POINTS, SMALL_POINTS = 80, 60
"""So many points of a band, and of a small picture's line: more are not to be seen."""
FULL = 0.9
"""A reliability curve that reaches so far is drawn on whole axes."""
AXES = {
    "roc": ("1 - specificity", "sensitivity"),
    "pr": ("recall (sensitivity)", "precision (PPV)"),
    "reliability": ("probability given, mean of the bin", "share with the label"),
}
NAMES = {"roc": "ROC", "pr": "Precision and recall", "reliability": "Reliability"}


def figures(group: list[Experiment]) -> list[dict[str, Any]]:
    """ROC, precision-recall and reliability side by side: macro with its band, micro dashed.

    Only macro has bands: those of several experiments and both means would hide each other.

    Args:
        group: experiments, or imports, that share a picture.
    """
    return [
        {
            "chart": _drawn(group, kind, ("micro", "macro") if kind != "reliability" else ("micro",)),
            "caption": _caption(group, kind),
        }
        for kind in AXES
    ]  # fmt: skip


def small(group: list[Experiment], kind: str) -> list[dict[str, Any]]:
    """A small picture of each finding that enough patients have, with bands.

    Args:
        group: experiments that share each picture; one whose score is withheld is not drawn.
        kind: roc, pr or reliability.
    """
    metric = {"roc": "auroc", "pr": "ap", "reliability": "ece"}[kind]
    shown = []
    for finding in FINDINGS:
        rows = [tested(e)[finding][metric] for e in group]
        enough = [e for e, row in zip(group, rows, strict=True) if not withheld(row)]
        if enough:
            said = "; ".join(scored(row, finding) for row in rows)
            chart_of = _drawn(enough, kind, (finding,))
            shown.append({"chart": chart_of, "caption": f"{finding}: {said}"})
    return shown


def _drawn(group: list[Experiment], kind: str, classes: tuple[str, ...]) -> Markup:
    lines, bands = [], []
    tiny = classes[-1] in FINDINGS
    for experiment in group:
        for name in classes:
            part = points(experiment["curves"], kind, name)
            x, y = _sparse(part, SMALL_POINTS if tiny else len(part))[["x", "y"]].to_numpy(float).T
            style = f"{experiment['style']}{' dashed' if name == 'micro' and kind != 'reliability' else ''}"
            lines.append(
                Line(f"{experiment['name']}: {name}", x, y, style, dotted=kind == "reliability")
            )
            along, low, high = _sparse(part, BAND_POINTS)[["x", "low", "high"]].to_numpy(float).T
            if name != "micro" or kind == "reliability":
                bands.append(Band(along, low, high, experiment["style"]))
    top = _reach(lines, bands) if kind == "reliability" else 1.0
    ends = (0.0, top)
    guide = Line("guessing", DIAGONAL * top, _guide(group, kind, classes[-1]) * top, "guide")
    lines.insert(0, guide)
    title = f"{NAMES[kind]} of {', '.join(e['name'] for e in group)}: {', '.join(classes)}"
    return chart(lines, *AXES[kind], title, ends, ends, bands)


def _reach(lines: list[Line], bands: list[Band]) -> float:
    """The end of both axes of a reliability curve: rare findings have small probabilities alone."""
    held = [v for line in lines for v in (line.x, line.y)] + [band.high for band in bands]
    top = max((float(v[np.isfinite(v)].max(initial=0)) for v in held), default=0) * 1.05
    return top if 0 < top < FULL else 1.0


def _guide(group: list[Experiment], kind: str, name: str) -> np.ndarray:
    if kind != "pr":
        return DIAGONAL
    share = tested(group[0])[name]["ap"]["prevalence"]
    return np.full(2, np.nan if share is None else share)


def points(curves: pd.DataFrame, kind: str, name: str) -> pd.DataFrame:
    """The points of one curve on the test films: x, y, low, high."""
    chosen = (curves["split"] == "test") & (curves["curve"] == kind) & (curves["class"] == name)
    return curves.loc[chosen, ["x", "y", "low", "high"]]


def _sparse(part: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(part) <= most:
        return part
    return part.iloc[np.linspace(0, len(part) - 1, most).round().astype(int)]


def _caption(group: list[Experiment], kind: str) -> str:
    metric, name = {"roc": ("auroc", "macro"), "pr": ("ap", "macro"), "reliability": ("ece", "micro")}[kind]  # fmt: skip
    parts = [f"{e['name']} {span(tested(e)[name][metric])}" for e in group]
    held = "; ".join(parts)
    if kind == "roc":
        return (
            "ROC: the share of films with a finding that is found (up) against the share of false "
            "alarms (right), at every threshold. Near the top left corner is good, the dotted line is "
            f"guessing. Solid: the mean of the findings with its 95 % band; dashed: all findings together, without one. Macro AUROC: {held}."
        )
    if kind == "pr":
        return (
            "Precision and recall: how many of the called films have the label (up), against how many of "
            "those with it are called (right). High is good, the dotted line is guessing. Solid: the mean of the findings with its 95 % band; "
            f"dashed: all findings together, without one. Macro average precision: {held}."
        )
    return (
        "Reliability, all findings together: of films given a probability (right), the share that has the label "
        "(up), with its 95 % band. On the dotted line a probability means what it says; under it, it promises too much. "
        f"Each dot holds equally many pairs of a film and a finding. Calibration error: {held}."
    )
