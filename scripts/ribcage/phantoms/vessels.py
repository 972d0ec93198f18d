"""Vessels and bronchi: trees that leave the hila."""

import numpy as np

from ribcage.phantoms.canvas import Line, blur, strokes

ROOTS = (
    # angle from sideways (down is positive), length, width
    (-1.35, 0.070, 0.0075),
    (-1.05, 0.075, 0.0080),
    (-0.70, 0.070, 0.0065),
    (-0.20, 0.065, 0.0060),
    (0.25, 0.065, 0.0065),
    (0.60, 0.075, 0.0080),
    (0.90, 0.085, 0.0095),
    (1.15, 0.095, 0.0110),
    (1.40, 0.085, 0.0085),
)
"""The main vessels of a lung: those of the lower lobe are the widest."""
GENERATIONS = 4


def hilum_of(side: int, shape: dict[str, float], sag: float) -> np.ndarray:
    """Where a lung's vessels leave the heart's shadow: the left one higher."""
    y = 0.135 + (0.275 - 0.012 * side) * shape["height"] + 0.4 * sag
    return np.array([side * 0.066 * shape["width"] - shape["turn"], y])


def trees(rng: np.random.Generator, shape: dict[str, float], sag: float, size: int) -> np.ndarray:
    """Vessels of both lungs: float32 [size, size], in cm."""
    lines: list[Line] = []
    scale = 0.62 + 0.38 * shape["height"]
    for side in (-1, 1):
        hilum = hilum_of(side, shape, sag)
        for angle, length, width in ROOTS:
            start = hilum + rng.normal(0, 0.012, 2) * (0.6, 1.4)
            turned = angle + rng.normal(0, 0.13)
            _branch(rng, lines, start, side, turned, scale * length, width, GENERATIONS)
        lines += _root(rng, hilum, side, shape["hila"])
    return shape["marks"] * (2.3 * blur(strokes(lines, size), 0.0010)).astype(np.float32)


def _root(rng: np.random.Generator, hilum: np.ndarray, side: int, large: float) -> list[Line]:
    """The tangle where vessels, bronchi and nodes lie over each other."""
    down = hilum + np.array([[0, -0.012], [side * 0.012, 0.025], [side * 0.024, 0.068]])
    lines: list[Line] = [(down + rng.normal(0, 0.004, (3, 2)), 0.019 * large, 0.55)]
    for _ in range(6):
        a = hilum + rng.normal(0, 0.016, 2) * (1, 1.5)
        b = a + rng.normal(0, 0.014, 2)
        lines.append((np.stack([a, b]), rng.uniform(0.008, 0.018) * large, rng.uniform(0.3, 0.65)))
    return lines


def _branch(
    rng: np.random.Generator,
    lines: list[Line],
    start: np.ndarray,
    side: int,
    angle: float,
    length: float,
    width: float,
    generations: int,
) -> None:
    """Add a vessel and, at its end, two thinner ones, and so on."""
    bend = angle + rng.normal(0, 0.20)
    middle = start + length / 2 * np.array([side * np.cos(angle), np.sin(angle)])
    end = middle + length / 2 * np.array([side * np.cos(bend), np.sin(bend)])
    lines.append((np.stack([start, middle, end]), width, min(0.85, 0.10 + width * 60)))
    if not generations:
        return
    spread = rng.uniform(0.20, 0.50)
    for turn, share in ((spread, 0.66), (-0.55 + spread / 2, 0.74)):
        next_length = length * rng.uniform(0.60, 0.85)
        _branch(rng, lines, end, side, bend + turn, next_length, width * share, generations - 1)


def airways(rng: np.random.Generator, shape: dict[str, float], size: int) -> np.ndarray:
    """The main bronchi from the windpipe's fork, in cm of air that takes tissue's place."""
    fork = np.array([0.004 - 0.6 * shape["turn"], 0.135 + 0.225 * shape["height"]])
    lines: list[Line] = []
    for side, steep, long in ((-1, 1.05, 0.085), (1, 0.70, 0.100)):
        turned = steep + rng.normal(0, 0.08)
        end = fork + long * np.array([side * np.cos(turned), np.sin(turned)])
        lines.append((np.stack([fork - np.array([0, 0.01]), fork, end]), 0.022, 1.0))
        deep = end + 0.05 * np.array([side * np.cos(turned + 0.25), np.sin(turned + 0.25)])
        lines.append((np.stack([end, deep]), 0.014, 0.7))
    return 1.1 * blur(strokes(lines, size), 0.003)
