"""Find the lungs of each film of a batch: mask, box with margins, quality, method."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from ribcage import lung_finder, lungs, nets, segmenting
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import Film, decode, read_batch
from ribcage.progress import Progress, say
from ribcage.tables import read_meta, read_table, write_table

AT_ONCE = 32
LIKELY, DOUBTFUL = 0.5, 0.3
"""An opaque lung often has probabilities between the two."""
COLUMNS = {
    "image": "str",
    **dict.fromkeys(lungs.Box._fields, "int64"),
    "lung_fraction": "float64",
    "quality": "float64",
    "method": "str",
    "mask_rle": "str",
}
"""Written down, so that a batch that keeps no film has the same columns as any other."""

Views = tuple[np.ndarray, np.ndarray]
See = Callable[[np.ndarray], Views]
"""The segmenter: uint8 [n, s, s] to its probabilities, straight and mirrored, [n, s, s] each."""


class Limits(NamedTuple):
    """What decides about a film's box."""

    margins: lungs.Margins
    min_height_to_width: float
    ensemble_below: float
    min_quality: float


class Found(NamedTuple):
    """Lungs as one method sees them: bool [256, 256], quality in [0, 1], and the method."""

    mask: np.ndarray
    quality: float
    method: str


def tones(film: np.ndarray) -> np.ndarray:
    """Show a film in other tones, as other detectors might have.

    Args:
        film: uint8 [s, s].

    Returns:
        uint8 [5, s, s]: the film, darker and brighter, its local contrast raised, and inverted.
    """
    darker, brighter = (np.round(255 * (film / 255.0) ** power) for power in (1.7, 0.6))
    local = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 4)).apply(film)
    return np.stack([film, darker, brighter, local, 255 - film]).astype(np.uint8)


def agreed(masks: list[np.ndarray], on: np.ndarray) -> float:
    """Mean overlap of masks with the one that they are to agree on: Dice in [0, 1]."""
    return float(np.mean([lungs.dice(mask, on) for mask in masks]))


def of_two_views(straight: np.ndarray, mirrored: np.ndarray, inside: np.ndarray) -> Found:
    """What the segmenter sees on a film and on its mirror image.

    Args:
        straight: probabilities, float [s, s].
        mirrored: those of the mirror image, turned back.
        inside: bool [256, 256], where the film is.
    """
    mask = lungs.clean((straight + mirrored) / 2, inside)
    views = [lungs.clean(view, inside) for view in (straight, mirrored)]
    return Found(mask, lungs.quality(mask, lungs.dice(*views), inside), "unet")


def of_ensemble(film: np.ndarray, inside: np.ndarray, see: See) -> Found:
    """What the segmenter sees on a film in several tones, straight and mirrored.

    The most plausible of: what all tones but the inverted agree on; that with a lower threshold,
    which finds a lung that is opaque; and each tone by itself.

    Args:
        film: uint8 [s, s].
        inside: bool [256, 256], where the film is.
        see: the segmenter.
    """
    straight, mirrored = see(tones(film))
    members = [of_two_views(a, b, inside) for a, b in zip(straight, mirrored, strict=True)]
    each = ((straight + mirrored) / 2)[:-1]
    found = []
    for threshold in (LIKELY, DOUBTFUL):
        mask = lungs.clean(each.mean(axis=0), inside, threshold)
        agreement = agreed([lungs.clean(one, inside, threshold) for one in each], mask)
        found.append(Found(mask, lungs.quality(mask, agreement, inside), "unet_ensemble"))
    found += [member._replace(method="unet_ensemble") for member in members]
    return max(found, key=lambda each: each.quality)


def judge(film: Film, seen: np.ndarray, views: Views, see: See, limits: Limits) -> Found:
    """Ask one method after another until one finds plausible lungs.

    Args:
        film: uint8 [height, width].
        seen: the same film as the segmenter sees it, uint8 [s, s].
        views: the segmenter's probabilities of `seen`, straight and mirrored.
        see: the segmenter, for more views.
        limits: of quality.
    """
    height, width = film.shape
    inside = lungs.on_film(width, height)
    best = of_two_views(views[0], views[1], inside)
    if best.quality < limits.ensemble_below:
        best = max(best, of_ensemble(seen, inside, see), key=lambda found: found.quality)
    if best.quality < limits.min_quality:
        mask, quality = lung_finder.find(lungs.see(film, lungs.MASK_SIDE), inside)
        best = Found(mask, round(quality, 4), "lung_finder")
    if best.quality < limits.min_quality or not best.mask.any():
        return Found(np.zeros_like(best.mask), best.quality, "whole_film")
    return best


def row_of(found: Found, shape: tuple[int, int], limits: Limits) -> dict[str, Any]:
    """A film's row of the table: its box around the lungs, their share, quality and mask.

    Args:
        found: the lungs.
        shape: height and width of the film, in pixels.
        limits: the margins; the lung finder's are twice as wide, because it sees less sharply.
    """
    height, width = shape
    box = lungs.Box(0, 0, width, height)
    if found.method != "whole_film":
        scale = 2.0 if found.method == "lung_finder" else 1.0
        margins = lungs.Margins(*(scale * margin for margin in limits.margins))
        box = lungs.box_around(found.mask, width, height, margins, limits.min_height_to_width)
    share = float(found.mask.sum()) / found.mask.size * max(shape) ** 2 / (width * height)
    return {
        **box._asdict(),
        "lung_fraction": round(share, 6),
        "quality": found.quality,
        "method": found.method,
        "mask_rle": lungs.encode_rle(found.mask),
    }


def rows_of(
    films: Iterator[tuple[str, Film]], size_px: int, see: See, limits: Limits
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Find the lungs of films, some at a time, and yield each one's name and row.

    Args:
        films: name and uint8 [height, width] of each.
        size_px: the side at which the segmenter sees a film.
        see: the segmenter.
        limits: what decides about a box.
    """
    while part := list(islice(films, AT_ONCE)):
        seen = np.stack([lungs.see(film, size_px) for _, film in part])
        views = zip(*see(seen), strict=True)
        for (name, film), small, both in zip(part, seen, views, strict=True):
            yield name, row_of(judge(film, small, both, see, limits), film.shape, limits)


def segmenter_of(folder: Path, threads: int = 1) -> tuple[See, int]:
    """Load a segmenter: a function that looks at films, and the side at which it does."""
    on = nets.machine(threads)
    net, config = segmenting.load(folder)
    net = on.place(net)
    return lambda films: segmenting.probabilities(net, films, on), int(config["size_px"])


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
    ensemble_below: float,
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
        ensemble_below: the segmenter looks at more views where the quality of two is lower.
        min_quality: the next method is asked where the quality of one is lower.
        threads: of the CPU.
    """
    see, size_px = segmenter_of(segmenter, threads)
    table = read_table(curated, ["image", "batch"])
    wanted = table["image"][table["batch"] == batch].tolist()
    margins = lungs.Margins(margin_sides, margin_top, margin_bottom)
    limits = Limits(margins, min_height_to_width, ensemble_below, min_quality)
    progress = Progress(len(wanted), "films")
    decoded = ((name, decode(data, name)) for name, data in read_batch(films, set(wanted)))
    rows: dict[str, dict[str, Any]] = {}
    for name, row in rows_of(decoded, size_px, see, limits):
        rows[name] = row
        progress.add()
    lost = [image for image in wanted if image not in rows]
    if lost:
        raise InputError(f"{films}: no longer holds {lost[0]}; index the films again")
    found = pd.DataFrame(
        [{"image": image, **rows[image]} for image in wanted], columns=list(COLUMNS)
    ).astype(COLUMNS)
    write_table(found, lungs_file, read_meta(curated))
    counts = found["method"].value_counts()
    say(", ".join(f"{counts.get(method, 0):,} by {method}" for method in lungs.METHODS))


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
