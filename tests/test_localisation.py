import numpy as np
import pytest

from ribcage.boxes import Box
from ribcage.explanation.localisation import (
    ALL,
    LEAST_EVIDENCE,
    MARKED_SHARE,
    MEASURES,
    Groups,
    Pair,
    best_overlaps,
    detected,
    guesses,
    overlaps,
    pointing_game,
)
from ribcage.explanation.overlap import accuracies, guessed_box
from ribcage.explanation.placement import on_film
from ribcage.shards import Square

SQUARE = (100, 100)


def test_boxes_are_drawn_around_the_parts_with_enough_evidence():
    heat = np.full((60, 80), np.nan, np.float32)
    heat[10:50, 10:70] = 0.1
    heat[20:30, 15:35] = 1.0  # 200 px
    heat[40:46, 40:50] = 0.9  # 60 px, 54 of evidence against 200
    heat[12:14, 60:62] = 0.8  # 4 px: too little
    heat[31, 36] = MARKED_SHARE - 0.01
    assert detected(heat) == (Box(15, 20, 20, 10), Box(40, 40, 10, 6))
    heat[40:46, 40:50] = LEAST_EVIDENCE * 200 / 60 - 0.01
    assert detected(heat) == (Box(15, 20, 20, 10),)
    heat[30, 35] = 0.9  # touches by a corner
    assert detected(heat) == (Box(15, 20, 21, 11),)
    assert detected(-np.abs(heat)) == () == detected(np.zeros((4, 4)))


def test_overlaps_divide_by_the_union_and_by_the_detected_box():
    found, drawn = [Box(0, 0, 10, 10), Box(50, 50, 4, 4)], [Box(5, 0, 10, 10), Box(0, 0, 100, 100)]
    iou, iobb = overlaps(found, drawn)
    np.testing.assert_allclose(iou, [[50 / 150, 100 / 10_000], [0, 16 / 10_000]])
    np.testing.assert_allclose(iobb, [[0.5, 1], [0, 1]])
    assert best_overlaps(found, drawn) == pytest.approx((1 / 3, 1))
    assert best_overlaps([], drawn) == (0, 0)
    assert np.isnan(best_overlaps(found, [])).all()


def pair(patient, *boxes, finding="Mass", film_px=SQUARE):
    return Pair(finding, patient, film_px, tuple(Box(*box) for box in boxes))


def play(pairs, peaks, findings=("Mass", "Effusion", "Hernia"), resamples=400):
    groups = Groups(pairs, findings, resamples, 1)
    table = pointing_game("cam", pairs, np.array(peaks, float), groups, guesses(pairs))
    return table.set_index("finding")


def test_the_pointing_game_counts_films_beside_blind_pointers():
    pairs = [
        pair(1, (20, 20, 20, 20)),
        pair(2, (40, 20, 40, 20), (150, 60, 20, 20), film_px=(200, 100)),
        pair(3, (20, 20, 20, 20)),
        pair(4, (40, 40, 20, 60), finding="Effusion"),
    ]
    table = play(pairs, [(25, 25), (99, 99), (40, 40), (50, 99)])
    assert table.loc["Mass", ["films", "patients", "boxes", "hits"]].tolist() == [3, 3, 4, 1]
    assert table.loc["Mass", "pointing"] == pytest.approx(1 / 3)
    # Others' mean of film 1, box by box: ((.3 + .8 + .3) / 3, (.3 + .7 + .3) / 3) = (.47, .43), a
    # miss; of film 2 (.3, .3), which is (60, 30) there, a hit; of film 3 as of film 1.
    assert table.loc["Mass", "mean_place"] == pytest.approx(1 / 3)
    assert table.loc["Mass", "over_mean_place"] == 0
    assert table.loc["Mass", "best_place"] == 1  # every film has a box around (.3, .3)
    assert table.loc["Mass", "centre"] == 0
    effusion = table.loc["Effusion"]
    assert effusion["centre"] == 1 == effusion["best_place"] and np.isnan(effusion["mean_place"])
    assert np.isnan(effusion[["low", "high", "over_mean_place"]].astype(float)).all()
    assert table.loc["Hernia", "films"] == 0 and np.isnan(table.loc["Hernia", "pointing"])
    assert table.loc[ALL, ["films", "boxes", "hits"]].tolist() == [4, 5, 2]
    assert table.loc[ALL, "mean_place"] == pytest.approx(1 / 3)
    # Effusion has no mean place: only the films of Mass are compared.
    assert table.loc[ALL, "over_mean_place"] == 0


def test_no_fixed_place_does_better_than_the_best_however_small_the_boxes():
    rng = np.random.default_rng(4)
    for side in (1, 3, 300):
        pairs = [
            pair(n, *(tuple(one) for one in boxes), film_px=tuple(rng.integers(900, 1100, 2)))
            for n in range(12)
            if (boxes := [[*rng.integers(0, 900 - side, 2), side, side] for _ in range(1 + n % 3)])
        ]
        pairs.append(pairs[0]._replace(patient=12))  # so that even the smallest share a place
        best = guesses(pairs).best * [one.film_px for one in pairs]
        hits = sum(one.hit(*at) for one, at in zip(pairs, best, strict=True))
        tried = rng.random((4000, 2))
        others = max(sum(one.hit(*(at * one.film_px)) for one in pairs) for at in tried)
        assert hits >= max(others, 2), side


def test_a_film_counts_once_however_many_of_its_boxes_a_place_hits():
    twice = pair(1, (0, 0, 10, 10), (5, 5, 10, 10), (6, 6, 9, 9))
    others = [pair(2, (80, 80, 5, 5)), pair(3, (82, 82, 5, 5))]
    assert guesses([twice, *others]).best[0] == pytest.approx([0.835, 0.835])
    flat = [pair(4, (50, 50, 0, 9), finding="Effusion")]
    assert np.isnan(guesses(flat).best).all()


def test_a_map_without_a_peak_misses():
    pairs = [pair(1, (0, 0, 100, 100)), pair(2, (0, 0, 100, 100))]
    table = play(pairs, [(np.nan, np.nan), (5, 5)])
    assert table.loc["Mass", ["films", "hits"]].tolist() == [2, 1]
    assert table.loc["Mass", "over_mean_place"] == -0.5


def test_the_mean_place_is_never_of_the_same_patient():
    pairs = [pair(1, (0, 0, 10, 10)), pair(1, (0, 0, 10, 10)), pair(2, (80, 80, 20, 20))]
    mean = guesses(pairs).mean
    np.testing.assert_allclose(mean[:2], [[0.9, 0.9, 0.2, 0.2]] * 2)
    np.testing.assert_allclose(mean[2], [0.05, 0.05, 0.1, 0.1])
    alone = guesses(pairs[:2])
    assert np.isnan(alone.mean).all() and np.isfinite(alone.best).all()


def test_intervals_follow_the_patients_not_the_films():
    rng = np.random.default_rng(3)
    right = rng.random(40) < 0.6
    boxes = [(10, 10, 30, 30), (60, 60, 30, 30)]
    pairs = [pair(patient, boxes[patient % 2]) for patient in range(40) for _ in range(4)]
    peaks = [
        np.add(boxes[patient % 2][:2], 5) if right[patient] else (50, 95)
        for patient in range(40)
        for _ in range(4)
    ]
    by_patient = play(pairs, peaks, ["Mass"], 2000).loc["Mass"]
    apart = [one._replace(patient=number) for number, one in enumerate(pairs)]
    by_film = play(apart, peaks, ["Mass"], 2000).loc["Mass"]
    assert by_patient["pointing"] == by_film["pointing"] == right.mean()
    wide, narrow = (row["high"] - row["low"] for row in (by_patient, by_film))
    assert wide == pytest.approx(2 * narrow, rel=0.1)
    assert by_patient["low"] < right.mean() < by_patient["high"]
    # The mean place lies between the two: it hits neither, and the difference is the pointing.
    assert by_patient["over_mean_place"] == right.mean() and by_patient["mean_place"] == 0
    assert 0 < by_patient["over_low"] < right.mean() < by_patient["over_high"]


def test_a_difference_that_no_patient_shows_has_no_interval():
    pairs = [pair(patient, (20, 20, 60, 60)) for patient in range(5)]
    row = play(pairs, [(50, 50)] * 5).loc["Mass"]
    assert row["pointing"] == 1 == row["mean_place"] and row["over_mean_place"] == 0
    assert np.isnan(row[["low", "high", "over_low", "over_high"]].astype(float)).all()


def scored(pairs, found, findings=("Mass", "Effusion")):
    groups = Groups(pairs, findings, 400, 1)
    table = accuracies("cam", pairs, found, groups, guesses(pairs))
    return table.set_index(["finding", "measure", "threshold"]).sort_index()


def test_accuracy_is_the_share_of_the_readers_boxes_that_are_found():
    pairs = [
        pair(1, (20, 20, 20, 20), (70, 70, 10, 10)),
        pair(2, (20, 20, 20, 20)),
        pair(3, (60, 20, 20, 20)),
    ]
    found = [(Box(20, 20, 20, 10), Box(0, 90, 5, 5)), (Box(10, 10, 40, 40),), ()]
    table = scored(pairs, found)
    assert len(table) == 3 * len(MEASURES)
    mass = table.loc["Mass"]
    assert (mass["boxes"] == 4).all() and (table.loc["Effusion", "boxes"] == 0).all()
    assert np.isnan(table.loc["Effusion", "accuracy"]).all()
    # IoU .5 and .25; IoBB 1 and .25: found where the overlap is more than the threshold.
    iou, iobb = mass.loc["IoU"], mass.loc["IoBB"]
    assert iou["accuracy"].tolist() == [0.5, 0.5, 0.25, 0.25, 0, 0, 0]
    assert iobb["accuracy"].tolist() == [0.5, 0.25, 0.25, 0.25, 0.25]
    # The box in the corner matches nothing; the wide one less and less.
    assert iou.loc[[0.1, 0.3, 0.5], "false_boxes"].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert (table.loc[ALL, "accuracy"].to_numpy() == mass["accuracy"].to_numpy()).all()
    assert iou.loc[0.1, "low"] < 0.5 < iou.loc[0.1, "high"] and np.isnan(iou.loc[0.7, "low"])


def test_guessed_boxes_have_the_mean_size_of_other_patients_and_end_at_the_film():
    at = np.array([0.9, 0.5, 0.4, 0.2])
    assert guessed_box(at, (200, 100)) == pytest.approx((140, 40, 60, 20))
    pairs = [pair(1, (40, 40, 20, 20)), pair(2, (40, 40, 20, 20)), pair(3, (20, 20, 20, 20))]
    table = scored(pairs, [()] * 3)
    # The mean of the others is (40, 40) for the first two: a seventh of the union. The third's is
    # (50, 50), which only touches it.
    assert table.loc[("Mass", "IoU", 0.1), "centre"] == pytest.approx(2 / 3)
    assert table.loc[("Mass", "IoU", 0.7), "centre"] == pytest.approx(2 / 3)
    assert table.loc[("Mass", "IoU", 0.1), "mean_place"] == pytest.approx(2 / 3)
    assert table.loc[("Mass", "IoU", 0.2), "mean_place"] == 0
    alone = scored([pair(1, (40, 40, 20, 20), finding="Effusion")], [()])
    assert np.isnan(alone.loc["Effusion", ["centre", "mean_place"]].to_numpy()).all()


def test_maps_of_two_by_two_cells_localise_badly_and_the_numbers_say_so():
    rng = np.random.default_rng(0)
    square, film_px = Square(0, 0, 256), (256, 256)
    pairs, coarse, fine = [], [], []
    for patient in range(60):
        x, y = rng.integers(10, 210, 2).tolist()
        pairs.append(pair(patient, (x, y, 30, 30), film_px=film_px))
        for grid, kept in ((2, coarse), (16, fine)):
            # The best map there could be: each cell says how much of the box lies in it.
            covered = np.zeros(film_px)
            covered[y : y + 30, x : x + 30] = 1
            side = 256 // grid
            cells = covered.reshape(grid, side, grid, side).mean(axis=(1, 3))
            kept.append(detected(on_film(cells, square, film_px, film_px)))
    at = ("Mass", "IoU", 0.5)
    assert scored(pairs, coarse).loc[at, "accuracy"] == 0
    assert scored(pairs, fine).loc[at, "accuracy"] > 0.5
