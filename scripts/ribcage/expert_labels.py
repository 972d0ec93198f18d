"""What radiologists saw on NIH's films: Google's labels, which a user gets by hand.

Google gives them out behind a form, so that there is no address to fetch them from. Its files are
known by their headers, whatever they are called:

- four findings: Majkowska et al., Radiology 294, 421-431 (2020), adjudicated by three radiologists;
- all findings: Nabulsi et al., Scientific Reports 11, 15523 (2021), the majority of three of five
  radiologists, and the file of what each of the five said.
"""

import csv
import hashlib
import io
from pathlib import Path
from typing import NamedTuple

from ribcage.entries import is_file_name
from ribcage.errors import InputError
from ribcage.findings import ALIASES, FINDINGS

FOUR_FINDINGS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
SETS = {"test": "test", "val": "val"}
YES_NO = {"YES": "1", "NO": "0", "1": "1", "0": "0"}
MAX_BYTES = 16 << 20
"""The largest of the three files has 0.4 MB."""


class Kind(NamedTuple):
    """One of Google's files.

    Attributes:
        told_by: columns that no other file has all of.
        columns: of the table that we write.
        keys: how many of them, from the left, name a row.
        sha256: how the hash of the file that is in circulation begins.
    """

    told_by: frozenset[str]
    columns: tuple[str, ...]
    keys: int
    sha256: str


KINDS = {
    "expert_readers": Kind(
        frozenset({"Reader ID", "Abnormal"}),
        ("image", "reader", "Abnormal", *FINDINGS),
        2,
        "e6193ea7",
    ),
    "expert_four": Kind(
        frozenset({"Fracture", "Airspace opacity"}), ("image", "set", *FOUR_FINDINGS), 1, "86ece2bb"
    ),
    "expert_all": Kind(
        frozenset({"Image ID", "Abnormal"}), ("image", "Abnormal", *FINDINGS), 1, "26020801"
    ),
}
"""By the name of the table that we write, the readers' file first: it has `Abnormal` too."""

NAMES = {"Image Index": "image", "Image ID": "image", "Reader ID": "reader", "Set Id": "set"}
"""Google's header to ours; findings are spelt as in NIH's table."""

Row = tuple[str, ...]


class ExpertFile(NamedTuple):
    """A file of expert labels.

    Attributes:
        kind: a key of KINDS.
        rows: in the columns of that kind; labels are `0` or `1`.
        sha256: of the file, as hexadecimal digits.
        size: of the file in bytes.
        known: whether it is the file that is in circulation.
    """

    kind: str
    rows: list[Row]
    sha256: str
    size: int
    known: bool


def find_expert_files(folder: Path) -> dict[Path, ExpertFile]:
    """Read the expert labels among the CSV files of a folder.

    Raises:
        InputError: the folder cannot be read, or one of the files has a bad row; names its line.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder; set fetch_tables.expert_labels to one, or to none"
        )
    found = {}
    for path in sorted(path for path in folder.glob("*.csv") if path.is_file()):
        with path.open("rb") as file:
            header = file.readline(1 << 12).decode(errors="replace").lstrip("\ufeff")
        kind = kind_of({cell.strip() for cell in header.split(",")})
        if kind:
            found[path] = read_expert_file(path, kind)
    return found


def kind_of(columns: set[str]) -> str | None:
    """Tell a file of expert labels by its header; None for any other file."""
    for name, kind in KINDS.items():
        if kind.told_by <= columns:
            return name
    return None


def read_expert_file(path: Path, kind: str) -> ExpertFile:
    """Read one file of expert labels, every row checked.

    Raises:
        InputError: names the file and the line.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no such file is")
    data = path.read_bytes()
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        rows = _rows(path, csv.DictReader(text, strict=True), KINDS[kind])
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV ({error})") from error
    digest = hashlib.sha256(data).hexdigest()
    return ExpertFile(kind, rows, digest, len(data), digest.startswith(KINDS[kind].sha256))


def _rows(path: Path, lines: "csv.DictReader[str]", kind: Kind) -> list[Row]:
    lines.fieldnames = [_ours(cell.strip()) for cell in lines.fieldnames or ()]
    for name in kind.columns:
        count = lines.fieldnames.count(name)
        if count != 1:
            raise InputError(f"{path}: line 1: has {count} columns of {name!r}, not one")
    rows: dict[Row, Row] = {}
    for cells in lines:
        where = f"{path}: line {lines.line_num}"
        if None in cells or None in cells.values():
            raise InputError(f"{where}: has more or fewer cells than the header's columns")
        row = tuple(_cell(name, cells[name].strip(), where) for name in kind.columns)
        key = row[: kind.keys]
        if key in rows:
            raise InputError(f"{where}: names {' of reader '.join(key)} a second time")
        rows[key] = row
    return list(rows.values())


def _ours(cell: str) -> str:
    return NAMES.get(cell, ALIASES.get(cell, cell))


def _cell(name: str, text: str, where: str) -> str:
    """Check a cell; labels become `0` or `1`."""
    if name in ("image", "reader"):
        if not is_file_name(text):
            raise InputError(f"{where}: {name} is {text!r}, which is no name")
        return text
    allowed = SETS if name == "set" else YES_NO
    if text not in allowed:
        raise InputError(f"{where}: {name} is {text!r}, not one of {', '.join(allowed)}")
    return allowed[text]
