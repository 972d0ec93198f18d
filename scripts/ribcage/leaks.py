"""The leakage certificate: what the sides of a split share, whatever made the split."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.tables import labels_of

SIDES = ("train", "val", "test")
VIEWS = ("PA", "AP")
PAIR_COLUMNS = ("image", "other", "distance_bits", "same_pixels")

Certificate = dict[str, Any]


def read_duplicates(path: Path) -> pd.DataFrame:
    """Read the pairs of equal and nearly equal films.

    Returns:
        image, other, distance_bits (of 64), same_pixels (bool).

    Raises:
        InputError: a column is missing.
    """
    pairs = pd.read_csv(path, dtype={"image": str, "other": str}, keep_default_na=False)
    missing = [name for name in PAIR_COLUMNS if name not in pairs.columns]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; make find_duplicates again")
    return pairs.assign(same_pixels=pairs["same_pixels"].astype(str).eq("True"))


def certify(
    kind: str, split: pd.DataFrame, curated: pd.DataFrame, duplicates: pd.DataFrame
) -> Certificate:
    """Say what the sides of a split share, and how they differ.

    Args:
        kind: how the split was made.
        split: image, split, and `official`, the list that names the image (train_val, test, null).
        curated: the kept images: image, patient, view_position, width_px (0 where there was no
            film to decode), and the findings. Patients are counted by the ID that stands here.
        duplicates: as from `read_duplicates`.

    Returns:
        kind; leaky; films and patients by side; by two sides: patients and films on both, pairs
        of films with the same pixels and of other near duplicates, one film on each; how many
        films were compared for that; the share of each finding by side and its ratio test / train
        (null where train has none); the share of each view by side; where the films of the
        official test list are; and a verdict in one sentence. Shares are in [0, 1].

    Raises:
        InputError: the split names an image that is not among the curated.
    """
    table = split[["image", "split"]].merge(curated, how="left", on="image", validate="m:1")
    if table["patient"].isna().any():
        lost = table["image"][table["patient"].isna()].iloc[0]
        raise InputError(f"split.parquet: {lost} is not among the curated images")
    sides = {name: table[table["split"] == name] for name in SIDES}
    pairs = _pairs(sides, duplicates)
    shared = any(pair["patients"] or pair["films"] for pair in pairs)
    found: Certificate = {
        "kind": kind,
        "leaky": shared or kind.startswith("leaky"),
        "films": {name: len(part) for name, part in sides.items()},
        "patients": {name: int(part["patient"].nunique()) for name, part in sides.items()},
        "pairs": pairs,
        "films_compared": int((table["width_px"] > 0).sum()),
        "prevalence": _prevalence(sides),
        "views": {
            name: {view: _share(part["view_position"] == view) for view in VIEWS}
            for name, part in sides.items()
        },
        "official_test": _official_test(split),
    }
    return {**found, "verdict": _verdict(found)}


def _pairs(sides: dict[str, pd.DataFrame], duplicates: pd.DataFrame) -> list[dict[str, Any]]:
    films = {name: set(part["image"]) for name, part in sides.items()}
    patients = {name: set(part["patient"]) for name, part in sides.items()}
    # By sets: pandas' isin takes 0.2 s a call for 112,120 names, and there would be 12.
    twins = list(
        zip(*(duplicates[name] for name in ("image", "other", "same_pixels")), strict=True)
    )
    pairs = []
    for one, other in combinations(SIDES, 2):
        first, second = films[one], films[other]
        across = [
            same
            for image, twin, same in twins
            if (image in first and twin in second) or (image in second and twin in first)
        ]
        pairs.append(
            {
                "one": one,
                "other": other,
                "patients": len(patients[one] & patients[other]),
                "films": len(first & second),
                "same_pixels": sum(across),
                "near_duplicates": len(across) - sum(across),
            }
        )
    return pairs


def _prevalence(sides: dict[str, pd.DataFrame]) -> dict[str, dict[str, float | None]]:
    labels = {name: labels_of(part, "curated.parquet") for name, part in sides.items()}
    found: dict[str, dict[str, float | None]] = {}
    for finding in FINDINGS:
        shares = {name: _share(part[finding]) for name, part in labels.items()}
        train, test = shares["train"], shares["test"]
        ratio = round(test / train, 4) if train and test is not None else None
        found[finding] = {**shares, "ratio": ratio}
    return found


def _share(chosen: pd.Series) -> float | None:
    return round(float(chosen.mean()), 6) if len(chosen) else None


def _official_test(split: pd.DataFrame) -> dict[str, int] | None:
    """Where the films of the official test list went; null without official lists."""
    if split["official"].isna().all():
        return None
    at = split["split"][split["official"] == "test"].value_counts()
    return {"listed": int(at.sum()), **{name: int(at.get(name, 0)) for name in SIDES}}


def _verdict(found: Certificate) -> str:
    pairs = found["pairs"]
    same, near = (sum(pair[key] for pair in pairs) for key in ("same_pixels", "near_duplicates"))
    looked = (
        f"of {found['films_compared']:,} films that were compared, {same:,} pairs with the same "
        f"pixels and {near:,} other near-duplicate pairs lie on two sides"
        if found["films_compared"]
        else "no film was decoded, so that duplicates were not looked for"
    )
    if any(pair["patients"] or pair["films"] for pair in pairs):
        return (
            f"THIS SPLIT LEAKS: {_shared(found)}, so that its scores are too high and prove "
            f"nothing of new patients; {looked}."
        )
    if found["leaky"]:
        return f"THIS SPLIT MAY LEAK: it was drawn by image, though no patient shows it; {looked}."
    return f"No patient and no film is on two sides; {looked}."


def _shared(found: Certificate) -> str:
    told = [
        f"{pair['one']} and {pair['other']} share {pair['patients']:,} patients"
        + (f" and {pair['films']:,} films" if pair["films"] else "")
        for pair in found["pairs"]
        if pair["patients"] or pair["films"]
    ]
    return ", ".join(told)


def refuse(found: Certificate) -> None:
    """Stop at a split that shares patients.

    Raises:
        InputError: with how many, and between which sides.
    """
    if any(pair["patients"] or pair["films"] for pair in found["pairs"]):
        raise InputError(
            f"split_patients: {_shared(found)}; correct the official lists, set "
            "split_patients.kind to random, or leaky_by_image to see what such a leak does"
        )
