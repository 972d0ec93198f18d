"""Findings of the lung tissue, as changes of the chest's maps; each gives the mask of where it is.

Each takes the chest, the film's source of draws, and a severity in [0, 1].
"""

import cv2
import numpy as np

from ribcage.phantoms.anatomy import Chest
from ribcage.phantoms.canvas import blur, clouds, dome_of, strokes

Mask = np.ndarray
SIDE_CM = 42.0
"""What a map's side measures: a ball is as thick as it is wide."""


def side_of(rng: np.random.Generator) -> int:
    """0 for the patient's right lung, 1 for the left."""
    return int(rng.integers(2))


def between(low: float, high: float, severity: float) -> float:
    """A value between those of the mildest and of the gravest case."""
    return low + (high - low) * severity


def _place(
    chest: Chest, side: int, rng: np.random.Generator, low: float, high: float
) -> tuple[float, float]:
    """A point inside a lung, between two shares of the way from its apex to its dome."""
    lung = chest.lungs[side] & (chest.middle < 0.7)
    wide = max(chest.size // 40, 1)
    inner = cv2.erode(lung.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=wide)
    top = np.flatnonzero(lung.any(axis=1))[0]
    height = chest.domes[side] * chest.size - top
    first, last = int(top + low * height), int(top + high * height) + 1
    ys, xs = np.nonzero(inner[first:last])
    if not len(ys):  # a small lung under a large heart leaves nothing far from every edge
        first = 0
        ys, xs = np.nonzero(lung)
    k = int(rng.integers(len(ys)))
    return xs[k] / chest.size - 0.5, (ys[k] + first) / chest.size


def _ball(chest: Chest, x: float, y: float, radius: float, rng: np.random.Generator) -> np.ndarray:
    """How thick a slightly irregular ball is along the ray, as a share of its diameter."""
    angle = np.arctan2(chest.y - y, chest.x - x)
    wave = (
        1
        + 0.10 * np.sin(3 * angle + rng.uniform(0, 6))
        + 0.06 * np.sin(5 * angle + rng.uniform(0, 6))
    )
    away = np.hypot(chest.x - x, chest.y - y) / (radius * wave)
    return np.sqrt(np.clip(1 - away**2, 0, 1)).astype(np.float32)


def _patch(
    chest: Chest, rng: np.random.Generator, side: int, wide: float, low: float, high: float
) -> np.ndarray:
    """A cloudy patch of a lung, in [0, 1], with ragged edges."""
    x, y = _place(chest, side, rng, low, high)
    away = np.hypot((chest.x - x) / wide, (chest.y - y) / (wide * rng.uniform(0.8, 1.2)))
    ragged = away + 0.20 * clouds(chest.size, rng, 8)
    inside = np.clip((1.15 - ragged) / 0.45, 0, 1).astype(np.float32)
    return blur(inside * chest.lungs[side], 0.004)


def mass(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """A ball of more than 3 cm."""
    x, y = _place(chest, side_of(rng), rng, 0.1, 0.95)
    radius = between(0.045, 0.090, severity)
    ball = _ball(chest, x, y, radius, rng) * chest.cavity  # it ends where the ribs are
    chest.soft += 2 * radius * SIDE_CM * ball
    return ball > 0.05


def nodule(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """One to four balls of less than 3 cm, denser than their size: some hold lime."""
    shown = np.zeros_like(chest.cavity)
    for _ in range(1 + int(rng.integers(0, 2 + round(2 * severity)))):
        x, y = _place(chest, side_of(rng), rng, 0.1, 0.95)
        radius = rng.uniform(0.020, 0.026) + 0.008 * severity
        ball = _ball(chest, x, y, radius, rng) * chest.cavity
        chest.soft += between(2.4, 3.4, severity) * 2 * radius * SIDE_CM * ball
        shown |= ball > 0.05
    return shown


def consolidation(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """A part of a lung without air, in which the bronchi stay dark: air bronchograms."""
    wide = between(0.085, 0.135, severity)
    patch = _patch(chest, rng, side_of(rng), wide, 0.2, 0.95)
    branches = np.clip(chest.vessels / 0.9, 0, 1)
    chest.depth *= 1 - between(0.65, 0.85, severity) * patch
    chest.soft += 1.2 * patch - 3.0 * patch * branches
    chest.vessels *= 1 - patch
    return patch > 0.35


def pneumonia(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """A mottled patch low in one lung."""
    wide = between(0.075, 0.115, severity)
    patch = _patch(chest, rng, side_of(rng), wide, 0.55, 1.05)
    mottled = patch * np.clip(0.85 + 0.22 * clouds(chest.size, rng, 24, 3), 0.3, 1.3)
    chest.depth *= 1 - between(0.42, 0.62, severity) * np.clip(mottled, 0, 1)
    return patch > 0.35


def infiltration(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """Faint streaks and haze in both lungs, along vessels whose edges are lost."""
    shown = np.zeros_like(chest.cavity)
    for side in (0, 1):
        for _ in range(2):
            patch = _patch(chest, rng, side, rng.uniform(0.10, 0.15), 0.25, 0.95)
            grain = np.clip(0.75 + 0.30 * clouds(chest.size, rng, 26, 3), 0, 1.3)
            chest.depth *= 1 - between(0.20, 0.34, severity) * np.clip(patch * grain, 0, 1)
            chest.soft += 0.8 * patch * np.clip(chest.vessels, 0, 1)
            shown |= patch > 0.35
    return shown


def atelectasis(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """Plates of collapsed lung above a dome, and less air below them."""
    side = side_of(rng)
    lung, sign = chest.lungs[side], -1 if side == 0 else 1
    top = np.flatnonzero(lung.any(axis=1))[0] / chest.size
    at = top + rng.uniform(0.72, 0.92) * (chest.domes[side] - top)
    slope = rng.normal(0, 0.12)
    bands = []
    for k in range(2 + int(rng.integers(0, 1 + round(2 * severity)))):
        y = at + 0.035 * k
        far = rng.uniform(0.20, 0.27)
        ends = np.array([[sign * 0.06, y], [sign * far, y + slope * 0.2]])
        bands.append((ends, between(0.011, 0.020, severity) * rng.uniform(0.8, 1.2), 1.0))
    faint = np.clip(0.85 + 0.25 * clouds(chest.size, rng, 14, 2), 0.3, 1.2)
    plates = blur(strokes(bands, chest.size), 0.004) * faint * lung
    # The plates' lung has lost volume: what lies below is denser too.
    below = blur(np.clip((chest.y - at) / 0.06, 0, 1).astype(np.float32) * lung, 0.008)
    chest.soft += between(3.2, 5.0, severity) * plates * (1 - 0.5 * chest.middle)
    chest.depth *= 1 - between(0.15, 0.35, severity) * below
    return plates > 0.3


def edema(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """Haze like wings around both hila; vessels wide and without edges; a few fine lines."""
    wings = np.zeros_like(chest.depth)
    lines = []
    for side, sign in enumerate((-1, 1)):
        middle = 0.16 + 0.55 * (chest.domes[side] - 0.135)
        away = np.hypot((chest.x - sign * 0.12) / 0.13, (chest.y - middle) / 0.18)
        wings += np.clip(1.25 - away, 0, 1).astype(np.float32)
        for k in range(5):  # Kerley's lines, short, at the flank above the angle
            y = chest.domes[side] - 0.03 + 0.016 * k
            lines.append((np.array([[sign * 0.245, y], [sign * 0.30, y + 0.002]]), 0.003, 1.0))
    grain = np.clip(0.9 + 0.2 * clouds(chest.size, rng, 20, 2), 0.3, 1.4)
    haze = np.clip(blur(wings * grain, 0.010), 0, 1)
    chest.depth *= 1 - between(0.35, 0.60, severity) * haze
    chest.vessels = 1.5 * blur(chest.vessels, between(0.002, 0.005, severity))
    chest.soft += 0.8 * severity * strokes(lines, chest.size) * chest.cavity
    return (haze > 0.35) & chest.cavity


def emphysema(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """Dark lungs with few vessels and some bullae; `pathology.prepare` flattens the domes."""
    chest.depth *= between(1.15, 1.32, severity)
    chest.vessels *= between(0.65, 0.40, severity)
    for _ in range(int(rng.integers(1, 4))):
        x, y = _place(chest, side_of(rng), rng, 0.0, 0.5)
        ball = _ball(chest, x, y, rng.uniform(0.03, 0.06), rng)
        chest.depth += 2.5 * ball * chest.cavity
        chest.vessels *= 1 - (ball > 0)
    return chest.cavity


def fibrosis(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """A net of fine lines and small cysts, low and along the pleura, in lungs that shrink."""
    rim = 1 - dome_of(chest.cavity.astype(np.float32), 0.10)
    low = np.clip((chest.y - 0.30) / 0.20, 0, 1)
    zone = blur(chest.cavity * (0.25 + 0.75 * rim) * low, 0.008) * (1 - 0.7 * chest.middle)
    mesh = np.abs(clouds(chest.size, rng, 40, 1))
    net = np.clip(1.1 - 1.6 * mesh, 0, 1) * zone
    chest.soft += between(3.0, 5.0, severity) * net
    chest.depth *= 1 - between(0.12, 0.28, severity) * zone
    return zone > 0.35
