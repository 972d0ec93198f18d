"""Who is filmed, what is drawn and what the table says, against the counts of NIH's table."""

import numpy as np
import pytest

from ribcage.findings import FINDINGS
from ribcage.phantoms import census
from ribcage.phantoms.population import (
    MARKS,
    NATURAL,
    Cohort,
    Shortcut,
    on_test_list,
    plan_patient,
    population,
    rng_of,
)


def labels_of(films):
    return np.array([[finding in film.findings for finding in FINDINGS] for film in films])


@pytest.fixture(scope="module")
def as_in_life():
    return population(8000, 0.0, 2, Cohort(census.NO_FINDING_OF_NIH, 0.0))


@pytest.mark.parametrize("view", ["PA", "AP"])
def test_without_a_boost_findings_come_and_come_together_as_in_nihs_table(view):
    shares, pairs, _ = census.real()
    drawn, rng = census.shares_of(census.NO_FINDING_OF_NIH, 0.0), rng_of(1)
    films = [drawn.findings(view, *rng.standard_normal((2, 14))) for _ in range(12000)]
    shown = np.array([[finding in film for finding in FINDINGS] for film in films])
    healthy = {"PA": 0.584, "AP": 0.470}[view]
    assert (~shown.any(axis=1)).mean() == pytest.approx(healthy, abs=0.02)
    assert shown.mean(axis=0) == pytest.approx(shares[view], rel=0.1, abs=0.003)
    both = shown.T.astype(float) @ shown / len(shown)
    often = np.triu(pairs[view] > 0.005, 1)
    assert often.sum() > 10
    assert both[often] == pytest.approx(pairs[view][often], rel=0.35)


def test_a_population_without_a_boost_is_like_nihs(as_in_life):
    portable = np.array([film.view == "AP" for film in as_in_life])
    shown = labels_of(as_in_life)
    healthy = ~shown.any(axis=1)
    assert portable.mean() == pytest.approx(census.AP_SHARE, abs=0.03)
    assert healthy.mean() == pytest.approx(census.NO_FINDING_OF_NIH, abs=0.02)
    assert portable[~healthy].mean() > portable[healthy].mean() + 0.06  # NIH: 0.46 and 0.35


def test_findings_come_back_as_in_nihs_table(as_in_life):
    _, _, returns = census.real()
    shown, patients = labels_of(as_in_life), np.array([film.patient for film in as_in_life])
    first = np.flatnonzero(patients[1:] == patients[:-1])
    for name in ("Atelectasis", "Effusion", "Infiltration", "Mass", "Pneumothorax"):
        k = FINDINGS.index(name)
        again = shown[first + 1, k][shown[first, k]].mean()
        assert again == pytest.approx(returns[k], abs=0.1) and again > 1.5 * shown[:, k].mean()


def test_ages_are_those_of_nihs_table(as_in_life):
    ages = np.array([film.age_years for film in as_in_life])
    assert ages.min() >= 0 and ages.max() <= 95 and np.median(ages) == pytest.approx(49, abs=2)
    assert np.mean(ages < 15) == pytest.approx(0.032, abs=0.015)


def test_a_full_boost_makes_all_findings_equally_common():
    common = labels_of(population(8000, 0.0, 2, Cohort(0.4, 1.0))).mean(axis=0)
    assert common.max() / common.min() < 1.4


def test_the_default_has_enough_test_films_of_every_finding():
    films = population(2600, 0.01, 1)
    tested = labels_of([film for film in films if on_test_list(film.patient, 0.2, 1)])
    assert (tested.sum(axis=0) >= 25).all()


def test_a_patient_is_planned_alone():
    cohort = Cohort(shortcuts=(Shortcut("Mass", "drain", 1, 0),), missed=0.3, invented=0.2)
    films = population(60, 0.1, 3, cohort)
    patient = films[30].patient
    alone = plan_patient(patient, 0.1, 3, cohort)
    assert alone == [film for film in films if film.patient == patient]


def test_marks_are_as_common_as_planted_and_change_nothing_else():
    shortcut = Shortcut("Pneumothorax", "drain", 0.85, 0.03)
    natural = population(4000, 0, 1)
    planted = population(4000, 0, 1, Cohort(shortcuts=(shortcut,)))
    for one, other in zip(natural, planted, strict=True):
        assert (one.findings, one.view, one.age_years) == (
            other.findings,
            other.view,
            other.age_years,
        )
        assert set(one.marks) - {"drain"} == set(other.marks) - {"drain"}
    ill = [film for film in planted if "Pneumothorax" in film.findings]
    well = [film for film in planted if "Pneumothorax" not in film.findings]
    assert np.mean(["drain" in film.marks for film in ill]) == pytest.approx(0.85, abs=0.07)
    assert np.mean(["drain" in film.marks for film in well]) == pytest.approx(0.03, abs=0.01)
    for view in ("PA", "AP"):
        films = [film for film in natural if film.view == view]
        for mark in MARKS:
            share = np.mean([mark in film.marks for film in films])
            assert share == pytest.approx(NATURAL[mark][view], abs=0.04)


def test_the_population_is_as_planned():
    films = population(2000, 0.01, 1)
    healthy = np.mean([not film.findings for film in films])
    assert healthy == pytest.approx(0.4, abs=0.04)
    for finding in FINDINGS:
        assert np.mean([finding in film.findings for film in films]) > 0.045, finding
    patients = {film.patient for film in films}
    assert np.mean([on_test_list(p, 0.2, 1) for p in patients]) == pytest.approx(0.2, abs=0.04)
    assert population(100, 0.01, 1) == films[:100]
