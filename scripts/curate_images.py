"""Drop what the blacklists name and what cannot be decoded, with a reason a row."""

from pathlib import Path

import pandas as pd

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import ABSENT
from ribcage.progress import say
from ribcage.tables import read_meta, read_table, write_table


def read_blacklist(path: Path) -> list[str]:
    """Read a list without a header, one file name a line, with or without a last newline."""
    names = path.read_text(encoding="utf-8").split("\n")
    return [name.strip() for name in names if name.strip()]


def main(
    images: Path,
    tables: Path,
    curated: Path,
    dropped: Path,
    blacklists: list[str],
    undecodable: str,
) -> None:
    """Write the kept rows, and image and reason of the dropped.

    Args:
        images: `data/interim/images.parquet`.
        tables: the folder that fetch_tables made.
        curated: the table to write, with the columns of `images` but `fault`.
        dropped: the CSV to write: image, reason; an image is dropped for its first reason.
        blacklists: names of the lists to apply, as `blacklist_rotated_images`.
        undecodable: `refuse` or `drop` a film that cannot be decoded.
    """
    table = read_table(images)
    reasons: dict[str, str] = {}
    for image, fault in zip(table["image"], table["fault"], strict=True):
        if pd.notna(fault):
            if undecodable == "refuse" and fault != ABSENT:
                raise InputError(f"{fault}; replace it, or set curate_images.undecodable to drop")
            reasons[image] = fault
    known = set(table["image"])
    for name in blacklists:
        path = tables / "blacklists" / f"{name}.csv"
        if not path.is_file():
            held = ", ".join(sorted(p.stem for p in path.parent.glob("*.csv"))) or "none"
            raise InputError(
                f"{path}: no such list; the source has {held}; "
                "name those in curate_images.blacklists, or []"
            )
        for image in read_blacklist(path):
            if image in known:  # the lists cover all of NIH's films, the table may be a part
                reasons.setdefault(image, f"on the list {name}")
    keep = ~table["image"].isin(reasons.keys())
    if not keep.any():
        raise InputError(f"{images}: curation would drop all {len(table)} images")
    write_table(table[keep].drop(columns="fault"), curated, read_meta(images))
    rows = pd.DataFrame(sorted(reasons.items()), columns=["image", "reason"])
    rows.to_csv(dropped, index=False, lineterminator="\n")
    say(f"kept {int(keep.sum()):,} of {len(table):,} images, dropped {len(rows):,}")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
