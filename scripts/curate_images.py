"""Drop what the blacklists name, what cannot be decoded and what is spoilt, with a reason a row."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import ABSENT
from ribcage.lists import official_lists, read_list
from ribcage.measures import Threshold, broken
from ribcage.progress import say
from ribcage.tables import read_meta, read_table, write_table


def faults_of(table: pd.DataFrame, undecodable: str) -> dict[str, str]:
    """Find the images without a film that can be read: {image: its fault}.

    Raises:
        InputError: a film cannot be decoded, and `undecodable` says `refuse`.
    """
    found: dict[str, str] = {}
    for image, fault in zip(table["image"], table["fault"], strict=True):
        if pd.notna(fault):
            if undecodable == "refuse" and fault != ABSENT:
                raise InputError(f"{fault}; replace it, or set curate_images.undecodable to drop")
            found[image] = fault
    return found


def listed(folder: Path, blacklists: Iterable[str]) -> dict[str, str]:
    """Read the blacklists: {image: the first list that names it, as a reason}.

    Raises:
        InputError: the source has no such list.
    """
    found: dict[str, str] = {}
    for name in blacklists:
        path = folder / f"{name}.csv"
        if not path.is_file():
            held = ", ".join(sorted(p.stem for p in folder.glob("*.csv"))) or "none"
            raise InputError(
                f"{path}: no such list; the source has {held}; "
                "name those in curate_images.blacklists, or []"
            )
        for image in read_list(path):
            found.setdefault(image, f"on the list {name}")
    return found


def main(
    images: Path,
    measures: Path,
    tables: Path,
    curated: Path,
    dropped: Path,
    spared: Path,
    blacklists: list[str],
    undecodable: str,
    from_test: str,
    split_kind: str,
    quality: dict[str, Threshold],
) -> None:
    """Write the kept rows, and image and reason of the dropped and of the spared.

    Args:
        images: `data/interim/images.parquet`.
        measures: `data/interim/measures.parquet`.
        tables: the folder that fetch_tables made.
        curated: the table to write, with the columns of `images` but `fault`.
        dropped: the CSV to write: image, reason. An image has its first reason: that it cannot be
            read, then the blacklists, then the quality.
        spared: the CSV to write: image, reason, of the films that a list or a rule names and that
            stay because they are on the official test list.
        blacklists: names of the lists to apply, as `blacklist_rotated_images`.
        undecodable: `refuse` or `drop` a film that cannot be decoded.
        from_test: `keep` the official test set whole, as far as it can be decoded, or `drop` from
            it as from the rest; its scores are then not comparable with others'.
        split_kind: of split_patients; unless it is `official`, there is no test set to keep.
        quality: a threshold for each of `ribcage.measures.RULES`, or `none`.
    """
    table = read_table(images)
    # The lists cover all of NIH's films; the table may be a part.
    unwanted = {
        **broken(read_table(measures), quality),
        **listed(tables / "blacklists", blacklists),
    }
    whole = split_kind == "official" and from_test == "keep"
    lists = official_lists(tables) if whole else {}
    reasons = faults_of(table, undecodable)
    stay: dict[str, str] = {}
    for image in table["image"]:
        if image in unwanted and image not in reasons:
            spare = lists.get(image) == "test"
            (stay if spare else reasons)[image] = unwanted[image]
    keep = ~table["image"].isin(reasons.keys())
    if not keep.any():
        raise InputError(f"{images}: curation would drop all {len(table)} images")
    write_table(table[keep].drop(columns="fault"), curated, read_meta(images))
    for path, of in ((dropped, reasons), (spared, stay)):
        rows = pd.DataFrame(sorted(of.items()), columns=["image", "reason"])
        rows.to_csv(path, index=False, lineterminator="\n")
    say(
        f"kept {int(keep.sum()):,} of {len(table):,} images, dropped {len(reasons):,}, spared "
        f"{len(stay):,} of the official test set"
    )


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
