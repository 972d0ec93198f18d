"""Findings as physical changes of a chest: which, how grave, and where."""

from collections.abc import Callable

import cv2
import numpy as np

from ribcage.phantoms import parenchyma, pleura
from ribcage.phantoms.anatomy import Chest
from ribcage.phantoms.canvas import blur
from ribcage.phantoms.parenchyma import Mask, between

Box = tuple[float, float, float, float]
Change = Callable[[Chest, np.random.Generator, float], Mask]
MILDEST = 0.15
"""Below this severity a finding would be on the label and not on the film."""


def severities(findings: tuple[str, ...], rng: np.random.Generator) -> dict[str, float]:
    """Draw how grave each finding is, in [MILDEST, 1]."""
    return {finding: float(rng.uniform(MILDEST, 1)) for finding in findings}


def prepare(severe: dict[str, float], shape: dict[str, float]) -> None:
    """Change a patient's proportions for the findings that are a matter of size.

    Args:
        severe: severity by finding.
        shape: `anatomy.proportions`, changed in place.
    """
    if "Cardiomegaly" in severe:
        shape["heart"] = max(shape["heart"], 1.0) * between(1.24, 1.55, severe["Cardiomegaly"])
    if "Emphysema" in severe:
        shape["sag"] = between(0.05, 0.085, severe["Emphysema"])
        shape["arch"] *= 0.5
        shape["heart"] *= 0.80
        shape["width"] *= 1.04
    if "Fibrosis" in severe:
        shape["sag"] = shape.get("sag", 0.0) - 0.02 * severe["Fibrosis"]


def add(finding: str, chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """Draw one finding into the maps; return the bool mask of where it is."""
    return CHANGES[finding](chest, rng, severity)


def _hernia(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """The stomach's upper part behind the heart: a round shadow with gas over a fluid level."""
    x = rng.normal(0.035, 0.02)
    y = chest.domes[1] - rng.uniform(-0.005, 0.035)
    radius = between(0.062, 0.095, severity)
    away = np.hypot((chest.x - x) / (radius * 1.15), (chest.y - y) / radius)
    pouch = (away < 1).astype(np.float32)
    level = y + rng.uniform(-0.02, 0.02)
    gas = blur(pouch * (chest.y < level), 0.003)
    wall = blur((np.abs(away - 1) < 0.08).astype(np.float32), 0.003)
    fluid = blur(pouch * (chest.y >= level), 0.003)
    chest.depth *= 1 - 0.8 * fluid
    chest.soft += 3.0 * fluid + 1.6 * wall - 5.5 * gas
    return pouch > 0


def _cardiomegaly(chest: Chest, rng: np.random.Generator, severity: float) -> Mask:
    """The heart itself: `prepare` has made it large before it was drawn."""
    return chest.heart > 0.5


CHANGES: dict[str, Change] = {
    "Atelectasis": parenchyma.atelectasis,
    "Cardiomegaly": _cardiomegaly,
    "Effusion": pleura.effusion,
    "Infiltration": parenchyma.infiltration,
    "Mass": parenchyma.mass,
    "Nodule": parenchyma.nodule,
    "Pneumonia": parenchyma.pneumonia,
    "Pneumothorax": pleura.pneumothorax,
    "Consolidation": parenchyma.consolidation,
    "Edema": parenchyma.edema,
    "Emphysema": parenchyma.emphysema,
    "Fibrosis": parenchyma.fibrosis,
    "Pleural_Thickening": pleura.pleural_thickening,
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
