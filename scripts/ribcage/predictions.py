"""Predictions of other makers' models: a CSV with a film a line and a probability a finding.

Columns are known by their names alone, so that no order of classes can be taken for another.
Numbers stay float64: in float32 two scores may become equal, and ties make another ranking.
"""

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from ribcage.errors import InputError
from ribcage.findings import ALIASES, FINDINGS, NO_FINDING

FILM_COLUMNS = ("Image Index", "image", "Image ID", "filename", "path")
"""Columns that may name the film; of a path, its last part is the name."""
AFFIXES = (("prob_", ""), ("pred_", ""), ("", "_prob"), ("", "_pred"))
"""What may stand before and after a finding's name, so that it is a column of predictions."""
MAX_BYTES = 256 << 20
"""Unpacked: NIH's 112,120 films with 14 numbers of 17 digits have 35 MB."""
MAX_FILMS = 1_000_000
MAX_NAME = 255
GZIP = b"\x1f\x8b"


class Predictions(NamedTuple):
    """What a file says.

    Attributes:
        images: the n films' names, each once.
        given: float64 [n, 14] in [0, 1], in FINDINGS' order; NaN all down for a finding of which
            the file says nothing.
        missing: those findings.
        sha256: of the file as it lies there, as hexadecimal digits.
    """

    images: list[str]
    given: pd.DataFrame
    missing: list[str]
    sha256: str


def read_predictions(path: Path) -> Predictions:
    """Read a CSV of probabilities, plain or packed by gzip, every cell checked.

    Raises:
        InputError: names the file, and the line and column that cannot be read.
    """
    data = _bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        text = io.StringIO(_unpacked(data, path).decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    reader = csv.reader(text, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        film, columns = _columns(header, path)
        lines = ((reader.line_num, cells) for cells in reader)
        values = dict(_rows(lines, header, film, columns, path))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: is no CSV ({error})") from error
    if not values:
        raise InputError(f"{path}: has no line below its header")
    numbers = pd.DataFrame(np.array(list(values.values())), columns=list(columns))
    missing = [finding for finding in FINDINGS if finding not in columns]
    return Predictions(list(values), numbers.reindex(columns=list(FINDINGS)), missing, digest)


def refuse_strangers(images: list[str], known: Iterable[str], path: Path) -> None:
    """Refuse a file that scores films which the data table does not name.

    Raises:
        InputError: names the first of them and says how many there are.
    """
    names = set(known)
    strangers = [image for image in images if image not in names]
    if strangers:
        raise InputError(
            f"{path}: {strangers[0]} is not in the data table, as {len(strangers):,} of its "
            f"{len(images):,} films; remove them, or run on the table that names them"
        )


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; mend import_predictions")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no such file is")
    return path.read_bytes()


def _unpacked(data: bytes, path: Path) -> bytes:
    """The text's bytes; never more than MAX_BYTES, however small the packed file is."""
    if not data.startswith(GZIP):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is damaged ({error}); take the file anew") from error
    if len(unpacked) > MAX_BYTES:
        raise InputError(f"{path}: unpacks to more than {MAX_BYTES >> 20} MiB, which none does")
    return unpacked


def _columns(header: list[str], path: Path) -> tuple[int, dict[str, int]]:
    """Where the film's name stands, and by finding where its probability does."""
    films = [at for at, name in enumerate(header) if name in FILM_COLUMNS]
    if len(films) != 1:
        raise InputError(
            f"{path}: line 1: needs one column of film names ({', '.join(FILM_COLUMNS)}), "
            f"has {len(films)}; give the file such a header"
        )
    columns: dict[str, int] = {}
    for at, name in enumerate(header):
        finding = _finding(name, path)
        if finding in columns:
            raise InputError(
                f"{path}: line 1: columns {header[columns[finding]]!r} and {name!r} both stand for "
                f"{finding}; keep the one with the probabilities"
            )
        if finding:
            columns[finding] = at
    if not columns:
        raise InputError(
            f"{path}: line 1: has no column of a finding, such as {FINDINGS[0]} or "
            f"{AFFIXES[0][0]}{FINDINGS[0]}; spell findings as NIH does"
        )
    return films[0], columns


def _finding(column: str, path: Path) -> str | None:
    """The finding of a column; None for one that is about something else."""
    for before, after in AFFIXES:
        if column.startswith(before) and column.endswith(after):
            bare = column.removeprefix(before).removesuffix(after)
            break
    else:
        bare = column
    name = ALIASES.get(bare, bare)
    if name in FINDINGS:
        return name
    for spelling in (*FINDINGS, *ALIASES):
        if _letters(spelling) == _letters(bare):
            meant = ALIASES.get(spelling, spelling)
            raise InputError(f"{path}: line 1: column {column!r} is not spelt as NIH does: {meant}")
    if bare not in (column, NO_FINDING):
        raise InputError(
            f"{path}: line 1: column {column[:40]!r} is none of NIH's findings; remove it"
        )
    return None


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _rows(
    lines: Iterator[tuple[int, list[str]]],
    header: list[str],
    film: int,
    columns: dict[str, int],
    path: Path,
) -> Iterator[tuple[str, list[float]]]:
    """Yield a film's name and its probabilities, in the order of `columns`."""
    first: dict[str, int] = {}
    for line, cells in lines:
        if not cells:
            continue
        where = f"{path}: line {line}"
        if len(cells) != len(header):
            raise InputError(f"{where}: has {len(cells)} cells, the header {len(header)}")
        image = PureWindowsPath(cells[film].strip()).name  # knows both kinds of slash
        if not image or not image.isprintable() or len(image) > MAX_NAME:
            cell = cells[film][:40]
            raise InputError(f"{where}: {header[film]} is {cell!r}, which names no film")
        if first.setdefault(image, line) != line:
            raise InputError(f"{where}: scores {image} again, after line {first[image]}; keep one")
        if len(first) > MAX_FILMS:
            raise InputError(f"{path}: scores more than {MAX_FILMS:,} films; take fewer")
        yield image, [_probability(cells[at], header[at], where) for at in columns.values()]


def _probability(cell: str, column: str, where: str) -> float:
    try:
        value = float("nan") if "_" in cell else float(cell)  # Python takes 1_0 for ten
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise InputError(
            f"{where}: {column} is {cell[:40]!r}, no number in 0 to 1; give probabilities, "
            "of logits their sigmoid"
        )
    return value
