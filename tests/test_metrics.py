import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ribcage import metrics

RANKINGS = [metrics.auroc, metrics.average_precision, metrics.partial_auroc]
ranked = pytest.mark.parametrize("measure", RANKINGS)


@st.composite
def judged(draw, classes=2):
    """Labels and scores with many ties, of two classes, in any order."""
    scores = draw(st.lists(st.integers(0, 12), min_size=classes, max_size=30))
    labels = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    truth = np.array(labels, bool)
    if classes == 2:
        truth[0], truth[-1] = True, False
    return truth, np.array(scores, np.float64) / 16


@ranked
@given(judged(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_films_means_nothing(measure, films, chance):
    truth, score = films
    order = list(range(len(truth)))
    chance.shuffle(order)
    assert measure(truth[order], score[order]) == pytest.approx(measure(truth, score), abs=1e-12)


@ranked
@given(judged())
@settings(max_examples=40, deadline=None)
def test_only_the_ranks_of_scores_matter(measure, films):
    truth, score = films
    for bent in (score * 1024 - 7, np.exp(score * 9), score**3):
        assert measure(truth, bent) == pytest.approx(measure(truth, score), abs=1e-12)


@ranked
@given(judged())
@settings(max_examples=40, deadline=None)
def test_every_film_twice_changes_nothing(measure, films):
    truth, score = films
    twice = measure(np.tile(truth, 2), np.tile(score, 2))
    assert twice == pytest.approx(measure(truth, score), abs=1e-12)


@ranked
@given(judged(classes=1), st.booleans())
@settings(max_examples=20, deadline=None)
def test_one_class_is_undefined(measure, films, known):
    _, score = films
    assert np.isnan(measure(np.full(len(score), known), score))
    assert np.isnan(measure(np.zeros(0, bool), np.zeros(0)))


@given(judged())
@settings(max_examples=40, deadline=None)
def test_weights_are_copies_of_films(films):
    truth, score = films
    copies = 1 + np.arange(len(truth)) % 3
    for measure in (metrics.auroc, metrics.average_precision):
        once = measure(truth, score, np.ones(len(truth)))
        assert once == pytest.approx(measure(truth, score), abs=1e-12)
        many = measure(np.repeat(truth, copies), np.repeat(score, copies))
        assert measure(truth, score, copies) == pytest.approx(many, abs=1e-12)


@given(judged())
@settings(max_examples=40, deadline=None)
def test_ties_count_a_half_and_turning_the_scores_turns_the_area(films):
    truth, score = films
    assert metrics.auroc(truth, np.full(len(truth), 0.3)) == 0.5
    assert metrics.partial_auroc(truth, np.full(len(truth), 0.3)) == pytest.approx(0.5, abs=1e-12)
    flat = metrics.average_precision(truth, np.full(len(truth), 0.3))
    assert flat == pytest.approx(truth.mean(), abs=1e-12)
    turned = metrics.auroc(truth, -score)
    assert turned == pytest.approx(1 - metrics.auroc(truth, score), abs=1e-12)
    assert metrics.auroc(~truth, score) == pytest.approx(turned, abs=1e-12)
    pairs = score[truth][:, None] - score[~truth]
    by_hand = (pairs > 0).mean() + (pairs == 0).mean() / 2
    assert metrics.auroc(truth, score) == pytest.approx(by_hand, abs=1e-12)


def test_the_partial_area_is_the_librarys():
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.2
    score = rng.normal(size=500) + truth
    expected = sk.roc_auc_score(truth, score, max_fpr=0.25)
    assert metrics.partial_auroc(truth, score, 0.25) == expected


def test_a_row_has_its_value_in_full_and_its_ends_in_six_digits():
    counted = metrics.counts(np.array([True, True, False]), np.array([7, 7, 8]))
    assert counted == {"positives": 2, "negatives": 1, "patients": 1}
    row = metrics.row(1 / 3, counted, (0.12345678, 0.5))
    assert row == {"value": 1 / 3, "low": 0.123457, "high": 0.5, **counted}
    nothing = {"value": None, "low": None, "high": None, **counted}
    assert metrics.row(float("nan"), counted, (0.1, 0.2)) == nothing
    assert metrics.row(0.5, counted) == {**nothing, "value": 0.5}
    nan = float("nan")
    assert metrics.row(0.5, counted, (nan, nan)) == {**nothing, "value": 0.5}
