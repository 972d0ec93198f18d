"""Find the lungs of each film of a batch: mask, box with margins, quality, method."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage import lungs, nets, segmenting
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.progress import Progress, say
from ribcage.tables import read_meta, read_table, write_table

AT_ONCE = 32
COLUMNS = {
    "image": "str",
    **dict.fromkeys(lungs.Box._fields, "int64"),
    "lung_fraction": "float64",
    "quality": "float64",
    "method": "str",
    "mask_rle": "str",
}
"""Written down, so that a batch that keeps no film has the same columns as any other."""


def seen_in_parts(
    batch: Path, names: set[str], size_px: int
) -> Iterator[list[tuple[str, Any, Any]]]:
    """Yield parts of a batch: (name, (height, width), uint8 [size, size])."""
    films = read_batch(batch, names)
    while part := list(islice(films, AT_ONCE)):
        decoded = [(name, decode(data, name)) for name, data in part]
        yield [(name, film.shape, lungs.see(film, size_px)) for name, film in decoded]


def judge(
    straight: np.ndarray,
    mirrored: np.ndarray,
    shape: tuple[int, int],
    margins: lungs.Margins,
    min_height_to_width: float,
    min_quality: float,
) -> dict[str, Any]:
    """One film's row: from the network's two views of it to a box."""
    height, width = shape
    mask = lungs.clean((straight + mirrored) / 2) & lungs.on_film(width, height)
    agreement = lungs.dice(lungs.clean(straight), lungs.clean(mirrored))
    quality = lungs.quality(mask, agreement)
    box, method = lungs.Box(0, 0, width, height), "whole_film"
    if quality >= min_quality and mask.any():
        box, method = lungs.box_around(mask, width, height, margins, min_height_to_width), "unet"
    return {
        **box._asdict(),
        "lung_fraction": round(
            float(mask.sum()) / mask.size * max(shape) ** 2 / (width * height), 6
        ),
        "quality": quality,
        "method": method,
        "mask_rle": lungs.encode_rle(mask),
    }


def main(
    curated: Path,
    segmenter: Path,
    films: Path,
    lungs_file: Path,
    batch: str,
    margin_sides: float,
    margin_top: float,
    margin_bottom: float,
    min_height_to_width: float,
    min_quality: float,
    threads: int = 1,
) -> None:
    """Write `data/lungs/<batch>.parquet`, a row a curated image of the batch.

    Args:
        curated: the kept images.
        segmenter: the folder of train_segmenter.
        films: this batch's archive or folder.
        lungs_file: the table to write.
        batch: the batch's name.
        margin_sides: added left and right of the lungs, as a share of the film's side.
        margin_top: added above.
        margin_bottom: added below.
        min_height_to_width: of the box.
        min_quality: the whole film is the box where the mask's quality is lower.
        threads: of the CPU.
    """
    on = nets.machine(threads)
    net, config = segmenting.load(segmenter)
    net = on.place(net)
    table = read_table(curated, ["image", "batch"])
    wanted = table["image"][table["batch"] == batch].tolist()
    margins = lungs.Margins(margin_sides, margin_top, margin_bottom)
    progress = Progress(len(wanted), "films")
    rows: dict[str, dict[str, Any]] = {}
    for part in seen_in_parts(films, set(wanted), config["size_px"]):
        views = segmenting.probabilities(net, np.stack([seen for _, _, seen in part]), on)
        for (name, shape, _), straight, mirrored in zip(part, *views, strict=True):
            rows[name] = judge(straight, mirrored, shape, margins, min_height_to_width, min_quality)
        progress.add(len(part))
    lost = [image for image in wanted if image not in rows]
    if lost:
        raise InputError(f"{films}: no longer holds {lost[0]}; index the films again")
    found = pd.DataFrame(
        [{"image": image, **rows[image]} for image in wanted], columns=list(COLUMNS)
    ).astype(COLUMNS)
    write_table(found, lungs_file, read_meta(curated))
    fallbacks = int((found["method"] == "whole_film").sum())
    say(f"{len(found) - fallbacks:,} boxes found, {fallbacks:,} films taken whole")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
