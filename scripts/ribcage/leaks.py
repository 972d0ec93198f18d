"""The leakage certificate: what the sides of a split share, whatever made the split."""

from itertools import combinations
from typing import Any

import pandas as pd

from ribcage.duplicates import crowded
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.lists import OFFICIAL_TEST, SPLITS
from ribcage.tables import labels_of
from ribcage.words import plural

VIEWS = ("PA", "AP")

Certificate = dict[str, Any]


def certify(
    kind: str,
    split: pd.DataFrame,
    curated: pd.DataFrame,
    duplicates: pd.DataFrame,
    on_test_list: int,
) -> Certificate:
    """Say what the sides of a split share, and how they differ.

    Args:
        kind: how the split was made.
        split: image, split, and `official`, the list that names the image (train_val, test, null).
        curated: the kept images: image, patient, view_position, width_px (0 where there was no
            film to decode), and the findings. Patients are counted by the ID that stands here.
        duplicates: as from `read_duplicates`.
        on_test_list: films on the source's own test list, whether they were kept or not.

    Returns:
        kind; leaky; films and patients by side; by two sides: patients and films on both, pairs
        of films with the same pixels and of other near duplicates, one film on each, and films
        with such a twin on the other side; how many films were compared for that, and whether
        there may be more pairs than are counted (`at_least`); the share of each finding by side
        and its ratio test / train (null where train has none); the share of each view by side;
        where the films of the official test list are, and whether test is NIH's, whole; and a
        verdict in one sentence. Shares are in [0, 1].

    Raises:
        InputError: the split names an image that is not among the curated.
    """
    table = split[["image", "split"]].merge(curated, how="left", on="image", validate="m:1")
    if table["patient"].isna().any():
        lost = table["image"][table["patient"].isna()].iloc[0]
        raise InputError(f"split.parquet: {lost} is not among the curated images")
    sides = {name: table[table["split"] == name] for name in SPLITS}
    pairs = _pairs(sides, duplicates)
    shares = any(pair["patients"] or pair["films"] for pair in pairs)
    found: Certificate = {
        "kind": kind,
        "leaky": shares or kind.startswith("leaky"),
        "films": {name: len(part) for name, part in sides.items()},
        "patients": {name: int(part["patient"].nunique()) for name, part in sides.items()},
        "pairs": pairs,
        "films_compared": int((table["width_px"] > 0).sum()),
        "at_least": crowded(duplicates) > 0,
        "prevalence": _prevalence(sides),
        "views": {
            name: {view: _share(part["view_position"] == view) for view in VIEWS}
            for name, part in sides.items()
        },
        "official_test": _official_test(split, on_test_list),
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
    for one, other in combinations(SPLITS, 2):
        first, second = films[one], films[other]
        across = [
            (image, twin, same)
            for image, twin, same in twins
            if (image in first and twin in second) or (image in second and twin in first)
        ]
        same_pixels = sum(same for _, _, same in across)
        pairs.append(
            {
                "one": one,
                "other": other,
                "patients": len(patients[one] & patients[other]),
                "films": len(first & second),
                "same_pixels": same_pixels,
                "near_duplicates": len(across) - same_pixels,
                "films_with_twin": len({name for pair in across for name in pair[:2]}),
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


def _official_test(split: pd.DataFrame, listed: int) -> dict[str, int | bool] | None:
    """Where the films of the official test list went; null without official lists."""
    if not listed:
        return None
    at = split["split"][split["official"] == "test"].value_counts()
    sides = {name: int(at.get(name, 0)) for name in SPLITS}
    test = int((split["split"] == "test").sum())
    return {"listed": listed, **sides, "whole": test == sides["test"] == OFFICIAL_TEST}


def _verdict(found: Certificate) -> str:
    same, near = (sum(p[key] for p in found["pairs"]) for key in ("same_pixels", "near_duplicates"))
    more = "at least " if found["at_least"] else ""
    looked = (
        f"among {plural(found['films_compared'], 'film')} that were compared, {more}"
        f"{plural(same, 'pair')} with the same pixels and "
        f"{plural(near, 'other near-duplicate pair')} "
        f"{'lies' if same + near == 1 else 'lie'} on two sides"
        if found["films_compared"]
        else "no film was decoded, so that duplicates were not looked for"
    )
    if shared(found):
        return (
            f"THIS SPLIT LEAKS: {shared(found)}, so that its scores are too high and prove "
            f"nothing of new patients; {looked}."
        )
    if found["leaky"]:
        return f"THIS SPLIT MAY LEAK: it was drawn by image, though no patient shows it; {looked}."
    return f"No patient and no film is on two sides; {looked}."


def shared(found: Certificate) -> str:
    """What the sides share, in words; empty where they share no patient and no film."""
    told = [
        f"{pair['one']} and {pair['other']} share {plural(pair['patients'], 'patient')}"
        + (f" and {plural(pair['films'], 'film')}" if pair["films"] else "")
        for pair in found["pairs"]
        if pair["patients"] or pair["films"]
    ]
    return ", ".join(told)


def refuse(found: Certificate) -> None:
    """Stop at a split that shares patients.

    Raises:
        InputError: with how many, and between which sides.
    """
    if shared(found):
        raise InputError(
            f"split_patients: {shared(found)}; correct the official lists, set "
            "split_patients.kind to random, or leaky_by_image to see what such a leak does"
        )
