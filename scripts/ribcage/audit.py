"""The audit of curation: whom a list or a rule takes out, by age, sex, view, finding and side."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from ribcage.findings import FINDINGS, NO_FINDING

AGES = ((0, 1), (2, 4), (5, 9), (10, 14), (15, 17), (18, 39), (40, 59), (60, 79), (80, 120))
"""First and last age of each group in whole years; small children look unlike adults on a film."""

TWICE, CHANCE, LEAST = 2.0, 0.01, 5
"""A group stands out if at least `LEAST` of its films are named, at `TWICE` the share of others,
and if as many of its patients would be by chance less often than `CHANCE` over all tests."""

Row = dict[str, Any]


def band(first: int, last: int) -> str:
    """An age group as it is read."""
    return f"{first} and older" if last == AGES[-1][1] else f"{first}–{last}"


def groups(table: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    """Every group that an audit looks at: its kind, its name, and which films it has (bool [n]).

    Args:
        table: columns age_years, sex, view_position, the findings, `No Finding` and `side`.
    """
    years = np.floor(table["age_years"].to_numpy(float))
    for first, last in AGES:
        yield "age in years", band(first, last), (years >= first) & (years <= last)
    if np.isnan(years).any():
        yield "age in years", "unknown", np.isnan(years)
    for column, kind in (("sex", "sex"), ("view_position", "view"), ("side", "side")):
        for name in sorted(table[column].dropna().unique()):
            yield kind, str(name), (table[column] == name).to_numpy()
    for finding in (*FINDINGS, NO_FINDING):
        yield "finding", finding, table[finding].to_numpy(bool)


def audit(table: pd.DataFrame, named: np.ndarray) -> dict[str, Any]:
    """Compare each group's share of named films with that of all other films.

    Chance is judged over patients, not films: films of one patient are named together. A patient
    counts as named with one film; the probability is that of drawing as many named patients into
    the group without looking (hypergeometric), times the number of groups (Bonferroni).

    Args:
        table: a row a film: patient, and what `groups` needs.
        named: bool [n], the films that the list or rule names.

    Returns:
        `films`, `named`, `patients`, `patients_named`, `patients_whole` (patients all of whose
        films are named, who vanish), and `groups`: kind, group, films, named, share, others (the
        share among all other films), ratio (None without a named film elsewhere),
        patients_whole, chance, and stands_out.
    """
    patients = table["patient"].to_numpy()
    whole = pd.Series(named).groupby(patients).all()
    vanish = set(whole.index[whole])
    gone = np.isin(patients, list(vanish))
    every, marked = np.unique(patients), np.unique(patients[named])
    rows: list[Row] = []
    for kind, group, has in groups(table):
        if not has.any() or has.all():
            continue
        share, others = float(named[has].mean()), float(named[~has].mean())
        inside = np.unique(patients[has])
        hit = np.intersect1d(inside, np.unique(patients[has & named])).size
        at_least = hypergeom.sf(hit - 1, every.size, marked.size, inside.size) if hit else 1.0
        rows.append(
            {
                "kind": kind,
                "group": group,
                "films": int(has.sum()),
                "named": int(named[has].sum()),
                "share": round(share, 6),
                "others": round(others, 6),
                "ratio": round(share / others, 3) if others else None,
                "patients_whole": int(np.unique(patients[has & gone]).size),
                "chance": float(f"{at_least:.3g}"),
            }
        )
    for row in rows:
        enough = row["named"] >= LEAST and row["chance"] * len(rows) < CHANCE
        row["stands_out"] = bool(enough and (row["ratio"] is None or row["ratio"] >= TWICE))
    return {
        "films": len(table),
        "named": int(named.sum()),
        "patients": int(every.size),
        "patients_named": int(marked.size),
        "patients_whole": len(vanish),
        "groups": rows,
    }


def outstanding(found: dict[str, Any]) -> list[Row]:
    """The groups that stand out, the largest share first."""
    rows = [row for row in found["groups"] if row["stands_out"]]
    return sorted(rows, key=lambda row: (-row["share"], row["group"]))
