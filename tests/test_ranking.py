import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score, roc_auc_score

from ribcage import metrics
from ribcage.evaluation import ranking
from ribcage.evaluation.bootstrap import Ranked, Resamples
from test_metrics import judged


def films(n=400, seed=0, digits=2):
    """Films of unlike many a patient, whose rounded scores tie."""
    rng = np.random.default_rng(seed)
    known = rng.random(n) < 0.25
    scores = (1 / (1 + np.exp(-rng.normal(size=n) - known))).round(digits)
    return known, scores, rng.integers(0, n // 4, n)


def repeated(resamples, column):
    """The films of a resample, each as often as its patient was drawn."""
    counts = next(resamples.blocks())[:, column].astype(int)
    return np.repeat(np.arange(len(resamples.codes)), counts[resamples.codes])


def test_the_sample_has_the_librarys_scores():
    known, scores, patients = films()
    found = ranking.score(known, scores, Resamples(patients, 50, 1))
    per_patient = 1 / np.bincount(patients)[patients]
    halves = np.where(known, 0.5 / known.mean(), 0.5 / (1 - known.mean()))
    expected = {
        "auroc": roc_auc_score(known, scores),
        "ap": average_precision_score(known, scores),
        "auroc_partial": roc_auc_score(known, scores, max_fpr=0.1),
        "auroc_patient_weighted": roc_auc_score(known, scores, sample_weight=per_patient),
        "ap_patient_weighted": average_precision_score(known, scores, sample_weight=per_patient),
        "ap_balanced": average_precision_score(known, scores, sample_weight=halves),
    }
    assert set(found) == set(ranking.NAMES)
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-12), name
        assert found[name].shape == (51,) and np.isfinite(found[name]).all()


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_a_resample_has_the_librarys_scores_of_its_films(digits):
    known, scores, patients = films(digits=digits)
    resamples = Resamples(patients, 20, 1)
    found = ranking.score(known, scores, resamples)
    weights = ranking.patient_weights(resamples)
    for column in range(20):
        at = repeated(resamples, column)
        drawn, of = known[at], scores[at]
        expected = {
            "auroc": roc_auc_score(drawn, of),
            "ap": average_precision_score(drawn, of),
            "auroc_partial": roc_auc_score(drawn, of, max_fpr=0.1),
            "auroc_patient_weighted": roc_auc_score(drawn, of, sample_weight=weights[at]),
            "ap_balanced": average_precision_score(
                drawn, of, sample_weight=ranking.balanced_weights(drawn)
            ),
        }
        for name, value in expected.items():
            assert found[name][1 + column] == pytest.approx(value, abs=1e-12), name


@given(judged())
@settings(max_examples=60, deadline=None)
def test_every_film_once_is_the_sample(case):
    known, scores = case
    ones = np.ones((len(known), 1))
    ranked = Ranked(known, scores, np.arange(len(known)), len(known))
    for most in (0.1, 0.5, 0.9):
        expected = metrics.partial_auroc(known, scores, most)
        assert ranked.partial(ones, most)[0] == pytest.approx(expected, abs=1e-12)
    weights = ranking.balanced_weights(known)
    expected = metrics.average_precision(known, scores, weights)
    assert ranked.balanced(ones)[0] == pytest.approx(expected, abs=1e-12)


def test_a_resample_without_a_class_is_undefined_and_so_is_a_sample():
    known, scores = np.array([True, False, False]), np.array([0.9, 0.1, 0.95])
    ranked = Ranked(known, scores, np.arange(3), 3)
    counts = np.array([[0.0, 3, 1], [1, 0, 1], [2, 0, 1]])
    assert np.isnan(ranked.partial(counts, 0.5)).tolist() == [True, True, False]
    assert np.isnan(ranked.balanced(counts)).tolist() == [True, True, False]
    for none in (np.zeros(0, bool), np.zeros(3, bool)):
        found = ranking.score(none, scores[: len(none)], Resamples(np.arange(len(none)), 10, 1))
        assert all(np.isnan(trail).all() and trail.shape == (11,) for trail in found.values())


def test_a_patient_with_many_films_weighs_as_one_with_a_single_film():
    known = np.array([True, False] + [True] * 50 + [False])
    scores = np.array([0.9, 0.1] + [0.2] * 50 + [0.3])
    patients = np.array([0, 1] + [2] * 50 + [3])
    found = ranking.score(known, scores, Resamples(patients, 10, 1))
    assert found["auroc"][0] == pytest.approx((2 + 50) / 102)
    assert found["auroc_patient_weighted"][0] == pytest.approx(3 / 4)
    assert ranking.patient_weights(Resamples(patients, 10, 1)).sum() == pytest.approx(4)
