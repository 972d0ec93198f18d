"""From a chest's maps to a film: attenuation, scatter, noise, position, look."""

from dataclasses import dataclass

import cv2
import numpy as np

from ribcage.phantoms import anatomy, devices, pathology
from ribcage.phantoms.anatomy import Chest
from ribcage.phantoms.canvas import blur, clouds
from ribcage.phantoms.population import Film, Of, rng_of

MU_SOFT, MU_BONE = 0.20, 0.42
"""Attenuation per cm of water and of bone, at the effective energy of a chest film."""


@dataclass
class Drawn:
    """A finished film and what is known about it.

    Attributes:
        pixels: uint8 [size, size].
        lungs: bool [size, size], as JSRT and Montgomery draw them: without what the heart hides.
        heart: bool [size, size].
        lesions: by finding, bool [size, size]: where it is.
        boxes: by finding, (x, y, width, height) in pixels.
        severities: by finding, in [0, 1].
    """

    pixels: np.ndarray
    lungs: np.ndarray
    heart: np.ndarray
    lesions: dict[str, np.ndarray]
    boxes: dict[str, pathology.Box]
    severities: dict[str, float]


def draw_film(film: Film, size: int, seed: int) -> Drawn:
    """Draw one film from the run's seed and the film's own key."""

    def rng(purpose: Of) -> np.random.Generator:
        return rng_of(seed, film.patient, purpose, film.follow_up)

    body = rng_of(seed, film.patient, Of.BODY)  # later films show the same chest
    ill, place = rng(Of.FINDINGS), rng(Of.PLACE)
    shape = anatomy.proportions(body, film.age_years, film.sex)
    severe = pathology.severities(film.findings, ill)
    pathology.prepare(severe, shape)
    chest = anatomy.draw(body, shape, film.view, size)
    lungs = _without_slivers(chest.shown)
    masks = {finding: pathology.add(finding, chest, ill, severe[finding]) for finding in severe}
    devices.inside(chest, film, masks, rng(Of.DEVICES))
    seen = develop(chest, rng(Of.LOOK))
    placed = Placement(place, film, shape, size)
    pixels = np.clip(placed.move(seen, smooth=True), 0, 1)
    pixels = devices.letters(pixels, film, rng(Of.LETTERS))
    lungs, heart = placed.move_mask(lungs), placed.move_mask(chest.heart > 0.5)
    lesions = {finding: placed.move_mask(mask) for finding, mask in masks.items()}
    pixels = finish(pixels, lungs, film, place)
    boxes = {f: box for f, mask in lesions.items() if (box := pathology.box_of(mask)) is not None}
    grey = np.round(pixels * 255).astype(np.uint8)
    return Drawn(grey, lungs, heart, lesions, boxes, severe)


def _without_slivers(mask: np.ndarray) -> np.ndarray:
    """Drop what is thinner than about 5 mm: no hand would outline it."""
    width = max(3, len(mask) // 85)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0


def develop(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Expose and develop: float32 [size, size] in [0, 1], 1 where the film is white."""
    air = chest.depth * (1 + 0.045 * clouds(chest.size, rng, 12, 5))
    tissue = np.maximum(chest.soft - 0.74 * air + chest.vessels * np.clip(chest.depth / 9, 0, 1), 0)
    tissue *= 1 + 0.012 * clouds(chest.size, rng, 6, 4)
    tau = MU_SOFT * tissue + MU_BONE * chest.bone
    through = np.exp(-tau)
    scatter = blur(through, 0.09) * rng.uniform(0.2, 0.6)
    photons = np.exp(rng.uniform(np.log(4e4), np.log(1e6)))
    signal = through + scatter
    signal += np.sqrt(signal / photons) * rng.standard_normal(signal.shape, dtype=np.float32)
    dense = -np.log(np.maximum(signal, 1e-5)).astype(np.float32)
    dense = blur(dense, 0.0009)
    # Edges are enhanced, coarse ones and fine ones.
    dense += rng.uniform(0.2, 1.2) * (dense - blur(dense, 0.02))
    dense += rng.uniform(0.2, 1.2) * (dense - blur(dense, 0.005))
    # The tone curve shows the dark of the lungs and the bright below them at chosen greys.
    healthy = dense[chest.cavity & (chest.middle < 0.1)]
    dark, bright = np.percentile(healthy, 25), np.percentile(dense[int(0.75 * chest.size) :], 80)
    low, high = _logit(rng.uniform(0.10, 0.38)), _logit(rng.uniform(0.78, 0.97))
    steep = (high - low) / max(float(bright - dark), 0.3)
    return (1 / (1 + np.exp(-(low + steep * (dense - dark))))).astype(np.float32)


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


class Placement:
    """Where the patient stands before the detector: one map for film and masks alike.

    Args:
        rng: of the film.
        film: a portable film is placed less well; one on the rotated list lies on its side.
        shape: `anatomy.proportions`: small patients are filmed from nearer.
        size: side in pixels.
    """

    def __init__(
        self, rng: np.random.Generator, film: Film, shape: dict[str, float], size: int
    ) -> None:
        loose = 1.6 if film.view == "AP" else 1.0
        angle = np.radians(rng.normal(0, 2.2 * loose))
        near = rng.uniform(1.15, 1.55) if rng.random() < 0.88 else rng.uniform(0.85, 1.15)
        shift = rng.normal(0, 0.02 * loose, 2)
        if rng.random() < 0.04 + 0.30 * shape["child"]:  # a small body on a large detector
            near *= rng.uniform(0.55, 0.9)
            shift = rng.normal(0, 0.07, 2)
        zoom = near / max(shape["width"], shape["height"])
        grid = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size - 0.5
        y, x = grid
        wave = [
            cv2.resize(
                rng.normal(0, 0.006, (4, 4)).astype(np.float32),
                (size, size),
                interpolation=cv2.INTER_CUBIC,
            )
            for _ in range(2)
        ]
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        from_x = cos * x - sin * y - shift[0] + wave[0]
        from_y = sin * x + cos * y - shift[1] + wave[1] + rng.uniform(-0.10, -0.045)
        self.x = ((from_x + 0.5) * size - 0.5).astype(np.float32)
        self.y = ((from_y + 0.5) * size - 0.5).astype(np.float32)
        self.turns = int(rng.choice((1, 3))) if film.fault == "rotated_images" else 0

    def move(self, image: np.ndarray, smooth: bool = False) -> np.ndarray:
        """Move a map of the patient onto the film; outside the patient's map its edge goes on."""
        border = cv2.BORDER_REPLICATE if smooth else cv2.BORDER_CONSTANT
        moved = cv2.remap(image, self.x, self.y, cv2.INTER_LINEAR, borderMode=border)
        return np.rot90(moved, self.turns)

    def move_mask(self, mask: np.ndarray) -> np.ndarray:
        """Move a bool mask."""
        return self.move(mask.astype(np.float32)) > 0.5


def finish(
    pixels: np.ndarray, lungs: np.ndarray, film: Film, rng: np.random.Generator
) -> np.ndarray:
    """Add what is not the patient: the shutters' frame, faults."""
    pixels = np.ascontiguousarray(pixels)
    _shut(pixels, lungs, rng)
    if film.fault == "other_images_with_lower_quality":
        pixels = 0.12 + 0.10 * pixels + 0.05 * rng.standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(pixels, 0, 1)


def _shut(pixels: np.ndarray, lungs: np.ndarray, rng: np.random.Generator) -> None:
    """Let the shutters leave a frame, or black or white panels beside the lungs, in place."""
    size, kind = len(pixels), rng.random()
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    if kind > 0.33 or not len(rows):
        return
    wide = rng.random(4) * size / 24
    if kind < 0.08:
        room = (rows[0], size - 1 - rows[-1], columns[0], size - 1 - columns[-1])
        wide = rng.uniform(0, 0.95, 4) * room * (rng.random(4) < 0.6)
    top, bottom, left, right = wide.astype(int)
    tone = 0.0 if rng.random() < 0.75 else rng.uniform(0.85, 1.0)
    pixels[:top] = pixels[size - bottom :] = tone
    pixels[:, :left] = pixels[:, size - right :] = tone
