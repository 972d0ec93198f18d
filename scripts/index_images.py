"""Read the data table, look at every film once, and write one row an image, and its measures."""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import pandas as pd

from ribcage.engine import step
from ribcage.entries import read_entries, version_of
from ribcage.errors import InputError
from ribcage.films import ABSENT, UndecodableError, decode, read_batch
from ribcage.measures import Measures, measure, table_of
from ribcage.progress import Progress, say
from ribcage.tables import write_table

FILMS_AHEAD = 4
"""So many films a thread are read ahead of the one that is waited for; each may have 64 MiB."""


class Look(NamedTuple):
    """What one decoding shows of a film: its fault, or its size and measures."""

    width_px: int = 0
    height_px: int = 0
    fault: str | None = None
    measures: Measures | None = None


def look_at(batch: Path, threads: int, progress: Progress) -> Iterator[tuple[str, Look]]:
    """Decode each film of a batch once, and measure it.

    Decoding leaves Python's lock, so threads help; FILMS_AHEAD films a thread wait in memory.
    """
    waiting: deque[tuple[str, Future[Look]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for name, data in read_batch(batch):
            waiting.append((name, pool.submit(_look, name, data)))
            if len(waiting) == FILMS_AHEAD * threads:
                yield _first(waiting)
                progress.add()
        while waiting:
            yield _first(waiting)
            progress.add()


def _first(waiting: deque[tuple[str, Future[Look]]]) -> tuple[str, Look]:
    name, future = waiting.popleft()
    return name, future.result()


def _look(name: str, data: bytes) -> Look:
    try:
        film = decode(data, name)
    except UndecodableError as error:
        return Look(fault=str(error))
    height, width = film.shape
    return Look(width, height, measures=measure(film))


def look_at_all(
    batches: Mapping[str, Path], known: Set[str], threads: int
) -> tuple[dict[str, tuple[str, Look]], list[str]]:
    """Look at the films of all batches: {image: (batch, look)}, and the names that none knows.

    Args:
        batches: archives or folders of films, by name.
        known: the images that the data table names.
        threads: films decoded at once.

    Raises:
        InputError: two batches hold a film of the same name.
    """
    seen: dict[str, tuple[str, Look]] = {}
    strangers: list[str] = []
    progress = Progress(len(known), "films")
    for name, batch in batches.items():
        for image, look in look_at(batch, threads, progress):
            if image in seen:
                raise InputError(f"{batch}: {image} is in batch {seen[image][0]} too")
            if image in known:
                seen[image] = (name, look)
            else:
                strangers.append(image)
    return seen, strangers


def main(
    tables: Path,
    batches: list[Path],
    images: Path,
    measures: Path,
    batch_names: list[str],
    absent: str,
    unlisted: str,
    threads: int = 1,
) -> None:
    """Write `data/interim/images.parquet` and `data/interim/measures.parquet`.

    Args:
        tables: the folder that fetch_tables made.
        batches: archives or folders of films; none for a run on the tables alone.
        images: the table to write, a row an image of the data table.
        measures: the table to write, a row a decoded film: `image` and `ribcage.measures.Measures`.
        batch_names: the name of each batch.
        absent: what to do with an image that the table names and no batch holds: `refuse`,
            `drop` (it is kept here with a fault, and curation drops it), or `keep` (without a
            fault and 0 px wide, for a run on the tables alone).
        unlisted: what to do with a film that the table does not name: `refuse` or `ignore`.
        threads: films decoded at once.
    """
    cv2.setNumThreads(1)  # the films are shared out already
    entries = tables / "entries.csv"
    table = read_entries(entries)
    batch_of = dict(zip(batch_names, batches, strict=True))
    seen, strangers = look_at_all(batch_of, set(table["image"]), threads)
    if strangers and unlisted == "refuse":
        raise InputError(
            f"{entries}: names no {sorted(strangers)[0]}, which is among the films "
            f"({len(strangers)} such); add its row, or set index_images.unlisted to ignore"
        )
    lost = [image for image in table["image"] if image not in seen]
    if lost and absent == "refuse":
        raise InputError(
            f"{entries}: names {lost[0]}, which no batch holds ({len(lost)} such); "
            "add the film, or set index_images.absent to drop, or to keep for the tables alone"
        )
    nowhere = (None, Look(fault=None if absent == "keep" else ABSENT))
    looks = [seen.get(image, nowhere) for image in table["image"]]
    table.insert(1, "batch", pd.array([batch for batch, _ in looks], dtype="string"))
    table.insert(6, "width_px", [look.width_px for _, look in looks])
    table.insert(7, "height_px", [look.height_px for _, look in looks])
    table["fault"] = pd.array([look.fault for _, look in looks], dtype="string")
    digest = hashlib.sha256(entries.read_bytes()).hexdigest()
    meta = {"labels_version": version_of(entries, table), "source_sha256": digest}
    write_table(table.sort_values("image"), images, meta)
    measured = {image: look.measures for image, (_, look) in seen.items() if look.measures}
    write_table(table_of(measured), measures, meta)
    say(f"{len(table):,} images of {table['patient'].nunique():,} patients")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
