"""Tables between steps: Parquet that carries its class list, labels version and source."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ribcage.errors import InputError
from ribcage.findings import FINDINGS, check_classes


def write_table(frame: pd.DataFrame, path: Path, meta: dict[str, str]) -> None:
    """Write a table with `classes` and `meta` in its file metadata.

    Args:
        frame: the rows; the index is not kept.
        path: a `.parquet` file.
        meta: `labels_version` and `source_sha256`, handed on from the table that it came from.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    head = {"classes": json.dumps(FINDINGS), **meta}
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **head}), path)


def write_numbers(frame: pd.DataFrame, path: Path) -> None:
    """Write a CSV of numbers with six digits: the same bytes on every machine."""
    frame.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def read_meta(path: Path) -> dict[str, str]:
    """Read what `write_table` was given as `meta`, after a check of the class list.

    Raises:
        InputError: the file is no Parquet, or was written with other classes.
    """
    try:
        raw = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: no readable Parquet table ({error})") from error
    head = {key.decode(): value.decode() for key, value in raw.items()}
    check_classes(json.loads(head.get("classes", "[]")), str(path))
    return {key: head[key] for key in ("labels_version", "source_sha256") if key in head}


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of `write_table`, refusing other classes or a missing column."""
    read_meta(path)
    try:
        return pq.read_table(path, columns=columns).to_pandas()
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {error}") from error


def labels_of(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the bool columns of the 14 findings in the one order; refuse a table without them."""
    missing = [name for name in FINDINGS if name not in frame.columns]
    if missing:
        raise InputError(f"{where}: column {missing[0]} is missing")
    return frame[list(FINDINGS)].astype(bool)


def rows_by_image(curated: pd.DataFrame, images: Sequence[str], where: str) -> pd.DataFrame:
    """Find the curated rows of images by their names, [n]; the order of tables means nothing.

    Args:
        curated: the kept images, each once.
        images: file names.
        where: the table that names the images, for the error.

    Raises:
        InputError: an image is not among the curated.
    """
    rows = pd.Index(curated["image"]).get_indexer(pd.Index(images))
    if (rows < 0).any():
        lost = images[int((rows < 0).argmax())]
        raise InputError(f"{where}: {lost} is not among the curated images")
    return curated.iloc[rows].reset_index(drop=True)


def labels_by_image(curated: pd.DataFrame, images: Sequence[str], where: str) -> pd.DataFrame:
    """Find the labels of images by their names, bool [n, 14]; see `rows_by_image`."""
    return labels_of(rows_by_image(curated, images, where), "curated.parquet")
