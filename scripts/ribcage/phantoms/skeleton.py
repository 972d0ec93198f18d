"""Bones of the chest, as thickness along the ray."""

import numpy as np

from ribcage.phantoms.canvas import Line, blur, fill, strokes

T = np.linspace(0, 1, 18)
BACK = np.linspace(0.0, 0.56, 18) * np.pi
FRONT = np.linspace(0.44, 0.86, 14) * np.pi
RIBS = 11
BLADE = np.array(
    [(0.375, 0.165), (0.290, 0.200), (0.268, 0.290), (0.285, 0.400), (0.305, 0.425), (0.345, 0.320)]
)
"""Outline of the right shoulder blade, turned out of the lungs as for a PA film; mirrored."""


def bones(
    y: np.ndarray,
    x: np.ndarray,
    shape: dict[str, float],
    lines: list[np.ndarray],
    view: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """Spine, ribs, clavicles, shoulder blades and humeri: float32 [size, size], in cm of bone.

    Args:
        y: float32 coordinates, [size, 1].
        x: float32 coordinates, [1, size].
        shape: `anatomy.proportions`.
        lines: the outlines of the right and of the left lung, [n, 2]: ribs follow them.
        view: PA, or AP: the shoulder blades then lie over the lungs.
        rng: of the patient.
    """
    size = len(y)
    back, front, wall = [], [], []
    for side, edge in zip((-1, 1), lines, strict=True):
        for k in range(RIBS):
            rib = _Rib(k, side, edge, shape)
            wide = (0.023 + 0.0006 * k) * shape["ribs"]
            back.append((rib.at(BACK), wide, 1.0 if k < 10 else 0.6))
            if 0 < k < 8:  # cartilage, which casts no shadow, goes on from where the bone ends
                front.append((rib.at(FRONT[:-3]), 1.15 * wide, 1.0))
                front.append((rib.at(FRONT[-4:]), 1.05 * wide, 0.6))
        # Along the flank the ray runs through ribs and muscle lengthwise.
        flank = edge[: int(edge[:, 1].argmax())]
        wall.append((flank * (1.008, 1), 0.010, 1.0))
    ribs = _tube(strokes(back, size)) + 0.55 * _tube(strokes(front, size))
    ribs += 0.26 * blur(strokes(wall, size), 0.0022)
    ribs *= np.clip((np.abs(x) - 0.02) / 0.05, 0.3, 1)
    # Below the domes scatter drowns them.
    dome = min(float(np.quantile(edge[:, 1], 0.75)) for edge in lines)
    ribs *= np.clip(1 - (y - dome - 0.01) / 0.10, 0.35, 1)
    return (_spine(y, x, shape) + ribs + _girdle(size, shape, view, rng)).astype(np.float32)


def _tube(drawn: np.ndarray) -> np.ndarray:
    """Cm of bone of drawn bands: marrow, and a cortex that stands out along their edges."""
    return 0.26 * drawn + 1.10 * np.clip(drawn - blur(drawn, 0.0045), 0, 1)


class _Rib:
    """One rib as seen from the front: an ellipse behind, and a steeper one in front.

    Args:
        k: its number from the top, from 0.
        side: -1 for the patient's right.
        edge: the lung's outline.
        shape: `anatomy.proportions`.
    """

    def __init__(self, k: int, side: int, edge: np.ndarray, shape: dict[str, float]) -> None:
        self.side = side
        self.top = 0.135 + (-0.030 + 0.049 * k + 0.0004 * k * k) * shape["height"]
        self.drop = (0.045 + 0.0095 * k) * shape["slope"]
        self.ahead = (0.070 + 0.009 * k) * shape["slope"]
        self.reach = _edge_at(edge, self.top + self.drop) - 0.006

    def at(self, angle: np.ndarray) -> np.ndarray:
        """Points at angles from 0 (the spine) over pi / 2 (the flank) to pi: [n, 2]."""
        out = 0.026 + (self.reach - 0.026) * np.sin(angle) ** np.where(angle < np.pi / 2, 1.0, 0.8)
        fall = np.where(angle < np.pi / 2, self.drop, self.ahead) * -np.cos(angle)
        neck = -0.006 * np.sin(2 * angle) * (angle < np.pi / 2)
        return np.stack([self.side * out, self.top + self.drop + fall + neck], axis=1)


def _edge_at(edge: np.ndarray, at: float) -> float:
    """How far out a lung reaches at a height; above the apex the cage closes."""
    lowest = int(edge[:, 1].argmax())
    outer = edge[: lowest + 1] if lowest > len(edge) // 4 else edge
    outer = outer[np.argsort(outer[:, 1])]
    heights, widths = outer[:, 1], np.abs(outer[:, 0])
    if at < heights[0]:
        return float(max(widths[0] - 2.2 * (heights[0] - at), 0.055))
    return float(np.interp(at, heights, widths))


def _spine(y: np.ndarray, x: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """Vertebrae with discs between them, their pedicles, transverse and spinous processes."""
    turn = (y - 0.02) / (0.050 * shape["height"]) % 1
    half = 0.030 + 0.014 * y
    bend = shape["bend"] * np.sin(3.5 * (y - 0.1))
    x = x - bend
    bodies = np.clip(1 - (x / half) ** 2, 0, 1) ** 0.7
    discs = 0.85 + 0.15 * np.clip(5 * np.abs(turn - 0.5) - 0.2, -1, 1)
    pedicles = [
        np.clip(1.2 - np.hypot((x - s * 0.022) / 0.007, (turn - 0.15) / 0.18), 0, 0.7)
        for s in (-1, 1)
    ]
    process = np.clip(1.2 - np.hypot(x / 0.006, (turn - 0.45) / 0.25), 0, 0.6)
    wings = np.clip(1 - np.abs((np.abs(x) - 0.035) / 0.022), 0, 1) * np.clip(
        1 - np.abs((turn - 0.2) / 0.17), 0, 1
    )
    sides = 0.22 * np.clip(1 - np.abs((np.abs(x) - 0.93 * half) / 0.006), 0, 1)
    deep = 0.60 + 0.45 * np.clip(y, 0, 0.9)
    made = (
        deep * (bodies * discs + sides)
        + 0.22 * (pedicles[0] + pedicles[1] + process)
        + 0.22 * wings
    )
    return made.astype(np.float32)


def _girdle(size: int, shape: dict[str, float], view: str, rng: np.random.Generator) -> np.ndarray:
    """Clavicles, shoulder blades and humeri, in cm of bone."""
    blades = np.zeros((size, size), np.float32)
    lines: list[Line] = []
    inward = shape["blades"] + (0.045 if view == "AP" else 0.0)
    for side in (-1, 1):
        rise, wide = rng.normal(0.0, 0.010), side * shape["width"]
        up = rise - (0.020 if view == "AP" else 0.0)
        bow = 0.016 * np.sin(2 * np.pi * T)
        clavicle = np.stack(
            [wide * (0.030 + 0.330 * T), 0.190 + up - shape["clavicles"] * T + bow], 1
        )
        scale = np.array([wide, 1])
        moved = np.array([-inward, rng.normal(0, 0.008)])
        blades = np.maximum(blades, fill((BLADE + moved) * scale, size))
        lean = shape["arms"] * 0.45
        shaft = np.array([(0.425, 0.17), (0.435 + 0.2 * lean, 0.26), (0.43 + lean, 0.62)])
        head = np.array([(0.410, 0.165), (0.416, 0.172)])
        spine = np.array([(0.415, 0.125), (0.36, 0.150), (0.27, 0.205)]) + moved / 2
        rim = np.array([(0.305, 0.425), (0.350, 0.300), (0.385, 0.205)]) + moved
        beak = np.array([(0.335, 0.165), (0.355, 0.180)]) + moved / 2
        lines += [
            (clavicle, 0.021, 0.95),
            (clavicle[:2], 0.025, 0.60),
            (spine * scale, 0.015, 0.45),
            (rim * scale, 0.009, 0.40),
            (beak * scale, 0.020, 0.45),
            (shaft * scale, 0.044, 0.90),
            (head * scale, 0.085, 0.85),
        ]
    long = strokes(lines, size)
    long = blur(long, 0.0015)
    blade = 0.20 * blades + 0.45 * np.clip(blades - blur(blades, 0.007), 0, 1)
    return 0.55 * long + 1.5 * np.clip(long - blur(long, 0.006), 0, 1) + blade
