"""Read the data table, look at every film once, and write one row an image."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pandas as pd

from ribcage.engine import step
from ribcage.entries import read_entries, version_of
from ribcage.errors import InputError
from ribcage.films import ABSENT, UndecodableError, decode, read_batch
from ribcage.progress import Progress, say
from ribcage.tables import write_table

Size = tuple[int, int]


def look_at(
    batch: Path, threads: int, progress: Progress
) -> Iterator[tuple[str, Size | None, str | None]]:
    """Decode each film of a batch: (name, (width, height), None) or (name, None, its fault).

    Decoding leaves Python's lock, so threads help; at most a few hundred films wait in memory.
    """
    films = read_batch(batch)
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[tuple[str, Future[tuple[Size | None, str | None]]]] = []
        while True:
            chunk = list(islice(films, 64))
            waiting += [(name, pool.submit(_look, name, data)) for name, data in chunk]
            done, waiting = (waiting, []) if not chunk else (waiting[:-64], waiting[-64:])
            for name, future in done:
                yield name, *future.result()
                progress.add()
            if not chunk:
                return


def _look(name: str, data: bytes) -> tuple[Size | None, str | None]:
    try:
        height, width = decode(data, name).shape
    except UndecodableError as error:
        return None, str(error)
    return (width, height), None


def main(
    tables: Path,
    batches: list[Path],
    images: Path,
    batch_names: list[str],
    absent: str,
    unlisted: str,
    threads: int = 1,
) -> None:
    """Write `data/interim/images.parquet`.

    Args:
        tables: the folder that fetch_tables made.
        batches: archives or folders of films.
        images: the table to write.
        batch_names: the name of each batch.
        absent: what to do with an image that the table names and no batch holds: `refuse`, or
            `drop` (it is kept here with a fault, and curation drops it).
        unlisted: what to do with a film that the table does not name: `refuse` or `ignore`.
        threads: films decoded at once.
    """
    entries = tables / "entries.csv"
    table = read_entries(entries)
    known = set(table["image"])
    seen: dict[str, tuple[str, Size | None, str | None]] = {}
    strangers: list[str] = []
    progress = Progress(len(table), "films")
    for batch, name in zip(batches, batch_names, strict=True):
        for image, size, fault in look_at(batch, threads, progress):
            if image in seen:
                raise InputError(f"{batch}: {image} is in batch {seen[image][0]} too")
            if image in known:
                seen[image] = (name, size, fault)
            else:
                strangers.append(image)
    if strangers and unlisted == "refuse":
        raise InputError(
            f"{entries}: names no {sorted(strangers)[0]}, which is among the films "
            f"({len(strangers)} such); add its row, or set index_images.unlisted to ignore"
        )
    lost = [image for image in table["image"] if image not in seen]
    if lost and absent == "refuse":
        raise InputError(
            f"{entries}: names {lost[0]}, which no batch holds ({len(lost)} such); "
            "add the film, or set index_images.absent to drop"
        )
    nowhere = (None, None, ABSENT)
    looks = [seen.get(image, nowhere) for image in table["image"]]
    table.insert(1, "batch", pd.array([look[0] for look in looks], dtype="string"))
    sizes = [look[1] or (0, 0) for look in looks]
    table.insert(6, "width_px", [width for width, _ in sizes])
    table.insert(7, "height_px", [height for _, height in sizes])
    table["fault"] = pd.array([look[2] for look in looks], dtype="string")
    digest = hashlib.sha256(entries.read_bytes()).hexdigest()
    meta = {"labels_version": version_of(entries, table), "source_sha256": digest}
    write_table(table.sort_values("image"), images, meta)
    say(f"{len(table):,} images of {table['patient'].nunique():,} patients")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
