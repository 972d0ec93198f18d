"""Line charts as inline SVG: small, sharp at any size, coloured by the page's style sheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
from markupsafe import Markup

from ribcage.report import hover
from ribcage.report.figures import Drawing
from ribcage.report.hover import Point, Trail

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
COLOURS = 8
"""Of the style sheet: after so many experiments they come again, as broken lines."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend and the hover text; no legend entry if empty.
        x, y: its points.
        style: class of the style sheet that gives colour and width: that of `style_of` for an
            experiment, `thin` a finding, `guide` a line to compare with, `dashed` besides.
        mark: index of a point to mark with a dot, or None.
        dotted: whether every point gets a small dot: a curve of few points.
        experiment: whose it is, so that it can be shown and hidden with all else of it.
        hidden: whether it is only shown to whom asks for its experiment.
        note: what else the hover text says: its area, say.
        trail: what its points tell.
        points: marked on it.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str
    mark: int | None = None
    dotted: bool = False
    experiment: str = ""
    hidden: bool = False
    note: str = ""
    trail: Trail | None = None
    points: Sequence[Point] = ()


@dataclass(frozen=True)
class Band:
    """The area between two curves, drawn under the lines: where the true curve may lie.

    Attributes:
        name: for the hover text and the table of the numbers.
        x, low, high: the points of both curves, at the same x.
        style, experiment, hidden: as a line's.
    """

    name: str
    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    style: str
    experiment: str = ""
    hidden: bool = False


def style_of(number: int) -> str:
    """Classes of the style sheet for the experiment or import of this number, from 0."""
    return f"e{number % COLOURS}{' again' if number >= COLOURS else ''}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two ends, about `count` of them."""
    span = max(high - low, 1e-9)
    step = 10.0 ** np.floor(np.log10(span / count))
    step *= min((1, 2, 2.5, 5, 10), key=lambda factor: abs(span / (step * factor) - count))
    return [
        round(float(v), 9) for v in np.arange(np.ceil(low / step - 1e-9), high / step + 1e-9) * step
    ]


def chart(
    lines: list[Line],
    x_label: str,
    y_label: str,
    title: str,
    x_range: tuple[float, float] = (0.0, 1.0),
    y_range: tuple[float, float] = (0.0, 1.0),
    bands: Sequence[Band] = (),
) -> Drawing:
    """Draw lines over a grid; what lies outside it is cut off.

    Args:
        lines: drawn in this order, the last on top.
        x_label: below the axis, with its unit.
        y_label: beside the axis, with its unit.
        title: read aloud in place of the picture.
        x_range: ends of the axis.
        y_range: ends of the axis.
        bands: drawn under all lines.
    """

    def px(x: np.ndarray | float) -> np.ndarray:
        share = (np.asarray(x, float) - x_range[0]) / max(x_range[1] - x_range[0], 1e-12)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def py(y: np.ndarray | float) -> np.ndarray:
        share = (np.clip(y, *y_range) - y_range[0]) / max(y_range[1] - y_range[0], 1e-12)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    scale = (
        hover.frame((LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM), (*x_range, *y_range))
        if any(line.trail for line in lines)
        else ""
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label={quoteattr(title)}{scale}>'
    ]
    for value in ticks(*x_range):
        at = float(px(value))
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 14}">{short(value)}</text>'
        )
    for value in ticks(*y_range):
        at = float(py(value))
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick y" x="{LEFT - 6}" y="{at + 3.5:.1f}">{short(value)}</text>'
        )
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="label" x="{middle_x}" y="{HEIGHT - 6}">{escape(x_label)}</text>')
    turn = f'transform="rotate(-90 12 {middle_y})"'
    parts.append(f'<text class="label" x="12" y="{middle_y}" {turn}>{escape(y_label)}</text>')
    drawn = [_band(band, px, py) for band in bands] + [_line(line, px, py) for line in lines]
    along = [*(line.x for line in lines), *(band.x for band in bands)]
    beyond = any((x > x_range[1]).any() for x in along)
    parts += [CUT, *drawn, "</svg>"] if beyond else drawn
    return Drawing(Markup("".join([*parts, "</svg>"])), _numbers(lines, bands, x_label, y_label))


def _numbers(
    lines: Sequence[Line], bands: Sequence[Band], x_label: str, y_label: str
) -> pd.DataFrame:
    drawn = [
        pd.DataFrame({"series": line.name, x_label: line.x, y_label: line.y}) for line in lines
    ]
    drawn += [
        pd.DataFrame({"series": band.name, x_label: band.x, "low": band.low, "high": band.high})
        for band in bands
    ]
    columns = ["series", x_label, y_label, "low", "high"]
    whole = pd.concat(drawn, ignore_index=True) if drawn else pd.DataFrame(columns=columns)
    return whole.reindex(columns=columns)


ROOM = 5
"""Around the axes, so that a dot on them stays whole."""
_INSIDE = f"{LEFT - ROOM} {TOP - ROOM} {WIDTH - LEFT - RIGHT + 2 * ROOM} {HEIGHT - TOP - BOTTOM + 2 * ROOM}"
CUT = '<svg x="{}" y="{}" width="{}" height="{}" viewBox="{view}">'.format(
    *_INSIDE.split(), view=_INSIDE
)
"""A picture within the picture, in the same units, that ends where the axes end."""

Scale = Callable[[np.ndarray], np.ndarray]


def _path(xs: np.ndarray, ys: np.ndarray) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))


def _classes(kind: str, one: Line | Band) -> str:
    """Class and owner. What is hidden says so by itself: its file has no style sheet to ask."""
    hidden = (" other", ' display="none"') if one.hidden else ("", "")
    return f'class="{kind} {one.style}{hidden[0]}"{hidden[1]}{hover.owned(one.experiment)}'


def _line(line: Line, px: Scale, py: Scale) -> str:
    known = np.isfinite(line.x) & np.isfinite(line.y)
    xs, ys = px(line.x[known]), py(line.y[known])
    parts = []
    if known.any():
        said = ", ".join(filter(None, (line.name, line.note)))
        title = f"<title>{escape(said)}</title>" if said else ""
        told = hover.told(line.trail, line.x, line.y, np.flatnonzero(known)) if line.trail else ""
        parts.append(f'<path {_classes("line", line)}{told} d="M{_path(xs, ys)}">{title}</path>')
    dot = _classes("dot", line)
    if line.dotted:
        parts += [_circle(dot, x, y, 2.5) for x, y in zip(xs, ys, strict=True)]
    if line.mark is not None:
        at = [line.mark]
        parts.append(_circle(dot, px(line.x[at])[0], py(line.y[at])[0], 4))
    parts += [_point(point, line, px, py) for point in line.points]
    return "".join(parts)


def _point(point: Point, line: Line, px: Scale, py: Scale) -> str:
    x, y = float(px(np.array(point.x))), float(py(np.array(point.y)))
    return _circle(_classes("point", line) + hover.values(point), x, y, 2.8, point.name)


def _circle(classes: str, x: float, y: float, radius: float, name: str = "") -> str:
    place = f'<circle {classes} cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"'
    return f"{place}><title>{escape(name)}</title></circle>" if name else f"{place}/>"


def _band(band: Band, px: Scale, py: Scale) -> str:
    known = np.isfinite(band.x) & np.isfinite(band.low) & np.isfinite(band.high)
    if known.sum() < 2:
        return ""
    xs, low, high = px(band.x[known]), py(band.low[known]), py(band.high[known])
    outline = _path(np.append(xs, xs[::-1]), np.append(high, low[::-1]))
    return (
        f'<path {_classes("band", band)} d="M{outline}Z"><title>{escape(band.name)}</title></path>'
    )


def short(value: float) -> str:
    """A tick's number with few characters: 0.25, 3, 12k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value + 0.0:.6g}".replace("-", "−")  # -0.0 is 0
