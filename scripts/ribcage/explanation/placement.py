"""Placement: where on a film the cells of a map lie.

The cells tile the square of the film that the network was shown. The network sees far beyond a
cell's own footprint, so a map is never sharper than its cells.
"""

import numpy as np

from ribcage.shards import Square


def peak(cells: np.ndarray, square: Square) -> tuple[float, float]:
    """Find the centre of the highest cell, x and y in film pixels.

    Bilinear interpolation never exceeds the cells, so it is also the peak of the map as drawn. In a
    view that reaches over the film's edge it may lie outside the film.

    Returns:
        NaN of a map that is equal in all its cells, which points nowhere. Of equally high cells of
        another map the first is taken.
    """
    if np.ptp(cells) == 0:
        return float("nan"), float("nan")
    row, column = np.unravel_index(int(np.argmax(cells)), cells.shape)
    height, width = cells.shape
    x = square.x0_px + (int(column) + 0.5) * square.side_px / width
    y = square.y0_px + (int(row) + 0.5) * square.side_px / height
    return x, y


def _interpolate(
    cells: int, start_px: int, side_px: int, length_px: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [n, cells] of the cells at n points along a film, and which points they cover."""
    centre = (np.arange(n) + 0.5) * length_px / n
    at = ((centre - start_px) / side_px * cells - 0.5).clip(0, cells - 1)
    # Linear between the two nearest cell centres, constant beyond the outermost.
    weights = (1 - np.abs(at[:, None] - np.arange(cells)[None])).clip(min=0)
    return weights, (centre >= start_px) & (centre < start_px + side_px)


def on_film(
    cells: np.ndarray, square: Square, film_px: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Lay a map over the film from which its square was cut.

    Args:
        cells: [h, w], the cells of the square.
        square: the part of the film that the network was shown.
        film_px: the film's width and height.
        shape: height and width of the result, which shows the whole film.

    Returns:
        float32 [height, width], bilinear between cell centres; NaN outside the square.
    """
    down, in_y = _interpolate(cells.shape[0], square.y0_px, square.side_px, film_px[1], shape[0])
    along, in_x = _interpolate(cells.shape[1], square.x0_px, square.side_px, film_px[0], shape[1])
    heat = (down @ cells.astype(np.float64) @ along.T).astype(np.float32)
    heat[~in_y] = np.nan
    heat[:, ~in_x] = np.nan
    return heat


def share_inside(heat: np.ndarray, mask: np.ndarray) -> float:
    """The share of a map's positive evidence that lies inside a mask.

    Args:
        heat: [height, width], of `on_film`.
        mask: bool [height, width].

    Returns:
        In [0, 1]; NaN where the map has no positive evidence on the film.
    """
    evidence = np.nan_to_num(heat, nan=0.0).clip(min=0).astype(np.float64)
    total = evidence.sum()
    return float(evidence[mask].sum() / total) if total > 0 else float("nan")
