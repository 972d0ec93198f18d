"""What a chart tells the page's script, as attributes: whose a line is, and what its points mean.

A drawing is whole without a script; these attributes cost little and hold no word of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import numpy as np

TRAIL_POINTS = 60
"""So many points of a line tell their numbers: between two of them no pointer can choose."""


@dataclass(frozen=True)
class Trail:
    """What a reader may ask of each point of a line, written beside it for the page's script.

    Attributes:
        curve: roc, pr or reliability, which says what x and y are.
        thresholds: float [n], the score of each point; inf where nothing is called. None for a
            curve of several scores.
        prevalence: among the films, in [0, 1], from which PPV and specificity follow; None if
            unknown.
        films: int [n], how many stand behind each point, or None.
    """

    curve: str
    thresholds: np.ndarray | None = None
    prevalence: float | None = None
    films: np.ndarray | None = None


@dataclass(frozen=True)
class Point:
    """A mark on a line: what it reaches at one threshold.

    Attributes:
        name: for the hover text.
        x, y: where it is.
        kind: the rule by which the threshold was fitted.
        values: what is told of it, by name; None where undefined.
    """

    name: str
    x: float
    y: float
    kind: str
    values: Mapping[str, float | None]


def owned(experiment: str) -> str:
    """The attribute that names whose an element is; nothing for what is nobody's.

    Args:
        experiment: its name, escaped here.
    """
    return f" data-experiment={quoteattr(experiment)}" if experiment else ""


def frame(box: tuple[float, float, float, float], ends: tuple[float, float, float, float]) -> str:
    """Where a chart's axes lie and what they span, so that a pointer's place is a value.

    Args:
        box: left, top, right and bottom of the axes in the chart's units.
        ends: least and most x, least and most y.
    """
    held = {"frame": box, "axes": ends}
    return "".join(
        f' data-{name}="{" ".join(f"{v:.6g}" for v in four)}"' for name, four in held.items()
    )


def told(trail: Trail, x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> str:
    """A trail as attributes: data-curve, -x, -y, -t (thresholds), -n (films), -prevalence.

    Args:
        trail: of a line.
        x: float [n], of the line's points.
        y: float [n], likewise.
        drawn: int [m], which of them are; at most `TRAIL_POINTS` of these are told.
    """
    at = spread(drawn, TRAIL_POINTS)
    held = {"x": x, "y": y, "t": trail.thresholds}
    parts = [f' data-curve="{trail.curve}"']
    for name, each in held.items():
        if each is not None:
            parts.append(f' data-{name}="{" ".join(map(digits, each[at]))}"')
    if trail.films is not None:
        parts.append(f' data-n="{" ".join(str(int(n)) for n in trail.films[at])}"')
    if trail.prevalence is not None:
        parts.append(f' data-prevalence="{digits(trail.prevalence)}"')
    return "".join(parts)


def values(point: Point) -> str:
    """A point as attributes: data-kind and its values, without those that are undefined.

    Args:
        point: of a line.
    """
    known = {name: value for name, value in point.values.items() if value is not None}
    told = "".join(f' data-{name}="{digits(value)}"' for name, value in known.items())
    return f' data-kind="{point.kind}"{told}'


def spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, both ends among them.

    Args:
        rows: int [n].
        most: at least 2.
    """
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def digits(value: float) -> str:
    """A number with the four digits that a page's attribute gets: 0.06533, 12, inf."""
    return f"{value:.4g}"
