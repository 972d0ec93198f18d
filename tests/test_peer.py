"""A peer's real predictions come out as it published them; and loops in plain Python agree.

The peer is jrzech/reproduce-chexnet: 22,433 films of a random split of patients. Neither its
predictions nor NIH's table are part of the project; the last tests need neither.
"""

import random

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from ribcage import metrics
from ribcage.entries import read_entries
from ribcage.evaluation.bootstrap import Resamples, draw_areas
from ribcage.evaluation.delong import clustered_se, delong_se
from ribcage.evaluation.intervals import effective_of_area, interval, logit_interval
from ribcage.findings import FINDINGS

RESAMPLES = 1000


@pytest.fixture(scope="module")
def peer(official):
    """Published AUROCs, and the films with labels, patient, view position and probabilities."""
    folder = ROOT.parent / "shared" / "peer-predictions"
    if not folder.is_dir():
        pytest.skip(f"no peer's predictions at {folder}")
    given = pd.read_csv(folder / "preds.csv.gz").rename(columns={"Image Index": "image"})
    table = read_entries(official / "Data_Entry_2017_v2020.csv")
    published = pd.read_csv(folder / "published_aucs.csv").set_index("label")["auc"]
    return published, given.merge(table, on="image", validate="one_to_one")


def known_and_given(rows, finding):
    return rows[finding].to_numpy(bool), rows[f"prob_{finding}"].to_numpy()


def test_all_films_of_the_peer_have_labels(peer):
    published, rows = peer
    assert len(rows) == 22_433 and set(published.index) == set(FINDINGS)


@pytest.mark.parametrize("finding", FINDINGS)
def test_published_aurocs_to_the_last_digit(peer, finding):
    published, rows = peer
    assert metrics.auroc(*known_and_given(rows, finding)) == published[finding]


@pytest.mark.parametrize("finding", FINDINGS)
def test_intervals_over_patients_are_wider_than_over_films(peer, finding):
    """Of 13 findings; the 260 films with Pneumonia are of 186 patients, and it makes no difference.

    So say the closed forms, too, in which no resample is drawn: ratios from 1.14 to 1.84, and 0.99.
    """
    published, rows = peer
    known, given = known_and_given(rows, finding)
    patients, widths = rows["patient"].to_numpy(), []
    for whose in (patients, np.arange(len(rows))):
        drawn = draw_areas(known, given, Resamples(whose, RESAMPLES, 1)).auroc
        rests_on = effective_of_area(known, whose)
        low, high = logit_interval(metrics.auroc(known, given), drawn, rests_on)
        assert low < published[finding] < high
        widths.append(high - low)
    errors = clustered_se(known, given, patients), delong_se(known, given)
    ratios = widths[0] / widths[1], errors[0] / errors[1]
    if finding == "Pneumonia":
        assert ratios == pytest.approx([1, 1], abs=0.06)
    else:
        assert min(ratios) > 1.1
    if finding == "Pneumothorax":
        assert widths == pytest.approx([0.039, 0.021], abs=0.002)


def test_a_large_heart_is_seen_better_where_the_film_is_taken_from_behind(peer):
    _, rows = peer
    areas = [
        metrics.auroc(*known_and_given(rows[rows["view_position"] == view], "Cardiomegaly"))
        for view in ("PA", "AP")
    ]
    assert areas == pytest.approx([0.94, 0.85], abs=0.005)


def loop_auroc(films):
    """By its definition: films are (positive, score, how often)."""
    right = total = 0.0
    for positive, score, times in films:
        for other_positive, other_score, other_times in films:
            if positive and not other_positive:
                share = 1.0 if score > other_score else 0.5 if score == other_score else 0.0
                right += share * times * other_times
                total += times * other_times
    return right / total


def loop_average_precision(films):
    """The precision at each score that gains positives, weighted by how many it gains."""
    positives = sum(times for positive, _, times in films if positive)
    area = 0.0
    for level in sorted({score for _, score, _ in films}):
        called = [(positive, times) for positive, score, times in films if score >= level]
        gained = sum(times for positive, score, times in films if positive and score == level)
        if gained:
            precision = sum(times for positive, times in called if positive)
            area += gained / positives * precision / sum(times for _, times in called)
    return area


def loop_interval(values):
    """2.5 % and 97.5 % of the values, between neighbours by a straight line."""
    ordered, ends = sorted(values), []
    for share in (0.025, 0.975):
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        ends.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return ends


def made_up_films():
    """240 films of 50 patients: (patient, positive, score); a patient's films are alike."""
    chance = random.Random(8)
    tendencies = [(chance.gauss(0, 1), chance.gauss(0, 1)) for _ in range(50)]
    films = []
    for number in range(240):
        patient = number % 50 if number < 100 else chance.randrange(50)
        disease, brightness = tendencies[patient]
        positive = disease + 0.5 * chance.gauss(0, 1) > 0.8
        score = round(brightness + positive + 0.5 * chance.gauss(0, 1), 1)
        films.append((patient, positive, score))
    return films


def test_areas_and_intervals_are_those_of_plain_loops():
    films = made_up_films()
    patients, known, given = (np.array(part) for part in zip(*films, strict=True))
    once = [(positive, score, 1) for _, positive, score in films]
    assert metrics.auroc(known, given) == pytest.approx(loop_auroc(once), abs=1e-12)
    expected = loop_average_precision(once)
    assert metrics.average_precision(known, given) == pytest.approx(expected, abs=1e-12)

    resamples = Resamples(patients, 60, 1)
    (counts,) = resamples.blocks()
    areas, precisions = [], []
    for drawn in counts.T:
        chosen = [(positive, score, drawn[p]) for p, positive, score in films if drawn[p]]
        areas.append(loop_auroc(chosen))
        precisions.append(loop_average_precision(chosen))
    ours = draw_areas(known, given, resamples)
    assert ours.auroc == pytest.approx(areas, abs=1e-12)
    assert ours.ap == pytest.approx(precisions, abs=1e-12)
    assert interval(ours.auroc) == pytest.approx(loop_interval(areas), abs=1e-12)
    assert interval(ours.ap) == pytest.approx(loop_interval(precisions), abs=1e-12)


def test_films_that_are_alike_make_intervals_over_patients_wider():
    patients, known, given = (np.array(part) for part in zip(*made_up_films(), strict=True))
    low, high = interval(draw_areas(known, given, Resamples(patients, 2000, 1)).auroc)
    one, other = interval(draw_areas(known, given, Resamples(np.arange(240), 2000, 1)).auroc)
    assert high - low > 1.1 * (other - one)
