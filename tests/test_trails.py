import numpy as np
import pytest

from ribcage.evaluation import trails
from ribcage.evaluation.bootstrap import Resamples

NAN = float("nan")


def test_a_mean_is_over_what_is_defined_in_the_sample():
    columns = np.array([[0.2, 0.6, NAN], [0.4, NAN, 0.9], [NAN, NAN, 0.9]])
    assert trails.mean(columns) == pytest.approx([0.4, 0.4, NAN], nan_ok=True)
    weights = np.array([[3, 1, 9], [1, 1, 9], [1, 1, 9]])
    assert trails.mean(columns, weights)[0] == pytest.approx(0.3)
    assert np.isnan(trails.mean(columns[:, [2]])).all()
    assert trails.mean(columns, np.zeros((3, 3))) == pytest.approx([NAN] * 3, nan_ok=True)


def test_a_row_has_no_interval_where_resamples_are_undefined():
    counted = {"positives": 1, "negatives": 9, "patients": 1}
    assert trails.row(np.array([0.5, 0.4, 0.6, NAN]), counted)["low"] is None
    row = trails.row(np.linspace(0, 1, 101), counted)
    assert row["value"] == 0 and row["low"] == pytest.approx(0.03475)


def test_sums_begin_with_the_sample():
    resamples = Resamples(np.array([1, 1, 2, 3]), 50, 1)
    sums = trails.sums(np.array([[1, 2], [1, 0], [1, 5], [1, 1]]), resamples)
    assert sums.shape == (51, 2) and sums[0].tolist() == [4, 8]
    assert len(np.unique(sums[1:, 0])) > 1  # patients have unlike numbers of films
