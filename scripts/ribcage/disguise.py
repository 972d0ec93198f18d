"""Domain randomisation: the strange disguises in which the segmenter sees phantoms."""

import cv2
import numpy as np


class Disguise:
    """Domain randomisation: what a network must not mind if it is to know real lungs from drawn.

    Args:
        rng: the source of all its draws.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, film: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Disguise one film.

        Args:
            film: uint8 [n, n].
            mask: bool [n, n].

        Returns:
            float32 [n, n] and bool [n, n].
        """
        rng = self.rng
        pixels, lungs = self._move(film.astype(np.float32) / 255, mask.astype(np.float32))
        if rng.random() < 0.16:
            pixels = self._white_out(pixels, lungs)
        if rng.random() < 0.35:
            pixels = self._clouds(pixels, lungs)
        pixels = self._tone(pixels)
        pixels = self._objects(pixels)
        if rng.random() < 0.5:
            pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.2))
        if rng.random() < 0.5:
            pixels = pixels + rng.uniform(0, 0.035) * rng.standard_normal(pixels.shape)
        if rng.random() < 0.25:
            pixels = self._frame(pixels, lungs)
        if rng.random() < 0.04:
            pixels = 1 - pixels
        return pixels.astype(np.float32), lungs > 0.5

    def _smooth(self, n: int, cells: int, spread: float) -> np.ndarray:
        small = self.rng.normal(0, spread, (cells, cells)).astype(np.float32)
        return np.asarray(cv2.resize(small, (n, n), interpolation=cv2.INTER_CUBIC))

    def _move(self, film: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn, scale, stretch, shift, mirror and bend film and mask alike."""
        rng, n = self.rng, len(film)
        angle = np.radians(rng.normal(0, 5))
        scale = rng.uniform(0.82, 1.2) * np.array([rng.uniform(0.93, 1.07), rng.uniform(0.9, 1.1)])
        shift = rng.normal(0, 0.05, 2)
        y, x = (np.mgrid[:n, :n].astype(np.float32) + 0.5) / n - 0.5
        if rng.random() < 0.3:
            x = -x
        cos, sin = np.cos(angle), np.sin(angle)
        from_x = (cos * x - sin * y) / scale[0] + shift[0] + self._smooth(n, 4, 0.012)
        from_y = (sin * x + cos * y) / scale[1] + shift[1] + self._smooth(n, 4, 0.012)
        from_x, from_y = from_x + self._smooth(n, 9, 0.003), from_y + self._smooth(n, 9, 0.003)
        at_x = ((from_x + 0.5) * n - 0.5).astype(np.float32)
        at_y = ((from_y + 0.5) * n - 0.5).astype(np.float32)
        border = cv2.BORDER_REPLICATE if rng.random() < 0.7 else cv2.BORDER_CONSTANT
        return (
            cv2.remap(film, at_x, at_y, cv2.INTER_LINEAR, borderMode=border),
            cv2.remap(mask, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT),
        )

    def _white_out(self, pixels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
        """Fill one side's lung, or both, from below, as fluid, collapse or thick tissue does."""
        rows = np.flatnonzero((lungs > 0.5).any(axis=1))
        columns = np.flatnonzero((lungs > 0.5).any(axis=0))
        if not len(rows):
            return pixels
        n = len(pixels)
        x = np.arange(n)[None, :]
        side = x < (columns[0] + columns[-1]) / 2
        side = side if self.rng.random() < 0.5 else ~side
        both = self.rng.random() < 0.3
        level = rows[0] + self.rng.uniform(0.4 if both else 0.0, 0.8) * (rows[-1] - rows[0])
        soft = self.rng.uniform(0.04, 0.25) * n
        below = np.clip((np.arange(n)[:, None] - level) / soft, 0, 1)
        part = (self.rng.uniform(0.5, 0.95) * below * (side | both) * lungs).astype(np.float32)
        bright = np.quantile(pixels, self.rng.uniform(0.7, 0.95))
        return pixels * (1 - part) + part * bright

    def _clouds(self, pixels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
        n = len(pixels)
        haze = np.clip(self._smooth(n, 6, 0.5) + self._smooth(n, 14, 0.3), 0, 1)
        return pixels + self.rng.uniform(0.1, 0.5) * haze * lungs

    def _tone(self, pixels: np.ndarray) -> np.ndarray:
        """Another film-screen, another look-up table: gamma, a random curve, an uneven field."""
        rng = self.rng
        pixels = np.clip(pixels, 0, 1) ** np.exp(rng.normal(0, 0.35))
        if rng.random() < 0.6:
            steps = rng.uniform(0.05, 1, 8)
            if rng.random() < 0.12:
                steps[rng.integers(8)] *= -1  # not even monotone
            knots = np.concatenate([[0], np.cumsum(steps)])
            knots = (knots - knots.min()) / (knots.max() - knots.min())
            pixels = np.interp(pixels, np.linspace(0, 1, 9), knots)
        if rng.random() < 0.4:  # some viewers flatten what is large, some sharpen it
            coarse = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), len(pixels) / 14)
            pixels = pixels + rng.uniform(-0.4, 1.2) * (pixels - coarse)
        pixels = pixels * rng.uniform(0.6, 1.3) + rng.normal(0, 0.1)
        if rng.random() < 0.5:
            pixels = pixels + self._smooth(len(pixels), 3, 0.12)
        return pixels.astype(np.float32)

    def _objects(self, pixels: np.ndarray) -> np.ndarray:
        """Gas, pads, markers, devices: ellipses, rectangles and lines of any tone."""
        rng, n = self.rng, len(pixels)
        for _ in range(int(rng.integers(0, 4))):
            canvas = np.zeros((n, n), np.float32)
            centre = tuple(int(v) for v in rng.uniform(0, n, 2))
            if rng.random() < 0.6:
                axes = tuple(int(v) for v in rng.uniform(0.02, 0.10, 2) * n)
                cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
            else:
                far = tuple(
                    int(c + v) for c, v in zip(centre, rng.uniform(0.02, 0.16, 2) * n, strict=True)
                )
                cv2.rectangle(canvas, centre, far, 1.0, -1)
            share = rng.uniform(0.2, 1.0) * cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 2))
            pixels = pixels * (1 - share) + share * rng.uniform(0, 1)
        if rng.random() < 0.3:  # a tube or a lead
            knots = rng.uniform(-0.1, 1.1, (4, 2)) * n
            t = np.linspace(0, 1, 16)[:, None]
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
            path = sum(w * knot for w, knot in zip(weights, knots, strict=True))
            canvas = np.zeros((n, n), np.float32)
            cv2.polylines(canvas, [np.asarray(path, np.int32)], False, 1.0, 1, cv2.LINE_AA)
            pixels = pixels + rng.uniform(-0.2, 0.5) * canvas
        return pixels

    def _frame(self, pixels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
        """Shutters around the lungs, black or white, of any width that leaves the lungs alone."""
        rng, n = self.rng, len(pixels)
        rows = np.flatnonzero((lungs > 0.5).any(axis=1))
        columns = np.flatnonzero((lungs > 0.5).any(axis=0))
        if not len(rows):
            return pixels
        tone = 0.0 if rng.random() < 0.8 else 1.0
        top, bottom = rows[0] * rng.random(), rows[-1] + (n - rows[-1]) * rng.random()
        left, right = columns[0] * rng.random(), columns[-1] + (n - columns[-1]) * rng.random()
        pixels = pixels.copy()
        pixels[: int(top)] = pixels[int(bottom) + 1 :] = tone
        pixels[:, : int(left)] = pixels[:, int(right) + 1 :] = tone
        return pixels
