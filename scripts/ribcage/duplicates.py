"""Pairs of films that are the same picture, as find_duplicates writes them."""

from pathlib import Path

import pandas as pd

from ribcage.errors import InputError

PAIR_COLUMNS = ("image", "other", "distance_bits", "same_pixels")
MAX_PARTNERS = 20
"""A film is paired with so many later ones: a thousand black films are not half a million rows."""


def read_duplicates(path: Path) -> pd.DataFrame:
    """Read the pairs of equal and nearly equal films.

    Returns:
        image, other, distance_bits (of 576), same_pixels (bool).

    Raises:
        InputError: a column is missing.
    """
    pairs = pd.read_csv(path, dtype={"image": str, "other": str}, keep_default_na=False)
    missing = [name for name in PAIR_COLUMNS if name not in pairs.columns]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; make find_duplicates again")
    return pairs.assign(same_pixels=pairs["same_pixels"].astype(str).eq("True"))


def crowded(pairs: pd.DataFrame) -> int:
    """How many films have as many equal or near partners as are written, and so may have more."""
    counts = pairs.groupby(["image", "same_pixels"]).size()
    return len({image for image, _ in counts.index[counts >= MAX_PARTNERS]})
