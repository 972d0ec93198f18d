"""How a model does on some films rather than others: by view, sex, age, and what else is known."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ribcage import metrics
from ribcage.evaluation import paired
from ribcage.evaluation.bootstrap import Ranked, Resamples, share
from ribcage.evaluation.intervals import effective_of_area, effective_patients
from ribcage.evaluation.paired import Measured
from ribcage.findings import FINDINGS

VIEWS = ("PA", "AP")
SEXES = ("F", "M")
AGES = {"0-17": (0, 18), "18-39": (18, 40), "40-59": (40, 60), "60-79": (60, 80), "80+": (80, 999)}
"""Years, half-open."""

COLUMNS = [
    *("variable", "group", "films", "class", "metric", "value", "low", "high"),
    *("gap", "gap_low", "gap_high", "positives", "negatives", "patients"),
]

Masks = dict[str, np.ndarray]


class _Films(NamedTuple):
    """The films of a split, ready to be judged in any part.

    Attributes:
        known: bool [n, 14].
        given: float64 [n, 14].
        thresholds: float [14] from which on a film is called positive; None where none were fitted.
        patients: [n].
        resamples: of these patients.
        blocks: theirs, drawn once.
    """

    known: np.ndarray
    given: np.ndarray
    thresholds: np.ndarray | None
    patients: np.ndarray
    resamples: Resamples
    blocks: list[np.ndarray]


def groups_of(truth: pd.DataFrame, people: pd.DataFrame, marks: Masks) -> dict[str, Masks]:
    """Name the groups of films, by variable: bool [n] each; what is unknown is in none.

    Args:
        truth: bool [n, 14].
        people: the curated rows of the same films.
        marks: by mark, bool [n]; without any, there is no group of devices.
    """
    number = truth.to_numpy().sum(axis=1)
    age = people["age_years"].to_numpy(np.float64)
    first = people["follow_up"].to_numpy() == 0
    groups = {
        "view_position": {view: (people["view_position"] == view).to_numpy() for view in VIEWS},
        "sex": {sex: (people["sex"] == sex).to_numpy() for sex in SEXES},
        "age_years": {name: (age >= low) & (age < high) for name, (low, high) in AGES.items()},
        "follow_up": {"first film": first, "later films": ~first},
        "findings": {"1": number == 1, "2": number == 2, "3+": number >= 3},
    }
    if marks:
        borne = np.any(list(marks.values()), axis=0)
        groups["device"] = {"with any mark": borne, "without a mark": ~borne}
    return groups


def score(
    truth: pd.DataFrame,
    rows: pd.DataFrame,
    people: pd.DataFrame,
    marks: Masks,
    fitted: dict[str, Any] | None,
    settings: dict[str, Any],
) -> pd.DataFrame:
    """Score each group of films, and its gap to all other films of which the variable is known.

    `auroc` compares the films of a group with each other. `miss_rate` is the share of the group's
    positives that the threshold misses which was fitted to the asked specificity: underdiagnosis,
    as Seyyed-Kalantari et al., Nature Medicine 27, 2176-2182 (2021), ask for, but by finding. The
    groups of `findings` are positives with so many findings, against the films with No Finding.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films: patient, and a probability a finding; a column of
            NaN is a finding that the model does not know.
        people: the curated rows of the same films in the same order: follow_up, age_years, sex,
            view_position.
        marks: by mark, bool [n].
        fitted: `thresholds`, by finding, among them `specificity`; None: no miss rate is given.
        settings: `resamples` and `seed`.

    Returns:
        A row a variable, group, class (14 and macro) and metric: films of the group; value with
        low and high; gap (the group minus the others, both in the same resamples of patients) with
        gap_low and gap_high; positives, negatives, and patients with a positive film. Values are
        NaN with fewer than `metrics.LEAST` positives or negatives. Macro is the mean over the
        findings that are defined; its gap over those that are defined on both sides.
    """
    patients = rows["patient"].to_numpy()
    resamples = Resamples(patients, settings["resamples"], settings["seed"])
    films = _Films(
        truth.to_numpy(bool),
        rows[list(FINDINGS)].to_numpy(np.float64),
        None if fitted is None else _thresholds(fitted),
        patients,
        resamples,
        list(resamples.blocks()),
    )
    found = []
    for variable, groups in groups_of(truth, people, marks).items():
        everyone = np.any(list(groups.values()), axis=0)
        for group, member in groups.items():
            sides = (
                _measure(films, _chosen(films.known, side, variable))
                for side in (member, everyone & ~member)
            )
            head = {"variable": variable, "group": group, "films": int(member.sum())}
            found += [head | cells for cells in _rows(*sides)]
    return pd.DataFrame(found, columns=COLUMNS)


def _thresholds(fitted: dict[str, Any]) -> np.ndarray:
    """The thresholds of the fixed specificity, float [14]; NaN where validation gave none."""
    return np.array([fitted["thresholds"][f]["specificity"] for f in FINDINGS], np.float64)


def _chosen(known: np.ndarray, member: np.ndarray, variable: str) -> np.ndarray:
    """Which films judge each finding, bool [n, 14]."""
    if variable != "findings":
        return np.broadcast_to(member[:, None], known.shape)
    return (member[:, None] & known) | ~known.any(axis=1, keepdims=True)


def _measure(films: _Films, chosen: np.ndarray) -> dict[str, dict[str, Measured]]:
    """Measure the chosen films, bool [n, 14]: by metric and class."""
    areas, misses = {}, {}
    for at, finding in enumerate(FINDINGS):
        held = chosen[:, at]
        areas[finding] = _area(films, held, at)
        if films.thresholds is not None:
            misses[finding] = _misses(films, held, at, films.thresholds[at])
    judged = chosen.any(axis=1)
    any_finding = np.any(films.known[judged], axis=1)
    counted = metrics.counts(any_finding, films.patients[judged])
    found = {"auroc": areas} | ({"miss_rate": misses} if misses else {})
    for by_class in found.values():
        parts = list(by_class.values())
        by_class["macro"] = paired.mean_of(parts, counted, films.resamples.count)
    return found


def _area(films: _Films, held: np.ndarray, at: int) -> Measured:
    """AUROC of one finding on the held films, bool [n]."""
    known, given = films.known[held, at], films.given[held, at]
    counted = metrics.counts(known, films.patients[held])
    if not _enough(counted, given):
        return paired.undefined(counted, films.resamples.count)
    codes = films.resamples.codes[held]
    return paired.area(known, given, codes, films.resamples.patients, films.blocks)


def _misses(films: _Films, held: np.ndarray, at: int, threshold: float) -> Measured:
    """The share of one finding's positives that the threshold misses."""
    known, given = films.known[held, at], films.given[held, at]
    counted = metrics.counts(known, films.patients[held])
    if not _enough(counted, given) or np.isnan(threshold):
        return paired.undefined(counted, films.resamples.count)
    codes, size = films.resamples.codes[held][known], films.resamples.patients
    missed = given[known] < threshold
    sums = [np.bincount(who, minlength=size) for who in (codes[missed], codes)]
    # Few patients have positives. Measured: the dense product takes longer than all the areas.
    of_patient = sparse.csr_array(np.array(sums, np.float64))
    draws = [share(*(of_patient @ block)) for block in films.blocks]
    effective = effective_patients(known, films.patients[held])
    return Measured(float(missed.mean()), np.concatenate(draws), counted, effective)


def _enough(counted: dict[str, int], given: np.ndarray) -> bool:
    least = min(counted["positives"], counted["negatives"])
    return least >= metrics.LEAST and not np.isnan(given).any()


def _rows(
    ours: dict[str, dict[str, Measured]], others: dict[str, dict[str, Measured]]
) -> list[dict[str, Any]]:
    found = []
    for metric, by_class in ours.items():
        gaps = {f: paired.difference(by_class[f], others[metric][f]) for f in FINDINGS}
        macro = by_class["macro"]
        gaps["macro"] = paired.mean_of(gaps.values(), macro.counted, len(macro.draws))
        for name, measured in by_class.items():
            low, high = paired.ends_of(measured)
            gap_low, gap_high = paired.ends_of(gaps[name])
            cells = {"class": name, "metric": metric, "value": measured.value}
            cells |= {"low": low, "high": high, "gap": gaps[name].value}
            found.append(cells | {"gap_low": gap_low, "gap_high": gap_high} | measured.counted)
    return found


def view_matched(
    truth: pd.DataFrame, rows: pd.DataFrame, people: pd.DataFrame, resamples: Resamples
) -> dict[str, dict[str, Any]]:
    """AUROC over the pairs of a positive and a negative film of the same view.

    A model that tells AP from PA ranks the sicker view's films higher without looking for any
    finding; that earns nothing here.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films.
        people: their curated rows in the same order: view_position.
        resamples: of the films' patients.

    Returns:
        By finding and `macro`, a row {value, low, high, positives, negatives, patients} of the
        films of a known view; `macro`, the mean over those that are defined, with `findings`.
    """
    patients = rows["patient"].to_numpy()
    views = [(people["view_position"] == view).to_numpy() for view in VIEWS]
    either = np.any(views, axis=0)
    blocks = [np.ones((resamples.patients, 1)), *resamples.blocks()]
    found: dict[str, Measured] = {}
    for finding in FINDINGS:
        known, given = truth[finding].to_numpy(bool), rows[finding].to_numpy(np.float64)
        # A view without positives, or without negatives, has no pair to judge.
        judged = [view for view in views if metrics.defined(known[view])]
        films = np.any(judged, axis=0) if judged else np.zeros(len(known), bool)
        counted = metrics.counts(known[films], patients[films])
        if not _enough(counted, given[films]):
            counted = metrics.counts(known[either], patients[either])
            found[finding] = paired.undefined(counted, resamples.count)
            continue
        right, total = np.zeros(resamples.count + 1), np.zeros(resamples.count + 1)
        for view in judged:
            ranked = Ranked(known[view], given[view], resamples.codes[view], resamples.patients)
            ours = [ranked.pairs(block) for block in blocks]
            right += np.concatenate([pairs[0] for pairs in ours])
            total += np.concatenate([pairs[1] for pairs in ours])
        areas = share(right, total)
        effective = effective_of_area(known[films], patients[films])
        found[finding] = Measured(float(areas[0]), areas[1:], counted, effective)
    counted = metrics.counts(truth.to_numpy(bool)[either].any(axis=1), patients[either])
    macro = paired.mean_of(found.values(), counted, resamples.count)
    defined = sum(np.isfinite(measured.value) for measured in found.values())
    rows_of = {name: paired.row(measured) for name, measured in found.items()}
    return rows_of | {"macro": paired.row(macro) | {"findings": int(defined)}}
