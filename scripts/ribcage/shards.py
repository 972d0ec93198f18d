"""Shards: films cut to a view, area-resampled to a size, and read back by index.

A batch's shards lie in one folder, because one job makes them from one decode of each film:
`<view>-<size>.npy` is uint8 [n, size, size]; `<view>.parquet` names the film of each row and the
square of the film that it shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from ribcage.errors import InputError

VIEWS = ("full", "lungs", "no_lungs")
"""The whole film; the square around the lungs; the whole film with its lungs painted out."""


class Square(NamedTuple):
    """The square of a film that a view shows, in film pixels; it may reach over the edge."""

    x0_px: int
    y0_px: int
    side_px: int


def square_around(x0: int, y0: int, x1: int, y1: int, width: int, height: int) -> Square:
    """Widen a box [x0, x1) x [y0, y1) to a square, kept inside the film where it fits.

    The aspect ratio of the chest is kept: a heart must not look wide because lungs are tall.
    """
    side = max(x1 - x0, y1 - y0)
    left = round((x0 + x1 - side) / 2)
    top = round((y0 + y1 - side) / 2)
    # Shift back into the film; a side longer than the film is centred on it.
    left = min(max(left, 0), width - side) if side <= width else (width - side) // 2
    top = min(max(top, 0), height - side) if side <= height else (height - side) // 2
    return Square(left, top, side)


def cut(film: np.ndarray, square: Square, size_px: int) -> np.ndarray:
    """Show a square of a film at `size_px`, by area means; what lies outside the film is black.

    Args:
        film: uint8 [height, width].
        square: where to cut, in film pixels.
        size_px: side of the result.

    Returns:
        uint8 [size_px, size_px].
    """
    height, width = film.shape
    x0, y0, side = square
    inside = film[max(y0, 0) : min(y0 + side, height), max(x0, 0) : min(x0 + side, width)]
    if inside.shape != (side, side):
        padded = np.zeros((side, side), np.uint8)
        top, left = max(-y0, 0), max(-x0, 0)
        padded[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        inside = padded
    # Pillow's BOX filter is the area mean when it shrinks.
    return np.asarray(Image.fromarray(inside).resize((size_px, size_px), Image.Resampling.BOX))


class Shards:
    """All films of some batches in one view and size, memory-mapped, found by file name.

    Args:
        batches: the batches' shard folders.
        view: one of `VIEWS`.
        size_px: side of the stored films.

    Raises:
        InputError: a batch has no shard of this view and size.
    """

    def __init__(self, batches: Sequence[Path], view: str, size_px: int) -> None:
        self.view, self.size_px = view, size_px
        self._maps: list[np.ndarray] = []
        frames = []
        for number, folder in enumerate(batches):
            path = folder / f"{view}-{size_px}.npy"
            if not path.is_file():
                held = ", ".join(sorted(p.stem for p in folder.glob("*.npy"))) or "none"
                raise InputError(f"{path}: no such shard; {folder} has {held}")
            self._maps.append(np.load(path, mmap_mode="r", allow_pickle=False))
            frame = pd.read_parquet(folder / f"{view}.parquet")
            frames.append(frame.assign(batch_number=number, row=np.arange(len(frame))))
        self.geometry = pd.concat(frames, ignore_index=True).set_index("image")
        """One row a film: x0_px, y0_px, side_px, width_px, height_px, batch_number, row."""

    def rows(self, images: Sequence[str], where: str) -> np.ndarray:
        """Find films by name: int64 positions for `take`, in the order of `images`."""
        positions = self.geometry.index.get_indexer(pd.Index(images))
        if (positions < 0).any():
            lost = images[int(np.flatnonzero(positions < 0)[0])]
            raise InputError(f"{where}: {lost} is in no shard of {self.view}-{self.size_px}")
        return positions

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Copy films out: uint8 [n, size_px, size_px]."""
        batch = self.geometry["batch_number"].to_numpy()[positions]
        row = self.geometry["row"].to_numpy()[positions]
        films = np.empty((len(positions), self.size_px, self.size_px), np.uint8)
        for number in np.unique(batch):
            mask = batch == number
            films[mask] = self._maps[number][row[mask]]
        return films

    def square(self, image: str) -> Square:
        """Where in the film this film's shard was cut."""
        at = self.geometry.loc[image]
        return Square(int(at["x0_px"]), int(at["y0_px"]), int(at["side_px"]))
