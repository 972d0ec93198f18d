"""Decode each film of a batch once, and write it in every view and size that is asked for."""

from pathlib import Path

import numpy as np
import pandas as pd

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.lungs import Box, decode_rle
from ribcage.no_lungs import paint_out, region
from ribcage.progress import track
from ribcage.shards import Square, cut, square_around
from ribcage.tables import read_table


def squares(rows: pd.DataFrame, boxes: pd.DataFrame, view: str) -> list[Square]:
    """Say where each film is cut: all of it, or around the lungs' box."""
    found = []
    for row in rows.itertuples():
        width, height = int(row.width_px), int(row.height_px)
        x0, y0, x1, y1 = 0, 0, width, height
        if view == "lungs":
            x0, y0, x1, y1 = Box.of(boxes.loc[row.image])
        found.append(square_around(x0, y0, x1, y1, width, height))
    return found


def without_lungs(film: np.ndarray, row: pd.Series) -> np.ndarray:
    """Paint the lungs out of a film: a copy, uint8 [height, width].

    Args:
        film: uint8 [height, width].
        row: of data/lungs: the box, method and mask_rle.
    """
    height, width = film.shape
    box = Box.of(row)
    mask = decode_rle(row["mask_rle"])
    return paint_out(film, region(mask, box, row["method"], width, height))


def main(
    curated: Path,
    films: Path,
    lungs: Path,
    shards: Path,
    batch: str,
    wanted: list[tuple[str, int]],
) -> None:
    """Write `data/shards/<batch>/`: `<view>-<size>.npy`, and `<view>.parquet` with the geometry.

    Args:
        curated: the kept images.
        films: this batch's archive or folder.
        lungs: this batch's lung boxes.
        shards: the folder to write.
        batch: the batch's name.
        wanted: view and size in pixels of every shard that an experiment asks for.
    """
    table = read_table(curated)
    rows = table[table["batch"] == batch].reset_index(drop=True)
    boxes = read_table(lungs).set_index("image")
    shards.mkdir()
    views = {view: squares(rows, boxes, view) for view, _ in wanted}
    out = {
        (view, size): np.lib.format.open_memmap(
            shards / f"{view}-{size}.npy", "w+", np.uint8, (len(rows), size, size)
        )
        for view, size in wanted
    }
    place = {image: number for number, image in enumerate(rows["image"])}
    written = 0
    for image, data in track(read_batch(films, place), len(rows), "films"):
        film, number = decode(data, image), place[image]
        shown = dict.fromkeys(views, film)
        if "no_lungs" in views:
            shown["no_lungs"] = without_lungs(film, boxes.loc[image])
        for (view, size), array in out.items():
            array[number] = cut(shown[view], views[view][number], size)
        written += 1
    if written != len(rows):
        raise InputError(
            f"{films}: holds {written} of the {len(rows)} images that "
            f"{curated} has in batch {batch}; index the films again"
        )
    for array in out.values():
        array.flush()
    for view, cuts in views.items():
        geometry = pd.DataFrame(cuts, columns=list(Square._fields))
        geometry.insert(0, "image", rows["image"])
        geometry[["width_px", "height_px"]] = rows[["width_px", "height_px"]]
        geometry.to_parquet(shards / f"{view}.parquet", index=False)


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
