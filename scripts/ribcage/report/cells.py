"""Words and cells that all sections share: a value with its interval, and what cannot be told."""

from collections.abc import Mapping
from typing import Any

from ribcage.findings import FINDINGS
from ribcage.words import plural

FEW_PATIENTS = 20
"""Under so many patients with a finding, its AUROC is mostly chance."""
TOO_FEW = "too few patients with each finding to tell"
NONE, UNDEFINED, NOT_FITTED = "–", "undefined", "not fitted"
MEANS = ("macro", "micro", "weighted", "samples", "mean")
"""Rows over several findings, whose values are shown whatever stands behind them."""
VIEWS = {
    "full": "the whole film",
    "lungs": "the square around the lungs",
    "no_lungs": "the whole film with its lungs painted out, as a control",
}
VARIABLES = {
    "view_position": "view position",
    "sex": "sex",
    "age_years": "age in years",
    "follow_up": "place in the patient's series",
    "findings": "number of findings",
    "device": "devices on the film",
}

Row = Mapping[str, Any]
"""A metric: value, low, high, positives, negatives, patients."""


def few(patients: float) -> str:
    """Why a value is withheld: `too few: 1 patient`."""
    return f"too few: {plural(int(patients), 'patient')}"


def withheld(row: Row) -> bool:
    """Whether a finding's metric means nothing: undefined, or with too few patients behind it."""
    return row["value"] is None or row["patients"] < FEW_PATIENTS


def tells(rows: Mapping[str, Row]) -> bool:
    """Whether a macro mean may be judged: at least one finding has enough patients.

    Args:
        rows: one metric by class; a mean over findings that are all on too few patients is chance.
    """
    return any(not withheld(rows[finding]) for finding in FINDINGS if finding in rows)


def scored(row: Row, name: str) -> str:
    """A metric as it is to be read: withheld where too few patients stand behind it.

    Args:
        row: value, low, high and patients.
        name: the finding or question, or one of `MEANS`.
    """
    if row["value"] is not None and name not in MEANS and withheld(row):
        return few(row["patients"])
    return span(row)


def corrected(row: Row | None, plain: Row, name: str) -> str:
    """As `scored`, for a metric of probabilities that were corrected as validation films say.

    Args:
        row: the metric after correction.
        plain: the metric of the probabilities as they are; a mean may be over more findings.
        name: as of `scored`.
    """
    if row is None or row["value"] is None:
        return NOT_FITTED
    return mean(row, plain.get("findings")) if name in MEANS else scored(row, name)


def mean(row: Row, most: int | None) -> str:
    """A mean over findings; over how many, where that is not `most`, as beside it."""
    over = row.get("findings")
    aside = "" if row["value"] is None or over in (None, most) else f", over {over}"
    return span(row) + aside


def why_not(row: Row) -> str:
    """Why a picture has no dot for a row that is withheld."""
    return UNDEFINED if row["value"] is None else few(row["patients"])


def span(row: Row | None) -> str:
    """A value and its 95 % interval: `0.853 (0.841–0.866)`; the value alone where it has none."""
    if row is None or row["value"] is None:
        return UNDEFINED
    value, low, high = (row.get(key) for key in ("value", "low", "high"))
    between = "–" if low is None or low >= 0 else " to "  # a dash beside a minus is hard to read
    ends = "" if low is None else f" ({number(low)}{between}{number(high)})"
    return f"{number(value)}{ends}"


def change(row: Row | None) -> str:
    """A difference and its 95 % interval, with signs: `+0.012 (−0.003 to +0.027)`."""
    if row is None or row["value"] is None:
        return UNDEFINED
    ends = "" if row.get("low") is None else f" ({signed(row['low'])} to {signed(row['high'])})"
    return f"{signed(row['value'])}{ends}"


def signed(value: float, digits: int = 3, plus: str = "+") -> str:
    """A number with its sign, as a difference needs it; one that rounds to nothing has none.

    Args:
        value: finite.
        digits: behind the point.
        plus: the sign of what is above 0; empty for a number that is no difference.
    """
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else (plus if value > 0 else "−") + text


def is_sure(row: Row) -> bool:
    """Whether a difference's 95 % interval leaves out zero: chance alone is a poor reason for it."""
    return row["low"] is not None and (row["low"] > 0 or row["high"] < 0)


def number(value: float | None, digits: int = 3) -> str:
    """A bare number; a dash where there is none."""
    return NONE if value is None else signed(value, digits, plus="")
