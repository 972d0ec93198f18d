"""Who is filmed, how often, what each film shows, and what the table says of it."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ribcage.findings import FINDINGS
from ribcage.phantoms import census

AGES = np.array([
    (0, 0), (1, 8), (5, 18), (10, 23), (25, 34), (50, 49), (75, 59), (90, 67), (95, 72), (99, 79),
    (100, 95),
])  # fmt: skip
"""Percentiles of the ages in NIH's table, in years."""

FILMS_A_PATIENT = np.array([17503, 4113, 2100, 1330, 938, 787, 608])
"""NIH's patients with one film, two, and so on. Those with more than seven, up to 184, are left
out: a few of them would fill a small test set."""

AP_AGAIN = 0.77
"""Share of portable films, in NIH's table, whose patient's next film is portable again."""

FAULTS = ("rotated_images", "other_images_with_lower_quality")

NATURAL = {
    "drain": {"PA": 0.02, "AP": 0.08},
    "lead": {"PA": 0.03, "AP": 0.35},
    "tube": {"PA": 0.0, "AP": 0.15},
    "line": {"PA": 0.04, "AP": 0.25},
    "pacemaker": {"PA": 0.04, "AP": 0.06},
    "site": {"PA": 0.3, "AP": 0.3},
}
"""Shares of films that bear a mark which nobody planted, whatever they show: estimates."""
MARKS = tuple(NATURAL)
"""Drain: a chest tube. Lead: electrodes and their wires. Tube: endotracheal. Line: a central venous
catheter. Site: a token that one site puts on its films."""


@dataclass(frozen=True)
class Shortcut:
    """A mark that goes with a finding: shares of the films with and without it that bear it."""

    finding: str
    mark: str
    with_finding: float
    without: float


@dataclass(frozen=True)
class Cohort:
    """What is wanted of a population.

    Attributes:
        no_finding_share: share of films without a finding.
        rare_boost: in [0, 1], from NIH's shares of findings to equal ones.
        missed: share of the findings that the table does not name.
        invented: share of films of which the table names a finding that is not there.
        shortcuts: at most one a mark.
    """

    no_finding_share: float = 0.4
    rare_boost: float = 0.85
    missed: float = 0.0
    invented: float = 0.0
    shortcuts: tuple[Shortcut, ...] = ()


@dataclass(frozen=True)
class Film:
    """One film to be drawn.

    Attributes:
        patient: from 1 on.
        follow_up: from 0 on.
        age_years: 0 to 95.
        sex: M or F.
        view: PA or AP.
        findings: what is drawn, in the order of FINDINGS.
        fault: the blacklist that the film belongs on.
        rgba: whether it is stored with four channels.
        marks: devices and letters on it, of MARKS.
        labels: what the table says; None where it says what is drawn.
    """

    patient: int
    follow_up: int
    age_years: int
    sex: str
    view: str
    findings: tuple[str, ...]
    fault: str | None
    rgba: bool
    marks: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """NIH's file name."""
        return f"{self.patient:08d}_{self.follow_up:03d}.png"

    @property
    def listed(self) -> tuple[str, ...]:
        """The findings that the table names."""
        return self.findings if self.labels is None else self.labels


class Of(IntEnum):
    """What random numbers are drawn for.

    Each purpose has a source of its own: two runs that differ in one share all the others.
    """

    PLAN = 0
    TEST_LIST = 1
    BODY = 2
    FINDINGS = 3
    MARKS = 4
    LABEL_NOISE = 5
    DEVICES = 6
    LETTERS = 7
    LOOK = 8
    PLACE = 9


def rng_of(seed: int, *key: int) -> np.random.Generator:
    """The source of draws of one patient, film or purpose, the same whoever is drawn before."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def population(
    films: int, quality_faults: float, seed: int, cohort: Cohort | None = None
) -> list[Film]:
    """Plan the films of as many patients as are needed, ordered by patient and follow-up."""
    planned: list[Film] = []
    patient = 0
    while len(planned) < films:
        patient += 1
        planned += plan_patient(patient, quality_faults, seed, cohort or Cohort())
    return planned[:films]


def on_test_list(patient: int, test_share: float, seed: int) -> bool:
    """Whether a patient is on the test list, drawn from seed and patient alone."""
    return bool(rng_of(seed, patient, Of.TEST_LIST).random() < test_share)


def plan_patient(patient: int, quality_faults: float, seed: int, cohort: Cohort) -> list[Film]:
    """Plan one patient's films, from the seed and the patient's number alone.

    Marks and the table's errors have draws of their own: planting a shortcut changes no finding.
    """
    rng = rng_of(seed, patient, Of.PLAN)
    shares = census.shares_of(cohort.no_finding_share, cohort.rare_boost)
    age = int(np.interp(100 * rng.random(), AGES[:, 0], AGES[:, 1]))
    sex = "M" if rng.random() < 0.54 else "F"
    own = rng.standard_normal(len(FINDINGS))
    count = 1 + int(rng.choice(len(FILMS_A_PATIENT), p=FILMS_A_PATIENT / FILMS_A_PATIENT.sum()))
    planned: list[Film] = []
    for number in range(count):
        age = min(age + int(number > 0 and rng.random() < 0.3), 95)
        view = _view(planned[-1].view if planned else None, rng)
        shown = shares.findings(view, own, rng.standard_normal(len(FINDINGS)))
        fault = FAULTS[int(rng.integers(len(FAULTS)))] if rng.random() < quality_faults else None
        rgba = bool(rng.random() < 0.005)
        marks = _marks(view, shown, cohort.shortcuts, rng_of(seed, patient, Of.MARKS, number))
        labels = _labels(view, shown, cohort, shares, rng_of(seed, patient, Of.LABEL_NOISE, number))
        planned.append(Film(patient, number, age, sex, view, shown, fault, rgba, marks, labels))
    return planned


def _view(before: str | None, rng: np.random.Generator) -> str:
    """PA or AP: mostly that of the film before; NIH's shares in all."""
    share = census.AP_SHARE
    leave = (1 - AP_AGAIN) * share / (1 - share)
    chance = {None: share, "AP": AP_AGAIN, "PA": leave}[before]
    return "AP" if rng.random() < chance else "PA"


def _marks(
    view: str, shown: tuple[str, ...], shortcuts: tuple[Shortcut, ...], rng: np.random.Generator
) -> tuple[str, ...]:
    chances = {mark: NATURAL[mark][view] for mark in MARKS}
    for planted in shortcuts:
        has = planted.finding in shown
        chances[planted.mark] = planted.with_finding if has else planted.without
    return tuple(
        mark
        for mark, draw in zip(MARKS, rng.random(len(MARKS)), strict=True)
        if draw < chances[mark]
    )


def _labels(
    view: str,
    shown: tuple[str, ...],
    cohort: Cohort,
    shares: census.Shares,
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """What a table with errors says: some findings missed, a common one invented now and then."""
    kept = rng.random(len(FINDINGS)) >= cohort.missed
    absent = np.array([finding not in shown for finding in FINDINGS])
    weights = shares.expected[view] * absent
    said = kept & ~absent
    if absent.any() and rng.random() < cohort.invented:
        said[int(rng.choice(len(FINDINGS), p=weights / weights.sum()))] = True
    return tuple(FINDINGS[k] for k in np.flatnonzero(said))
