"""Who is filmed, how often, and what each film shows."""

from dataclasses import dataclass

import numpy as np

from ribcage.findings import FINDINGS

NO_FINDING_SHARE = 0.4
FINDINGS_A_FILM = (0.55, 0.32, 0.13)
"""Shares of films with one, two and three findings among those that have any."""

WEIGHTS = {
    "PA": dict(zip(FINDINGS, (9, 8, 9, 10, 9, 9, 8, 9, 8, 6, 9, 9, 9, 9), strict=True)),
    "AP": dict(zip(FINDINGS, (10, 9, 12, 12, 8, 8, 9, 8, 11, 12, 8, 7, 7, 7), strict=True)),
}
"""How often each finding is drawn, by view: rare ones far commoner than in life, so that a few
thousand films teach and test all 14; portable films have more oedema, effusion, consolidation."""

FAULTS = ("rotated_images", "other_images_with_lower_quality")


@dataclass(frozen=True)
class Film:
    """One film to be drawn."""

    patient: int
    follow_up: int
    age_years: int
    sex: str
    view: str
    findings: tuple[str, ...]
    fault: str | None
    rgba: bool

    @property
    def name(self) -> str:
        """NIH's file name."""
        return f"{self.patient:08d}_{self.follow_up:03d}.png"


def rng_of(seed: int, *key: int) -> np.random.Generator:
    """The source of draws of one patient, film or purpose, the same whoever is drawn before."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def population(films: int, quality_faults: float, seed: int) -> list[Film]:
    """Plan the films of as many patients as are needed, ordered by patient and follow-up."""
    planned: list[Film] = []
    patient = 0
    while len(planned) < films:
        patient += 1
        planned += _films_of(patient, quality_faults, seed)
    return planned[:films]


def on_test_list(patient: int, test_share: float, seed: int) -> bool:
    """Whether a patient is on the test list, drawn from seed and patient alone."""
    return bool(rng_of(seed, patient, 1).random() < test_share)


def _films_of(patient: int, quality_faults: float, seed: int) -> list[Film]:
    rng = rng_of(seed, patient, 0)
    age = int(np.clip(rng.normal(47, 17), 5, 92))
    sex = "M" if rng.random() < 0.56 else "F"
    count = 1 + int(min(rng.geometric(0.6) - 1, 8))
    return [_film(patient, n, age + n // 3, sex, quality_faults, rng) for n in range(count)]


def _film(
    patient: int, follow_up: int, age: int, sex: str, faults: float, rng: np.random.Generator
) -> Film:
    view = "AP" if rng.random() < 0.4 else "PA"
    shown: tuple[str, ...] = ()
    if rng.random() >= NO_FINDING_SHARE:
        count = 1 + int(rng.choice(len(FINDINGS_A_FILM), p=FINDINGS_A_FILM))
        weights = np.array([WEIGHTS[view][finding] for finding in FINDINGS], float)
        drawn = rng.choice(len(FINDINGS), count, replace=False, p=weights / weights.sum())
        shown = tuple(FINDINGS[k] for k in sorted(drawn))
    fault = FAULTS[int(rng.integers(len(FAULTS)))] if rng.random() < faults else None
    return Film(patient, follow_up, age, sex, view, shown, fault, bool(rng.random() < 0.005))
