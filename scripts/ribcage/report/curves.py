"""ROC, precision-recall and reliability curves with their bands, for groups of models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ribcage.findings import FINDINGS
from ribcage.report.cells import scored, span, withheld
from ribcage.report.charts import Band, Line, chart
from ribcage.report.figures import Drawing, Figure, slug
from ribcage.report.hover import Point, Trail, spread
from ribcage.report.operating import kinds
from ribcage.report.outcome import Experiment, Import, tested
from ribcage.words import plural

DIAGONAL = np.array([0.0, 1.0])
BAND_POINTS, SMALL_POINTS = 80, 60
"""So many points of a band, and of a small picture's line: more are not to be seen."""
SMALL_BAND_POINTS = 40
METRICS = {"roc": "auroc", "pr": "ap", "reliability": "ece"}
AREAS = {"roc": "AUROC", "pr": "average precision", "reliability": "calibration error"}
FULL = 0.9
"""A reliability curve that reaches so far is drawn on whole axes."""
AXES = {
    "roc": ("1 - specificity", "sensitivity"),
    "pr": ("recall (sensitivity)", "precision (PPV)"),
    "reliability": ("probability given, mean of the bin", "share with the label"),
}
HOW = {
    "roc": "The share of films with a finding that is found (up) against the share of false alarms (right), at every threshold. "
    "Near the top left corner is good, the dotted line is guessing. Solid: the mean of the findings with its 95 % band; dashed: all findings together, without one.",
    "pr": "How many of the called films have the label (up), against how many of those with it are called (right). "
    "High is good, the dotted line is guessing. Solid and dashed as for ROC.",
    "reliability": "All findings together: of films given a probability (right), the share that has the label "
    "(up), with its 95 % band. On the dotted line a probability means what it says; under it, it promises too much. "
    "Each dot holds equally many pairs of a film and a finding.",
}
"""How each picture is to be read."""
NAMES = {"roc": "ROC", "pr": "Precision and recall", "reliability": "Reliability"}


def figures(group: list[Experiment], title: str) -> list[Figure]:
    """ROC, precision-recall and reliability side by side: macro with its band, micro dashed.

    Only macro has bands: those of several experiments and both means would hide each other.

    Args:
        group: experiments, or imports, that share a picture.
        title: of the group; the figures are named after it.
    """
    return [
        Figure(
            slug(f"{kind} {title}"),
            _drawn(group, kind, ("micro", "macro") if kind != "reliability" else ("micro",)),
            _caption(group, kind),
        )
        for kind in AXES
    ]  # fmt: skip


def small(
    judged: Sequence[Experiment | Import], kind: str, shown: Sequence[Experiment | Import] = ()
) -> list[Figure]:
    """A small picture of each finding that enough patients have, with bands.

    Args:
        judged: all who can be drawn; one whose score is withheld is not.
        kind: roc, pr or reliability.
        shown: those of them who are seen at first, and whose values the captions tell; the others
            wait to be chosen. All of them if empty.
    """
    first = list(shown or judged)
    # The last drawn lies on top: those who are seen at first.
    order = [*(e for e in judged if e not in first), *first]
    pictures = []
    for finding in FINDINGS:
        rows = {e["name"]: tested(e)[finding][METRICS[kind]] for e in order}
        enough = [e for e in order if not withheld(rows[e["name"]])]
        seen = [e for e in enough if e in first]
        if seen:
            said = "; ".join(scored(rows[e["name"]], finding) for e in first)
            hidden = [e for e in enough if e not in first]
            drawing = _drawn(seen, kind, (finding,), hidden)
            pictures.append(Figure(slug(f"{kind} {finding}"), drawing, f"{finding}: {said}"))
    return pictures


def _drawn(
    group: Sequence[Experiment],
    kind: str,
    classes: tuple[str, ...],
    hidden: Sequence[Experiment] = (),
) -> Drawing:
    lines, bands = [], []
    for experiment in (*hidden, *group):
        for name in classes:
            line, band = _curve(experiment, kind, name, experiment in hidden)
            lines.append(line)
            bands += [] if band is None else [band]
    seen = {e["name"] for e in group}
    lines_seen = [line for line in lines if line.experiment in seen]
    bands_seen = [band for band in bands if band.experiment in seen]
    top = _reach(lines_seen, bands_seen) if kind == "reliability" else 1.0
    ends = (0.0, top)
    guide = Line("guessing", DIAGONAL * top, _guide(group, kind, classes[-1]) * top, "guide")
    lines.insert(0, guide)
    title = f"{NAMES[kind]} of {', '.join(e['name'] for e in group)}: {', '.join(classes)}"
    return chart(lines, *AXES[kind], title, ends, ends, bands)


def _curve(one: Experiment, kind: str, name: str, hidden: bool) -> tuple[Line, Band | None]:
    """The line of one class with what it tells, and its band."""
    tiny, style = name in FINDINGS, one["style"]
    part = points(one["curves"], kind, name)
    along, low, high = _sparse(part, SMALL_BAND_POINTS if tiny else BAND_POINTS)[["x", "low", "high"]].to_numpy(float).T  # fmt: skip
    part = _sparse(part, SMALL_POINTS) if tiny else part
    scores = tested(one)[name]
    line = Line(
        f"{one['name']}: {name}",
        part["x"].to_numpy(float),
        part["y"].to_numpy(float),
        f"{style}{' dashed' if name == 'micro' and kind != 'reliability' else ''}",
        dotted=kind == "reliability",
        experiment=one["name"],
        hidden=hidden,
        note=f"{'pooled ' if name == 'micro' else ''}{AREAS[kind]} {span(scores[METRICS[kind]])}",
        trail=_trail(part, kind, scores, mean=name == "macro"),
        points=_points(one, kind, name) if tiny else (),
    )
    if name == "micro" and kind != "reliability":
        return line, None
    called = f"{line.name}, 95 % band"
    return line, Band(called, along, low, high, style, one["name"], hidden)


def _trail(part: pd.DataFrame, kind: str, scores: dict[str, Any], mean: bool) -> Trail:
    """What the points tell; a mean of findings has no threshold and no prevalence of its own.

    The page reckons the rest. On a ROC curve, of sensitivity s, 1 - specificity f and prevalence p,
    PPV = s p / (s p + f (1 - p)); on a PR curve, of recall s and PPV v,
    1 - specificity = s p (1 - v) / (v (1 - p)).
    """
    if kind == "reliability":
        return Trail(kind, films=part["films"].to_numpy(int))
    if mean:
        return Trail(kind)
    return Trail(kind, part["threshold"].to_numpy(float), scores["ap"]["prevalence"])


def _points(one: Experiment, kind: str, finding: str) -> list[Point]:
    """What a finding reaches at each fitted threshold, where the curve's axes have a place for it."""
    found: list[Point] = []
    if kind == "reliability":
        return found
    words = kinds(one["metrics"]["settings"])
    for rule, at in tested(one)[finding]["at"].items():
        told = {"threshold": at["threshold"]}
        told |= {name: at[name]["value"] for name in ("sensitivity", "specificity", "ppv")}
        sensitivity, specificity, ppv = (told[n] for n in ("sensitivity", "specificity", "ppv"))
        if kind == "roc":
            x, y = None if specificity is None else 1 - specificity, sensitivity
        else:
            x, y = sensitivity, ppv
        if x is not None and y is not None:
            name = f"{one['name']}: {finding}, threshold for {words[rule]}"
            found.append(Point(name, x, y, rule, told))
    return found


def _reach(lines: list[Line], bands: list[Band]) -> float:
    """The end of both axes of a reliability curve: rare findings have small probabilities alone."""
    held = [v for line in lines for v in (line.x, line.y)] + [band.high for band in bands]
    top = max((float(v[np.isfinite(v)].max(initial=0)) for v in held), default=0) * 1.05
    return top if 0 < top < FULL else 1.0


def _guide(group: Sequence[Experiment], kind: str, name: str) -> np.ndarray:
    if kind != "pr":
        return DIAGONAL
    share = tested(group[0])[name]["ap"]["prevalence"]
    return np.full(2, np.nan if share is None else share)


def points(curves: pd.DataFrame, kind: str, name: str) -> pd.DataFrame:
    """The points of one curve on the test films: x, y, low, high, threshold, films."""
    chosen = (curves["split"] == "test") & (curves["curve"] == kind) & (curves["class"] == name)
    return curves.loc[chosen, ["x", "y", "low", "high", "threshold", "films"]]


def _sparse(part: pd.DataFrame, most: int) -> pd.DataFrame:
    return part.iloc[spread(np.arange(len(part)), most)]


def _caption(group: list[Experiment], kind: str) -> str:
    name = "micro" if kind == "reliability" else "macro"
    rows = {e["name"]: tested(e)[name][METRICS[kind]] for e in group}
    held = "; ".join(f"{owner} {span(row)}" for owner, row in rows.items())
    if kind == "reliability":
        off = " ".join(_off_the_line(e) for e in group)
        return f"Pooled calibration error: {held}. {off}".rstrip()
    said = "Macro AUROC" if kind == "roc" else "Macro average precision"
    return f"{said}: {held}.{_apart([row for row in rows.values() if row['low'] is not None])}"


def _apart(rows: list[dict[str, Any]]) -> str:
    """Say whether the curves of several can be told apart at a glance, by their intervals."""
    if len(rows) < 2:
        return ""
    low, high = max(row["low"] for row in rows), min(row["high"] for row in rows)
    return " Their intervals overlap." if low <= high else " Not all of their intervals overlap."


def _off_the_line(one: Experiment) -> str:
    """How many dots of a reliability curve lie off the dotted line with their whole interval."""
    part = points(one["curves"], "reliability", "micro")
    part = part[np.isfinite(part["low"]) & np.isfinite(part["high"])]
    if part.empty:
        return ""
    under, over = (part["high"] < part["x"]).sum(), (part["low"] > part["x"]).sum()
    return f"{one['name']}: of {plural(len(part), 'dot')}, {under} {'lies' if under == 1 else 'lie'} under the line with the whole interval, and {over} above it."
