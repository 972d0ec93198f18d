"""Take labels, boxes, lists and blacklists from the source; say whence, and on what terms."""

import csv
import hashlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage import licences
from ribcage.engine import step
from ribcage.entries import is_file_name, read_entries, remarks, version_of
from ribcage.errors import InputError
from ribcage.expert_labels import KINDS, ExpertFile, find_expert_files
from ribcage.fetch import download
from ribcage.findings import canonical
from ribcage.progress import say
from ribcage.remotes import NO_MIRROR, Remote

ENTRIES = "entries.csv"
NIH_FILES = Path(__file__).parent / "ribcage" / "nih_files.json"
BOX_FILE, LISTS = "BBox_List_2017.csv", ("train_val_list.txt", "test_list.txt")
MARK_FILE = "marks.csv"
BOX_HEADER = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
"""NIH's, parted at its commas; three empty cells follow."""
BOX_COLUMNS = ("image", "finding", "x_px", "y_px", "w_px", "h_px")
MARK_COLUMNS = ("image", "mark")
MARK_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
MAX_MARKS = 50
"""Kinds of marks: each is scored with each finding."""
MAX_TABLE_BYTES = 256 << 20
"""NIH's own table has 9 MB."""


def the_entries(folder: Path) -> Path:
    """Find the one Data_Entry table of a folder."""
    found = sorted(folder.glob("Data_Entry_*.csv"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(f"{folder}: needs one file Data_Entry_*.csv, has {names}")
    return found[0]


def lines_of(path: Path) -> list[str]:
    """Read a table's lines, without their ends and the mark that some editors put first."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error


def check_names(path: Path) -> None:
    """Refuse a list that is not one file name a line; empty lines are skipped."""
    for number, line in enumerate(lines_of(path), start=1):
        if line.strip() and not is_file_name(line.strip()):
            raise InputError(f"{path}: line {number}: {line.strip()!r} is no file name")


def cells_of(line: str) -> list[str]:
    """Part a line; spreadsheets quote cells, and fill rows with empty ones up to the longest."""
    return [cell.strip(' "') for cell in line.rstrip(', "\r').split(",")]


def read_boxes(path: Path) -> list[tuple[str, ...]]:
    """Read NIH's boxes, whose header has nine cells over rows of six.

    Returns:
        Rows of image, finding in NIH's spelling of the labels, and x, y, width, height in pixels
        of the original film, with all of their digits.

    Raises:
        InputError: names file and line of another header, or of a row that is no box.
    """
    header, *lines = map(cells_of, lines_of(path))
    if tuple(header) != BOX_HEADER:
        raise InputError(f"{path}: line 1: {header} must be NIH's header, {','.join(BOX_HEADER)}")
    rows: list[tuple[str, ...]] = []
    for number, cells in enumerate(lines, start=2):
        if cells == [""]:
            continue
        where = f"{path}: line {number}"
        try:
            image, finding, *box = cells
            x, y, width, height = map(float, box)
        except ValueError as error:
            raise InputError(f"{where}: {cells} is no image, finding, x, y, w, h") from error
        inside = x >= 0 and y >= 0 and width > 0 and height > 0  # NaN is not
        if not inside or math.inf in (x, y, width, height) or not is_file_name(image):
            raise InputError(f"{where}: {cells} is no box of an image")
        numbers = (f"{v:.15g}" for v in (x, y, width, height))
        rows.append((image, canonical(finding, where), *numbers))
    return rows


def read_marks(path: Path) -> list[tuple[str, str]]:
    """Read which films bear which mark, such as a drain: a list that a laboratory can bring.

    Returns:
        Rows of image and mark, each once, sorted.

    Raises:
        InputError: names file and line of another header, or of a row that is no image and mark.
    """
    header, *lines = map(cells_of, lines_of(path))
    if tuple(header) != MARK_COLUMNS:
        raise InputError(f"{path}: line 1: {header} must be {','.join(MARK_COLUMNS)}")
    rows: set[tuple[str, str]] = set()
    for number, cells in enumerate(lines, start=2):
        if cells == [""]:
            continue
        if len(cells) != 2 or not is_file_name(cells[0]) or not MARK_NAME.fullmatch(cells[1]):
            raise InputError(
                f"{path}: line {number}: {cells} is no image and mark; a mark has lower-case "
                "letters, digits and '_', and begins with a letter"
            )
        rows.add((cells[0], cells[1]))
    kinds = len({mark for _, mark in rows})
    if kinds > MAX_MARKS:
        raise InputError(f"{path}: has {kinds} kinds of marks, over {MAX_MARKS}")
    return sorted(rows)


def from_folder(folder: Path, tables: Path) -> dict[str, str]:
    """Copy the tables of a folder in NIH's layout; return where in it each came from."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; set source.origin to one")
    entries = the_entries(folder)
    taken = {ENTRIES: entries}
    lists = [folder / name for name in LISTS if (folder / name).is_file()]
    if len(lists) == 1:
        raise InputError(
            f"{folder}: has {lists[0].name} without the other list; add it or remove it"
        )
    taken |= {path.name: path for path in lists}
    for path in sorted((folder / "blacklists").glob("*.csv")):
        taken[f"blacklists/{path.name}"] = path
    for name in (BOX_FILE, MARK_FILE):
        if (folder / name).is_file():
            taken[name] = folder / name
    for name, path in taken.items():
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(f"{path}: larger than {MAX_TABLE_BYTES >> 20} MiB, which no table is")
        shutil.copyfile(path, tables / name)
    return {name: path.relative_to(folder).as_posix() for name, path in taken.items()}


def from_nih(
    listed: Path, tables: Path, mirror: str, attempts: int, delay_s: float
) -> dict[str, str]:
    """Fetch the official tables and the blacklists; return each one's official place.

    Their bytes are pinned: whichever mirror gave them is worth a line of the log, and no new table.
    """
    files: dict[str, Any] = json.loads(listed.read_text(encoding="utf-8"))
    partial = tables.with_name("tables.partial")
    taken = {}
    for entry in (*files["tables"], *files["blacklists"]):
        name = entry["file"]
        place = ENTRIES if name.startswith("Data_Entry") else name
        place = f"blacklists/{name}" if entry in files["blacklists"] else place
        remote = Remote.of(entry, mirror)
        if mirror != NO_MIRROR:
            say(f"{name}: from {remote.url}")
        download(remote, tables / place, partial, attempts, delay_s)
        taken[place] = entry["url"]
    if partial.is_dir() and not any(partial.iterdir()):  # else wrong bytes are kept there
        partial.rmdir()
    return taken


def expert_files(named: str, source: Path, kind: str) -> dict[Path, ExpertFile]:
    """Find expert labels in the folder that is named for them, else in that of a local source."""
    if named != "none":
        found = find_expert_files(Path(named))
        if not found:
            raise InputError(
                f"{named}: has no CSV file with expert labels, by its header; unpack the files "
                "that you got, or set fetch_tables.expert_labels to none"
            )
        return found
    return find_expert_files(source) if kind == "local" else {}


def write_expert_labels(found: dict[Path, ExpertFile], tables: Path, films: set[str]) -> None:
    """Write one table for each kind of expert labels that was found."""
    for name, kind in KINDS.items():
        files = {path: file for path, file in found.items() if file.kind == name}
        rows = sorted(row for file in files.values() for row in file.rows)
        keys = [row[: kind.keys] for row in rows]
        if len(set(keys)) < len(keys):
            raise InputError(
                f"{' and '.join(map(str, files))}: name the same films; keep one of them"
            )
        for path, file in files.items():
            what = "the file that is in circulation" if file.known else "another file than is known"
            say(f"{path.name}: {len(file.rows):,} rows, {what}")
        if files:
            here = len({row[0] for row in rows} & films)
            say(f"{name}.csv: {here:,} of its films are in the table")
            write_csv(tables / f"{name}.csv", kind.columns, rows)


def check_entries(path: Path, marked: set[str], marks: Path) -> tuple[pd.DataFrame, str]:
    """Read the table before any film is fetched; say its version and what is odd about it."""
    table = read_entries(path)
    version = version_of(path, table)
    say(f"{len(table):,} films of {table['patient'].nunique():,} patients; labels: {version}")
    for remark in remarks(path, table, version):
        say(remark)
    if marked and marked.isdisjoint(table["image"]):
        raise InputError(
            f"{marks}: names no film of the table, as {table['image'][0]}; mend the list"
        )
    return table, version


def main(
    source: Path,
    tables: Path,
    kind: str,
    mirror: str = NO_MIRROR,
    expert_labels: str = "none",
    attempts: int = 10,
    delay_s: float = 2.0,
) -> None:
    """Write `data/raw/tables/`: entries, boxes, marks, lists, blacklists/, sources, licences.

    Args:
        source: a folder in NIH's layout, or the list of NIH's files.
        tables: the folder to write. entries.csv is byte for byte the source's table; boxes.csv has
            a right header and NIH's spelling of Infiltration; marks.csv has image and mark, and no
            row where the source has no such list; expert_four.csv, expert_all.csv and
            expert_readers.csv stand where there are expert labels; sources.csv says for each file
            of the source where it came from, its bytes and its sha256; LICENCES.md has the terms.
        kind: `phantom` or `local` (a folder), or `nih` (download).
        mirror: where NIH's files are read from instead: a folder or the start of a URL, or `none`.
        expert_labels: folder with the files that Google gives out, or `none`; a local source may
            hold them itself.
        attempts: of the download, in a row without progress.
        delay_s: before the second of them.
    """
    (tables / "blacklists").mkdir(parents=True)
    if kind == "nih":
        taken = from_nih(source, tables, mirror, attempts, delay_s)
    else:
        taken = from_folder(source, tables)
    # A sentence names the user's own file, not the copy that is about to go.
    at = {name: tables / name if kind == "nih" else source / taken[name] for name in taken}
    for name, path in sorted(at.items()):
        if name in LISTS or name.startswith("blacklists/"):
            check_names(path)
    boxes = read_boxes(at[BOX_FILE]) if BOX_FILE in taken else []
    marks = read_marks(at[MARK_FILE]) if MARK_FILE in taken else []
    table, version = check_entries(
        at[ENTRIES], {image for image, _ in marks}, at.get(MARK_FILE, source)
    )
    rows: list[tuple[str, str, int, str]] = []
    for name, origin in sorted(taken.items()):
        data = (tables / name).read_bytes()
        rows.append((name, origin, len(data), hashlib.sha256(data).hexdigest()))
    experts = expert_files(expert_labels, source, kind)
    write_expert_labels(experts, tables, set(table["image"]))
    for path, file in experts.items():
        rows.append((f"{file.kind}.csv", path.name, file.size, file.sha256))
    (tables / BOX_FILE).unlink(missing_ok=True)
    write_csv(tables / "boxes.csv", BOX_COLUMNS, boxes)
    write_csv(tables / MARK_FILE, MARK_COLUMNS, marks)
    write_csv(tables / "sources.csv", ("file", "from", "bytes", "sha256"), rows)
    write_licences(tables, version)
    say(f"{len(taken)} tables, {len(boxes)} boxes, {len(marks)} marks")


def write_licences(tables: Path, version: str) -> None:
    """Say whose the tables are and on what terms, in the log and beside them."""
    files = {path.relative_to(tables).as_posix() for path in tables.rglob("*.csv")}
    azure = json.loads(NIH_FILES.read_text(encoding="utf-8"))["blacklists"]
    sources = licences.sources_of(version, files, {entry["file"] for entry in azure})
    for source in sources:
        say(source.line())
    (tables / "LICENCES.md").write_text(licences.text_of(sources), encoding="utf-8")


def write_csv(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    """Write a CSV with LF line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
