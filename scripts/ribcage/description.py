"""What is counted of a data set before any network sees it, for the page and the datasheet."""

from typing import Any

import numpy as np
import pandas as pd

from ribcage.audit import FILMS_A_PATIENT, SIDES, audit
from ribcage.films import ABSENT
from ribcage.findings import FINDINGS, NO_FINDING
from ribcage.lists import SPLITS

Facts = dict[str, Any]
QUANTILES = (0, 0.01, 0.05, 0.5, 0.95, 0.99, 1)
BINS = 40
"""Of the histogram of a measure, between its 0.1 % and 99.9 % quantiles."""

PUBLISHED = (
    ("films", 112_120),
    ("patients", 30_805),
    ("patients, women", 14_175),
    ("patients, men", 16_630),
    ("most films of one patient", 184),
    ("most findings on one film", 9),
    ("films on the list train_val", 86_524),
    ("films on the list test", 25_596),
    ("patients on the list train_val", 28_008),
    ("patients on the list test", 2_797),
    ("patients on both lists", 0),
    ("Hernia on the list train_val", 141),
    ("Hernia on the list test", 86),
    ("Pneumonia in all", 1_431),
)
"""What is published of NIH's table v2020 and its two lists."""


def against_published(indexed: pd.DataFrame) -> list[dict[str, Any]]:
    """Recount what is published of NIH's full table.

    Args:
        indexed: every row of the table, with `list`, the official list that names it.

    Returns:
        what, published and here, in the order of `PUBLISHED`.
    """
    first = indexed.drop_duplicates("patient")
    lists = {name: indexed[indexed["list"] == name] for name in ("train_val", "test")}
    patients = {name: set(part["patient"]) for name, part in lists.items()}
    here = {
        "films": len(indexed),
        "patients": len(first),
        "patients, women": int((first["sex"] == "F").sum()),
        "patients, men": int((first["sex"] == "M").sum()),
        "most films of one patient": int(indexed["patient"].value_counts().max()),
        "most findings on one film": int(indexed[list(FINDINGS)].sum(axis=1).max()),
        "patients on both lists": len(patients["train_val"] & patients["test"]),
        "Pneumonia in all": int(indexed["Pneumonia"].sum()),
    }
    for name, part in lists.items():
        here[f"films on the list {name}"] = len(part)
        here[f"patients on the list {name}"] = len(patients[name])
        here[f"Hernia on the list {name}"] = int(part["Hernia"].sum())
    return [{"what": what, "published": said, "here": here[what]} for what, said in PUBLISHED]


def _sides(used: pd.DataFrame) -> Facts:
    found = {}
    for name in (*SPLITS, "all"):
        part = used if name == "all" else used[used["split"] == name]
        age = part["age_years"].dropna()
        found[name] = {
            "films": len(part),
            "patients": int(part["patient"].nunique()),
            "ap": int((part["view_position"] == "AP").sum()),
            "women": int((part["sex"] == "F").sum()),
            "no_finding": int(part[NO_FINDING].sum()),
            "ages": [float(age.quantile(q)) for q in (0.05, 0.5, 0.95)] if len(age) else None,
        }
    return found


def _findings(indexed: pd.DataFrame, used: pd.DataFrame) -> Facts:
    found = {}
    for finding in (*FINDINGS, NO_FINDING):
        held = used[used[finding]]
        counts = {name: int((held["split"] == name).sum()) for name in SPLITS}
        found[finding] = {
            "indexed": int(indexed[finding].sum()),
            **counts,
            "patients": int(held["patient"].nunique()),
            "test_patients": int(held.loc[held["split"] == "test", "patient"].nunique()),
        }
    return found


def _people(used: pd.DataFrame) -> Facts:
    """Patients by films and by age: each once, at the age of the first film."""
    films = used["patient"].value_counts()
    ends = (*FILMS_A_PATIENT[1:], None)
    counts, _ = np.histogram(films, [*FILMS_A_PATIENT, np.inf])
    first = used.sort_values(["patient", "age_years"], kind="stable").drop_duplicates("patient")
    decade = (first["age_years"] // 10).clip(upper=9)
    return {
        "films": [
            {"from": low, "to": None if high is None else high - 1, "patients": int(count)}
            for low, high, count in zip(FILMS_A_PATIENT, ends, counts, strict=True)
        ],
        "most_films": int(films.max()),
        "ages": [
            {
                "from": 10 * n,
                **{s: int(((decade == n) & (first["sex"] == s)).sum()) for s in ("F", "M")},
            }
            for n in range(10)
        ],
        "age_unknown": int(first["age_years"].isna().sum()),
        "women": int((first["sex"] == "F").sum()),
        "men": int((first["sex"] == "M").sum()),
    }


def _sizes(used: pd.DataFrame) -> Facts:
    stored = used.groupby(["width_px", "height_px"]).size().sort_values(ascending=False)
    original = {}
    for name in ("original_width_px", "original_height_px", "spacing_mm"):
        column = used[name].astype(float)
        original[name] = [float(f"{column.quantile(q):.6g}") for q in (0, 0.5, 1)]
    rows = [{"width": int(w), "height": int(h), "films": int(n)} for (w, h), n in stored.items()]
    return {"stored": rows[:10], "kinds": len(rows), "original": original}


def _measures(measures: pd.DataFrame) -> Facts:
    found = {}
    for name in measures.select_dtypes("number").columns:
        values = measures[name].dropna().to_numpy(float)
        if not len(values):
            continue
        low, high = np.quantile(values, [0.001, 0.999])
        counts, edges = np.histogram(values, BINS, (low, high if high > low else low + 1))
        found[name] = {
            "quantiles": [float(f"{q:.6g}") for q in np.quantile(values, QUANTILES)],
            "counts": counts.tolist(),
            "edges": [float(f"{edge:.6g}") for edge in edges],
        }
    return found


def _duplicates(pairs: pd.DataFrame, indexed: pd.DataFrame) -> Facts:
    patient = indexed.set_index("image")["patient"]
    within = (pairs["image"].map(patient) == pairs["other"].map(patient)).to_numpy(bool)
    same = pairs["same_pixels"].to_numpy(bool)
    return {
        "same_within": int((same & within).sum()),
        "same_across": int((same & ~within).sum()),
        "near_within": int((~same & within).sum()),
        "near_across": int((~same & ~within).sum()),
    }


def audits(
    indexed: pd.DataFrame,
    blacklists: dict[str, set[str]],
    dropped: pd.DataFrame,
    spared: pd.DataFrame,
) -> list[Facts]:
    """The audit of each list, of all of them together, and of what was dropped in the end.

    Args:
        indexed: every row of the table, with `list` and `split`.
        blacklists: names of films by list, whether they were applied or not.
        dropped: image, reason.
        spared: image, reason.

    Returns:
        What `audit` finds, with `name`, `listed` (films on the list, of the table or not) and
        `done`, whether these films are gone.
    """
    lists = dict(blacklists)
    if len(lists) > 1:
        lists = {"all lists together": set().union(*lists.values()), **lists}
    found = []
    for name, images in lists.items():
        named = indexed["image"].isin(images).to_numpy(bool)
        head = {"name": name, "listed": len(images), "done": False}
        found.append({**head, **audit(indexed, named)})
    # An archive that was not fetched says nothing of its films.
    gone = set(dropped["image"][dropped["reason"] != ABSENT])
    named = indexed["image"].isin(gone).to_numpy(bool)
    head = {"name": "dropped in this run", "listed": len(gone), "done": True}
    return [*found, {**head, **audit(indexed, named, SIDES if len(spared) else ())}]


def describe(
    indexed: pd.DataFrame,
    used: pd.DataFrame,
    measures: pd.DataFrame,
    pairs: pd.DataFrame,
    dropped: pd.DataFrame,
    spared: pd.DataFrame,
    blacklists: dict[str, set[str]],
    meta: dict[str, str],
) -> Facts:
    """Count everything that the data section and the datasheet say.

    Args:
        indexed: every row of the data table, with `list` (the official list that names it, or
            None) and `split` (its patient's side, or None).
        used: the curated rows, with `split`.
        measures: a row a decoded film.
        pairs: of duplicates: image, other, distance_bits, same_pixels.
        dropped: image, reason.
        spared: image, reason.
        blacklists: names of films by list.
        meta: labels_version and source_sha256 of the table.
    """
    labels = used[list(FINDINGS)].to_numpy(int)
    many = labels.sum(axis=1)
    of_split = used["split"].to_numpy()
    full = meta["labels_version"] == "v2020" and indexed["list"].notna().all()
    return {
        **meta,
        "indexed": {"films": len(indexed), "patients": int(indexed["patient"].nunique())},
        "decoded": len(measures),
        "published": against_published(indexed) if full else [],
        "sides": _sides(used),
        "findings": _findings(indexed, used),
        "findings_a_film": [
            {"findings": n, **{s: int(((many == n) & (of_split == s)).sum()) for s in SPLITS}}
            for n in range(int(many.max()) + 1)
        ],
        "together": (labels.T @ labels).tolist(),
        "people": _people(used),
        "sizes": _sizes(used),
        "measures": _measures(measures),
        "duplicates": _duplicates(pairs, indexed),
        "dropped": _reasons(dropped),
        "spared": _reasons(spared),
        "audits": audits(indexed, blacklists, dropped, spared),
    }


def _reasons(films: pd.DataFrame) -> dict[str, int]:
    """How many films each reason has; a fault's sentence begins with the film's own name."""
    reasons = [
        reason.removeprefix(f"{image}: ")
        for image, reason in zip(films["image"], films["reason"], strict=True)
    ]
    return {
        str(reason): int(n) for reason, n in pd.Series(reasons, dtype=str).value_counts().items()
    }
