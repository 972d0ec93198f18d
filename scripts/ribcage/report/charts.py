"""Line charts as inline SVG: small, sharp at any size, coloured by the page's style sheet."""

from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from markupsafe import Markup

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend and the hover text; no legend entry if empty.
        x, y: its points.
        style: class of the style sheet that gives colour and width: `e0`, `e1`, ... an experiment,
            `thin` a finding, `guide` a line to compare with, `dashed` besides.
        mark: index of a point to mark with a dot, or None.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str
    mark: int | None = None


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
) -> Markup:
    """Draw lines over a grid.

    Args:
        lines: drawn in this order, the last on top.
        x_label: below the axis, with its unit.
        y_label: beside the axis, with its unit.
        title: read aloud in place of the picture.
        x_range: ends of the axis.
        y_range: ends of the axis.
    """

    def px(x: np.ndarray | float) -> np.ndarray:
        share = (np.asarray(x, float) - x_range[0]) / max(x_range[1] - x_range[0], 1e-12)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def py(y: np.ndarray | float) -> np.ndarray:
        share = (np.asarray(y, float) - y_range[0]) / max(y_range[1] - y_range[0], 1e-12)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label={quoteattr(title)}>'
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
    for line in lines:
        known = np.isfinite(line.x) & np.isfinite(line.y)
        xs, ys = px(line.x[known]), py(np.clip(line.y[known], *y_range))
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))
        if path:
            hover = f"<title>{escape(line.name)}</title>" if line.name else ""
            parts.append(f'<path class="line {line.style}" d="M{path}">{hover}</path>')
        if line.mark is not None:
            x, y = float(px(line.x[line.mark])), float(py(np.clip(line.y[line.mark], *y_range)))
            parts.append(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    return Markup("".join([*parts, "</svg>"]))


def short(value: float) -> str:
    """A tick's number with few characters: 0.25, 3, 12k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value + 0.0:.6g}"  # -0.0 is 0
