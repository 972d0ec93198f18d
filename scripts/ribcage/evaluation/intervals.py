"""95 % intervals from resamples, as wide as the patients behind a statistic ask for."""

from typing import NamedTuple

import numpy as np
from scipy import special

MOST_UNDEFINED = 0.05
"""No interval where a larger share of the resamples is undefined."""


class Interval(NamedTuple):
    """Ends of an interval; NaN where undefined."""

    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"))


def interval(drawn: np.ndarray, level: float = 0.95) -> Interval:
    """The percentile interval of a statistic; NaN where its resamples are all alike.

    Of what rests on few patients it is too narrow; see `logit_interval`, `difference_interval`.

    Args:
        drawn: float [resamples]; NaN where a resample left it undefined.
        level: the share of resamples inside.
    """
    known = _enough(drawn)
    if not len(known) or known.min() == known.max():
        return UNKNOWN
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def logit_interval(
    value: float, drawn: np.ndarray, patients: float, level: float = 0.95
) -> Interval:
    """The interval of an area or another share, from the spread of its resamples.

    It is symmetric on the scale of logits, where the spread of an area depends least on its height
    (M. S. Pepe, The Statistical Evaluation of Medical Tests, 2003, chapter 5), and as wide as
    Student's t asks for: resamples of few patients vary less than new patients would (T. C.
    Hesterberg, The American Statistician 69, 371-386, 2015). Measured on made-up clustered data,
    nominal 95 % hold the truth in 93 to 97 % from 15 effective patients on, where the percentile
    interval holds it in 86 to 94 % below 100 (tests/test_bootstrap.py).

    Args:
        value: of all films.
        drawn: float [resamples]; NaN where a resample left it undefined.
        patients: on how many it rests: see `effective_patients`.
        level: the share of samples whose interval holds the truth.

    Returns:
        NaN where the value is undefined, 0 or 1, or rests on fewer than two patients.
    """
    known = _enough(drawn)
    if not (len(known) and 0 < value < 1 and patients >= 2):
        return UNKNOWN
    reach = _deviations(patients, level) * known.std() / (value * (1 - value))
    low, high = special.expit(special.logit(value) + np.array([-reach, reach]))
    return Interval(float(low), float(high))


def difference_interval(
    value: float, drawn: np.ndarray, patients: float, level: float = 0.95
) -> Interval:
    """The interval of a difference of two areas or shares, as wide as Student's t asks for.

    Arguments as in `logit_interval`; `patients` are those of the side that rests on fewer.
    """
    known = _enough(drawn)
    if not (len(known) and np.isfinite(value) and patients >= 2):
        return UNKNOWN
    reach = _deviations(patients, level) * known.std()
    return Interval(float(value - reach), float(value + reach))


def _deviations(patients: float, level: float) -> float:
    """How many standard deviations of the resamples an interval reaches to each side."""
    t = special.stdtrit(patients - 1, (1 + level) / 2)
    return float(np.sqrt(patients / (patients - 1)) * t)


def _enough(drawn: np.ndarray) -> np.ndarray:
    """The resamples that are defined; none of them where too many are not."""
    known = drawn[np.isfinite(drawn)]
    return known if len(known) >= (1 - MOST_UNDEFINED) * len(drawn) else known[:0]


def effective_patients(known: np.ndarray, patients: np.ndarray) -> float:
    """How many patients with one positive film each would tell as much as these (Kish's number).

    One patient with many of the positive films counts for them all: (sum m)^2 / sum m^2, where m
    is a patient's number of positive films.

    Args:
        known: bool [n].
        patients: [n], whose film it is.

    Returns:
        At most the number of patients with a positive film; 0 without any.
    """
    _, films = np.unique(patients[known], return_counts=True)
    return float(films.sum() ** 2 / (films**2).sum()) if len(films) else 0.0


def effective_of_area(known: np.ndarray, patients: np.ndarray) -> float:
    """On how many patients an area rests: the positives' or the negatives', whichever are fewer."""
    return min(effective_patients(known, patients), effective_patients(~known, patients))
