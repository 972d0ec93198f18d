import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ribcage import thresholds
from test_metrics import judged


def rates(truth, score, cut):
    called = score >= cut
    tp, fp = (called & truth).sum(), (called & ~truth).sum()
    fn = (~called & truth).sum()
    return tp / truth.sum(), 1 - fp / (~truth).sum(), 2 * tp / (2 * tp + fp + fn)


def test_youdens_threshold_is_the_best_cut():
    truth = np.array([0, 0, 1, 0, 1, 1], bool)
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    cut = thresholds.youden(truth, score)
    sums = {t: (score >= t)[truth].mean() + (score < t)[~truth].mean() for t in score}
    assert sums[cut] == max(sums.values())
    assert np.isnan(thresholds.youden(np.zeros(3, bool), np.ones(3)))


@given(judged(), st.sampled_from([0.5, 0.75, 0.9, 1.0]), st.sampled_from([0.5, 0.9, 1.0]))
@settings(max_examples=80, deadline=None)
def test_each_threshold_is_the_best_of_all_scores(films, sensitivity, specificity):
    truth, score = films
    fitted = thresholds.fit(truth, score, sensitivity, specificity)
    of = {cut: rates(truth, score, cut) for cut in np.unique(score)}
    sums = {cut: found[0] + found[1] for cut, found in of.items()}
    assert sums[fitted["youden"]] == pytest.approx(max(sums.values()), abs=1e-12)
    best = max(found[2] for found in of.values())
    assert fitted["f1"] == max(cut for cut, found in of.items() if found[2] == best)
    found = max(cut for cut, rate in of.items() if rate[0] >= sensitivity - 1e-9)
    assert fitted["sensitivity"] == found
    spared = [cut for cut, rate in of.items() if rate[1] >= specificity - 1e-9]
    if spared:
        assert fitted["specificity"] == min(spared)
    else:
        assert np.isnan(fitted["specificity"])


def test_nine_of_ten_are_a_sensitivity_of_nine_tenths():
    truth = np.array([True] * 10 + [False] * 10)
    score = np.concatenate([np.arange(10, 20), np.arange(10)]) / 20
    fitted = thresholds.fit(truth, score, 0.9, 0.9)
    assert fitted["sensitivity"] == 11 / 20
    assert fitted["specificity"] == 9 / 20  # it calls one negative of ten
    fitted = thresholds.fit(~truth, -score, 0.9, 0.9)
    assert fitted["specificity"] == -10 / 20


@pytest.mark.parametrize("known", [True, False])
def test_one_class_has_no_threshold(known):
    fitted = thresholds.fit(np.full(5, known), np.arange(5) / 5, 0.9, 0.9)
    assert set(fitted) == set(thresholds.KINDS) and np.isnan(list(fitted.values())).all()
