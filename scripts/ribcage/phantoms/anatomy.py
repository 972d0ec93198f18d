"""A patient's chest: outlines, and maps of tissue and bone along the ray."""

from dataclasses import dataclass, field

import cv2
import numpy as np

SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates: outlines are placed to 1/16 px."""

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
        (0.285, 0.700),
        (0.240, 0.665),
        (0.180, 0.640),
        (0.115, 0.640),
        (0.060, 0.668),
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


def smooth(points: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Cut the corners of a closed outline (Chaikin), until it is smooth."""
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1)
        points = points.reshape(-1, 2)
    return points


def to_px(points: np.ndarray, size: int) -> np.ndarray:
    """Fixed-point pixel coordinates of (x, y) points."""
    place = (np.asarray(points, float) + np.array([0.5, 0.0])) * size - 0.5
    return np.round(place * 2**SHIFT).astype(np.int32)


def fill(points: np.ndarray, size: int) -> np.ndarray:
    """Float32 [size, size]: 1 inside a closed outline, with antialiased edge."""
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [to_px(points, size)], 255, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255


def strokes(lines: list[tuple[np.ndarray, float, float]], size: int) -> np.ndarray:
    """Draw open lines, each (points, width as share of the side, strength in [0, 1])."""
    canvas = np.zeros((size, size), np.uint8)
    for points, width, strength in sorted(lines, key=lambda line: line[2]):
        thick = max(1, round(width * size))
        colour = int(255 * strength)
        cv2.polylines(canvas, [to_px(points, size)], False, colour, thick, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255


def blur(image: np.ndarray, share: float) -> np.ndarray:
    """Gaussian blur with a standard deviation given as share of the side."""
    sigma = share * image.shape[0]
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.2 else image


def clouds(size: int, rng: np.random.Generator, coarse: int, octaves: int = 4) -> np.ndarray:
    """Noise with more power at low frequencies, mean 0, standard deviation about 1."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = min(coarse * 2**octave, size)
        layer = rng.standard_normal((cells, cells), dtype=np.float32)
        layer = np.asarray(cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC))
        total += layer / np.float32(1.6**octave)
    return total / max(float(total.std()), 1e-6)


def dome_of(mask: np.ndarray, reach: float) -> np.ndarray:
    """In [0, 1]: how deep inside a mask a pixel lies, round like a balloon towards its edge."""
    inside = (mask > 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / (reach * mask.shape[0])
    return np.sqrt(np.clip(1 - (1 - np.minimum(distance, 1)) ** 2, 0, 1)).astype(np.float32)


def proportions(rng: np.random.Generator, age: int, sex: str, view: str) -> dict[str, float]:
    """Draw a patient's proportions; sizes are factors of the average adult's."""
    child = np.clip((16 - age) / 12, 0, 1)
    return {
        "width": rng.normal(1.0, 0.06) * (1 - 0.05 * (sex == "F")) + 0.05 * child,
        "height": rng.normal(1.0, 0.07) - 0.10 * child - 0.05 * (sex == "F"),
        "arms": rng.uniform(0.05, 0.22),
        "fat": float(np.clip(rng.normal(0.35 + 0.1 * (sex == "F"), 0.25), 0, 1.2)),
        "breasts": rng.uniform(0.3, 1.0) * (sex == "F") * (age > 13),
        "heart": rng.normal(1.0, 0.07) + 0.06 * (age > 65),
        "tilt": rng.normal(0, 0.04),
        "right_dome": rng.normal(-0.012, 0.010),
        "left_dome": rng.normal(0.008, 0.010),
        "knob": rng.uniform(0.6, 1.3) * (0.7 + 0.5 * min(age, 80) / 80),
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
        soft=_torso(x, y, shape, size, lines),
        bone=_bones(x, y, shape, size, lines, rng),
        lungs=(masks[0] > 0.5, masks[1] > 0.5),
        depth=depth.astype(np.float32),
        heart=heart,
        vessels=_vessels(rng, size, shape),
        bases=(float(lines[0][:, 1].max()), float(lines[1][:, 1].max())),
        shape=shape,
    )
    _middle(chest, shape, sag)
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
    x: np.ndarray, y: np.ndarray, shape: dict[str, float], size: int, lines: list[np.ndarray]
) -> np.ndarray:
    """Tissue of trunk, neck, arms and breasts, in cm, as if there were no air."""
    fat = shape["fat"]
    half = np.abs(lines[1][:, 0]).max() + 0.050 + 0.06 * fat
    heights, widths = (
        (0, 0.03, 0.09, 0.15, 0.22, 0.35, 1),
        (0.30, 0.34, 0.75, 1.12, 1.22, 1.02, 1.10),
    )
    width = half * np.interp(y[:, 0], heights, widths)[:, None]
    across = np.clip(1 - np.abs(x / width) ** 5, 0, 1) ** 0.5
    deep = np.interp(y[:, 0], (0, 0.1, 0.25, 0.62, 0.75, 1), (12, 15, 18.5, 21, 24, 25))[:, None]
    soft = (deep * (0.85 + 0.30 * fat)) * across
    for side in (-1, 1):  # upper arms hang beside the chest, near it or away from it
        arm = np.clip(1 - ((x - side * (half + shape["arms"])) / 0.10) ** 2, 0, 1) ** 0.5
        soft = soft + (9 + 3 * fat) * arm * np.clip((y - 0.10) / 0.12, 0, 1)
        if shape["breasts"]:
            away = ((x - side * 0.17) / 0.135) ** 2 + ((y - 0.60) / 0.13) ** 2
            soft = soft + 5.5 * shape["breasts"] * np.clip(1 - away, 0, 1) ** 0.5
    return blur(soft.astype(np.float32), 0.008)


def _bones(
    x: np.ndarray,
    y: np.ndarray,
    shape: dict[str, float],
    size: int,
    lines: list[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Spine, ribs, clavicles, scapulae and humeral heads, in cm of bone."""
    period = 0.050 * shape["height"]
    disc = 0.75 + 0.25 * np.cos(2 * np.pi * (y - 0.02) / period)
    spine = np.clip(1 - (x / (0.036 + 0.010 * y)) ** 2, 0, 1) ** 0.5 * disc
    back, front, girdle = [], [], []
    t = np.linspace(0, 1, 16)
    for side in (-1, 1):
        edge = lines[0 if side < 0 else 1]
        for k in range(10):
            top = 0.125 + (0.056 + 0.0022 * k) * k * shape["height"]
            reach = _edge_at(edge, top + 0.05, side)
            out = 0.03 + (reach - 0.03) * np.sin(np.pi / 2 * t)
            drop = shape["slope"] * (1.0 + 0.08 * k)
            rib = np.stack([side * out, top - 0.018 * np.sin(np.pi * t) + drop * t**3], axis=1)
            back.append((rib, 0.020 * shape["ribs"], 0.9))
            if 1 <= k <= 6:
                end = top + drop
                inward = reach - (reach - 0.07) * t
                bow = end + (0.055 + 0.022 * k) * t**1.6
                rib = np.stack([side * inward, bow], axis=1)
                front.append((rib, 0.021 * shape["ribs"], 0.55))
        rise = rng.normal(0.0, 0.008)
        clavicle = np.stack(
            [side * (0.028 + 0.25 * t), 0.178 + rise - 0.055 * t + 0.014 * np.sin(2 * np.pi * t)], 1
        )
        girdle.append((clavicle, 0.022, 1.0))
        scapula = np.array([(0.30, 0.15), (0.335, 0.25), (0.30, 0.40), (0.275, 0.28)])
        girdle.append((scapula * (side * shape["width"], 1), 0.016, 0.7))
        head = np.array([(0.40, 0.165), (0.405, 0.17)]) * (side * shape["width"], 1)
        girdle.append((head, 0.075, 0.9))
    ribs = blur(np.maximum(strokes(back, size), strokes(front, size)), 0.003)
    # The cortex is denser than the marrow: edges stand out.
    cortex = np.clip(ribs - blur(ribs, 0.010), 0, 1)
    return (
        1.3 * spine.astype(np.float32)
        + 0.75 * ribs
        + 1.1 * cortex
        + 1.0 * blur(strokes(girdle, size), 0.004)
    )


def _edge_at(edge: np.ndarray, at: float, side: int) -> float:
    """How far out a lung reaches at a height."""
    near = edge[np.abs(edge[:, 1] - at) < 0.03]
    return float(np.abs(near[:, 0]).max()) if len(near) else 0.27


def _vessels(rng: np.random.Generator, size: int, shape: dict[str, float]) -> np.ndarray:
    """Trees of vessels from both hila, in cm."""
    lines: list[tuple[np.ndarray, float, float]] = []
    for side in (-1, 1):
        hilum = np.array([side * 0.072, 0.40 + 0.01 * side])
        for angle in np.linspace(-1.25, 1.35, 8) + rng.normal(0, 0.12, 8):
            _branch(rng, lines, hilum, side, float(angle), 0.085, 0.013, 4)
        spot = hilum + rng.normal(0, 0.008, 2)
        lines.append((np.stack([spot, spot + np.array([0, 0.06])]), 0.028, 0.9))
    return 1.7 * blur(strokes(lines, size), 0.0022)


def _branch(
    rng: np.random.Generator,
    lines: list[tuple[np.ndarray, float, float]],
    start: np.ndarray,
    side: int,
    angle: float,
    length: float,
    width: float,
    generations: int,
) -> None:
    bend = angle + rng.normal(0, 0.15)
    middle = start + length / 2 * np.array([side * np.cos(angle), np.sin(angle)])
    end = middle + length / 2 * np.array([side * np.cos(bend), np.sin(bend)])
    lines.append((np.stack([start, middle, end]), width, min(1.0, 0.25 + width * 55)))
    if generations:
        for turn in (0.30, -0.32):
            _branch(
                rng,
                lines,
                end,
                side,
                bend + turn + rng.normal(0, 0.1),
                length * rng.uniform(0.62, 0.82),
                width * 0.68,
                generations - 1,
            )


def _middle(chest: Chest, shape: dict[str, float], sag: float) -> None:
    """Heart, great vessels and windpipe take the place of air, and add or take tissue."""
    x, y = chest.x, chest.y
    band = np.clip(1.5 - np.abs(x - 0.008) / (0.042 * shape["width"]), 0, 1)
    knob = np.hypot(x - 0.055, (y - 0.30)) / (0.040 * shape["knob"])
    aorta = np.hypot((x - 0.045) / 0.5, (y - 0.45) / 6) / 0.05
    solid = np.maximum.reduce(
        [
            chest.heart,
            blur((band * (y > 0.10)).astype(np.float32), 0.006),
            blur((knob < 1).astype(np.float32), 0.005),
            0.35 * np.clip(1.3 - aorta, 0, 1).astype(np.float32),
        ]
    )
    chest.depth *= 1 - 0.9 * solid
    trachea = np.clip(1 - ((x - 0.004) / 0.019) ** 2, 0, 1) ** 0.5 * np.clip(
        (0.36 - y) / 0.03, 0, 1
    )
    chest.soft -= 1.8 * trachea.astype(np.float32)
    belly = np.hypot((x - 0.15) / 0.075, (y - 0.735 - sag) / 0.035)
    chest.soft -= 4.5 * blur((belly < 1).astype(np.float32), 0.004) * (1 - chest.heart)
