import cv2
import numpy as np
import pandas as pd
import pytest

from ribcage.films import decode, read_batch
from ribcage.measures import RULES, Measures, broken, measure, table_of

SUGGESTED = {name: rule.suggested for name, rule in RULES.items()}


def chest():
    """A frontal chest of 512 px: two dark lungs and a dark background in a bright body."""
    film = np.full((512, 512), 20, np.float32)
    film[110:, 60:452] = 150
    film[40:140, 200:312] = 140
    film[330:, 60:452] = 220
    for x in (170, 342):
        cv2.ellipse(film, (x, 230), (62, 130), 0, 0, 360, 50, -1)
    cv2.ellipse(film, (285, 300), (60, 70), 0, 0, 360, 190, -1)
    film[60:, 240:272] += 35
    return np.clip(cv2.GaussianBlur(film, (0, 0), 8), 0, 255).astype(np.uint8)


def named(film, thresholds=SUGGESTED):
    found = broken(table_of({"a.png": measure(np.ascontiguousarray(film))}), thresholds)
    return found.get("a.png", "")


def test_a_chest_breaks_no_rule():
    assert named(chest()) == ""
    assert named(cv2.resize(chest(), (300, 411))) == ""


@pytest.mark.parametrize(
    ("word", "spoil"),
    [
        ("too dark", lambda film: film // 5),
        ("too bright", lambda film: 255 - film // 8),
        ("flat", lambda film: 100 + film // 32),
        ("inverted", lambda film: 255 - film),
        ("rotated", np.rot90),
        ("rotated", lambda film: film[::-1, ::-1]),
        ("rotated", lambda film: np.rot90(film, 3)),
        (
            "not frontal",
            lambda film: np.random.default_rng(0).permutation(film.ravel()).reshape(512, 512),
        ),
    ],
)
def test_a_spoilt_chest_is_named_by_its_rule(word, spoil):
    rule = word.replace(" ", "_")
    reason = named(spoil(chest()), {rule: RULES[rule].suggested})
    assert reason.startswith(f"{word}: ") and reason.endswith(f"(limit {SUGGESTED[rule]:g})")


def test_none_turns_a_rule_off_and_the_first_rule_gives_the_reason():
    dark = 255 - chest()[::-1] // 2 - 127
    assert named(dark, dict.fromkeys(RULES, "none")) == ""
    assert named(dark, {"rotated": -2, "inverted": -2}).startswith("inverted")
    with pytest.raises(ValueError, match="tilted"):
        named(dark, {"tilted": 1})


def test_mean_spread_and_sum_are_those_of_all_pixels_as_stored():
    film = np.random.default_rng(1).integers(0, 256, (37, 53), dtype=np.uint8)
    measures = measure(film)
    assert measures.mean_grey == pytest.approx(film.mean(), abs=1e-9)
    assert measures.sd_grey == pytest.approx(film.std(), abs=1e-9)
    assert len(measures.pixels_sha256) == 64 and len(measures.phash) == 576 // 4
    assert measure(film.copy()) == measures
    assert measure(film.reshape(53, 37)).pixels_sha256 != measures.pixels_sha256


@pytest.mark.parametrize("shape", [(1, 1), (2, 700), (300, 1)])
@pytest.mark.parametrize("grey", [0, 77, 255])
def test_a_film_without_structure_has_measures_all_the_same(shape, grey):
    measures = measure(np.full(shape, grey, np.uint8))
    assert measures.sd_grey == 0 and measures.chest_likeness <= 1
    assert not pd.isna(list(measures)).any()


def test_the_table_is_sorted_and_typed_even_when_empty():
    measures = measure(chest())
    table = table_of({"b.png": measures, "a.png": measures})
    assert table["image"].tolist() == ["a.png", "b.png"]
    assert list(table_of({}).dtypes) == list(table.dtypes)
    assert list(table.columns) == ["image", *Measures._fields]


def test_the_suggestions_on_real_films(nih_starter):
    measured = {
        name: measure(decode(data, name)) for name, data in read_batch(nih_starter / "images")
    }
    reasons = broken(table_of(measured), SUGGESTED)
    # A child's whole body and black bones, both set aside by others; a chest on a white canvas.
    assert sorted(reasons) == ["00005618_000.png", "00011386_000.png", "00017999_000.png"]
    assert reasons["00017999_000.png"].startswith("inverted")
