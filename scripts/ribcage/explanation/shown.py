"""The films of the gallery: what their maps say, and the outlines that are drawn on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ribcage.boxes import BoxesOf
from ribcage.errors import InputError
from ribcage.explanation import overlay
from ribcage.explanation.localisation import best_overlaps, detected
from ribcage.explanation.placement import on_film, peak, share_inside
from ribcage.lungs import decode_rle, over_film
from ribcage.shards import Shards, Square
from ribcage.tables import read_table

COLUMNS = {
    "method": "string",
    "peak_x_px": "float64",
    "peak_y_px": "float64",
    "hit": "boolean",
    "target": "string",
    "in_lungs": "boolean",
    "lungs_share": "float64",
    "lungs_area": "float64",
    "n_boxes": "int64",
    "iou": "float64",
    "iobb": "float64",
    "scale": "float64",
    "grid": "int64",
    "cell_px": "float64",
}


def lungs_by_image(tables: Sequence[Path], images: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the lung masks of some films, bool [256, 256]; films without lungs are left out.

    Args:
        tables: data/lungs of the batches.
        images: the films.

    Raises:
        InputError: a film is in no table, or its mask cannot be read.
    """
    left, masks = set(images), {}
    for path in tables:
        rows = read_table(path, ["image", "mask_rle"])
        for image, text in rows[rows["image"].isin(left)].itertuples(index=False):
            left.remove(image)
            try:
                mask = decode_rle(text)
            except ValueError as error:
                raise InputError(f"{path}: {image}: {error}; find the lungs again") from error
            if mask.any():
                masks[image] = mask
    if left:
        raise InputError(f"data/lungs: has no row of {min(left)}; find the lungs again")
    return masks


class Where(NamedTuple):
    """Where films' maps lie.

    Attributes:
        shards: which square of each film the network was shown.
        lungs: the masks of the shown films that have one, of `lungs_by_image`.
    """

    shards: Shards
    lungs: dict[str, np.ndarray]

    def film_px(self, image: str) -> tuple[int, int]:
        """Width and height of a film as it is stored."""
        at = self.shards.geometry.loc[image]
        return int(at["width_px"]), int(at["height_px"])

    def square(self, image: str) -> Square:
        """The part of a film that the network was shown."""
        return self.shards.square(image)

    def heat(self, image: str, cells: np.ndarray) -> np.ndarray:
        """A map on the film's own pixels, of `on_film`."""
        size = self.film_px(image)
        return on_film(cells, self.square(image), size, size[::-1])

    def outlines(self, image: str) -> list[np.ndarray]:
        """The outlines of a film's lungs, of `overlay.outlines`; none without a mask."""
        if image not in self.lungs:
            return []
        return overlay.outlines(self.lungs[image], self.film_px(image))


def described(
    shown: pd.DataFrame,
    method: str,
    maps: dict[tuple[str, str], np.ndarray],
    boxes: BoxesOf,
    where: Where,
) -> pd.DataFrame:
    """Add to each shown map what it says, and whether that is the right place.

    Args:
        shown: of `gallery`.
        method: the maps'.
        maps: the cells of each image and finding.
        boxes: of the films.
        where: the films.

    Returns:
        The rows with method; peak_x_px and peak_y_px, the centre of the highest cell (film pixels),
        NaN where all cells are equal; hit, whether it lies in a box (null without a box, a miss
        without a peak), and target, `on` or `off` (null without either); in_lungs, whether the peak
        lies in the lungs' mask (null without either); lungs_share, which share of the map's
        positive evidence does, and lungs_area, which share of what was shown of the film is lungs
        (both null without a mask); n_boxes; iou and iobb, the best of any detected box with
        any reader's (null without a box); scale, the highest cell (of `cam` and `occlusion` in
        logits); grid, cells a side; and cell_px, film pixels a cell.
    """
    rows = []
    for image, finding in zip(shown["image"], shown["finding"], strict=True):
        cells, drawn = maps[image, finding], boxes.get((image, finding), [])
        square, heat = where.square(image), where.heat(image, cells)
        x, y = peak(cells, square)
        hit = any(box.holds(x, y) for box in drawn) if drawn else None
        iou, iobb = best_overlaps(detected(heat), drawn)
        row: dict[str, Any] = {"method": method, "peak_x_px": x, "peak_y_px": y, "hit": hit}
        row["target"] = None if hit is None or np.isnan(x) else "on" if hit else "off"
        row |= _beside_lungs(heat, (x, y), where, image)
        row |= {"n_boxes": len(drawn), "iou": iou, "iobb": iobb, "scale": float(cells.max())}
        rows.append(row | {"grid": cells.shape[0], "cell_px": square.side_px / cells.shape[0]})
    found = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    return pd.concat([shown, found], axis=1)


def _beside_lungs(
    heat: np.ndarray, at: tuple[float, float], where: Where, image: str
) -> dict[str, Any]:
    """How a map on the film's pixels, and its peak, lie to the lungs."""
    if image not in where.lungs:
        return {"in_lungs": None, "lungs_share": np.nan, "lungs_area": np.nan}
    width, height = where.film_px(image)
    mask = over_film(where.lungs[image], width, height)
    on_it = 0 <= at[0] < width and 0 <= at[1] < height
    return {
        "in_lungs": None if np.isnan(at[0]) else on_it and bool(mask[int(at[1]), int(at[0])]),
        "lungs_share": share_inside(heat, mask),
        "lungs_area": float(mask[np.isfinite(heat)].mean()),
    }


def outlined(shown: pd.DataFrame, boxes: BoxesOf, where: Where) -> dict[str, Any]:
    """What `outlines.json` says of each shown film, all of it in film pixels.

    Returns:
        By image: film_px [width, height]; crop [x0, y0, side], the square that the network was
        shown; lungs, the data of an SVG path for each connected part; and boxes, by finding,
        [x, y, width, height] each.
    """
    of_film: dict[str, dict[str, list[list[float]]]] = {}
    for (image, finding), drawn in sorted(boxes.items()):
        of_film.setdefault(image, {})[finding] = [list(box) for box in drawn]
    return {
        image: {
            "film_px": list(where.film_px(image)),
            "crop": list(where.square(image)),
            "lungs": [overlay.path_of(outline) for outline in where.outlines(image)],
            "boxes": of_film.get(image, {}),
        }
        for image in sorted(shown["image"].unique())
    }
