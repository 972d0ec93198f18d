"""Bring real films with lung masks into the layout that the segmenter learns from."""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ribcage import chexmask
from ribcage.archives import Files, archive, png, put
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.fetch import download
from ribcage.lung_masks import LAYOUTS, Pair, rank, read_pairs
from ribcage.progress import Progress, say

PATIENT_LENGTH = 8
"""NIH's names begin with the patient's number; every other set has one film a patient."""


def main(
    lung_masks: Path,
    sources: list[dict[str, Any]],
    size_px: int,
    min_rca: float,
    test_share: float,
    attempts: int = 10,
    delay_s: float = 2.0,
) -> None:
    """Write `data/lung_masks/`, laid out as `data/phantoms`.

    For each source `images/<kind>.tar.gz` and `lung_masks/<kind>.tar.gz`; the two lists, without
    a line where there is no source; and `sources.csv`: kind, origin, films, bytes, sha256, licence.

    Args:
        lung_masks: the folder to write.
        sources: kind, origin (`official`, or a folder, zip or table), max_films, and where films
            lie elsewhere than masks, films.
        size_px: longer films are shrunk to this side.
        min_rca: CheXmask's masks of a lower RCA are left out.
        test_share: share of patients on the test list.
        attempts: of a download, in a row without progress.
        delay_s: before the second of them.

    Raises:
        InputError: a source cannot be had, holds no pair, or is no such set.
    """
    kinds = [source["kind"] for source in sources]
    if len(set(kinds)) < len(kinds):
        raise InputError("fetch_lung_masks.sources: name a kind once; a set is read from one place")
    partial = lung_masks.with_name("lung_masks.partial")
    for folder in ("images", "lung_masks"):
        (lung_masks / folder).mkdir(parents=True)
    names: list[str] = []
    rows = []
    for source in sources:
        say(f"{source['kind']}: {LAYOUTS[source['kind']].licence}")
        origin = located(source, partial, attempts, delay_s)
        found, size, digest = take(source, origin, lung_masks, size_px, min_rca)
        names += found
        licence = LAYOUTS[source["kind"]].licence
        rows.append((source["kind"], source["origin"], len(found), size, digest, licence))
    test = {name for name in names if rank(f"split {patient_of(name)}") < test_share}
    write_list(lung_masks / "test_list.txt", test)
    write_list(lung_masks / "train_val_list.txt", set(names) - test)
    with (lung_masks / "sources.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "origin", "films", "bytes", "sha256", "licence"))
        writer.writerows(rows)
    say(f"{len(names):,} real films with lung masks, {len(test):,} of them for testing")


def located(source: dict[str, Any], partial: Path, attempts: int, delay_s: float) -> Path:
    """Where a source's masks lie on this machine; fetched first, where they are official.

    What was fetched stays in `data/lung_masks.partial`, so that another number of films, or a
    failure later on, does not fetch gigabytes again.

    Raises:
        InputError: nothing official of this kind can be checked, or the films are not named.
    """
    kind, layout = source["kind"], LAYOUTS[source["kind"]]
    if source["origin"] != "official":
        return Path(source["origin"])
    if layout.official is None:
        raise InputError(
            f"fetch_lung_masks.sources: {kind} has no official file with a published checksum; "
            f"get it from {layout.place}, and name the folder or zip as origin"
        )
    if "films" not in source:
        raise InputError(
            f"fetch_lung_masks.sources: of {kind} only masks can be fetched; name the folder of "
            f"its films as films ({layout.place})"
        )
    target = partial / layout.official.name
    if not target.exists():
        download(layout.official, target, partial, attempts, delay_s)
    return target


def take(
    source: dict[str, Any], origin: Path, share: Path, size_px: int, min_rca: float
) -> tuple[list[str], int, str]:
    """Write a source's two archives.

    Returns:
        The names of its films, and bytes and sha256 of what was read of its masks.
    """
    kind, most = source["kind"], source["max_films"]
    if kind == "chexmask":
        table, films = chexmask.table_in(origin), Path(source.get("films", origin))
        with table.open("rb") as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), table.stat().st_size
        pairs = chexmask.read_pairs(table, films, min_rca, most, size_px)
        return write_pairs(kind, pairs, share, most), size, digest
    masks = Files(origin)
    others = Files(Path(source["films"])) if "films" in source else masks
    pairs = read_pairs(kind, masks, others, most, size_px)
    return write_pairs(kind, pairs, share, most), masks.bytes, masks.sha256


def write_pairs(kind: str, pairs: Iterator[Pair], share: Path, at_most: int) -> list[str]:
    """Write films and masks; return their names, which begin with the kind."""
    names = []
    progress = Progress(at_most, "films")
    with (
        archive(share / "images" / f"{kind}.tar.gz") as images,
        archive(share / "lung_masks" / f"{kind}.tar.gz") as masks,
    ):
        for name, film, mask in pairs:
            names.append(f"{kind}_{name}.png")
            put(images, f"images/{names[-1]}", png(film))
            put(masks, f"lung_masks/{names[-1]}", png(mask.astype(np.uint8) * 255))
            progress.add()
    say(f"{kind}: {len(names):,} films")
    return names


def patient_of(name: str) -> str:
    """The patient of a film: all films of one go to one side of the split."""
    kind, _, own = name.partition("_")
    return own[:PATIENT_LENGTH] if kind == "chexmask" else own


def write_list(path: Path, names: set[str]) -> None:
    """Write one name a line, sorted."""
    path.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
