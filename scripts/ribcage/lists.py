"""Lists of films: one file name a line, without a header, with or without a last newline."""

from pathlib import Path

from ribcage.errors import InputError

SPLITS = ("train", "val", "test")
"""The sides of a split."""
OFFICIAL_LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
"""The source's own split: the file of each of its two lists."""
OFFICIAL_TEST = 25_596
"""Films on NIH's own test list."""


def read_list(path: Path) -> list[str]:
    """Read the names on a list; a name may hold spaces."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    return [line.strip() for line in lines if line.strip()]


def official_lists(tables: Path) -> dict[str, str]:
    """Read the official lists: `train_val` or `test` by image; empty where there are none.

    Args:
        tables: the folder that fetch_tables made.

    Raises:
        InputError: an image is on both.
    """
    listed: dict[str, str] = {}
    for name, file in OFFICIAL_LISTS.items():
        path = tables / file
        for image in read_list(path) if path.is_file() else ():
            if listed.setdefault(image, name) != name:
                raise InputError(f"{path}: {image} is on the other list too")
    return listed
