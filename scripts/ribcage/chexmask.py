"""CheXmask: lung masks of NIH's films, as run lengths in a table of some gigabytes.

The masks were made by a network and judged by reverse classification accuracy (RCA), an estimate of
their Dice that needs no truth; the authors advise to use those of 0.7 and more.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ribcage.archives import png
from ribcage.errors import InputError
from ribcage.films import FILM_SUFFIXES, MAX_SIDE_PX, decode, read_batch
from ribcage.lung_masks import CHEXMASK_FILE, Pair, rank, shrunk

MAX_LINE_CHARS = 1 << 24
"""A row has some 30,000 characters: three masks and their landmarks."""
NAMES, RCA = ("Image Index", "Image ID"), "Dice RCA (Mean)"
LUNGS = ("Left Lung", "Right Lung")


def table_in(origin: Path) -> Path:
    """Find the table: the file itself, or the one of its name in a folder."""
    if origin.is_file():
        return origin
    found = sorted(origin.rglob(CHEXMASK_FILE))
    if len(found) != 1:
        raise InputError(f"{origin}: needs one file {CHEXMASK_FILE}, has {len(found)}")
    return found[0]


def read_pairs(
    table: Path, films: Path, min_rca: float, max_films: int, size_px: int
) -> Iterator[Pair]:
    """Yield NIH's films that the table has good masks of, in the films' order.

    Args:
        table: CheXmask's table of ChestX-ray8.
        films: a folder of films, a folder of NIH's archives, or one archive.
        min_rca: rows of less are left out.
        max_films: films to look for in the table; those whose names rank lowest.
        size_px: longer films are shrunk to this side.

    Raises:
        InputError: the table is no such table, or has no good mask of any film.
    """
    batches = sorted(films.rglob("*.tar.gz")) if films.is_dir() else [films]
    wanted = set(sorted(_names(films, batches), key=rank)[:max_films])
    masks = dict(_masks(table, wanted, min_rca))
    if not masks:
        raise InputError(
            f"{table}: has no mask with {RCA} of {min_rca:g} or more of any of the {len(wanted)} "
            f"films chosen in {films}; see fetch_lung_masks.sources"
        )
    for batch in batches or [films]:
        for name, data in read_batch(batch, masks.keys()):
            with Image.open(io.BytesIO(masks[name])) as packed:
                mask = np.asarray(packed) > 0
            pair = Pair(Path(name).stem, decode(data, name), mask)
            yield shrunk(pair, size_px, f"{table}: the mask of {name}")


def _names(films: Path, batches: list[Path]) -> set[str]:
    """The films that are there, without reading those that lie in a folder."""
    if not films.exists():
        raise InputError(f"{films}: there are no such films; see fetch_lung_masks.sources")
    if batches:
        return {name for batch in batches for name, _ in read_batch(batch)}
    return {path.name for path in films.rglob("*") if path.suffix.lower() in FILM_SUFFIXES}


def _masks(table: Path, wanted: set[str], min_rca: float) -> Iterator[tuple[str, bytes]]:
    """Read the table row by row; keep a mask as a PNG, some kilobytes each."""
    for number, row in _rows(table):
        where = f"{table}: row {number}"
        name = next((row[key] for key in NAMES if row.get(key)), "")
        if name not in wanted:
            continue
        try:
            rca, height, width = float(row[RCA]), int(row["Height"]), int(row["Width"])
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: its RCA, height or width is no number") from error
        if rca >= min_rca:  # NaN is not
            sides = [decode_runs(row[key] or "", height, width, where) for key in LUNGS]
            yield name, png((sides[0] | sides[1]).astype(np.uint8) * 255)


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(MAX_LINE_CHARS)
    try:
        with table.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(iter(lambda: file.readline(MAX_LINE_CHARS), ""))
            lost = [key for key in (RCA, *LUNGS, "Height", "Width") if key not in _header(reader)]
            if lost or not set(NAMES) & set(_header(reader)):
                raise InputError(f"{table}: has no column {(lost or NAMES)[0]}; is it CheXmask's?")
            yield from enumerate(reader, start=2)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{table}: cannot be read ({error}); fetch it again") from error


def _header(reader: "csv.DictReader[str]") -> list[str]:
    return list(reader.fieldnames or [])


def decode_runs(text: str, height: int, width: int, where: str) -> np.ndarray:
    """Read CheXmask's run lengths: pairs of start, counted from 1 row by row, and length.

    Returns:
        Bool [height, width].

    Raises:
        InputError: they are no such pairs, or leave the film.
    """
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise InputError(f"{where}: claims {width} x {height} px")
    try:
        numbers = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: its run lengths are no whole numbers") from error
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    if len(starts) != len(lengths) or (starts < 0).any() or (lengths < 0).any():
        raise InputError(f"{where}: its run lengths are no pairs of start and length")
    flat = np.zeros(height * width, bool)
    if len(starts) and int((starts + lengths).max()) > flat.size:
        raise InputError(f"{where}: its runs leave the {width} x {height} px of the film")
    for start, length in zip(starts, lengths, strict=True):
        flat[start : start + length] = True
    return flat.reshape(height, width)
