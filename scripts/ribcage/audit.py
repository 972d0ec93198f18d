"""The audit of curation: whom a list or a rule takes out, by age, sex, view, finding and split."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from ribcage.findings import FINDINGS, NO_FINDING

AGES = ((0, 1), (2, 4), (5, 9), (10, 14), (15, 17), (18, 39), (40, 59), (60, 79), (80, 120))
"""First and last age of each group in whole years; small children look unlike adults on a film."""
ADULT, ADULTS = 18, "18 and older"
FILMS_A_PATIENT = (1, 2, 3, 5, 10, 20, 50, 100)
"""First counts of the bands within which patients are as likely as each other to be named."""

TWICE, CHANCE, LEAST = 2.0, 0.01, 5
"""A group stands out if at least `LEAST` of its patients are named, if its films are at `TWICE` the
share of all others and of others of the same views, and if as many of its patients would be named
by chance less often than `CHANCE` over all tests."""
SIDES = ("official list", "side of the split")
"""Kinds of groups that are unequal by intent, where the official test set is kept whole."""

Row = dict[str, Any]


def band(first: int, last: int) -> str:
    """An age group as it is read."""
    return f"{first} and older" if last == AGES[-1][1] else f"{first}–{last}"


def groups(table: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    """Every group that an audit looks at: its kind, its name, and which films it has (bool [n]).

    Args:
        table: columns age_years, sex, view_position, the findings, `No Finding`, `list` (of the
            source) and `split` (the patient's), None where there is none.
    """
    years = np.floor(table["age_years"].to_numpy(float))
    for first, last in AGES:
        yield "age in years", band(first, last), (years >= first) & (years <= last)
    yield "age in years", ADULTS, years >= ADULT
    if np.isnan(years).any():
        yield "age in years", "unknown", np.isnan(years)
    columns = ("view_position", "view"), ("sex", "sex"), ("list", SIDES[0]), ("split", SIDES[1])
    for column, kind in columns:
        for name in sorted(table[column].dropna().unique()):
            yield kind, str(name), (table[column] == name).to_numpy()
    for finding in (*FINDINGS, NO_FINDING):
        yield "finding", finding, table[finding].to_numpy(bool)


def audit(table: pd.DataFrame, named: np.ndarray, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Compare each group's share of named films with that of all other films.

    Args:
        table: a row a film: patient, and what `groups` needs.
        named: bool [n], the films that the list or rule names.
        without: kinds of groups to leave out.

    Returns:
        `films`, `named`, `patients`, `patients_named`, `patients_whole` (patients all of whose
        films are named, who vanish), and `groups`: kind, group, films, named, share, others (the
        share among all other films), ratio (None without a named film elsewhere), same_view (the
        ratio to other films in the group's own mix of views), patients_whole, chance, and
        stands_out.
    """
    people = _People(table["patient"].to_numpy(), named)
    rows: list[Row] = []
    for kind, group, has in groups(table):
        if kind in without or not has.any() or has.all():
            continue
        share, others = float(named[has].mean()), float(named[~has].mean())
        alike = _share_in_views_of(table["view_position"].to_numpy(), has, named)
        hit, chance = people.chance(has)
        rows.append(
            {
                "kind": kind,
                "group": group,
                "films": int(has.sum()),
                "named": int(named[has].sum()),
                "share": round(share, 6),
                "others": round(others, 6),
                "ratio": round(share / others, 3) if others else None,
                "same_view": round(share / alike, 3) if alike else None,
                "patients_whole": people.whole(has),
                "chance": float(f"{chance:.3g}"),
                "patients_named": hit,
            }
        )
    for row in rows:
        ratios = [row["ratio"]] if row["kind"] == "view" else [row["ratio"], row["same_view"]]
        far = all(ratio is None or ratio >= TWICE for ratio in ratios)
        rare = row["chance"] * len(rows) < CHANCE
        row["stands_out"] = bool(far and rare and row["patients_named"] >= LEAST)
    return {
        "films": len(table),
        "named": int(named.sum()),
        "patients": people.every.size,
        "patients_named": int(people.marked.sum()),
        "patients_whole": int(people.vanish.sum()),
        "groups": rows,
    }


def _share_in_views_of(views: np.ndarray, has: np.ndarray, named: np.ndarray) -> float:
    """The share of named films outside a group, in the group's own mix of views.

    AP films are taken in bed: without this, every finding of the very ill would seem to be named
    for itself.
    """
    share = 0.0
    for view in np.unique(views[has]):
        others = ~has & (views == view)
        if others.any():
            share += float((views[has] == view).mean() * named[others].mean())
    return share


class _People:
    """The patients behind films: films of one patient are named together, so patients are counted.

    A patient counts as named with one film. Patients with many films are likelier to have one that
    is named, so that chance is judged within bands of patients with about as many films.
    """

    def __init__(self, patients: np.ndarray, named: np.ndarray) -> None:
        self.every, self._row, films = np.unique(patients, return_inverse=True, return_counts=True)
        counts = np.bincount(self._row, named, len(self.every)).astype(int)
        self.marked, self.vanish = counts > 0, counts == films
        self._named = named
        self._band = np.searchsorted(FILMS_A_PATIENT, films, side="right")

    def whole(self, has: np.ndarray) -> int:
        """Patients of a group who vanish."""
        return int(self.vanish[np.unique(self._row[has])].sum())

    def chance(self, has: np.ndarray) -> tuple[int, float]:
        """Patients of a group with a named film in it, and how probable so many and more are.

        The probability is that of drawing as many of the named patients into the group without
        looking: hypergeometric within each band, the bands' numbers added.
        """
        inside = np.zeros(len(self.every), bool)
        inside[self._row[has]] = True
        hit = np.unique(self._row[has & self._named]).size
        number = np.ones(1)
        for which in np.unique(self._band):
            of_band = self._band == which
            drawn, good = int((inside & of_band).sum()), int((self.marked & of_band).sum())
            most = min(drawn, good)
            part = hypergeom.pmf(np.arange(most + 1), int(of_band.sum()), good, drawn)
            number = np.convolve(number, part)
        return hit, float(min(number[hit:].sum(), 1.0))


def outstanding(found: dict[str, Any]) -> list[Row]:
    """The groups that stand out, the largest share first."""
    rows = [row for row in found["groups"] if row["stands_out"]]
    return sorted(rows, key=lambda row: (-row["share"], row["group"]))
