"""Put every patient in exactly one of train, val and test, and certify that it is so."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from ribcage import leaks
from ribcage.duplicates import read_duplicates
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.lists import OFFICIAL_LISTS, SPLITS, official_lists
from ribcage.progress import say
from ribcage.tables import read_meta, read_table, write_table

LEAKY = "leaky_by_image"
RANDOM = "set split_patients.kind to random"


def draw(who: int | str, seed: int, what: str = "") -> float:
    """Draw a number in [0, 1) from seed and name alone: row order and newcomers move nobody.

    Args:
        who: a patient's ID, or an image's name.
        seed: of the draw.
        what: draws with another word are independent of these.
    """
    text = f"{seed}:{what}:{who}" if what else f"{seed}:{who}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def draws(who: pd.Series, seed: int, what: str = "") -> pd.Series:
    """Draw for a column of patients or images; who comes twice has the same number."""
    return who.map({one: draw(one, seed, what) for one in who.unique()})


def by_shares(who: pd.Series, shares: dict[str, float], val_share: float, seed: int) -> pd.Series:
    """Give each patient (or image) a side, in the shares of train, val and test.

    A val of 0, as in the published 70:30, has val cut from train: training cannot do without.
    """
    if not shares["val"]:
        test = draws(who, seed) >= shares["train"]
        return cut_val(who, val_share, seed).where(~test, "test")
    number = draws(who, seed)
    side = pd.Series("test", index=who.index)
    side[number < shares["train"] + shares["val"]] = "val"
    side[number < shares["train"]] = "train"
    return side


def cut_val(who: pd.Series, val_share: float, seed: int) -> pd.Series:
    """Cut val from what is not test, by a draw that does not depend on who is test."""
    validates = draws(who, seed, "val") < val_share
    return validates.map({True: "val", False: "train"})


def by_folds(patients: pd.Series, folds: int, seed: int) -> pd.Series:
    """Give each patient one of so many folds, 0 to folds - 1."""
    return (draws(patients, seed, "fold") * folds).astype("int64")


def by_lists(table: pd.DataFrame, tables: Path, val_share: float, seed: int) -> pd.Series:
    """Take test from the official lists, and cut val from train_val by patient.

    Args:
        table: image, patient and `official`, the list that names the image.
        tables: where the lists lie, for the error.
        val_share: of train_val's patients.
        seed: of the draw.
    """
    for file in OFFICIAL_LISTS.values():
        path = tables / file
        if not path.is_file():
            raise InputError(f"{path}: the source has no such list; {RANDOM}")
    nowhere = table["official"].isna()
    if nowhere.any():
        image = table["image"][nowhere].iloc[0]
        raise InputError(f"{tables}: {image} is on neither list; add it to one, or {RANDOM}")
    validates = draws(table["patient"], seed) >= 1 - val_share
    side = validates.map({True: "val", False: "train"})
    return side.where(table["official"] != "test", "test")


def check(rows: pd.DataFrame) -> None:
    """Refuse a split with an empty side."""
    for name in SPLITS:
        if not (rows["split"] == name).any():
            raise InputError(
                f"split_patients: {name} is empty ({len(rows)} images in all); "
                "give it a larger share, or use more patients"
            )


def main(
    curated: Path,
    tables: Path,
    duplicates: Path,
    split: Path,
    certificate: Path,
    kind: str,
    shares: dict[str, float],
    val_share: float,
    folds: int,
    fold: int,
    seed: int,
) -> None:
    """Write `data/interim/split.parquet` and what leaks across it, `reports/certificate.json`.

    Args:
        curated: the kept images.
        tables: the folder that fetch_tables made, with the official lists if there are any.
        duplicates: pairs of equal and nearly equal films: image, other, distance_bits, same_pixels.
        split: the table to write: image, patient, split, `official` (the list that names the
            image, train_val or test, or null) and, for `kfold`, fold.
        certificate: the JSON to write: see `leaks.certify`.
        kind: `official` (test from the lists, val cut from train_val), `random` (by shares of
            patients), `kfold` (test is one fold) or `leaky_by_image` (by shares of images).
        shares: of train, val and test, for `random` and `leaky_by_image`; they sum to 1. With a
            val of 0, val is cut from train's by val_share.
        val_share: share of those who are not test that validate, in (0, 1).
        folds: number of folds, for `kfold`.
        fold: the fold that is test, 0 to folds - 1.
        seed: of the draws.

    Raises:
        InputError: the settings or lists cannot make a split, or a patient is on two sides.
    """
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise InputError(f"split_patients.shares must sum to 1, got {shares}")
    table = read_table(curated)
    lists = official_lists(tables)
    rows = table[["image", "patient"]].assign(official=table["image"].map(lists).astype("str"))
    if kind == "official":
        rows.insert(2, "split", by_lists(rows, tables, val_share, seed))
    elif kind == "kfold":
        rows["fold"] = by_folds(rows["patient"], folds, seed)
        side = cut_val(rows["patient"], val_share, seed).where(rows["fold"] != fold, "test")
        rows.insert(2, "split", side)
    else:
        who = rows["image" if kind == LEAKY else "patient"]
        rows.insert(2, "split", by_shares(who, shares, val_share, seed))
    check(rows)
    on_test = sum(name == "test" for name in lists.values())
    found = leaks.certify(kind, rows, table, read_duplicates(duplicates), on_test)
    if kind != LEAKY:
        leaks.refuse(found)
    write_table(rows, split, read_meta(curated))
    certificate.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name in SPLITS:
        say(f"{name}: {found['films'][name]:,} images of {found['patients'][name]:,} patients")
    say(found["verdict"])


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
