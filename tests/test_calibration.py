import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from ribcage.evaluation import calibration
from ribcage.evaluation.bootstrap import Resamples


def calibrated(films=40_000, seed=0):
    """Probabilities that mean what they say, and labels drawn by them."""
    rng = np.random.default_rng(seed)
    chance = expit(rng.normal(-2, 1.5, films))
    return rng.random(films) < chance, chance


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    known, chance = calibrated()
    given = expit(logit(chance) / temperature)  # too flat by T, so that 1 / T puts it right
    fitted = calibration.fit(known, given)
    assert fitted["temperature"] == pytest.approx(1 / temperature, rel=0.03)
    again = calibration.tempered(given, fitted["temperature"])
    assert calibration.ece(known, again, 10) < 0.01


@pytest.mark.parametrize("weight", [1, 8, 40])
def test_a_weighted_losss_offset_is_minus_the_log_of_its_weight(weight):
    known, chance = calibrated()
    given = weight * chance / (weight * chance + 1 - chance)  # what such a loss converges to
    fitted = calibration.fit(known, given)
    assert fitted["offset"] == pytest.approx(-np.log(weight), abs=0.05)
    again = calibration.shifted(given, fitted["offset"])
    assert again.mean() == pytest.approx(known.mean(), abs=1e-9)
    assert calibration.ece(known, again, 10) < 0.01
    if weight > 1:
        assert calibration.ece(known, given, 10) > 0.1


def test_both_are_the_least_log_loss():
    known, chance = calibrated(3_000)
    given = expit(1.7 * logit(chance) + 0.8)
    fitted = calibration.fit(known, given)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    slope = model.fit(calibration.logits(given)[:, None], known).coef_[0, 0]
    assert fitted["temperature"] == pytest.approx(1 / slope, rel=1e-4)
    least = log_loss(known, calibration.shifted(given, fitted["offset"]))
    for step in (-1e-3, 1e-3):
        assert log_loss(known, calibration.shifted(given, fitted["offset"] + step)) > least


def test_what_cannot_be_fitted_is_undefined_or_at_the_end():
    for known in (np.zeros(5, bool), np.ones(5, bool), np.zeros(0, bool)):
        assert np.isnan(list(calibration.fit(known, np.linspace(0, 1, len(known))).values())).all()
    known = np.array([False, False, True, True])
    assert calibration.fit(known, np.array([0, 0.1, 0.9, 1]))["temperature"] == 0.01  # perfect
    assert calibration.fit(known, np.array([1, 0.9, 0.1, 0]))["temperature"] == 100  # backwards
    assert calibration.fit(known, np.full(4, 0.5)) == {"temperature": 1, "offset": 0}
    rare = np.arange(100_000) == 7
    assert np.isfinite(calibration.fit(rare, np.zeros(100_000))["offset"])


def test_bins_have_equal_mass_and_ties_stay_together():
    rng = np.random.default_rng(1)
    films = calibration.reliability(rng.random(1_003) < 0.3, rng.random(1_003), 10)["films"]
    assert films.sum() == 1_003 and films.between(100, 101).all()
    given = np.repeat([0.2, 0.7, 0.9], [80, 15, 5])
    known = np.arange(100) % 4 == 0
    rows = calibration.reliability(known, given, 10)
    assert rows["films"].tolist() == [80, 15, 5]
    assert rows["mean"].tolist() == pytest.approx([0.2, 0.7, 0.9])
    by_hand = [known[:80].mean(), known[80:95].mean(), known[95:].mean()]
    assert rows["share"].tolist() == pytest.approx(by_hand)
    gaps = np.abs(np.array([0.2, 0.7, 0.9]) - by_hand) @ [0.8, 0.15, 0.05]
    assert calibration.ece(known, given, 10) == pytest.approx(gaps, abs=1e-12)
    assert np.isnan(calibration.ece(np.zeros(0, bool), np.zeros(0), 10))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_the_order_of_films_and_doubling_them_move_no_film_to_another_bin(scores, bins):
    given = np.array(scores) / 20
    at = calibration.bin_of(given, bins)
    assert at.min() == 0 and at.max() < bins
    assert (calibration.bin_of(given[::-1], bins) == at[::-1]).all()
    assert (calibration.bin_of(np.tile(given, 2), bins) == np.tile(at, 2)).all()
    assert (np.diff(at[np.argsort(given, kind="stable")]) >= 0).all()


@pytest.mark.parametrize(("mean", "films"), [(-1, 4_000), (-4, 4_000), (-7, 2_000), (3, 500)])
def test_chance_error_is_what_draws_of_calibrated_labels_show(mean, films):
    rng = np.random.default_rng(3)
    chance = expit(rng.normal(mean, 1.5, films))
    drawn = [calibration.ece(rng.random(films) < chance, chance, 10) for _ in range(400)]
    assert calibration.chance_ece(chance, 10) == pytest.approx(np.mean(drawn), rel=0.04)


def test_chance_has_no_part_in_certainty():
    assert calibration.chance_ece(np.array([0.0, 0.0, 1.0, 1.0]), 2) == 0
    assert np.isnan(calibration.chance_ece(np.zeros(0), 10))


def test_errors_are_the_librarys_and_their_intervals_hold_them():
    known, chance = calibrated(2_000)
    given = chance**0.7
    resamples = Resamples(np.arange(2_000) // 3, 300, 1)
    for said in (given, chance):
        found = calibration.score(known, said, resamples, 10)
        assert found["brier"][0] == pytest.approx(brier_score_loss(known, said), abs=1e-12)
        assert found["ece"][0] == pytest.approx(calibration.ece(known, said, 10), abs=1e-12)
        for trail in found.values():
            low, high = np.quantile(trail[1:], [0.025, 0.975])
            assert trail.shape == (301,) and low < trail[0] < high
    nothing = calibration.score(np.zeros(0, bool), np.zeros(0), Resamples(np.zeros(0), 9, 1), 10)
    assert np.isnan(nothing["brier"]).all() and nothing["ece"].shape == (10,)


def test_a_resample_is_scored_as_its_films_in_the_samples_bins():
    known, chance = calibrated(300)
    resamples = Resamples(np.arange(300), 40, 5)
    found = calibration.score(known, chance**0.5, resamples, 5)
    counts = next(resamples.blocks()).astype(int)
    at = calibration.bin_of(chance**0.5, 5)
    raw = []
    for k in range(40):
        films = np.repeat(np.arange(300), counts[:, k])
        brier = brier_score_loss(known[films], chance[films] ** 0.5)
        assert found["brier"][1 + k] == pytest.approx(brier, abs=1e-12)
        gap = np.bincount(at[films], chance[films] ** 0.5 - known[films])
        raw.append(np.abs(gap).sum() / 300)
    excess = np.mean(raw) - found["ece"][0]
    assert excess > 0
    assert found["ece"][1:] == pytest.approx((np.array(raw) - excess).clip(0), abs=1e-12)
