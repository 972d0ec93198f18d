"""A patient's chest: outlines, and maps of tissue and bone along the ray."""

from dataclasses import dataclass, field

import numpy as np

from ribcage.phantoms.canvas import Line, blur, dome_of, fill, smooth, strokes
from ribcage.phantoms.skeleton import bones

# Outlines of an average adult's right lung, from the apex down the ribs, along the dome, and up
# the mediastinum. The left one mirrors it.
LUNG = np.array(
    [
        (0.105, 0.135),
        (0.165, 0.160),
        (0.225, 0.230),
        (0.262, 0.330),
        (0.283, 0.440),
        (0.293, 0.550),
        (0.294, 0.640),
        (0.286, 0.712),
        (0.245, 0.668),
        (0.180, 0.638),
        (0.115, 0.642),
        (0.060, 0.680),
        (0.052, 0.580),
        (0.050, 0.470),
        (0.046, 0.360),
        (0.046, 0.250),
        (0.066, 0.165),
    ]
)
HEART = np.array(
    [
        (-0.030, 0.400),
        (0.035, 0.385),
        (0.072, 0.430),
        (0.118, 0.500),
        (0.152, 0.580),
        (0.158, 0.635),
        (0.120, 0.675),
        (0.030, 0.690),
        (-0.050, 0.680),
        (-0.076, 0.620),
        (-0.078, 0.540),
        (-0.058, 0.450),
    ]
)


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
        heart: in [0, 1], the heart's soft-edged silhouette.
        vessels: vessels' thickness in cm.
        bases: y of the lowest point of each lung (right, left).
        shape: the patient's random proportions.
    """

    size: int
    x: np.ndarray
    y: np.ndarray
    soft: np.ndarray
    bone: np.ndarray
    lungs: tuple[np.ndarray, np.ndarray]
    depth: np.ndarray
    heart: np.ndarray
    vessels: np.ndarray
    bases: tuple[float, float]
    shape: dict[str, float] = field(default_factory=dict)

    @property
    def cavity(self) -> np.ndarray:
        """Bool: both lungs, also behind the heart."""
        return self.lungs[0] | self.lungs[1]


def proportions(rng: np.random.Generator, age: int, sex: str) -> dict[str, float]:
    """Draw a patient's proportions; sizes are factors of the average adult's."""
    child = float(np.clip((16 - age) / 12, 0, 1))
    woman = sex == "F"
    return {
        "width": rng.normal(1.0, 0.06) * (1 - 0.05 * woman) + 0.05 * child,
        "height": rng.normal(1.0, 0.08) - 0.10 * child - 0.05 * woman,
        "arms": rng.uniform(-0.1, 0.9),
        "fat": float(np.clip(rng.normal(0.35 + 0.1 * woman, 0.28), 0, 1.3)),
        "breasts": rng.uniform(0.3, 1.0) * woman * (age > 13),
        "bust": rng.uniform(0.56, 0.68),
        "heart": rng.normal(1.0, 0.07) + 0.06 * (age > 65),
        "tilt": rng.normal(0, 0.05),
        "right_dome": rng.normal(-0.012, 0.012),
        "left_dome": rng.normal(0.008, 0.012),
        "knob": rng.uniform(0.7, 1.1) * (0.7 + 0.5 * min(age, 80) / 80),
        "ribs": rng.normal(1.0, 0.1),
        "slope": rng.normal(0.055, 0.012),
    }


def outline(side: int, shape: dict[str, float], sag: float, rng: np.random.Generator) -> np.ndarray:
    """One lung's outline; `side` -1 is the patient's right. `sag` lowers (+) or lifts the dome."""
    points: np.ndarray = LUNG.copy()
    points = points + rng.normal(0, 0.004, points.shape)
    points[:, 0] *= shape["width"]
    points[:, 1] = 0.135 + (points[:, 1] - 0.135) * shape["height"]
    dome = slice(7, 12)
    points[dome, 1] += sag + (shape["right_dome"] if side < 0 else shape["left_dome"])
    points[6, 1] += sag * 0.7
    points[:, 0] *= side
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
    sag = shape.get("sag", 0.0) - (0.03 if view == "AP" else 0.0)
    lines = [outline(side, shape, sag, rng) for side in (-1, 1)]
    masks = [fill(line, size) for line in lines]
    heart = blur(fill(_heart(shape, view, sag), size), 0.006)
    reach = 0.10 * shape["width"]
    depth = sum((13 + 3 * shape["height"]) * dome_of(mask, reach) * mask for mask in masks)
    chest = Chest(
        size=size,
        x=x,
        y=y,
        soft=_torso(x, y, shape, lines),
        bone=bones(y, x, shape, lines, rng),
        lungs=(masks[0] > 0.5, masks[1] > 0.5),
        depth=depth.astype(np.float32),
        heart=heart,
        vessels=_vessels(rng, size),
        bases=(float(lines[0][:, 1].max()), float(lines[1][:, 1].max())),
        shape=shape,
    )
    _middle(chest, rng, sag)
    return chest


def _heart(shape: dict[str, float], view: str, sag: float) -> np.ndarray:
    points = HEART.copy()
    grow = shape["heart"] * (1.10 if view == "AP" else 1.0) * shape["width"]
    centre = np.array([0.02, 0.66])
    points = centre + (points - centre) * (grow, 0.5 + 0.5 * grow)
    points[:, 0] += shape["tilt"] * (0.66 - points[:, 1])
    points[:, 1] = 0.135 + (points[:, 1] - 0.135) * shape["height"] + sag * 0.8
    return smooth(points)


def _torso(
    x: np.ndarray, y: np.ndarray, shape: dict[str, float], lines: list[np.ndarray]
) -> np.ndarray:
    """Tissue of trunk, neck, arms and breasts, in cm, as if there were no air."""
    fat = shape["fat"]
    half = float(np.abs(lines[1][:, 0]).max()) + 0.045 + 0.06 * fat
    broad = half + 0.12 + 0.02 * fat  # from shoulder to shoulder
    heights = (0, 0.05, 0.10, 0.145, 0.20, 0.26, 0.40, 0.75, 1)
    neck = 0.135 + 0.03 * fat
    widths = (neck, neck + 0.02, 0.60 * broad, 0.92 * broad, broad, 0.92 * broad)
    width = np.interp(y[:, 0], heights, (*widths, half, half, 1.08 * half))[:, None]
    across = np.clip(1 - np.abs(x / width) ** 5, 0, 1) ** 0.5
    deep = np.interp(y[:, 0], (0, 0.1, 0.25, 0.62, 0.75, 1), (12, 15, 18.5, 21, 24, 25))[:, None]
    # Shoulders are thinner than the chest between them.
    thin = 1 - 0.35 * np.clip((np.abs(x) - 0.22) / 0.2, 0, 1) * np.clip((0.42 - y) / 0.15, 0, 1)
    soft = deep * (0.85 + 0.30 * fat) * across * thin
    for side in (-1, 1):  # upper arms hang beside the chest, near it or away from it
        middle = side * (broad - 0.06 + shape["arms"] * np.clip(y - 0.19, 0, 1))
        arm = np.clip(1 - ((x - middle) / (0.095 + 0.03 * fat)) ** 2, 0, 1) ** 0.5
        soft = soft + (8 + 3 * fat) * arm * np.clip((y - 0.15) / 0.08, 0, 1)
        if shape["breasts"]:
            away = ((x - side * 0.175) / 0.14) ** 2 + ((y - shape["bust"]) / 0.12) ** 2
            soft = soft + 5.5 * shape["breasts"] * np.clip(1 - away, 0, 1) ** 0.5
    return blur(soft.astype(np.float32), 0.004)


def _vessels(rng: np.random.Generator, size: int) -> np.ndarray:
    """Trees of vessels from both hila, in cm."""
    lines: list[Line] = []
    for side in (-1, 1):
        hilum = np.array([side * 0.072, 0.40 + 0.01 * side])
        for angle in np.linspace(-1.25, 1.35, 8) + rng.normal(0, 0.12, 8):
            _branch(rng, lines, hilum, side, float(angle), 0.085, 0.013, 4)
        spot = hilum + rng.normal(0, 0.008, 2)
        lines.append((np.stack([spot, spot + np.array([0, 0.06])]), 0.028, 0.9))
    return 1.7 * blur(strokes(lines, size), 0.0022)


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
    bend = angle + rng.normal(0, 0.15)
    middle = start + length / 2 * np.array([side * np.cos(angle), np.sin(angle)])
    end = middle + length / 2 * np.array([side * np.cos(bend), np.sin(bend)])
    lines.append((np.stack([start, middle, end]), width, min(1.0, 0.25 + width * 55)))
    if not generations:
        return
    for turn in (0.30, -0.32):
        next_angle = bend + turn + rng.normal(0, 0.1)
        next_length = length * rng.uniform(0.62, 0.82)
        _branch(rng, lines, end, side, next_angle, next_length, width * 0.68, generations - 1)


def _middle(chest: Chest, rng: np.random.Generator, sag: float) -> None:
    """Heart, great vessels and windpipe take the place of air, and add or take tissue."""
    x, y, shape = chest.x, chest.y, chest.shape
    band = np.clip(1.4 - np.abs(x - 0.006) / (0.042 * shape["width"]), 0, 1) * (y > 0.10)
    knob = np.hypot((x - 0.042) / 0.85, y - 0.305) / (0.040 * shape["knob"])
    trunk = np.hypot((x - 0.035) / 0.55, y - 0.385) / 0.075
    behind = np.hypot((x - 0.045) / 0.5, (y - 0.45) / 6) / 0.05
    solid = np.maximum.reduce(
        [
            chest.heart,
            blur(band.astype(np.float32), 0.006),
            blur((knob < 1).astype(np.float32), 0.006),
            blur((trunk < 1).astype(np.float32), 0.008),
            0.35 * np.clip(1.3 - behind, 0, 1).astype(np.float32),
        ]
    )
    chest.depth *= 1 - 0.92 * solid
    trachea = np.clip(1 - ((x - 0.004) / 0.018) ** 2, 0, 1) ** 0.5
    chest.soft -= 2.2 * (trachea * np.clip((0.36 - y) / 0.03, 0, 1)).astype(np.float32)
    chest.soft -= 1.0 * _gas(chest, rng, sag) * (1 - chest.heart)


def _gas(chest: Chest, rng: np.random.Generator, sag: float) -> np.ndarray:
    """The stomach's bubble, level below, and gas in the bowel: cm of tissue that are missing."""
    gas = np.zeros_like(chest.depth)
    bubbles = []
    if rng.random() < 0.85:
        wide = rng.uniform(0.03, 0.085)
        dome = 0.135 + 0.505 * chest.shape["height"] + chest.shape["left_dome"] + sag
        bubbles.append((rng.uniform(0.13, 0.19), dome + 0.5 * wide + rng.uniform(0.01, 0.04), wide))
    for _ in range(int(rng.integers(0, 5))):
        place = rng.uniform(-0.25, 0.25), rng.uniform(0.78, 0.95)
        bubbles.append((*place, rng.uniform(0.015, 0.045)))
    for left, top, wide in bubbles:
        flat = rng.uniform(0.35, 0.75)
        angle = np.arctan2(chest.y - top, chest.x - left)
        wave = 1 + 0.14 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.08 * np.sin(3 * angle)
        away = np.hypot(chest.x - left, (chest.y - top) / flat) / (wide * wave)
        ball = np.sqrt(np.clip(1 - away**2, 0, 1)).astype(np.float32)
        level = top + flat * wide * rng.uniform(0.1, 1.0)
        gas = np.maximum(gas, rng.uniform(4, 9) * ball * (chest.y < level))
    return blur(gas.astype(np.float32), 0.003)
