"""NIH's table of films: every cell checked, and its versions told apart by what they say."""

import base64
import json
import re
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage.errors import InputError
from ribcage.findings import FINDINGS, NO_FINDING, parse_labels

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
MAX_AGE_YEARS = 120

VERSIONS = ("2017-09-26", "2017-11-22", "v2020")
FIRST, UPDATE, NEWEST = VERSIONS
FILMS = 112_120
LEAST = 30
"""Rows, or patients, from which a version is told: fewer agree with NIH's by chance."""
PHANTOM = "Phantom"
"""The column by which draw_phantoms says whose films these are; they could pass for anybody's."""
OTHER = "other"
SUFFIX = re.compile(r"\d{8}_(\d{3})\.png")


def read_entries(path: Path) -> pd.DataFrame:
    """Read NIH's table in any of its versions, every cell checked.

    Returns:
        Columns image, patient, follow_up, age_years, sex, view_position, original_width_px,
        original_height_px, spacing_mm, a bool column a finding, and `No Finding`.

    Raises:
        InputError: names the file and the column, or the row (1 is the first below the header).
    """
    cells = _cells(path)
    raw = cells.loc[:, [name for name in cells.columns if name in COLUMNS]].rename(columns=COLUMNS)
    for name in NEEDED:
        theirs = " or ".join(repr(key) for key, ours in COLUMNS.items() if ours == name)
        if name not in raw.columns:
            raise InputError(f"{path}: column {theirs} is missing")
        if list(raw.columns).count(name) > 1:
            raise InputError(f"{path}: has both columns {theirs}; remove one")
    _check_names(raw["image"], path)
    table = pd.DataFrame({"image": raw["image"]})
    table["patient"] = _numbers(raw["patient"], path, "Patient ID").astype("int64")
    table["follow_up"] = _numbers(raw["follow_up"], path, "Follow-up #").astype("int64")
    table["age_years"] = _each(raw["age"], age_in_years, path)
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
    spacing = "OriginalImagePixelSpacing[x"
    table["spacing_mm"] = _numbers(raw["spacing_mm"], path, spacing, whole=False)
    found = _each(raw["labels"], _has, path)
    table[list(FINDINGS)] = found
    table[NO_FINDING] = ~found.any(1)
    return table


def _cells(path: Path) -> pd.DataFrame:
    """The table as text, cell by cell."""
    try:
        cells = pd.read_csv(
            path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
        )
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    except ValueError as error:  # pandas' errors of reading are ValueErrors
        raise InputError(f"{path}: is no table ({' '.join(str(error).split())})") from error
    if cells.empty:
        raise InputError(f"{path}: has no row below its header")
    return cells


def is_file_name(text: str) -> bool:
    """Tell whether a cell can be the name of a film: no path, and no row of a table."""
    return text.isprintable() and text not in ("", ".", "..") and not set(text) & set('/\\,"')


def _check_names(names: pd.Series, path: Path) -> None:
    for row, name in enumerate(names, start=1):
        if not is_file_name(name):
            raise InputError(f"{path}: row {row}: Image Index is {name!r}, which is no file name")
    twice = names.duplicated().to_numpy()
    if twice.any():
        row = int(twice.argmax())
        raise InputError(f"{path}: row {row + 1} names {names[row]} a second time")


def _each(cells: pd.Series, read: Callable[[str, str], Any], path: Path) -> np.ndarray:
    """Read each distinct cell once; 112,120 rows have 836 distinct label cells and 96 ages."""
    codes, texts = pd.factorize(cells)
    rows = np.unique(codes, return_index=True)[1] + 1
    values = [read(text, f"{path}: row {row}") for text, row in zip(texts, rows, strict=True)]
    return np.array(values)[codes]


def _has(cell: str, where: str) -> list[bool]:
    labels = parse_labels(cell, where)
    return [finding in labels for finding in FINDINGS]


def _numbers(cells: pd.Series, path: Path, name: str, whole: bool = True) -> pd.Series:
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    bad = ~(numbers.ge(0) & numbers.lt(2**53))
    if whole:
        bad |= numbers % 1 != 0
    if bad.any():
        row = int(bad.to_numpy().argmax())
        what = "a whole number from 0 on" if whole else "a number from 0 on"
        raise InputError(f"{path}: row {row + 1}: {name} is {cells[row]!r}, not {what}")
    return numbers


def age_in_years(cell: str, where: str) -> float:
    """Read an age: `58`, or the first release's `058Y`, `011M`, `001D`.

    Ages over 120 years (the first release has 16, up to 414) are unknown: NaN.
    """
    text = cell.strip()
    unit = AGE_UNITS.get(text[-1:].upper())
    digits = text[:-1] if unit else text
    if not (digits.isascii() and digits.isdecimal()):
        raise InputError(f"{where}: Patient Age is {cell!r}, not years or a number with Y, M, W, D")
    years = float(digits) * (unit or 1.0)
    return years if years <= MAX_AGE_YEARS else float("nan")


def version_of(path: Path, table: pd.DataFrame) -> str:
    """Tell which of NIH's versions a table is, or is a part of, by what it says, not by its name.

    Args:
        path: the table as it came, for what is lost when it is read: text ages, a 12th column.
        table: what `read_entries` made of it; added columns do not matter.

    Returns:
        `2017-09-26`, `2017-11-22` or `v2020`; behind `part of ` for some of its films; joined by
        ` or ` where the rows fit several; `phantom` for drawn films; `other` for films or labels
        that are not NIH's, for rows that contradict each other, and for fewer than 30.
    """
    cells = _cells(path)
    if PHANTOM in cells.columns and (cells[PHANTOM] == "yes").all():
        return "phantom"
    if len(table) < LEAST or not _is_of_nih(table):
        return OTHER
    possible = _by_labels(table) & _by_traits(cells, table)
    named = " or ".join(version for version in VERSIONS if version in possible)
    if not named:
        return OTHER
    return named if len(table) == FILMS else f"part of {named}"


@cache
def _known() -> dict[str, Any]:
    """Read what is known of NIH's versions.

    `first_release_lacks` has the images of each finding that the first release does not name and
    the later ones do. `films` are bits: for each film and its labels in the first release, the bit
    that `bits_of` gives is set, which leaves half of them clear.
    """
    known: dict[str, Any] = json.loads(
        Path(__file__).with_name("nih_versions.json").read_text(encoding="utf-8")
    )
    return known


@cache
def added_labels() -> dict[str, frozenset[str]]:
    """The findings that NIH added on 22 November 2017, by image."""
    by_image: dict[str, set[str]] = {}
    for finding, images in _known()["first_release_lacks"].items():
        for image in images:
            by_image.setdefault(image, set()).add(finding)
    return {image: frozenset(findings) for image, findings in by_image.items()}


def bits_of(table: pd.DataFrame, bits: int) -> np.ndarray:
    """Hash each film with its labels of the first release to a bit, int64 [n] in [0, bits)."""
    weights = 2 ** np.arange(len(FINDINGS))
    labels = table[list(FINDINGS)].to_numpy(dtype=bool) @ weights
    added = {
        image: int(weights[[f in findings for f in FINDINGS]].sum())
        for image, findings in added_labels().items()
    }
    return np.array([
        zlib.crc32(f"{image} {number & ~added.get(image, 0)}".encode()) % bits
        for image, number in zip(table["image"], labels.tolist(), strict=True)
    ])  # fmt: skip


def _is_of_nih(table: pd.DataFrame) -> bool:
    """Whether every row may be NIH's: one of another source is found out with even chances."""
    films = np.unpackbits(np.frombuffer(base64.b64decode("".join(_known()["films"])), np.uint8))
    return bool(films[bits_of(table, len(films))].all())


def _by_labels(table: pd.DataFrame) -> set[str]:
    """The versions that the labels fit: the update of 2017 added 188 on 181 films, no more."""
    added = added_labels()
    rows = table[table["image"].isin(added)]
    there = [row[f] for row in rows.to_dict("records") for f in added[row["image"]]]
    if not there:
        return set(VERSIONS)
    if all(there):
        return {UPDATE, NEWEST}
    return set() if any(there) else {FIRST}


def _by_traits(cells: pd.DataFrame, table: pd.DataFrame) -> set[str]:
    """The versions that ages, follow-up numbers and the header fit."""
    old = {FIRST, UPDATE}
    suffix = table["image"].str.extract(SUFFIX, expand=False).astype("float64")
    renumbered = (suffix != table["follow_up"]).any()
    text_ages = not cells["Patient Age"].str.strip().str.isdecimal().all()
    if text_ages or table["age_years"].isna().any():
        return set() if renumbered else old
    if renumbered:
        return {NEWEST}
    # In v2020, three of four patients with several films have kept the numbers of the files.
    if table.loc[suffix > 0, "patient"].nunique() >= LEAST:
        return old
    if any(name.startswith("Unnamed") for name in cells.columns):
        return old
    return {NEWEST} if "Patient Sex" in cells.columns else set(VERSIONS)


def remarks(path: Path, table: pd.DataFrame, version: str) -> list[str]:
    """Say in a sentence each what a reader of scores should know of a table.

    Args:
        path: where the table lies, for the error.
        table: of `read_entries`.
        version: of `version_of`.

    Raises:
        InputError: a table of NIH's films gives one to another patient than its name does, which
            would put films of a patient on both sides of a split.
    """
    said = []
    if version.removeprefix("part of ") == FIRST:
        said.append(
            "these are the labels of NIH's first release: 188 labels on 181 test films are missing "
            "(Pneumonia stands on 477 test films, not 555), so that scores are not comparable with "
            "those on later tables; take Data_Entry_2017_v2020.csv"
        )
    named = table["image"].str.extract(r"^(\d{8})_\d{3}\.", expand=False).astype("float64")
    moved = table[named.notna() & (named != table["patient"])]
    if len(moved):
        row = moved.iloc[0]
        words = (
            f"{len(moved):,} films belong to another patient than their name says, as "
            f"{row['image']} to {row['patient']}"
        )
        if version not in (OTHER, "phantom"):
            raise InputError(f"{path}: {words}; take NIH's own table")
        said.append(f"{words}; the table's column decides")
    unknown = int(table["age_years"].isna().sum())
    if unknown:
        said.append(f"{unknown:,} ages over {MAX_AGE_YEARS} years are taken as unknown")
    ordered = table.sort_values(["patient", "follow_up"], kind="stable")
    younger = int((ordered.groupby("patient")["age_years"].diff() < 0).sum())
    if younger:
        said.append(f"on {younger:,} films a patient is younger than on the film before")
    both = int((table.groupby("patient")["sex"].nunique() > 1).sum())
    if both:
        said.append(f"{both:,} patients have films of both sexes")
    again = int(table.duplicated(["patient", "follow_up"]).sum())
    if again:
        said.append(f"{again:,} films have a Follow-up # that another film of the patient has")
    return said
