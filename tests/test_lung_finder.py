import cv2
import numpy as np
import pytest

from ribcage import lung_finder, lungs

EVERYWHERE = np.ones((256, 256), bool)


def chest(x=0.5, y=0.45, width=0.66, height=0.58, seed=0):
    """A film with lungs like ellipses, arms, noise and a gradient; and where its lungs are."""
    film = np.full((256, 256), 30.0, np.float32)
    film[:, 30:226] = 185
    mask = np.zeros((256, 256), np.uint8)
    for side in (-1, 1):
        centre = round(256 * (x + side * 0.27 * width)), round(256 * y)
        axes = round(256 * 0.2 * width), round(128 * height)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
    film[mask > 0] = 75
    film = cv2.GaussianBlur(film, (0, 0), 2) + np.linspace(-25, 25, 256)[:, None]
    film += np.random.default_rng(seed).normal(0, 6, film.shape)
    return film.clip(0, 255).astype(np.uint8), mask > 0


@pytest.mark.parametrize(
    "place", [{}, {"width": 0.5, "height": 0.45}, {"x": 0.44, "y": 0.52}, {"height": 0.75}]
)
@pytest.mark.parametrize("inverted", [False, True])
def test_lungs_of_many_sizes_and_places_are_found(place, inverted):
    film, truth = chest(**place)
    mask, sure = lung_finder.find(255 - film if inverted else film, EVERYWHERE)
    assert lungs.dice(mask, truth) > 0.8 and sure > 0.5


@pytest.mark.parametrize("film", ["flat", "noise", "ramp"])
def test_a_film_without_lungs_is_not_believed(film):
    made = {
        "flat": np.full((256, 256), 90, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8),
        "ramp": np.tile(np.arange(256, dtype=np.uint8), (256, 1)),
    }
    mask, sure = lung_finder.find(made[film], EVERYWHERE)
    assert sure < 0.5 and mask.shape == (256, 256)


def test_frames_and_what_lies_beside_the_film_are_left_out():
    film, _ = chest()
    framed = film.copy()
    framed[:20], framed[:, 240:] = 255, 0
    found = lung_finder.frame(framed)
    assert found[:20].all() and found[:, 240:].all() and not found[25:, :235].any()
    inside = lungs.on_film(1000, 700)
    shown = np.where(inside, film, 0).astype(np.uint8)
    assert not lung_finder.tones(shown, inside)[~inside].any()
    assert not lung_finder.find(shown, inside)[0][~inside].any()


def test_the_average_lungs_fill_their_box():
    drawn = lung_finder.atlas(100, 80, 10, 5)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert drawn.shape == (90, 120) and 0.3 < drawn.mean() < 0.7
    assert (columns[0], columns[-1]) == (10, 109) and rows[0] in (5, 6) and rows[-1] in (83, 84)
