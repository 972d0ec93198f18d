"""Bones of the chest, as thickness along the ray."""

import numpy as np

from ribcage.phantoms.canvas import Line, blur, strokes

T = np.linspace(0, 1, 18)


def bones(
    y: np.ndarray,
    x: np.ndarray,
    shape: dict[str, float],
    lines: list[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Spine, ribs, clavicles, scapulae and humeri: float32 [size, size], in cm of bone.

    Args:
        y: float32 coordinates, [size, 1].
        x: float32 coordinates, [1, size].
        shape: `anatomy.proportions`.
        lines: the outlines of the right and of the left lung, [n, 2]: ribs follow them.
        rng: of the patient.
    """
    size = len(y)
    back, front, girdle = [], [], []
    for side, edge in zip((-1, 1), lines, strict=True):
        for k in range(10):
            behind, ahead = _rib(k, side, edge, shape)
            back.append((behind, 0.025 * shape["ribs"], 0.95))
            if 1 <= k <= 6:
                front.append((ahead, 0.025 * shape["ribs"], 0.60))
        # Where the ribs turn forward the ray runs along them: a bright rim of the cage.
        back.append((edge[: int(0.42 * len(edge))] * (1.015, 1), 0.012, 0.45))
        girdle += _girdle(side, shape, rng)
    ribs = blur(np.maximum(strokes(back, size), strokes(front, size)), 0.0025)
    # The cortex is denser than the marrow: edges stand out.
    ribs = 0.80 * ribs + 2.0 * np.clip(ribs - blur(ribs, 0.009), 0, 1)
    # Below the domes the ribs are thinner, and scatter drowns them.
    dome = min(float(np.quantile(edge[:, 1], 0.7)) for edge in lines)
    ribs *= np.clip((np.abs(x) - 0.03) / 0.07, 0.2, 1)  # cartilage in front, slender necks behind
    ribs *= np.clip(1 - (y - dome - 0.02) / 0.10, 0.25, 1)
    return _spine(y, x, shape) + ribs + 1.4 * blur(strokes(girdle, size), 0.003)


def _spine(y: np.ndarray, x: np.ndarray, shape: dict[str, float]) -> np.ndarray:
    """Vertebrae with discs between them, their pedicles, and spinous processes."""
    turn = (y - 0.02) / (0.050 * shape["height"]) % 1
    bodies = np.clip(1 - (x / (0.034 + 0.012 * y)) ** 2, 0, 1) ** 0.4
    discs = 0.80 + 0.20 * np.clip(4 * np.abs(turn - 0.5) - 0.2, -1, 1)
    pedicles = [
        np.clip(1.2 - np.hypot((x - s * 0.022) / 0.007, (turn - 0.15) / 0.18), 0, 0.7)
        for s in (-1, 1)
    ]
    process = np.clip(1.2 - np.hypot(x / 0.006, (turn - 0.45) / 0.25), 0, 0.6)
    return (1.25 * bodies * discs + 0.6 * (pedicles[0] + pedicles[1] + process)).astype(np.float32)


def _rib(
    k: int, side: int, edge: np.ndarray, shape: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The posterior and the anterior arc of rib `k`, which meet on the lung's edge."""
    top = 0.125 + (0.056 + 0.0022 * k) * k * shape["height"]
    reach = edge_at(edge, top + 0.05) + 0.004
    drop = shape["slope"] * (1.0 + 0.10 * k)
    out = 0.03 + (reach - 0.03) * np.sin(np.pi / 2 * T)
    behind = np.stack([side * out, top - 0.020 * np.sin(np.pi * T) + drop * T**3], axis=1)
    inward = reach - (reach - 0.075) * T
    ahead = np.stack([side * inward, top + drop + (0.045 + 0.020 * k) * T**1.5], axis=1)
    return behind, ahead


def _girdle(side: int, shape: dict[str, float], rng: np.random.Generator) -> list[Line]:
    """Clavicle, scapula and humerus of one side."""
    rise, wide = rng.normal(0.0, 0.008), side * shape["width"]
    clavicle = np.stack(
        [wide * (0.045 + 0.285 * T), 0.180 + rise - 0.060 * T + 0.014 * np.sin(2 * np.pi * T)], 1
    )
    blade = np.array([(0.39, 0.17), (0.315, 0.24), (0.290, 0.33), (0.285, 0.41), (0.30, 0.43)])
    spine = np.array([(0.42, 0.13), (0.35, 0.155), (0.25, 0.20)])
    rim = np.array([(0.30, 0.43), (0.345, 0.30), (0.375, 0.215)])
    lean = shape["arms"] * 0.45
    shaft = np.array([(0.425, 0.17), (0.435 + 0.2 * lean, 0.26), (0.43 + lean, 0.62)])
    head = np.array([(0.415, 0.165), (0.420, 0.170)])
    scale = np.array([wide, 1])
    return [
        (clavicle, 0.024, 1.0),
        (blade * scale, 0.010, 0.55),
        (rim * scale, 0.012, 0.75),
        (spine * scale, 0.014, 0.65),
        (shaft * scale, 0.044, 0.80),
        (head * scale, 0.078, 0.85),
    ]


def edge_at(edge: np.ndarray, at: float) -> float:
    """How far out a lung reaches at a height."""
    near = edge[np.abs(edge[:, 1] - at) < 0.03]
    return float(np.abs(near[:, 0]).max()) if len(near) else 0.27
