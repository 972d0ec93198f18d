"""Values with their intervals as inline SVG: a row a group, a dot a value, a line its interval."""

from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
from markupsafe import Markup

from ribcage.report.charts import BOTTOM, RIGHT, TOP, short, ticks
from ribcage.report.figures import Drawing
from ribcage.report.hover import owned

WIDTH = 420
LETTER, LONGEST = 6.7, 30
"""Width of a letter, and how many of a name are shown."""
STEP, APART = 12, 9
"""Height that a row has around its dots, and between two dots of one row."""


@dataclass(frozen=True)
class Dot:
    """One value.

    Attributes:
        name: for the hover text.
        value: where the dot is.
        low, high: ends of its interval; NaN where there is none.
        style: class of the style sheet: that of an experiment, or `plain` what it is held against.
        experiment: whose it is, so that it can be shown and hidden with all else of it.
    """

    name: str
    value: float
    low: float
    high: float
    style: str
    experiment: str = ""


@dataclass(frozen=True)
class Group:
    """One row of the picture.

    Attributes:
        name: at the left.
        dots: drawn from above to below; without any, the row is the heading of those below it.
        aside: in place of dots, why there are none.
        experiment: whose row it is, where it has one owner.
    """

    name: str
    dots: list[Dot]
    aside: str = ""
    experiment: str = ""


def dots(
    groups: list[Group],
    x_label: str,
    title: str,
    guide: float | None = None,
    least: float = -np.inf,
) -> Drawing:
    """Draw rows of values with their intervals.

    Args:
        groups: from above to below.
        x_label: below the axis, with its unit.
        title: read aloud in place of the picture.
        guide: a value to compare with, drawn as an upright line.
        least: what the values cannot be below, nor the axis.
    """
    low, high = reach(groups, guide)
    low = max(low, least)
    rows = [group for group in groups if group.dots or group.aside]
    left = 14 + LETTER * min(max((len(group.name) for group in rows), default=0), LONGEST)

    def px(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - RIGHT)

    tall = sum(_height(group) for group in groups)
    bottom = TOP + tall
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img" aria-label={quoteattr(title)}>'
    ]
    for value in ticks(low, high):
        parts.append(f'<path class="grid" d="M{px(value):.1f} {TOP}V{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{px(value):.1f}" y="{bottom + 14}">{short(value)}</text>'
        )
    if guide is not None:
        parts.append(f'<path class="line guide" d="M{px(guide):.1f} {TOP}V{bottom}"/>')
    middle = (left + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle:.1f}" y="{bottom + 34}">{escape(x_label)}</text>')
    top = float(TOP)
    for group in groups:
        centre = top + _height(group) / 2
        parts.append(_name(group, left, centre))
        first = centre - APART * (len(group.dots) - 1) / 2
        for number, dot in enumerate(group.dots):
            ends = (px(dot.low), px(dot.high)) if np.isfinite([dot.low, dot.high]).all() else None
            parts.append(_drawn(dot, px(dot.value), ends, first + APART * number))
        top += _height(group)
    held = [
        (group.name, dot.name, dot.value, dot.low, dot.high)
        for group in groups
        for dot in group.dots
    ]
    numbers = pd.DataFrame(held, columns=["group", "series", x_label, "low", "high"])
    return Drawing(Markup("".join([*parts, "</svg>"])), numbers)


def reach(groups: list[Group], guide: float | None) -> tuple[float, float]:
    """The ends of the axis: all dots, their intervals and the guide, with a little room."""
    held = [v for g in groups for dot in g.dots for v in (dot.value, dot.low, dot.high)]
    held = [v for v in [*held, *([] if guide is None else [guide])] if np.isfinite(v)] or [0.0, 1.0]
    room = max(0.04 * (max(held) - min(held)), 0.005)
    return min(held) - room, max(held) + room


def _height(group: Group) -> int:
    return STEP + APART * max(len(group.dots), 1)


def _name(group: Group, left: float, centre: float) -> str:
    if not group.dots and not group.aside:
        return f'<text class="name head" x="4" y="{centre + 4:.1f}">{escape(group.name)}</text>'
    owner = owned(group.experiment)
    aside = (
        f'<text class="aside"{owner} x="{left + 6:.1f}" y="{centre + 4:.1f}">{escape(group.aside)}</text>'
        if group.aside
        else ""
    )
    name = group.name if len(group.name) <= LONGEST else f"{group.name[: LONGEST - 1]}…"
    name = escape(name)
    return f'<text class="name"{owner} x="{left - 8:.1f}" y="{centre + 4:.1f}">{name}</text>{aside}'


def _drawn(dot: Dot, x: float, ends: tuple[float, float] | None, y: float) -> str:
    said = f"{dot.name}: {dot.value:.3f}"
    line = ""
    if ends:
        said += f" ({dot.low:.3f} to {dot.high:.3f})"
        line = f'<path class="whisker {dot.style}" d="M{ends[0]:.1f} {y:.1f}H{ends[1]:.1f}"/>'
    circle = f'<circle class="dot {dot.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    return f"<g{owned(dot.experiment)}><title>{escape(said)}</title>{line}{circle}</g>"
