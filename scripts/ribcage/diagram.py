"""Draw boxes and arrows as SVG: layers from top to bottom, few crossings, the same bytes each time.

The layers are those of longest paths, the order within a layer is that of barycentres (Sugiyama,
Tagawa and Toda 1981). An arrow that skips layers bends around the boxes there.
"""

from dataclasses import dataclass
from html import escape
from itertools import pairwise

import networkx
from sklearn.isotonic import isotonic_regression

WIDTH_PX = 900
BOX_PX = 252, 44
GAP_PX = 26, 32
MARGIN_PX = 20
SWEEPS = 24
COLOURS = (
    ("#eef3fb", "#5b7fb8"),
    ("#eaf5ec", "#4f9160"),
    ("#f9f3e4", "#b08d3e"),
    ("#f3effb", "#7a5bb8"),
)
"""Fill and stroke of each group of boxes."""
INK, PALE, ARROW = "#1c1f26", "#556", "#778"

Node = str | tuple[str, str, int]
"""A box's name, or the bend of an arrow: its ends, and a layer that it passes through."""
Layers = list[list[Node]]


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        name: its title, and its node in the graph.
        caption: a second line, smaller.
        note: a sentence that is shown while the pointer rests on the box.
        group: index of its colour in the legend.
        stacked: whether it stands for many.
    """

    name: str
    caption: str
    note: str
    group: int
    stacked: bool


def draw(boxes: list[Box], graph: networkx.DiGraph, legend: list[str], stack: str) -> str:
    """Draw a graph without cycles.

    Args:
        boxes: one for each node; their order settles ties.
        graph: the arrows between their names.
        legend: what the colour of each group means.
        stack: what a stacked box means.

    Returns:
        The SVG, 900 px wide, on a white ground.
    """
    bent, layers = layered([box.name for box in boxes], graph)
    layers = ordered(bent, layers)
    middles = placed(bent, layers)
    height = MARGIN_PX + len(layers) * sum(pair[1] for pair in (BOX_PX, GAP_PX)) + 34
    tops = {node: _top(row) for row, layer in enumerate(layers) for node in layer}
    label = "; ".join(f"{start} to {end}" for start, end in sorted(graph.edges))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Roboto, sans-serif" font-size="14" '
        f'role="img" aria-label="{escape(label)}">',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{ARROW}"/></marker>'
        "</defs>",
        f'<rect width="{WIDTH_PX}" height="{height}" fill="#fff"/>',
        f'<g fill="none" stroke="{ARROW}" stroke-width="1.6">',
        *_arrows(bent, middles, tops),
        "</g>",
        *(_drawn(box, middles[box.name], tops[box.name]) for box in boxes),
        *_legend(legend, stack, height - 22),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def layered(names: list[str], graph: networkx.DiGraph) -> tuple[networkx.DiGraph, Layers]:
    """Put each node below all that lead to it, and a bend in each layer that an arrow skips.

    Returns:
        The graph with its bends, in which arrows join neighbouring layers alone; and its layers.
    """
    rows: dict[str, int] = {}
    for node in networkx.lexicographical_topological_sort(graph, key=names.index):
        rows[node] = max((rows[before] + 1 for before in graph.predecessors(node)), default=0)
    layers: Layers = [[] for _ in range(max(rows.values()) + 1)]
    for name in names:
        layers[rows[name]].append(name)
    bent = networkx.DiGraph()
    for start, end in sorted(graph.edges, key=lambda edge: [names.index(name) for name in edge]):
        bends: list[Node] = [(start, end, row) for row in range(rows[start] + 1, rows[end])]
        for row, bend in enumerate(bends, rows[start] + 1):
            layers[row].append(bend)
        networkx.add_path(bent, [start, *bends, end])
    return bent, layers


def ordered(bent: networkx.DiGraph, layers: Layers) -> Layers:
    """Sort each layer by the mean place of its neighbours above, then below, and so on."""
    best, fewest = layers, crossings(bent, layers)
    now = [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in list(range(len(now)) if down else reversed(range(len(now)))):
            beside = row - 1 if down else row + 1
            if 0 <= beside < len(now):
                places = {node: place for place, node in enumerate(now[beside])}
                mean = {node: _mean_place(bent, node, places) for node in now[row]}
                now[row].sort(key=lambda node: mean[node])
        if (count := crossings(bent, now)) < fewest:
            best, fewest = [list(layer) for layer in now], count
    return best


def _mean_place(bent: networkx.DiGraph, node: Node, places: dict[Node, int]) -> float:
    """The mean place among its neighbours; of a node that has none there, the middle."""
    near = [places[other] for other in networkx.all_neighbors(bent, node) if other in places]
    return sum(near) / len(near) if near else (len(places) - 1) / 2


def crossings(bent: networkx.DiGraph, layers: Layers) -> int:
    """Count the pairs of arrows that cross."""
    count = 0
    for above, below in pairwise(layers):
        ends = [(above.index(a), below.index(b)) for a, b in bent.edges if a in above]
        count += sum((a - c) * (b - d) < 0 for a, b in ends for c, d in ends) // 2
    return count


def placed(bent: networkx.DiGraph, layers: Layers) -> dict[Node, int]:
    """Find the middle of each node in px from the left: near its neighbours, apart from others."""
    middles: dict[Node, float] = {node: WIDTH_PX / 2 for layer in layers for node in layer}
    for _ in range(SWEEPS):
        for layer in (*layers, *reversed(layers)):
            wanted = []
            for node in layer:
                near = [middles[other] for other in networkx.all_neighbors(bent, node)]
                wanted.append(sum(near) / len(near) if near else WIDTH_PX / 2)
            middles |= zip(layer, _apart(layer, wanted), strict=True)
    _straighten(layers, middles)
    return {node: round(middle) for node, middle in middles.items()}


def _straighten(layers: Layers, middles: dict[Node, float]) -> None:
    """Put all bends of an arrow on one vertical line, where there is room for it."""
    arrows = dict.fromkeys(node[:2] for node in middles if not isinstance(node, str))
    for start, end in arrows:
        low, high, bends = 0.0, float(WIDTH_PX), []
        for layer in layers:
            for place, node in enumerate(layer):
                if node[:2] != (start, end):
                    continue
                bends.append(node)
                if place > 0:
                    low = max(low, middles[layer[place - 1]] + _distance(layer[place - 1], node))
                if place + 1 < len(layer):
                    high = min(high, middles[layer[place + 1]] - _distance(node, layer[place + 1]))
        if low <= high:
            line = min(max((middles[start] + middles[end]) / 2, low), high)
            middles |= dict.fromkeys(bends, line)


def _distance(left: Node, right: Node) -> float:
    """How far apart the middles of two neighbours in a layer have to be, in px."""
    return GAP_PX[0] + sum(BOX_PX[0] / 2 for node in (left, right) if isinstance(node, str))


def _apart(layer: list[Node], wanted: list[float]) -> list[float]:
    """The middles nearest to those wanted that keep nodes in order, apart and on the page."""
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + _distance(left, right))
    free = isotonic_regression([x - offset for x, offset in zip(wanted, offsets, strict=True)])
    low = MARGIN_PX + BOX_PX[0] / 2  # for bends as well: they need less
    high = WIDTH_PX - low - offsets[-1]
    return [float(min(max(x, low), high)) + offset for x, offset in zip(free, offsets, strict=True)]


def _top(row: int) -> int:
    return MARGIN_PX + row * (BOX_PX[1] + GAP_PX[1])


def _arrows(bent: networkx.DiGraph, middles: dict[Node, int], tops: dict[Node, int]) -> list[str]:
    """One path for each stretch between two layers; bends are passed straight down."""
    paths = []
    for start, end in bent.edges:
        x0 = middles[start] + _port(start, end, list(bent.successors(start)), middles)
        x1 = middles[end] + _port(end, start, list(bent.predecessors(end)), middles)
        y0, y1 = tops[start] + BOX_PX[1], tops[end]
        middle = (y0 + y1) // 2
        path = f"M{x0} {y0}C{x0} {middle} {x1} {middle} {x1} {y1}"
        tip = ' marker-end="url(#tip)"' if isinstance(end, str) else ""
        paths.append(f'<path d="{path}{"" if tip else f"V{y1 + BOX_PX[1]}"}"{tip}/>')
    return paths


def _port(node: Node, other: Node, others: list[Node], middles: dict[Node, int]) -> int:
    """How far from a node's middle an arrow touches it, in px: they do not share a point."""
    others = sorted(others, key=lambda each: middles[each])
    return round((others.index(other) - (len(others) - 1) / 2) * 26)


def _drawn(box: Box, middle: int, top: int) -> str:
    fill, stroke = COLOURS[box.group]
    left = middle - BOX_PX[0] // 2
    return "\n".join(
        [
            f"<g><title>{escape(box.note)}</title>",
            *_sheets(left, top, BOX_PX, box.stacked, f'fill="{fill}" stroke="{stroke}"'),
            f'<text x="{middle}" y="{top + 19}" text-anchor="middle" font-weight="600" '
            f'fill="{INK}">{escape(box.name)}</text>',
            f'<text x="{middle}" y="{top + 35}" text-anchor="middle" font-size="12" '
            f'fill="{PALE}">{escape(box.caption)}</text></g>',
        ]
    )


def _sheets(left: int, top: int, size: tuple[int, int], stacked: bool, style: str) -> list[str]:
    """A rounded box; of a stacked one, the edges of two more behind it."""
    return [
        f'<rect x="{left + shift}" y="{top + shift}" width="{size[0]}" height="{size[1]}" '
        f'rx="{size[1] // 5}" {style} stroke-width="1.5"/>'
        for shift in ((6, 3, 0) if stacked else (0,))
    ]


def _legend(groups: list[str], stack: str, top: int) -> list[str]:
    """One row: a patch and a word for each group, then the stack."""
    parts = [f'<g font-size="13" fill="{INK}">']
    styles = [f'fill="{fill}" stroke="{stroke}"' for fill, stroke in COLOURS[: len(groups)]]
    rows = [*zip(groups, styles, strict=True), (stack, f'fill="#fff" stroke="{PALE}"')]
    left = MARGIN_PX
    for text, style in rows:
        parts += _sheets(left, top - 10, (22, 14), text == stack, style)
        parts.append(f'<text x="{left + 34}" y="{top + 1}">{escape(text)}</text>')
        left += 34 + 7 * len(text) + 26
    return [*parts, "</g>"]
