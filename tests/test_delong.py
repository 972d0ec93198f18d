import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ribcage.evaluation.bootstrap import Resamples, draw_areas
from ribcage.evaluation.delong import clustered_se, delong_se, placements


@pytest.fixture
def films():
    """Labels, scores with ties, and patients, of whom both share something."""
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(300), rng.integers(1, 9, 300))
    own, shared = rng.normal(size=(2, len(patients))), rng.normal(size=(2, 300))[:, patients]
    known = own[0] + shared[0] > 1.2
    given = np.round(own[1] + shared[1] + 1.5 * known, 1)
    order = rng.permutation(len(patients))
    return known[order], given[order], patients[order]


def kernel(known, given):
    """1 where a positive (row) beats a negative (column), a half where they tie."""
    return (np.sign(given[known][:, None] - given[~known]) + 1) / 2


def test_placements_are_shares_of_the_other_class(films):
    known, given, _ = films
    placed, pairs = placements(known, given), kernel(known, given)
    assert placed[known] == pytest.approx(pairs.mean(axis=1), abs=1e-12)
    assert placed[~known] == pytest.approx(pairs.mean(axis=0), abs=1e-12)
    area = roc_auc_score(known, given)
    assert [placed[known].mean(), placed[~known].mean()] == pytest.approx([area, area], abs=1e-12)


def test_delong_is_its_definition(films):
    known, given, _ = films
    pairs = kernel(known, given)
    variance = pairs.mean(axis=1).var(ddof=1) / len(pairs)
    variance += pairs.mean(axis=0).var(ddof=1) / len(pairs.T)
    assert delong_se(known, given) == pytest.approx(np.sqrt(variance), rel=1e-12)


def test_clustered_is_its_definition_patient_by_patient(films):
    known, given, patients = (part[:400] for part in films)
    pairs = kernel(known, given)
    area, (m, n) = pairs.mean(), pairs.shape
    names = np.unique(patients)
    s10 = s01 = s11 = 0.0
    for patient in names:
        rows, columns = patients[known] == patient, patients[~known] == patient
        of_positives = pairs.mean(axis=1)[rows].sum() - rows.sum() * area
        of_negatives = pairs.mean(axis=0)[columns].sum() - columns.sum() * area
        s10 += of_positives**2
        s01 += of_negatives**2
        s11 += of_positives * of_negatives
    with_positive, with_negative = np.unique(patients[known]).size, np.unique(patients[~known]).size
    s10 *= with_positive / ((with_positive - 1) * m)
    s01 *= with_negative / ((with_negative - 1) * n)
    s11 *= len(names) / (len(names) - 1)
    expected = np.sqrt(s10 / m + s01 / n + 2 * s11 / (m * n))
    assert clustered_se(known, given, patients) == pytest.approx(expected, rel=1e-12)


def test_with_one_film_a_patient_clustered_is_delong(films):
    known, given, _ = films
    patients = np.random.default_rng(0).permutation(len(known))
    assert clustered_se(known, given, patients) == pytest.approx(delong_se(known, given), rel=1e-12)


def test_both_agree_with_the_bootstrap_of_what_they_resample(films):
    known, given, patients = films
    sds = [
        draw_areas(known, given, Resamples(whose, 2000, 1)).auroc.std()
        for whose in (np.arange(len(known)), patients)
    ]
    errors = [delong_se(known, given), clustered_se(known, given, patients)]
    # An sd of 2,000 resamples is known to 1.6 %.
    assert errors == pytest.approx(sds, rel=0.06)
    assert errors[1] > 1.2 * errors[0]


def test_neither_order_nor_names_nor_scale_matter(films):
    known, given, patients = films
    once = clustered_se(known, given, patients)
    names = np.array([f"{patient:04d}" for patient in patients])
    back = slice(None, None, -1)
    other = clustered_se(known[back], np.exp(given[back]), names[back])
    assert other == pytest.approx(once, rel=1e-12)


@pytest.mark.parametrize(
    "known, given",
    [
        ([0, 0, 0, 0], [1, 2, 3, 4]),
        ([1, 1, 1, 1], [1, 2, 3, 4]),
        ([1, 0, 0, 0], [1, 2, 3, 4]),
        ([1, 1, 1, 0], [1, 2, 3, 4]),
        ([1, 1, 0, 0], [1, 2, np.nan, 4]),
        ([1, 1, 0, 0], [np.nan] * 4),
    ],
)
def test_too_few_films_or_unknown_scores_have_no_error(known, given):
    known, given = np.array(known, bool), np.array(given, float)
    assert np.isnan(delong_se(known, given))
    assert np.isnan(clustered_se(known, given, np.arange(4)))


def test_one_patient_with_positives_has_no_clustered_error():
    known = np.array([1, 1, 0, 0, 0], bool)
    given, patients = np.array([3.0, 1, 2, 0, 0]), np.array([1, 1, 1, 2, 3])
    assert delong_se(known, given) > 0
    assert np.isnan(clustered_se(known, given, patients))
