"""Findings as changes of the chest's maps; each leaves the mask of where it is."""

from collections.abc import Callable

import cv2
import numpy as np

from ribcage.phantoms.anatomy import Chest
from ribcage.phantoms.canvas import blur, clouds, dome_of, strokes

Box = tuple[float, float, float, float]
Mask = np.ndarray
Change = Callable[[Chest, np.random.Generator], Mask]


def prepare(findings: tuple[str, ...], shape: dict[str, float], rng: np.random.Generator) -> None:
    """Change a patient's proportions for the findings that are a matter of size."""
    if "Cardiomegaly" in findings:
        shape["heart"] = max(shape["heart"], 1.0) * rng.uniform(1.28, 1.55)
    if "Emphysema" in findings:
        shape["sag"] = rng.uniform(0.06, 0.09)
        shape["heart"] *= 0.80
        shape["width"] *= 1.04


def add(finding: str, chest: Chest, rng: np.random.Generator) -> Mask:
    """Draw one finding into the maps; return the bool mask of where it is."""
    return CHANGES[finding](chest, rng)


def _side(rng: np.random.Generator) -> int:
    return int(rng.integers(2))


def _place(
    chest: Chest, lung: Mask, rng: np.random.Generator, low: float, high: float
) -> tuple[float, float]:
    """A random point inside a lung, between two shares of its height and away from its edge."""
    rows = np.flatnonzero(lung.any(axis=1))
    top, height = rows[0], rows[-1] - rows[0]
    inner = cv2.erode(lung.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=chest.size // 40)
    ys, xs = np.nonzero(inner[int(top + low * height) : int(top + high * height) + 1])
    if not len(ys):
        ys, xs = np.nonzero(lung)
        ys = ys - int(top + low * height)
    k = int(rng.integers(len(ys)))
    return xs[k] / chest.size - 0.5, (ys[k] + int(top + low * height)) / chest.size


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


def _mass(chest: Chest, rng: np.random.Generator) -> Mask:
    x, y = _place(chest, chest.lungs[_side(rng)], rng, 0.1, 0.8)
    ball = _ball(chest, x, y, rng.uniform(0.055, 0.095), rng)
    chest.soft += 7.5 * ball
    return ball > 0.05


def _nodule(chest: Chest, rng: np.random.Generator) -> Mask:
    shown = np.zeros_like(chest.cavity)
    for _ in range(int(rng.integers(1, 4))):
        x, y = _place(chest, chest.lungs[_side(rng)], rng, 0.1, 0.85)
        ball = _ball(chest, x, y, rng.uniform(0.022, 0.033), rng)
        chest.soft += 7.0 * ball
        shown |= ball > 0.05
    return shown


def _effusion(chest: Chest, rng: np.random.Generator) -> Mask:
    lung = chest.lungs[side := _side(rng)]
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    height = (rows[-1] - rows[0]) / chest.size
    filled = rng.uniform(0.18, 0.5) if rng.random() < 0.9 else rng.uniform(0.6, 0.9)
    level = chest.bases[side] - height * filled
    outer = columns[0] if side == 0 else columns[-1]
    away = np.abs(chest.x - (outer / chest.size - 0.5)) / (len(columns) / chest.size)
    # The meniscus: the fluid climbs along the ribs and, less, along the mediastinum.
    rim = level - 0.10 * np.exp(-away / 0.16) - 0.03 * np.exp(-(1 - away).clip(0) / 0.12)
    fluid = blur(np.clip((chest.y - rim) / 0.03, 0, 1).astype(np.float32) * lung, 0.004)
    chest.depth *= 1 - 0.92 * fluid
    chest.vessels *= 1 - fluid
    chest.soft += 3.0 * fluid
    return fluid > 0.4


def _pneumothorax(chest: Chest, rng: np.random.Generator) -> Mask:
    lung = chest.lungs[side := _side(rng)]
    size = chest.size
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    # The collapsed lung has shrunk towards the hilum's lower end: air above and along the ribs.
    shrunk = rng.uniform(0.70, 0.87)
    medial = columns[-1] if side == 0 else columns[0]
    back = np.array(
        [[shrunk, 0, (1 - shrunk) * medial], [0, shrunk, (1 - shrunk) * rows[-1]]], np.float32
    )
    kept = cv2.warpAffine(lung.astype(np.uint8), back, (size, size)) > 0
    air = lung & ~kept & (np.abs(chest.x) > 0.06)
    edge = cv2.morphologyEx(kept.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
    near = cv2.dilate(air.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    line = blur((edge > 0).astype(np.float32) * near, 0.0025)
    chest.vessels *= 1 - air
    chest.depth = np.where(air, np.maximum(chest.depth * 1.12, 9.0), chest.depth)
    chest.depth = np.where(lung & ~air, chest.depth * 0.84, chest.depth).astype(np.float32)
    chest.soft += 2.6 * line
    return air


def _patch(
    chest: Chest, rng: np.random.Generator, lung: Mask, wide: float, low: float, high: float
) -> np.ndarray:
    """A cloudy patch of a lung, in [0, 1], with ragged edges."""
    x, y = _place(chest, lung, rng, low, high)
    away = np.hypot((chest.x - x) / wide, (chest.y - y) / (wide * rng.uniform(0.8, 1.2)))
    ragged = away + 0.22 * clouds(chest.size, rng, 8)
    return blur(np.clip((1.15 - ragged) / 0.45, 0, 1).astype(np.float32) * lung, 0.004)


def _consolidation(chest: Chest, rng: np.random.Generator) -> Mask:
    patch = _patch(chest, rng, chest.lungs[_side(rng)], rng.uniform(0.09, 0.14), 0.2, 0.8)
    # Air bronchograms: the windpipe's branches stay dark in lung that holds no air.
    airways = np.clip(chest.vessels / 1.2, 0, 1)
    chest.depth *= 1 - 0.80 * patch
    chest.soft += 1.5 * patch - 2.5 * patch * airways
    return patch > 0.35


def _pneumonia(chest: Chest, rng: np.random.Generator) -> Mask:
    lung = chest.lungs[_side(rng)]
    patch = _patch(chest, rng, lung, rng.uniform(0.08, 0.12), 0.55, 0.95)
    mottled = patch * np.clip(0.85 + 0.25 * clouds(chest.size, rng, 24, 3), 0.3, 1.3)
    chest.depth *= 1 - 0.58 * np.clip(mottled, 0, 1)
    return patch > 0.35


def _infiltration(chest: Chest, rng: np.random.Generator) -> Mask:
    shown = np.zeros_like(chest.cavity)
    for lung in chest.lungs:
        for _ in range(2):
            patch = _patch(chest, rng, lung, rng.uniform(0.10, 0.15), 0.25, 0.85)
            streaks = patch * np.clip(0.7 + 0.4 * clouds(chest.size, rng, 22, 3), 0, 1.3)
            chest.depth *= 1 - 0.36 * np.clip(streaks, 0, 1)
            chest.soft += 0.5 * streaks
            shown |= patch > 0.35
    return shown


def _atelectasis(chest: Chest, rng: np.random.Generator) -> Mask:
    lung = chest.lungs[side := _side(rng)]
    sign = -1 if side == 0 else 1
    rows = np.flatnonzero(lung.any(axis=1))
    at = (rows[0] + rng.uniform(0.60, 0.85) * (rows[-1] - rows[0])) / chest.size
    slope = rng.normal(0, 0.12)
    bands = []
    for k in range(int(rng.integers(2, 4))):
        y = at + 0.035 * k
        ends = np.array([[sign * 0.06, y], [sign * rng.uniform(0.20, 0.27), y + slope * 0.2]])
        bands.append((ends, rng.uniform(0.014, 0.023), 1.0))
    plates = blur(strokes(bands, chest.size), 0.003) * lung
    # The plates' lung has lost volume: what lies below is denser too.
    below = blur(np.clip((chest.y - at) / 0.06, 0, 1).astype(np.float32) * lung, 0.008)
    chest.soft += 4.6 * plates
    chest.depth *= 1 - 0.30 * below
    return plates > 0.3


def _edema(chest: Chest, rng: np.random.Generator) -> Mask:
    wings = np.zeros_like(chest.depth)
    for side in (-1, 1):
        away = np.hypot((chest.x - side * 0.12) / 0.13, (chest.y - 0.44) / 0.18)
        wings += np.clip(1.25 - away, 0, 1).astype(np.float32)
    haze = blur(wings * np.clip(0.9 + 0.2 * clouds(chest.size, rng, 20, 2), 0.3, 1.4), 0.01)
    chest.depth *= 1 - 0.55 * np.clip(haze, 0, 1) * rng.uniform(0.8, 1.0)
    chest.vessels *= 1.7
    return (haze > 0.35) & chest.cavity


def _emphysema(chest: Chest, rng: np.random.Generator) -> Mask:
    chest.depth *= 1.28
    chest.vessels *= 0.45
    for _ in range(int(rng.integers(1, 4))):  # bullae
        x, y = _place(chest, chest.lungs[_side(rng)], rng, 0.0, 0.4)
        ball = _ball(chest, x, y, rng.uniform(0.03, 0.06), rng)
        chest.depth += 2.5 * ball
        chest.vessels *= 1 - (ball > 0)
    return chest.cavity


def _fibrosis(chest: Chest, rng: np.random.Generator) -> Mask:
    rim = 1 - dome_of(chest.cavity.astype(np.float32), 0.10)
    low = np.clip((chest.y - 0.30) / 0.20, 0, 1)
    zone = blur(chest.cavity * (0.25 + 0.75 * rim) * low, 0.008)
    mesh = np.abs(clouds(chest.size, rng, 32, 1))
    net = np.clip(1.1 - 1.6 * mesh, 0, 1) * zone
    chest.soft += 4.5 * net
    chest.depth *= 1 - 0.20 * zone
    return zone > 0.35


def _pleural_thickening(chest: Chest, rng: np.random.Generator) -> Mask:
    lung = chest.lungs[side := _side(rng)]
    sign = -1 if side == 0 else 1
    size = chest.size
    inward = np.array(
        [[1, 0, -sign * rng.uniform(0.018, 0.032) * size], [0, 1, 0.012 * size]], np.float32
    )
    kept = cv2.warpAffine(lung.astype(np.uint8), inward, (size, size)) > 0
    rows = np.flatnonzero(lung.any(axis=1))
    reach = rows[0] + rng.uniform(0.55, 0.95) * (rows[-1] - rows[0])
    peel = lung & ~kept & (sign * chest.x > 0.05) & (chest.y * size < reach)
    soft = blur(peel.astype(np.float32), 0.003)
    chest.depth *= 1 - 0.95 * soft
    chest.soft += 2.5 * soft
    return peel


def _hernia(chest: Chest, rng: np.random.Generator) -> Mask:
    x, y = rng.normal(0.035, 0.02), rng.normal(0.60, 0.015)
    radius = rng.uniform(0.070, 0.095)
    away = np.hypot((chest.x - x) / (radius * 1.15), (chest.y - y) / radius)
    pouch = (away < 1).astype(np.float32)
    level = y + rng.uniform(-0.02, 0.02)
    gas = blur(pouch * (chest.y < level), 0.003)
    wall = blur((np.abs(away - 1) < 0.10).astype(np.float32), 0.003)
    fluid = blur(pouch * (chest.y >= level), 0.003)
    chest.depth *= 1 - 0.8 * fluid
    chest.soft += 3.0 * fluid + 2.0 * wall - 6.0 * gas
    return pouch > 0


def _cardiomegaly(chest: Chest, rng: np.random.Generator) -> Mask:
    return chest.heart > 0.5  # drawn with the chest: see prepare


CHANGES: dict[str, Change] = {
    "Atelectasis": _atelectasis,
    "Cardiomegaly": _cardiomegaly,
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Pleural_Thickening": _pleural_thickening,
    "Hernia": _hernia,
}


def box_of(mask: Mask) -> Box | None:
    """The box around a finding's largest part: x, y, width, height in pixels; None if nearly empty.

    A finding on both sides is boxed as a whole: its parts are of a size.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.max() < 6:
        return None
    # Nodules are boxed singly, as NIH did; what is large may lie on both sides.
    large = areas.max() > 0.01 * mask.size
    whole = stats[1:][areas > 0.5 * areas.max()] if large else stats[1 + areas.argmax()][None]
    x0, y0 = whole[:, 0].min(), whole[:, 1].min()
    x1, y1 = (whole[:, 0] + whole[:, 2]).max(), (whole[:, 1] + whole[:, 3]).max()
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)
