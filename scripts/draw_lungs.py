"""Draw the lungs found on a sample of films: random ones, the worst, and those taken whole."""

from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from ribcage import lungs as lung
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.progress import Progress
from ribcage.tables import read_table

MASK_COLOUR, BOX_COLOUR, WHOLE_COLOUR = (94, 214, 164), (255, 176, 0), (120, 190, 255)
WEBP: dict[str, Any] = {"format": "WEBP", "quality": 78, "method": 4}


def choose(found: pd.DataFrame, random: int, worst: int, whole: int, seed: int) -> pd.DataFrame:
    """Choose the films of each sheet by rule: nobody picks the pretty ones.

    Args:
        found: the rows of data/lungs, of all batches.
        random: films drawn from all of them.
        worst: films with a box, of the lowest quality.
        whole: films that are taken whole, the first in the order of `found`.
        seed: of the random draw.

    Returns:
        The rows of `found` with sheet (random, worst, whole) and order, from 1 on each sheet. A
        film may be on two sheets; a sheet with too few films has those that there are.
    """
    rng = np.random.default_rng(seed)
    is_whole = found["method"] == "whole_film"
    sheets = {
        "random": found.iloc[np.sort(rng.permutation(len(found))[:random])],
        "worst": found[~is_whole].sort_values(["quality", "image"]).head(worst),
        "whole": found[is_whole].head(whole),
    }
    parts = [
        rows.assign(sheet=name, order=np.arange(len(rows)) + 1) for name, rows in sheets.items()
    ]
    return pd.concat(parts, ignore_index=True)


def outlined(film: np.ndarray, row: pd.Series, side_px: int) -> Image.Image:
    """A small film with the outline of its lung mask and the box that it is cut to.

    Args:
        film: uint8 [height, width].
        row: of data/lungs: x0_px, y0_px, x1_px, y1_px, method, mask_rle.
        side_px: longer side of the picture.
    """
    height, width = film.shape
    scale = side_px / max(height, width)
    size = round(width * scale), round(height * scale)
    small = np.asarray(Image.fromarray(film).resize(size, Image.Resampling.BOX))
    picture = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_GRAY2RGB)
    mask = lung.over_film(lung.decode_rle(row["mask_rle"]), width, height)
    shrunk = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    outlines, _ = cv2.findContours(
        shrunk.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, outlines, -1, MASK_COLOUR, 1, cv2.LINE_AA)
    corners = [round(float(row[key]) * scale) for key in lung.Box._fields]
    colour = BOX_COLOUR if row["method"] == "unet" else WHOLE_COLOUR
    cv2.rectangle(picture, corners[:2], [corners[2] - 1, corners[3] - 1], colour, 1)
    return Image.fromarray(picture)


def draw_all(shown: pd.DataFrame, films: list[Path], folder: Path, side_px: int) -> None:
    """Stream each batch that has a shown film once, up to its last one; hold one film at a time.

    Args:
        shown: a row a film: those of data/lungs, batch_number (index in `films`) and picture.
        films: the batches' archives or folders.
        folder: where the pictures go.
        side_px: longer side of a picture.

    Raises:
        InputError: two films would share a picture, or a batch no longer holds one.
    """
    twice = shown["picture"][shown["picture"].duplicated()]
    if len(twice):
        raise InputError(
            f"draw_lungs: two films would both be drawn as {twice.iloc[0]}; rename one"
        )
    progress = Progress(len(shown), "films")
    for number, batch in enumerate(films):
        rows = shown[shown["batch_number"] == number].set_index("image")
        wanted = set(rows.index)
        for image, data in islice(read_batch(batch, wanted), len(rows)):
            row = rows.loc[image]
            outlined(decode(data, image), row, side_px).save(folder / row["picture"], **WEBP)
            wanted.remove(image)
            progress.add(note="drawn")
        if wanted:
            raise InputError(f"{batch}: no longer holds {min(wanted)}; index the films again")


def main(
    lungs: list[Path],
    films: list[Path],
    sheets: Path,
    random: int,
    worst: int,
    whole: int,
    picture_px: int,
    seed: int,
) -> None:
    """Write `reports/lungs/`.

    `<image stem>.webp` is a picture a film: green the lungs, amber the box that it is cut to, blue
    the frame of a film that is taken whole. `sheets.csv` says what is shown where: sheet (random,
    worst, whole), order (from 1), image, method, quality and picture (the file's name).

    Args:
        lungs: the batches' lung tables.
        films: the batches' archives or folders, in the order of `lungs`.
        sheets: the folder to write.
        random: films on the sheet of random ones.
        worst: films on the sheet of the least plausible lungs, at the most.
        whole: films on the sheet of those taken whole, at the most.
        picture_px: the longer side of a picture.
        seed: of the random choice.
    """
    tables = [read_table(path).assign(batch_number=n) for n, path in enumerate(lungs)]
    found = pd.concat(tables, ignore_index=True)
    shown = choose(found, random, worst, whole, seed)
    shown["picture"] = [f"{Path(image).stem}.webp" for image in shown["image"]]
    sheets.mkdir()
    columns = ["sheet", "order", "image", "method", "quality", "picture"]
    shown[columns].to_csv(sheets / "sheets.csv", index=False, lineterminator="\n")
    draw_all(shown.drop_duplicates("image"), films, sheets, picture_px)


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
