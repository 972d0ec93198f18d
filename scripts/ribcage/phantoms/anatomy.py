"""A patient's chest: outlines, and maps of tissue and bone along the ray."""

from dataclasses import dataclass, field

import numpy as np

from ribcage.phantoms.canvas import blur, clouds, dome_of, fill, smooth
from ribcage.phantoms.skeleton import bones
from ribcage.phantoms.torso import torso
from ribcage.phantoms.vessels import airways, trees

# Outlines of an average adult, in shares of the side of 42 cm. A point that stands twice keeps its
# corner. The right lung: from the apex down the ribs to the costophrenic angle, along the dome,
# and up behind the mediastinum, which hides its inner border. The left one mirrors it.
LUNG = np.array(
    [
        (0.088, 0.128),
        (0.142, 0.142),
        (0.202, 0.202),
        (0.243, 0.290),
        (0.268, 0.390),
        (0.284, 0.490),
        (0.292, 0.590),
        (0.294, 0.655),
        (0.291, 0.712),
        (0.289, 0.712),
        (0.258, 0.668),
        (0.208, 0.636),
        (0.140, 0.616),
        (0.078, 0.632),
        (0.020, 0.680),
        (0.018, 0.580),
        (0.018, 0.470),
        (0.018, 0.360),
        (0.022, 0.240),
        (0.044, 0.152),
    ]
)
FLANK, ANGLE, DOME = slice(1, 8), slice(8, 10), slice(10, 15)

# The shadow between the lungs, clockwise from the left of the neck: great vessels, aortic knob,
# pulmonary trunk, left atrium's ear, left ventricle, apex; then the right atrium, the caval vein.
MEDIASTINUM = np.array(
    [
        (0.040, 0.080),
        (0.034, 0.150),
        (0.037, 0.215),
        (0.054, 0.268),
        (0.074, 0.292),
        (0.074, 0.328),
        (0.054, 0.352),
        (0.062, 0.392),
        (0.074, 0.424),
        (0.092, 0.475),
        (0.132, 0.540),
        (0.164, 0.602),
        (0.172, 0.650),
        (0.146, 0.690),
        (0.020, 0.720),
        (-0.060, 0.710),
        (-0.082, 0.660),
        (-0.092, 0.600),
        (-0.088, 0.535),
        (-0.068, 0.475),
        (-0.052, 0.420),
        (-0.050, 0.350),
        (-0.043, 0.280),
        (-0.038, 0.200),
        (-0.036, 0.140),
        (-0.042, 0.080),
    ]
)
KNOB, TRUNK, HEART = slice(3, 7), slice(7, 9), slice(9, 20)


@dataclass
class Chest:
    """The maps of one film, all float32 [size, size] unless said.

    Attributes:
        size: side in pixels.
        x, y: coordinates, broadcastable to [size, size].
        soft: tissue along the ray, in cm of water.
        bone: bone along the ray, in cm.
        lungs: bool pair (right, left): the cavities, also where they lie behind the heart.
        depth: air that the lungs hold along the ray, in cm.
        middle: in [0, 1], the soft-edged shadow of heart and great vessels.
        heart: in [0, 1], the part of it that is the heart.
        vessels: vessels' thickness in cm.
        bases: y of the lowest point of each lung (right, left).
        domes: y of the middle of each dome, higher up (right, left).
        shape: the patient's random proportions.
    """

    size: int
    x: np.ndarray
    y: np.ndarray
    soft: np.ndarray
    bone: np.ndarray
    lungs: tuple[np.ndarray, np.ndarray]
    depth: np.ndarray
    middle: np.ndarray
    heart: np.ndarray
    vessels: np.ndarray
    bases: tuple[float, float]
    domes: tuple[float, float]
    shape: dict[str, float] = field(default_factory=dict)

    @property
    def cavity(self) -> np.ndarray:
        """Bool: both lungs, also behind the heart."""
        return self.lungs[0] | self.lungs[1]

    @property
    def shown(self) -> np.ndarray:
        """Bool: both lungs without what heart and great vessels hide."""
        return self.cavity & (self.middle < 0.5)


def proportions(rng: np.random.Generator, age: int, sex: str) -> dict[str, float]:
    """Draw a patient's proportions; sizes are factors of the average adult's, or shares."""
    child = float(np.clip((14 - age) / 12, 0, 1))
    infant = float(np.clip((4 - age) / 4, 0, 1))
    old = float(np.clip((age - 50) / 40, 0, 1))
    woman = sex == "F"
    return {
        "child": child,
        "width": rng.normal(1.0, 0.055) * (1 - 0.04 * woman) + 0.08 * child,
        "height": rng.normal(1.0, 0.075) - 0.16 * child - 0.04 * woman,
        "apex": rng.normal(1.0, 0.10),
        "barrel": rng.normal(0.0, 0.016),
        "arms": rng.uniform(-0.1, 0.9),
        "fat": float(np.clip(rng.normal(0.40 + 0.1 * woman, 0.30), 0, 1.4)),
        "breasts": rng.uniform(0.25, 1.0) * woman * (age > 13),
        "bust": rng.uniform(0.55, 0.70),
        "bust_wide": rng.uniform(0.8, 1.25),
        "heart": rng.normal(1.0, 0.08) + 0.10 * old + 0.16 * child,
        "upper": rng.normal(1.0, 0.13) + 0.12 * old + 0.45 * infant,
        "tilt": rng.normal(0, 0.07),
        "edge": rng.uniform(0.0012, 0.006),
        "behind": rng.uniform(0.48, 0.88),
        "right_dome": rng.normal(-0.012, 0.012),
        "left_dome": rng.normal(0.010, 0.012),
        "arch": float(np.exp(rng.normal(0, 0.30))),
        "angle": rng.normal(-0.004, 0.018),
        "knob": float(np.clip(rng.normal(0.75 + 0.55 * min(age, 80) / 80, 0.25), 0.1, 1.8)),
        "trunk": rng.normal(1.0, 0.35),
        "ribs": rng.normal(1.0, 0.10),
        "slope": float(np.clip(rng.normal(1.0, 0.16) - 0.35 * child, 0.45, 1.5)),
        "clavicles": rng.normal(0.050, 0.018),
        "blades": rng.normal(0.0, 0.015),
        "turn": rng.normal(0, 0.010),
        "bend": rng.normal(0, 0.005) + rng.normal(0, 0.004) * old,
        "hila": rng.uniform(0.7, 1.4),
        "marks": rng.uniform(0.7, 1.25),
    }


def outline(side: int, shape: dict[str, float], sag: float, rng: np.random.Generator) -> np.ndarray:
    """One lung's outline; `side` -1 is the patient's right. `sag` lowers (+) or lifts the dome."""
    points: np.ndarray = LUNG + rng.normal(0, 0.003, LUNG.shape)
    points[:, 0] *= shape["width"]
    points[FLANK, 0] += shape["barrel"] * np.sin(np.linspace(0.2, np.pi, 7))
    points[:3, 0] *= shape["apex"]
    points[:, 1] = 0.135 + (points[:, 1] - 0.135) * shape["height"]
    level = 0.135 + (0.668 - 0.135) * shape["height"]
    points[DOME, 1] = level + (points[DOME, 1] - level) * shape["arch"]
    lift = sag + (shape["right_dome"] if side < 0 else shape["left_dome"])
    points[DOME, 1] += lift
    points[ANGLE, 1] = np.maximum(points[ANGLE, 1] + lift + shape["angle"], points[10, 1] + 0.008)
    points[FLANK, 1] = np.minimum(points[FLANK, 1], points[8, 1] - 0.02)
    points[:, 0] *= side
    # The chest is turned a little: one side is nearer the detector, and looks wider.
    points[:, 0] *= 1 + 1.5 * side * shape["turn"]
    return smooth(points)


def draw(rng: np.random.Generator, shape: dict[str, float], view: str, size: int) -> Chest:
    """Draw a healthy chest.

    Args:
        rng: of the patient, so that later films show the same chest.
        shape: `proportions`, changed beforehand where a finding changes them.
        view: PA, or AP (portable: shallower breath, wider heart).
        size: side in pixels.
    """
    y = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    x = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5)[None, :]
    sag = shape.get("sag", 0.0) - (0.035 if view == "AP" else 0.0) - 0.02 * shape["child"]
    lines = [outline(side, shape, sag, rng) for side in (-1, 1)]
    masks = [fill(line, size) for line in lines]
    domes = _dome_at(lines[0]), _dome_at(lines[1])
    whole, heart = _middle(shape, view, domes[1])
    filled = fill(whole, size)
    # The great vessels' edges are softer than the heart's: they curve away from the ray.
    upper = np.clip((0.40 - y) / 0.08, 0, 1)
    middle = upper * blur(filled, 0.0065) + (1 - upper) * blur(filled, shape["edge"])
    bulk = (13 + 3 * shape["height"]) * (1 - 0.25 * shape["child"])
    depth = sum(bulk * dome_of(mask, 0.10 * shape["width"]) * mask for mask in masks)
    chest = Chest(
        size=size,
        x=x,
        y=y,
        soft=torso(x, y, shape, lines),
        bone=bones(y, x, shape, lines, view, rng),
        lungs=(masks[0] > 0.5, masks[1] > 0.5),
        depth=np.asarray(depth, np.float32),
        middle=middle,
        heart=middle * fill(heart, size),
        vessels=trees(rng, shape, sag, size),
        bases=(float(lines[0][:, 1].max()), float(lines[1][:, 1].max())),
        domes=domes,
        shape=shape,
    )
    _hide(chest, lines, rng)
    return chest


def _middle(shape: dict[str, float], view: str, dome: float) -> tuple[np.ndarray, np.ndarray]:
    """Outlines of the whole shadow between the lungs, and of the heart, which lies on the dome."""
    points = MEDIASTINUM.copy()
    grow = shape["heart"] * (1.10 if view == "AP" else 1.0) * shape["width"]
    upper = shape["upper"] * (1.15 if view == "AP" else 1.0)
    points[KNOB, 0] += 0.022 * (shape["knob"] - 1) * np.array([0.5, 1, 1, 0.5])
    points[TRUNK, 0] += 0.010 * (shape["trunk"] - 1)
    centre = np.array([0.025, 0.66])
    low = np.clip((points[:, 1:] - 0.36) / 0.15, 0, 1)
    stretch = low * np.array([grow, 0.6 + 0.4 * grow]) + (1 - low) * np.array([upper, 1.0])
    points = centre * low + (points - centre * low) * stretch
    points[:, 0] += shape["tilt"] * (0.66 - points[:, 1]) * low[:, 0] - 1.2 * shape["turn"]
    points[:, 1] = 0.135 + (points[:, 1] - 0.135) * shape["height"]
    points[:, 1] += low[:, 0] * (dome - 0.135 - (0.620 - 0.135) * shape["height"])
    return smooth(points), smooth(points[HEART])


def _dome_at(line: np.ndarray) -> float:
    """The height of a lung's dome where the heart's apex lies on it."""
    low = line[line[:, 1] > line[:, 1].mean()]
    return float(low[np.abs(np.abs(low[:, 0]) - 0.13).argmin(), 1])


def _hide(chest: Chest, lines: list[np.ndarray], rng: np.random.Generator) -> None:
    """Heart and vessels take the place of air; windpipe and gas take that of tissue."""
    x, y, shape = chest.x, chest.y, chest.shape
    bronchi = airways(rng, shape, chest.size)
    hidden = shape["behind"] + (0.94 - shape["behind"]) * dome_of(chest.middle, 0.07)
    chest.depth *= 1 - hidden * chest.middle
    # Lung that lies behind the dome shows through the abdomen, darker and without an edge.
    recess = np.maximum.reduce([fill(line + np.array([0, 0.05]), chest.size) for line in lines])
    recess = blur(recess * ~chest.cavity * (y > 0.45), 0.012)
    chest.soft -= rng.uniform(0.5, 2.5) * recess
    windpipe = 0.004 - 0.6 * shape["turn"] + rng.normal(0, 0.004)
    trachea = np.clip(1 - ((x - windpipe) / 0.019) ** 2, 0, 1) ** 0.5
    chest.soft -= 2.0 * (trachea * np.clip((0.36 - y) / 0.03, 0, 1)).astype(np.float32)
    chest.soft -= bronchi * (0.3 + 0.7 * chest.middle)
    chest.soft -= _gas(chest, rng)
    chest.soft *= 1 + 0.02 * clouds(chest.size, rng, 5, 3)


def _gas(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """The stomach's bubble, level below, and gas in the bowel: cm of tissue that are missing."""
    gas = np.zeros_like(chest.depth)
    bubbles = []
    dome = chest.domes[1]
    if rng.random() < 0.80:
        wide = rng.uniform(0.03, 0.10)
        bubbles.append((rng.uniform(0.10, 0.20), dome + 0.5 * wide + rng.uniform(0.0, 0.04), wide))
    if rng.random() < 0.35:  # the colon's bend lies close under the dome
        wide = rng.uniform(0.03, 0.07)
        bubbles.append((rng.uniform(0.17, 0.25), dome + wide + rng.uniform(0.02, 0.07), wide))
    for _ in range(int(rng.integers(0, 6))):
        place = rng.uniform(-0.25, 0.25), rng.uniform(0.78, 0.95)
        bubbles.append((*place, rng.uniform(0.015, 0.045)))
    for left, top, wide in bubbles:
        flat = rng.uniform(0.35, 0.85)
        angle = np.arctan2(chest.y - top, chest.x - left)
        wave = 1 + 0.14 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.08 * np.sin(3 * angle)
        away = np.hypot(chest.x - left, (chest.y - top) / flat) / (wide * wave)
        ball = np.sqrt(np.clip(1 - away**2, 0, 1)).astype(np.float32)
        level = top + flat * wide * rng.uniform(0.1, 1.0)
        gas = np.maximum(gas, rng.uniform(4, 10) * ball * (chest.y < level))
    return blur(gas.astype(np.float32), 0.003)
