"""Put every patient in exactly one of train, val and test."""

import hashlib
from pathlib import Path

import pandas as pd

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.progress import say
from ribcage.tables import read_meta, read_table, write_table

SPLITS = ("train", "val", "test")


def draw(patient: int, seed: int) -> float:
    """Draw a number in [0, 1) from seed and patient alone: row order and newcomers move nobody."""
    digest = hashlib.sha256(f"{seed}:{patient}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def by_shares(patients: pd.Series, shares: dict[str, float], seed: int) -> pd.Series:
    """Give each patient a split, in the shares of train, val and test that were asked for."""

    def split_of(patient: int) -> str:
        number, reached = draw(patient, seed), 0.0
        for split in SPLITS:
            reached += shares[split]
            if number < reached:
                return split
        return SPLITS[-1]  # rounding: shares that sum to a hair under 1

    return patients.map({patient: split_of(patient) for patient in patients.unique()})


def by_lists(table: pd.DataFrame, tables: Path, val_share: float, seed: int) -> pd.Series:
    """Take test from the official lists, and cut val from train_val by patient."""
    listed: dict[str, str] = {}
    for split in ("train_val", "test"):
        path = tables / f"{split}_list.txt"
        if not path.is_file():
            raise InputError(
                f"{path}: the source has no such list; set split_patients.kind to random"
            )
        for image in path.read_text(encoding="utf-8").split():
            if listed.setdefault(image, split) != split:
                raise InputError(f"{path}: {image} is on the other list too")
    side = table["image"].map(listed)
    if side.isna().any():
        image = table["image"][side.isna()].iloc[0]
        raise InputError(
            f"{tables}: {image} is on neither list; add it to one, or set "
            "split_patients.kind to random"
        )
    shares = {"train": 1 - val_share, "val": val_share, "test": 0.0}
    return side.where(side == "test", by_shares(table["patient"], shares, seed))


def check(split: pd.DataFrame) -> None:
    """Refuse a split with an empty side, or with a patient on two sides."""
    for name in SPLITS:
        if not (split["split"] == name).any():
            raise InputError(
                f"split_patients: {name} is empty ({len(split)} images in all); "
                "give it a larger share, or use more patients"
            )
    sides = split.groupby("patient")["split"].nunique()
    if (sides > 1).any():
        raise InputError(
            f"split_patients: patient {sides.idxmax()} is on {sides.max()} sides; "
            "correct the lists, or set split_patients.kind to random"
        )


def main(
    curated: Path,
    tables: Path,
    split: Path,
    kind: str,
    shares: dict[str, float],
    val_share: float,
    seed: int,
) -> None:
    """Write `data/interim/split.parquet`: image, patient, split.

    Args:
        curated: the kept images.
        tables: the folder that fetch_tables made, with the official lists.
        split: the table to write.
        kind: `official` (test from the lists, val cut from train_val) or `random` (by shares).
        shares: of patients in train, val and test, for `random`; they sum to 1.
        val_share: of train_val's patients, for `official`, in (0, 1).
        seed: of the draw.
    """
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise InputError(f"split_patients.shares must sum to 1, got {shares}")
    table = read_table(curated)
    rows = table[["image", "patient"]].copy()
    rows["split"] = (
        by_lists(table, tables, val_share, seed)
        if kind == "official"
        else by_shares(table["patient"], shares, seed)
    )
    check(rows)
    write_table(rows, split, read_meta(curated))
    for name, part in rows.groupby("split"):
        say(f"{name}: {len(part):,} images of {part['patient'].nunique():,} patients")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
