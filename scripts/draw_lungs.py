"""Draw the lungs found on a sample of films, and say what the crops cut off finding boxes."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from ribcage import lungs as lung
from ribcage.boxes import ENOUGH, Box, BoxesOf, kept, read_boxes
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode_some
from ribcage.progress import Progress, say
from ribcage.shards import square_around
from ribcage.tables import read_table

MASK_COLOUR, BOX_COLOUR, FALLBACK_COLOUR = (94, 214, 164), (255, 176, 0), (120, 190, 255)
CROP_COLOUR, FINDING_COLOUR = (245, 245, 245), (255, 92, 120)
WEBP: dict[str, Any] = {"format": "WEBP", "quality": 78, "method": 4}
LOSS = ("image", "finding", *Box._fields, "method", "kept_by_crop", "kept_by_box")
"""Columns of `box_loss.csv`."""


def losses(boxes: BoxesOf, found: pd.DataFrame) -> pd.DataFrame:
    """Say of each finding's box which share of its area is left.

    Args:
        boxes: of the films in `found`.
        found: rows of data/lungs with width_px and height_px of the film.

    Returns:
        A row a box, by image and finding, with the columns of `LOSS`: kept_by_crop is the share in
        the square that write_shards cuts, kept_by_box that in the lungs' box, both in [0, 1].
    """
    of = found.set_index("image")
    rows = []
    for (image, finding), drawn in sorted(boxes.items()):
        row = of.loc[image]
        corners = lung.Box.of(row)
        film_px = int(row["width_px"]), int(row["height_px"])
        crop = square_around(*corners, film_px[0], film_px[1])
        ends = crop.x0_px + crop.side_px, crop.y0_px + crop.side_px
        for box in drawn:
            by_crop = kept(box, film_px, crop.x0_px, crop.y0_px, *ends)
            by_box = kept(box, film_px, *corners)
            rows.append((image, finding, *box, row["method"], round(by_crop, 4), round(by_box, 4)))
    return pd.DataFrame(rows, columns=list(LOSS))


def choose(
    found: pd.DataFrame,
    loss: pd.DataFrame,
    random: int,
    worst: int,
    fallbacks: int,
    cut: int,
    seed: int,
) -> pd.DataFrame:
    """Choose the films of each sheet by rule: nobody picks the pretty ones.

    Args:
        found: the rows of data/lungs, of all batches.
        loss: of `losses`.
        random: films drawn from all of them.
        worst: films that the segmenter boxed at once, of the lowest quality.
        fallbacks: films that it did not: those taken whole, then the finder's, then the ensemble's.
        cut: films of which the crop cuts off most of a finding's box, if it cuts off any.
        seed: of the random draw.

    Returns:
        The rows of `found` with sheet (random, worst, fallback, cut) and order, from 1 on each
        sheet. A film may be on several sheets; a sheet with too few films has those that there are.
    """
    rng = np.random.default_rng(seed)
    at_once = found["method"] == "unet"
    rank = found["method"].map({name: n for n, name in enumerate(reversed(lung.METHODS))})
    least = loss[loss["kept_by_crop"] < 1].groupby("image")["kept_by_crop"].min()
    of_boxes = found.assign(least=found["image"].map(least)).dropna(subset="least")
    sheets = {
        "random": found.iloc[np.sort(rng.permutation(len(found))[:random])],
        "worst": found[at_once].sort_values(["quality", "image"]).head(worst),
        "fallback": found.assign(rank=rank)[~at_once]
        .sort_values(["rank", "quality", "image"])
        .head(fallbacks)[list(found)],
        "cut": of_boxes.sort_values(["least", "image"]).head(cut)[list(found)],
    }
    parts = [
        rows.assign(sheet=name, order=np.arange(len(rows)) + 1) for name, rows in sheets.items()
    ]
    return pd.concat(parts, ignore_index=True)


def outlined(film: np.ndarray, row: pd.Series, side_px: int, boxes: list[Box]) -> Image.Image:
    """A small film with the outline of its lung mask and the box that it is cut to.

    Args:
        film: uint8 [height, width].
        row: of data/lungs: x0_px, y0_px, x1_px, y1_px, method, mask_rle.
        side_px: longer side of the picture.
        boxes: of findings; where there are any, they and the crop's square are drawn as well.
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

    def frame(x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]) -> None:
        left, top, right, bottom = (round(value * scale) for value in (x0, y0, x1, y1))
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, 1)

    corners = lung.Box.of(row)
    if boxes:
        crop = square_around(*corners, width, height)
        x0, y0, side = crop
        frame(x0, y0, x0 + side, y0 + side, CROP_COLOUR)
    frame(*corners, BOX_COLOUR if row["method"] == "unet" else FALLBACK_COLOUR)
    for box in boxes:
        x, y, w, h = box
        frame(x, y, x + w, y + h, FINDING_COLOUR)
    return Image.fromarray(picture)


def draw_all(
    shown: pd.DataFrame, boxes: BoxesOf, films: list[Path], folder: Path, side_px: int
) -> None:
    """Stream each batch that has a shown film once, up to its last one; hold one film at a time.

    Args:
        shown: a row a picture: those of data/lungs, batch_number (index in `films`), sheet and
            picture.
        boxes: of findings, drawn on the sheet cut.
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
    progress = Progress(len(shown), "pictures")
    wanted = [set(shown["image"][shown["batch_number"] == n]) for n in range(len(films))]
    for image, film in decode_some(films, wanted):
        of_findings = [box for (name, _), own in boxes.items() if name == image for box in own]
        for _, row in shown[shown["image"] == image].iterrows():
            own = of_findings if row["sheet"] == "cut" else []
            outlined(film, row, side_px, own).save(folder / row["picture"], **WEBP)
            progress.add(note="drawn")


def main(
    curated: Path,
    tables: Path,
    lungs: list[Path],
    films: list[Path],
    sheets: Path,
    random: int,
    worst: int,
    fallbacks: int,
    cut: int,
    picture_px: int,
    seed: int,
) -> None:
    """Write `reports/lungs/`.

    `<image stem>.webp` is a picture a film: green the lungs, amber the box that the segmenter gave
    at once, blue one that another method gave. `<image stem>-cut.webp` also has the square of the
    crop, white, and the boxes of findings, red. `sheets.csv` says what is shown where: sheet
    (random, worst, fallback, cut), order (from 1), image, method, quality and picture (the file's
    name). `box_loss.csv` has a row for every finding box of a curated film (`LOSS`).

    Args:
        curated: the kept images.
        tables: the folder that fetch_tables made.
        lungs: the batches' lung tables.
        films: the batches' archives or folders, in the order of `lungs`.
        sheets: the folder to write.
        random: films on the sheet of random ones.
        worst: films on the sheet of the least plausible lungs, at the most.
        fallbacks: films on the sheet of those that the segmenter did not box at once, at the most.
        cut: films on the sheet of finding boxes that are cut, at the most.
        picture_px: the longer side of a picture.
        seed: of the random choice.
    """
    each = [read_table(path).assign(batch_number=n) for n, path in enumerate(lungs)]
    sizes = read_table(curated, ["image", "width_px", "height_px"])
    found = pd.concat(each, ignore_index=True).merge(
        sizes, on="image", how="left", validate="one_to_one"
    )
    boxes = read_boxes(tables / "boxes.csv", set(found["image"]))
    loss = losses(boxes, found)
    shown = choose(found, loss, random, worst, fallbacks, cut, seed)
    shown["picture"] = [
        f"{Path(image).stem}{'-cut' if sheet == 'cut' else ''}.webp"
        for image, sheet in zip(shown["image"], shown["sheet"], strict=True)
    ]
    sheets.mkdir()
    loss.to_csv(sheets / "box_loss.csv", index=False, lineterminator="\n")
    columns = ["sheet", "order", "image", "method", "quality", "picture"]
    shown[columns].to_csv(sheets / "sheets.csv", index=False, lineterminator="\n")
    draw_all(shown.drop_duplicates(["image", "picture"]).copy(), boxes, films, sheets, picture_px)
    few = (loss["kept_by_crop"] < ENOUGH).sum()
    say(f"{len(loss):,} finding boxes, {few:,} of which the crops keep under {100 * ENOUGH:.0f} %")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
