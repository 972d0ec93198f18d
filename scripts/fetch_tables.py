"""Take labels, boxes, lists and blacklists from the source, and say where each came from."""

import csv
import hashlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.fetch import Remote, download
from ribcage.findings import canonical
from ribcage.progress import say

BOX_FILE, LISTS = "BBox_List_2017.csv", ("train_val_list.txt", "test_list.txt")
MARK_FILE = "marks.csv"
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
    """Read a table's lines, without their ends."""
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error


def is_file_name(text: str) -> bool:
    """Tell whether a cell can be the name of a film: no path, and no row of a table."""
    return text.isprintable() and text not in ("", ".", "..") and not set(text) & set('/\\,"')


def check_names(path: Path) -> None:
    """Refuse a list that is not one file name a line; empty lines are skipped."""
    for number, line in enumerate(lines_of(path), start=1):
        if line.strip() and not is_file_name(line.strip()):
            raise InputError(f"{path}: line {number}: {line.strip()!r} is no file name")


def read_boxes(path: Path) -> list[tuple[str, ...]]:
    """Read NIH's boxes, whose header has nine cells over rows of six.

    Returns:
        Rows of image, finding in NIH's spelling of the labels, and x, y, width, height in pixels
        of the original film, with all of their digits.

    Raises:
        InputError: names file and line of a row that is no box.
    """
    rows: list[tuple[str, ...]] = []
    for number, line in enumerate(lines_of(path)[1:], start=2):
        # Spreadsheets quote cells, and fill rows with empty ones up to the header's nine.
        cells = [cell.strip(' "') for cell in line.rstrip(', "\r').split(",")]
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
    header, *lines = ([c.strip(' "') for c in t.rstrip(', "\r').split(",")] for t in lines_of(path))
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
    """Copy the tables of a folder in NIH's layout; return where each came from."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; set source.origin to one")
    entries = the_entries(folder)
    taken = {"entries.csv": entries}
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
    return {name: path.name for name, path in taken.items()}


def from_nih(listed: Path, tables: Path, attempts: int, delay_s: float) -> dict[str, str]:
    """Download the official tables and the blacklists; return where each came from."""
    files: dict[str, Any] = json.loads(listed.read_text(encoding="utf-8"))
    say(f"data: {files['provider']}, {files['site']}; cite {files['citation']}")
    say(f"blacklists: {files['blacklists_licence']}")
    partial = tables.with_name("tables.partial")
    taken = {}
    for entry in (*files["tables"], *files["blacklists"]):
        name = entry["file"]
        place = "entries.csv" if name.startswith("Data_Entry") else name
        place = f"blacklists/{name}" if entry in files["blacklists"] else place
        download(Remote.of(entry), tables / place, partial, attempts, delay_s)
        taken[place] = entry["url"]
    if not any(partial.iterdir()):  # else an earlier run has kept wrong bytes there
        partial.rmdir()
    return taken


def main(source: Path, tables: Path, kind: str, attempts: int = 10, delay_s: float = 2.0) -> None:
    """Write `data/raw/tables/`: entries, boxes, marks, the lists, blacklists/ and sources.csv.

    Args:
        source: a folder in NIH's layout, or the list of NIH's files.
        tables: the folder to write. entries.csv is byte for byte the source's table; boxes.csv has
            a right header and NIH's spelling of Infiltration; marks.csv has image and mark, and no
            row where the source has no such list; sources.csv says for each file of
            the source where it came from, its bytes and its sha256.
        kind: `phantom` or `local` (a folder), or `nih` (download).
        attempts: of the download, in a row without progress.
        delay_s: before the second of them.
    """
    (tables / "blacklists").mkdir(parents=True)
    if kind == "nih":
        taken = from_nih(source, tables, attempts, delay_s)
    else:
        taken = from_folder(source, tables)
    for path in sorted((*tables.glob("*.txt"), *tables.glob("blacklists/*.csv"))):
        check_names(path)
    boxes = read_boxes(tables / BOX_FILE) if BOX_FILE in taken else []
    marks = read_marks(tables / MARK_FILE) if MARK_FILE in taken else []
    rows = []
    for name, origin in sorted(taken.items()):
        data = (tables / name).read_bytes()
        rows.append((name, origin, len(data), hashlib.sha256(data).hexdigest()))
    (tables / BOX_FILE).unlink(missing_ok=True)
    write_csv(tables / "boxes.csv", BOX_COLUMNS, boxes)
    write_csv(tables / MARK_FILE, MARK_COLUMNS, marks)
    write_csv(tables / "sources.csv", ("file", "from", "bytes", "sha256"), rows)
    say(f"{len(taken)} tables, {len(boxes)} boxes, {len(marks)} marks")


def write_csv(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    """Write a CSV with LF line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
