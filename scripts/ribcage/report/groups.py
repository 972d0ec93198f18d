"""Groups of films, as strata.csv has them: which may be judged, and how their gaps are read."""

from typing import Any

import pandas as pd

from ribcage.findings import FINDINGS
from ribcage.report.cells import VARIABLES, change, few, span, withheld

MIRROR = 1e-4
"""Two gaps that sum up to less are one gap, seen from both sides; strata.csv has six digits."""
HOW = (
    "Groups by number of findings are of another kind: on both sides of a gap, positives are held "
    "against the films with No Finding.",
    "A group's macro AUROC is the mean over the findings that can be judged in it; its gap over "
    "those that can be judged in the others, too, so that the two need not match.",
)
"""What a reader must know of the groups and of their means."""

Row = dict[str, Any]


def rows_of(strata: pd.DataFrame, metric: str) -> list[Row]:
    """The rows of one metric, None where the table is empty."""
    chosen = strata[strata["metric"] == metric]
    rows = chosen.astype(object).where(chosen.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def gap_of(row: Row) -> Row:
    """The gap of a row as a row of its own: value, low, high."""
    return {"value": row["gap"], "low": row["gap_low"], "high": row["gap_high"]}


def judged(rows: list[Row]) -> list[Row]:
    """The rows that may be judged: enough patients, and for macro a finding that has enough.

    Args:
        rows: of one metric.
    """
    held = [row for row in rows if not withheld(row)]
    told = {(row["variable"], row["group"]) for row in held if row["class"] in FINDINGS}
    return [r for r in held if r["class"] in FINDINGS or (r["variable"], r["group"]) in told]


def gaps(rows: list[Row]) -> list[Row]:
    """The judged rows that have a gap, each gap once.

    Where two groups make up all films, the gap of the one is that of the other with its sign
    turned: the group that fares worse is kept.

    Args:
        rows: of one metric.
    """
    held = [row for row in judged(rows) if row["gap"] is not None]
    both: dict[tuple[str, str], list[Row]] = {}
    for row in held:
        both.setdefault((row["variable"], row["class"]), []).append(row)
    dropped = []
    for pair in both.values():
        if len(pair) == 2 and abs(pair[0]["gap"] + pair[1]["gap"]) < MIRROR:
            better = 1 if pair[0]["metric"] == "auroc" else -1
            dropped.append(id(max(pair, key=lambda row: better * row["gap"])))
    return [row for row in held if id(row) not in dropped]


def titled(variable: str) -> str:
    """What groups are of, as a heading: `View position`."""
    words = VARIABLES.get(variable, variable)
    return words[:1].upper() + words[1:]


def named(row: Row) -> str:
    """A group in words: `view position: AP`."""
    return f"{VARIABLES.get(row['variable'], row['variable'])}: {row['group']}"


def shown(row: Row, what: str = "value") -> str:
    """A group's value or gap as a cell; withheld where too few patients stand behind it."""
    if row["value"] is not None and withheld(row):
        return few(row["patients"])
    return change(gap_of(row)) if what == "gap" else span(row)
