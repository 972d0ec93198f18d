"""Bars as inline SVG: counts side by side, an age pyramid, and one bar a row."""

from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import pandas as pd
from markupsafe import Markup

from ribcage.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, short, ticks
from ribcage.report.figures import Drawing

GAP = 0.2
"""Of a group's width, left free."""
MIDDLE = 44
"""Width between the two sides of a pyramid, for the names of its rows."""
LYING_WIDTH, ROW, LETTER = 460, 17, 6.1
"""Of bars that lie: the width of the picture, the height of a row, the width of a letter."""


@dataclass(frozen=True)
class Bars:
    """One row of bars.

    Attributes:
        name: for the hover text.
        values: a height a group.
        style: class of the style sheet: `f0`, `f1`, ...
    """

    name: str
    values: list[float]
    style: str


def bars(groups: list[str], rows: list[Bars], x_label: str, y_label: str, title: str) -> Drawing:
    """Draw rows of bars side by side in each group.

    Args:
        groups: names below the axis.
        rows: drawn from left to right within a group.
        x_label: below the axis, with its unit.
        y_label: beside the axis, with its unit.
        title: read aloud in place of the picture.
    """
    top = 1.05 * max(max(row.values) for row in rows) or 1
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label={quoteattr(title)}>'
    ]
    for value in ticks(0, top):
        at = HEIGHT - BOTTOM - value / top * tall
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick y" x="{LEFT - 6}" y="{at + 3.5:.1f}">{short(value)}</text>'
        )
    step = wide / len(groups)
    each = step * (1 - GAP) / len(rows)
    for number, group in enumerate(groups):
        start = LEFT + step * (number + GAP / 2)
        middle = start + step * (1 - GAP) / 2
        parts.append(
            f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - BOTTOM + 14}">{escape(group)}</text>'
        )
        for place, row in enumerate(rows):
            height = row.values[number] / top * tall
            hover = escape(f"{row.name}, {group}: {row.values[number]:,g}")
            parts.append(
                f'<rect class="{row.style}" x="{start + place * each:.1f}" width="{each:.1f}" '
                f'y="{HEIGHT - BOTTOM - height:.1f}" height="{height:.1f}"><title>{hover}</title></rect>'
            )
    parts += _labels(x_label, y_label)
    return Drawing(Markup("".join([*parts, "</svg>"])), _numbers(groups, rows, x_label, y_label))


def pyramid(groups: list[str], left: Bars, right: Bars, x_label: str, title: str) -> Drawing:
    """Draw two rows of bars back to back, the first group at the bottom.

    Args:
        groups: names between the two sides.
        left: bars that grow to the left.
        right: bars that grow to the right.
        x_label: below the axis, with its unit.
        title: read aloud in place of the picture.
    """
    top = 1.05 * max(*left.values, *right.values) or 1
    half = (WIDTH - 2 * RIGHT - MIDDLE) / 2
    step = (HEIGHT - TOP - BOTTOM) / len(groups)
    ends = RIGHT + half, RIGHT + half + MIDDLE
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label={quoteattr(title)}>'
    ]
    for value in ticks(0, top, 3):
        length = value / top * half
        for at in (ends[0] - length, ends[1] + length):
            parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            parts.append(
                f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 14}">{short(value)}</text>'
            )
    for number, group in enumerate(groups):
        y = HEIGHT - BOTTOM - step * (number + 1) + step * GAP / 2
        height = step * (1 - GAP)
        parts.append(
            f'<text class="tick" x="{WIDTH / 2:.1f}" y="{y + height / 2 + 4:.1f}">{escape(group)}</text>'
        )
        for row, sign in ((left, -1), (right, 1)):
            length = row.values[number] / top * half
            x = ends[0] - length if sign < 0 else ends[1]
            hover = escape(f"{row.name}, {group}: {row.values[number]:,g}")
            parts.append(
                f'<rect class="{row.style}" x="{x:.1f}" width="{length:.1f}" y="{y:.1f}" '
                f'height="{height:.1f}"><title>{hover}</title></rect>'
            )
    parts += _labels(x_label, "")
    numbers = _numbers(groups, [left, right], "group", x_label)
    return Drawing(Markup("".join([*parts, "</svg>"])), numbers)


def _numbers(groups: list[str], rows: list[Bars], x_label: str, y_label: str) -> pd.DataFrame:
    held = [(row.name, *pair) for row in rows for pair in zip(groups, row.values, strict=True)]
    return pd.DataFrame(held, columns=["series", x_label, y_label])


def _labels(x_label: str, y_label: str) -> list[str]:
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    turn = f'transform="rotate(-90 12 {middle_y})"'
    return [
        f'<text class="label" x="{middle_x}" y="{HEIGHT - 6}">{escape(x_label)}</text>',
        f'<text class="label" x="12" y="{middle_y}" {turn}>{escape(y_label)}</text>',
    ]


def lying(
    names: list[str], values: list[float], labels: list[str], x_label: str, title: str
) -> Drawing:
    """Draw one bar a row, with its name at the left and its value in words at its end.

    Args:
        names: from above to below.
        values: lengths, not below 0.
        labels: the values as they are to be read.
        x_label: what the lengths are, with the unit: for the table of the numbers.
        title: read aloud in place of the picture.
    """
    left = 14 + LETTER * max(map(len, names))
    right = 8 + LETTER * max(map(len, labels))
    room = max(LYING_WIDTH - left - right, 40)
    top = max(values) or 1
    parts = [
        f'<svg class="chart" viewBox="0 0 {LYING_WIDTH} {TOP + ROW * len(names)}" role="img" aria-label={quoteattr(title)}>'
    ]
    for number, (name, value, label) in enumerate(zip(names, values, labels, strict=True)):
        y = TOP / 2 + ROW * number
        length = value / top * room
        middle = y + ROW / 2 + 4
        parts.append(
            f'<text class="name" x="{left - 8:.1f}" y="{middle:.1f}">{escape(name)}</text>'
            f'<rect class="f0" x="{left:.1f}" y="{y + ROW * GAP / 2:.1f}" width="{length:.1f}" height="{ROW * (1 - GAP):.1f}"/>'
            f'<text class="value" x="{left + length + 6:.1f}" y="{middle:.1f}">{escape(label)}</text>'
        )
    numbers = pd.DataFrame({"name": names, x_label: values})
    return Drawing(Markup("".join([*parts, "</svg>"])), numbers)
