"""Findings of the pleural space, as changes of the chest's maps, each with its mask.

Each takes the chest, the film's source of draws, and a severity in [0, 1].
"""

import cv2
import numpy as np

from ribcage.phantoms.anatomy import Chest
from ribcage.phantoms.canvas import blur
from ribcage.phantoms.parenchyma import Mask, between, side_of


def _shrunk(lung: Mask, scale: float, x: float, y: float) -> Mask:
    """A lung drawn smaller around a point, in pixels."""
    matrix = np.array([[scale, 0, (1 - scale) * x], [0, scale, (1 - scale) * y]], np.float32)
    return cv2.warpAffine(lung.astype(np.uint8), matrix, lung.shape[::-1]) > 0


def effusion(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """Fluid from the base up, with a meniscus: a blunt angle, or a white side."""
    side = side_of(rng)
    lung = chest.lungs[side]
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    height = chest.bases[side] - rows[0] / chest.size
    filled = 0.22 + 0.30 * severity if rng.random() < 0.88 else rng.uniform(0.6, 0.95)
    level = chest.bases[side] - height * filled
    outer = columns[0] if side == 0 else columns[-1]
    away = np.abs(chest.x - (outer / chest.size - 0.5)) / (len(columns) / chest.size)
    # The fluid climbs along the ribs and, less, along the mediastinum.
    rim = level - 0.10 * np.exp(-away / 0.16) - 0.03 * np.exp(-(1 - away).clip(0) / 0.12)
    fluid = blur(np.clip((chest.y - rim) / 0.03, 0, 1).astype(np.float32) * lung, 0.004)
    chest.depth *= 1 - 0.92 * fluid
    chest.vessels *= 1 - fluid
    chest.soft += 3.0 * fluid
    return fluid > 0.4


def pneumothorax(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """Air above and along the ribs, no vessels in it, and the thin line of the pleura."""
    side = side_of(rng)
    lung = chest.lungs[side]
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    # The lung has shrunk towards the lower end of its hilum.
    medial = columns[-1] if side == 0 else columns[0]
    kept = _shrunk(lung, between(0.88, 0.68, severity), medial, 0.8 * rows[-1] + 0.2 * rows[0])
    air = lung & ~kept & (chest.middle < 0.5)
    edge = cv2.morphologyEx(kept.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
    near = cv2.dilate(air.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    line = blur((edge > 0).astype(np.float32) * near, 0.0022)
    soft = blur(air.astype(np.float32), 0.003) * lung
    chest.vessels *= 1 - air
    chest.depth *= (1 + 0.10 * soft) * (1 - between(0.06, 0.26, severity) * (lung & ~air))
    chest.depth += 1.8 * soft * np.clip(chest.depth / 4, 0, 1)
    chest.soft += 2.4 * line
    return air


def pleural_thickening(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """A peel along the ribs, from the apex down; on one side, or over the apex alone."""
    side = side_of(rng)
    lung, size, sign = chest.lungs[side], chest.size, -1 if side == 0 else 1
    wide = between(0.016, 0.034, severity) * size
    inward = np.array([[1, 0, -sign * wide], [0, 1, 0.5 * wide]], np.float32)
    kept = cv2.warpAffine(lung.astype(np.uint8), inward, (size, size)) > 0
    rows = np.flatnonzero(lung.any(axis=1))
    reach = rows[0] + rng.uniform(0.55, 0.95) * (rows[-1] - rows[0])
    peel = lung & ~kept & (sign * chest.x > 0.05)
    fade = np.clip((reach - chest.y * size) / (0.06 * size), 0, 1)
    soft = blur(peel.astype(np.float32), 0.003) * fade
    chest.depth *= 1 - 0.95 * soft
    chest.soft += 2.0 * soft
    return peel & (fade > 0.1)
