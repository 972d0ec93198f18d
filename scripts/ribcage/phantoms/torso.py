"""Soft tissue: trunk, neck, arms, breasts."""

import numpy as np

from ribcage.phantoms.canvas import blur


def torso(
    x: np.ndarray, y: np.ndarray, shape: dict[str, float], lines: list[np.ndarray]
) -> np.ndarray:
    """Tissue of trunk, neck, arms and breasts, in cm, as if there were no air."""
    fat, child = shape["fat"], shape["child"]
    half = float(np.abs(lines[1][:, 0]).max()) + 0.040 + 0.06 * fat
    broad = half + (0.135 + 0.02 * fat) * (1 - 0.45 * child)  # from shoulder to shoulder
    neck = 0.140 + 0.035 * fat - 0.01 * child
    heights = (0, 0.04, 0.08, 0.12, 0.16, 0.22, 0.30, 0.42, 0.75, 1)
    trapezius = (0.48 * broad, 0.74 * broad, 0.93 * broad, broad, 0.97 * broad)
    widths = (neck, neck + 0.025, *trapezius, half + 0.02, half, 1.06 * half)
    width = np.interp(y[:, 0], heights, widths)[:, None]
    across = np.clip(1 - np.abs(x / width) ** 6, 0, 1) ** 0.5
    deep = np.interp(
        y[:, 0], (0, 0.1, 0.2, 0.3, 0.62, 0.75, 1), (13, 16.5, 18.5, 19.5, 21, 24, 25)
    )[:, None]
    # Shoulders are thinner than the chest between them.
    thin = 1 - 0.22 * np.clip((np.abs(x) - 0.25) / 0.2, 0, 1) * np.clip((0.42 - y) / 0.15, 0, 1)
    bulk = (0.85 + 0.30 * fat) * (1 - 0.25 * child)
    soft = bulk * deep * across * thin
    for side in (-1, 1):  # upper arms hang beside the chest, near it or away from it
        middle = side * (broad - 0.06 + shape["arms"] * np.clip(y - 0.19, 0, 1))
        arm = np.clip(1 - ((x - middle) / (0.095 + 0.03 * fat)) ** 2, 0, 1) ** 0.5
        soft = soft + bulk * (9 + 3 * fat) * arm * np.clip((y - 0.15) / 0.08, 0, 1)
        # The pectoral muscle's lower edge runs up to the armpit.
        fold = np.clip((0.42 - y - 0.55 * (np.abs(x) - 0.18)) / 0.03, 0, 1)
        soft = soft + 1.3 * fold * (side * x > 0.06) * np.clip((np.abs(x) - 0.06) / 0.08, 0, 1)
        if shape["breasts"]:
            soft = soft + shape["breasts"] * _breast(x, y, side, shape)
    jaw = np.clip((0.035 + 0.02 * np.cos(12 * x) - y) / 0.01, 0, 1) * (np.abs(x) < 0.15)
    # Nobody is wider than the map: what goes on beyond its edge is air.
    soft = (soft + 5 * jaw) * np.clip((0.493 - np.abs(x)) / 0.01, 0, 1)
    return blur(soft.astype(np.float32), 0.004)


def _breast(x: np.ndarray, y: np.ndarray, side: int, shape: dict[str, float]) -> np.ndarray:
    """A breast, in cm: thin above, full below, with a clear lower edge."""
    size = (0.9 + 0.35 * shape["breasts"]) * shape["bust_wide"]
    below = y > shape["bust"]
    tall = np.where(below, 0.075, 0.17) * size
    across = (x - side * 0.175 * shape["width"]) / (0.125 * size)
    away = across**2 + ((y - shape["bust"]) / tall) ** 2
    return 5.0 * np.clip(1 - away, 0, 1) ** 0.55
