"""Whether maps may be believed at all: weights drawn anew, and the corner alarm of mean maps."""

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
from markupsafe import Markup

from ribcage.explanation.terms import SURVIVES
from ribcage.findings import FINDINGS
from ribcage.report.cams import NAMES, Cams
from ribcage.report.cards import IN_LOGITS
from ribcage.report.cells import FEW_PATIENTS, NONE, number, signed
from ribcage.report.figures import Drawing, Figure, slug
from ribcage.report.sections import Table
from ribcage.words import plural

ACROSS, SIDE, GAP, HEAD = 4, 92, 26, 18
"""Of the small pictures: a row, their side, what is between them, and room for their names."""
FOR, AGAINST = "#d55e00", "#0072b2"
KINDS = {"head": "its last layer", "all": "all weights"}


def section(every: Sequence[Cams], best: Cams) -> dict[str, Any]:
    """What speaks against maps before boxes are asked.

    Args:
        every: the experiments' maps.
        best: those that are shown in detail.
    """
    return {
        "random": random_weights(best),
        "alarms": [said for cams in every for said in (survival(cams), alarm(cams)) if said],
        "figure": mean_maps(best) if _grid(best) > 1 else None,
        "table": _table(every),
    }


def random_weights(cams: Cams) -> str:
    """Whether maps change with the weights (Adebayo et al., Sanity Checks, NeurIPS 2018)."""
    found = cams.sanity["randomised"]
    start = (
        "A map that stays when the network forgets what it learnt shows the film, not evidence. "
    )
    if not found or any(found[kind]["mean"] is None for kind in KINDS):
        return f"{start}For {cams.name} this could not be measured."
    said = " and ".join(
        f"{_correlation(found[kind])} with {words} drawn anew" for kind, words in KINDS.items()
    )
    start += (
        f"The maps of {cams.name} correlate (Spearman, cell by cell; {plural(found['films'], 'film')}, "
        f"{plural(found['draws'], 'draw')} each) by {said}; 0 is another map, 1 the same."
    )
    if found["films"] < FEW_PATIENTS:
        return f"{start} These are too few films for a verdict."
    if found["alarm"]:
        return f"{start} They survive {_survived(found)}: do not take them for what was learnt."
    if all(_is_under(found[kind]) for kind in KINDS):
        return f"{start} They follow the weights, as they must."
    return f"{start} Whether they follow the weights is not clear."


def survival(cams: Cams) -> str:
    """The warning that maps survive random weights; empty where it was not raised, or on few films."""
    found = cams.sanity["randomised"]
    if not found or not found["alarm"] or found["films"] < FEW_PATIENTS:
        return ""
    return (
        f"{cams.name}: its maps survive {_survived(found)}. Do not take them for what was learnt."
    )


def _survived(found: dict[str, Any]) -> str:
    """What was drawn anew, and the maps stayed."""
    staying = [
        words
        for kind, words in KINDS.items()
        if found[kind]["low"] is not None and found[kind]["low"] >= SURVIVES
    ]
    return f"{' and '.join(staying)} drawn anew"


def _is_under(score: dict[str, Any]) -> bool:
    """Whether the whole interval is nearer to 0 than what survives; a map turned over stays, too."""
    return score["low"] is not None and -SURVIVES < score["low"] <= score["high"] < SURVIVES


def _correlation(score: dict[str, Any]) -> str:
    ends = "" if score["low"] is None else f" ({_minus(score['low'])} to {_minus(score['high'])})"
    return _minus(score["mean"]) + ends


def _minus(value: float) -> str:
    return signed(value, 2, plus="")


def _where(cell: Sequence[int], grid: int) -> str:
    """A corner cell in words, as a film is seen."""
    row, column = cell
    return f"{'upper' if row < grid / 2 else 'lower'} {'left' if column < grid / 2 else 'right'}"


def _grid(cams: Cams) -> int:
    """Cells a side of the mean maps, which are of the shown method."""
    return len(cams.sanity["mean_maps"][FINDINGS[0]])


def alarm(cams: Cams) -> str:
    """The corner alarm's words on the shown method's mean maps; empty where it was not raised."""
    found = cams.sanity["corners"]
    if not found["alarm"]:
        return ""
    return (
        f"{cams.name}: the mean maps ({NAMES[cams.method]}) of {len(found['findings'])} of {len(FINDINGS)} findings are hottest in the "
        f"same corner, the {_where(found['cell'], _grid(cams))} one of the picture. Maps that all point at one corner show a "
        "mark there or the edge of the film, not findings."
    )  # fmt: skip


def corner(cams: Cams) -> str:
    """What the mean maps of an experiment say, with the alarm or without."""
    means, found = cams.sanity["mean_maps"], cams.sanity["corners"]
    grid = _grid(cams)
    every = [_peak(np.array(means[finding])) for finding in FINDINGS]
    peaks = [cell for cell in every if cell]
    if not peaks:
        return f"No finding's mean map ({NAMES[cams.method]}) peaks anywhere: the cells of each are all equal."
    of = f"the {len(peaks)}" if len(peaks) == len(every) else f"{len(peaks)} of {len(every)}"
    start = f"Over {plural(means['films'], 'test film')} drawn at random, the mean maps ({NAMES[cams.method]}) of {of} findings peak in {plural(len(set(peaks)), 'cell')} of {grid * grid}"
    if found["agreement"] is not None:
        start += f" and correlate with each other by {_minus(found['agreement'])} on average"
    if found["alarm"] is None:
        return f"{start}. With {plural(grid, 'cell')} a side every cell is a corner, so that a corner alarm would mean nothing."
    return f"{start}. {'The corner alarm is raised.' if found['alarm'] else 'No corner is shared by most findings.'}"  # fmt: skip


def _peak(mean: np.ndarray) -> tuple[int, int] | None:
    """The highest cell; None where all are equal."""
    if np.ptp(mean) == 0:
        return None
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    return int(row), int(column)


def mean_maps(cams: Cams) -> Figure:
    """The mean map of each finding, its highest cell framed."""
    means = {finding: np.array(cams.sanity["mean_maps"][finding]) for finding in FINDINGS}
    down = -(-len(FINDINGS) // ACROSS)
    width, height = ACROSS * (SIDE + GAP), down * (SIDE + GAP + HEAD)
    title = f"Mean map of each finding, {cams.name}"
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label={quoteattr(title)}>'
    ]
    numbers = []
    for at, (finding, mean) in enumerate(means.items()):
        left, top = (at % ACROSS) * (SIDE + GAP), (at // ACROSS) * (SIDE + GAP + HEAD)
        parts.append(f'<text x="{left}" y="{top + 12}">{escape(finding)}</text>')
        parts.append(_cells(mean, left + 1, top + HEAD))
        numbers += [(finding, row, column, value) for (row, column), value in np.ndenumerate(mean)]
    unit = "logits" if cams.method in IN_LOGITS else "value"
    data = pd.DataFrame(numbers, columns=["finding", "row", "column", unit])
    return Figure(
        slug(f"mean maps {cams.name}"),
        Drawing(Markup("".join([*parts, "</svg>"])), data),
        f"Mean map of each finding over {plural(cams.sanity['mean_maps']['films'], 'test film')} of {cams.name}, each on its own scale: the stronger the orange, the more a cell speaks for the finding{_against(list(means.values()))} {corner(cams)}",
    )  # fmt: skip


def _against(means: Sequence[np.ndarray]) -> str:
    """What is said of cells that speak against findings, where a method has any."""
    framed = "; the frame is the highest cell."
    if not any((mean < 0).any() for mean in means):
        return framed
    speaking = sum(bool(mean.max() > 0) for mean in means)
    return f", blue against it{framed} In {speaking} of {len(means)} some cell speaks for the finding on average."


def _cells(mean: np.ndarray, left: float, top: float) -> str:
    """One grid of cells, as strong as their share of the largest magnitude."""
    most = float(np.abs(mean).max())
    high, wide = SIDE / mean.shape[0], SIDE / mean.shape[1]
    parts = [f'<path class="grid" d="M{left} {top}h{SIDE}v{SIDE}h-{SIDE}z"/>']
    for (row, column), value in np.ndenumerate(mean):
        strength = abs(value) / most if most > 0 else 0.0
        if strength >= 0.01:
            at = f'x="{left + column * wide:.1f}" y="{top + row * high:.1f}"'
            parts.append(
                f'<rect {at} width="{wide:.1f}" height="{high:.1f}" fill="{FOR if value > 0 else AGAINST}" '
                f'fill-opacity="{strength:.2f}"/>'
            )
    if peak := _peak(mean):
        row, column = peak
        at = f'x="{left + column * wide:.1f}" y="{top + row * high:.1f}"'
        parts.append(
            f'<rect {at} width="{wide:.1f}" height="{high:.1f}" fill="none" stroke="{FOR}" stroke-width="2"/>'
        )
    return "".join(parts)  # fmt: skip


def _table(every: Sequence[Cams]) -> Table:
    words = {True: "raised", False: "silent", None: "not judged"}
    rows = []
    for cams in every:
        random, corners = cams.sanity["randomised"], cams.sanity["corners"]
        cells = [
            NONE if not random or random[kind]["mean"] is None else _correlation(random[kind])
            for kind in KINDS
        ]
        rows.append([cams.name, NAMES[cams.method], f"{_grid(cams)}", *cells, words[corners["alarm"]], number(corners["agreement"], 2)])  # fmt: skip
    header = ["experiment", "method", "cells a side", "correlation, last layer drawn anew"]
    header += ["correlation, all weights drawn anew", "corner alarm", "mean maps' agreement"]
    return Table(header, rows, (0, 1))
