"""Drawing and noise on a square map, in shares of its side."""

import cv2
import numpy as np

SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates: outlines are placed to 1/16 px."""

Line = tuple[np.ndarray, float, float]
"""An open line to draw: points [n, 2], width as share of the side, strength in [0, 1]."""


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


def strokes(lines: list[Line], size: int) -> np.ndarray:
    """Draw open lines into float32 [size, size] in [0, 1], the strong ones over the weak."""
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
