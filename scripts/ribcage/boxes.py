"""Boxes that a reader drew around findings: how they are read, and how much of one a cut keeps."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ribcage.errors import InputError
from ribcage.findings import canonical

ENOUGH = 0.95
"""A box of which a crop keeps less is counted as cut."""


class Box(NamedTuple):
    """A box that a reader drew, in film pixels: [x, x + w) x [y, y + h)."""

    x_px: float
    y_px: float
    w_px: float
    h_px: float

    def holds(self, x_px: float, y_px: float) -> bool:
        """Whether a point lies in the box."""
        return (
            self.x_px <= x_px < self.x_px + self.w_px and self.y_px <= y_px < self.y_px + self.h_px
        )

    def shared(self, x0_px: float, y0_px: float, x1_px: float, y1_px: float) -> float:
        """The area that the box shares with a rectangle, in square pixels."""
        wide = min(self.x_px + self.w_px, x1_px) - max(self.x_px, x0_px)
        high = min(self.y_px + self.h_px, y1_px) - max(self.y_px, y0_px)
        return max(wide, 0.0) * max(high, 0.0)


BoxesOf = dict[tuple[str, str], list[Box]]
"""The boxes of each (image, finding)."""


def read_boxes(path: Path, images: set[str]) -> BoxesOf:
    """Read the boxes of some images from `image,finding,x_px,y_px,w_px,h_px`.

    Raises:
        InputError: a column is missing, a finding is unknown or a number is none.
    """
    try:
        rows = pd.read_csv(path, dtype={"image": str, "finding": str})
        values = rows[list(Box._fields)].to_numpy(float)
        names = zip(rows["image"], rows["finding"], strict=True)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: is no table of boxes ({error})") from error
    found: BoxesOf = defaultdict(list)
    for (image, finding), box in zip(names, values.tolist(), strict=True):
        if image in images:
            found[image, canonical(finding, str(path))].append(Box(*box))
    return dict(found)


def kept(box: Box, film_px: tuple[int, int], x0: float, y0: float, x1: float, y1: float) -> float:
    """The share of a box's area that a cut to [x0, x1) x [y0, y1) does not take away.

    What lies beside the film is nothing that a cut could take. A box without area keeps all.

    Args:
        box: around a finding, in film pixels.
        film_px: the film's width and height.
        x0: left side of what is left of the film, in film pixels.
        y0: top side.
        x1: right side.
        y1: bottom side.
    """
    area = box.w_px * box.h_px
    if area <= 0:
        return 1.0
    on_film = box.shared(0, 0, *film_px)
    left = box.shared(max(x0, 0), max(y0, 0), min(x1, film_px[0]), min(y1, film_px[1]))
    return 1.0 - (on_film - left) / area
