"""Read the data table, look at every film once, and write one row an image."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pandas as pd

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import ABSENT, UndecodableError, decode, read_batch
from ribcage.findings import FINDINGS, NO_FINDING, parse_labels
from ribcage.progress import Progress, say
from ribcage.tables import write_table

COLUMNS = {
    "Image Index": "image",
    "Finding Labels": "labels",
    "Follow-up #": "follow_up",
    "Patient ID": "patient",
    "Patient Age": "age",
    "Patient Sex": "sex",
    "Patient Gender": "sex",
    "View Position": "view_position",
    "OriginalImage[Width": "original_width_px",
    "Height]": "original_height_px",
    "OriginalImagePixelSpacing[x": "spacing_mm",
}
"""NIH's header to ours. The commas inside its brackets split two names in two."""

NEEDED = tuple(dict.fromkeys(COLUMNS.values()))
AGE_UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}

Size = tuple[int, int]


def read_entries(path: Path) -> pd.DataFrame:
    """Read NIH's table in any of its versions, every cell checked.

    Returns:
        Columns image, patient, follow_up, age_years, sex, view_position, original_width_px,
        original_height_px, spacing_mm, a bool column a finding, and `No Finding`.

    Raises:
        InputError: names the file and the column, or the row (1 is the first below the header).
    """
    raw = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    raw = raw.loc[:, [name for name in raw.columns if name in COLUMNS]].rename(columns=COLUMNS)
    for name in NEEDED:
        if name not in raw.columns:
            theirs = " or ".join(repr(key) for key, ours in COLUMNS.items() if ours == name)
            raise InputError(f"{path}: column {theirs} is missing")
    twice = raw["image"].duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise InputError(f"{path}: row {row + 1} names {raw['image'][row]} a second time")
    table = pd.DataFrame({"image": raw["image"]})
    table["patient"] = _numbers(raw["patient"], path, "Patient ID").astype("int64")
    table["follow_up"] = _numbers(raw["follow_up"], path, "Follow-up #").astype("int64")
    table["age_years"] = [
        age_in_years(cell, f"{path}: row {row}") for row, cell in enumerate(raw["age"], start=1)
    ]
    for name, allowed in (("sex", ("M", "F")), ("view_position", ("PA", "AP"))):
        bad = ~raw[name].isin(allowed)
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise InputError(
                f"{path}: row {row + 1}: {name} is {raw[name][row]!r}, not one of {allowed}"
            )
        table[name] = raw[name]
    for name in ("original_width_px", "original_height_px"):
        table[name] = _numbers(raw[name], path, name).astype("int64")
    table["spacing_mm"] = _numbers(raw["spacing_mm"], path, "OriginalImagePixelSpacing[x")
    found = [
        parse_labels(cell, f"{path}: row {row}") for row, cell in enumerate(raw["labels"], start=1)
    ]
    for finding in FINDINGS:
        table[finding] = [finding in labels for labels in found]
    table[NO_FINDING] = [not labels for labels in found]
    return table


def _numbers(cells: pd.Series, path: Path, name: str) -> pd.Series:
    numbers = pd.to_numeric(cells, errors="coerce")
    if numbers.isna().any():
        row = int(numbers.isna().to_numpy().argmax())
        raise InputError(f"{path}: row {row + 1}: {name} is {cells[row]!r}, not a number")
    return numbers


def age_in_years(cell: str, where: str) -> float:
    """Read an age: `58`, or the first release's `058Y`, `011M`, `001D`.

    Ages over 120 years (the first release has 16, up to 414) are unknown: NaN.
    """
    text = cell.strip()
    unit = AGE_UNITS.get(text[-1:].upper())
    digits = text[:-1] if unit else text
    if not digits.isdecimal():
        raise InputError(f"{where}: Patient Age is {cell!r}, not years or a number with Y, M, W, D")
    years = float(digits) * (unit or 1.0)
    return years if years <= 120 else float("nan")


def labels_version(table: pd.DataFrame) -> str:
    """Tell NIH's full tables apart by their content; another table is `other`."""
    if len(table) != 112_120:
        return "other"
    pneumonia = int(table["Pneumonia"].sum())
    return {1353: "2017-09-26", 1431: "2017-11-22 or v2020"}.get(pneumonia, "other")


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
    meta = {"labels_version": labels_version(table), "source_sha256": digest}
    write_table(table.sort_values("image"), images, meta)
    say(f"{len(table):,} images of {table['patient'].nunique():,} patients")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
