import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import png, write_archive
from find_lungs import Limits, judge, main, row_of, tones
from ribcage import lungs, nets, segmenting
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.tables import read_table, write_table

META = {"labels_version": "other", "source_sha256": "0" * 64}
MARGINS = lungs.Margins(sides=0.05, top=0.05, bottom=0.08)
LIMITS = Limits(MARGINS, min_height_to_width=0.75, ensemble_below=0.8, min_quality=0.5)
EVERYWHERE = np.ones((256, 256), bool)


def two_lungs(n=128, shift=0):
    """Probabilities of an ordinary pair of lungs."""
    drawn = np.zeros((n, n), np.uint8)
    for centre in (0.32, 0.68):
        place = (round((centre * n) + shift), round(0.45 * n))
        cv2.ellipse(drawn, place, (round(0.13 * n), round(0.28 * n)), 0, 0, 360, 1, -1)
    return drawn.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_run_lengths_come_back(seed, share):
    mask = np.random.default_rng(seed).random((256, 256)) < share
    assert np.array_equal(lungs.decode_rle(lungs.encode_rle(mask)), mask)


def test_run_lengths_are_cocos():
    mask = np.zeros((256, 256), bool)
    mask[3, 0] = mask[4, 0] = mask[0, 1] = True  # COCO counts down the columns, zeros first
    assert lungs.encode_rle(mask) == f"3 2 251 1 {256 * 256 - 257}"
    assert lungs.encode_rle(np.ones((256, 256), bool)) == f"0 {256 * 256}"
    with pytest.raises(ValueError, match="run lengths sum to 9"):
        lungs.decode_rle("4 5")


def test_cleaning_keeps_the_two_largest_parts_without_holes():
    drawn = two_lungs()
    hole = (slice(50, 54), slice(40, 44))
    spoilt = drawn.copy()
    spoilt[hole] = 0
    spoilt[2:12, 60:70] = 1  # a patch of air beside the neck
    mask = lungs.clean(spoilt)
    expected = lungs.clean(drawn)
    assert lungs.dice(mask, expected) > 0.995
    assert not lungs.clean(np.zeros((128, 128), np.float32)).any()


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (800, 600), (600, 800)])
def test_a_box_holds_the_lungs_with_its_margins_in_the_film(width, height):
    film = np.zeros((height, width), np.uint8)
    x0, x1, y0, y1 = (round(v) for v in (0.2 * width, 0.8 * width, 0.2 * height, 0.7 * height))
    film[y0:y1, x0:x1] = 255
    mask = lungs.clean((lungs.see(film, 256) > 127).astype(np.float32))
    box = lungs.box_around(mask, width, height, MARGINS, 0.0)
    side, slack = max(width, height), 0.01 * max(width, height)
    assert box.x0_px == pytest.approx(x0 - 0.05 * side, abs=slack)
    assert box.x1_px == pytest.approx(x1 + 0.05 * side, abs=slack)
    assert box.y0_px == pytest.approx(max(y0 - 0.05 * side, 0), abs=slack)
    assert box.y1_px == pytest.approx(min(y1 + 0.08 * side, height), abs=slack)
    over = lungs.over_film(mask, width, height)
    assert over.shape == (height, width) and lungs.dice(over, film > 0) > 0.98


def test_a_flat_box_is_made_higher_downwards_first():
    mask = np.zeros((256, 256), bool)
    mask[100:130, 40:216] = True
    flat = lungs.box_around(mask, 1024, 1024, MARGINS, 0.0)
    high = lungs.box_around(mask, 1024, 1024, MARGINS, 0.75)
    assert high.y0_px == flat.y0_px and high.y1_px > flat.y1_px
    ratio = (high.y1_px - high.y0_px) / (high.x1_px - high.x0_px)
    assert ratio == pytest.approx(0.75, abs=0.01)


def test_ordinary_lungs_have_full_quality_and_odd_ones_less():
    good = lungs.clean(two_lungs())
    assert lungs.quality(good, 0.98) == 1.0
    assert lungs.quality(good, 0.75) < 0.5 < lungs.quality(good, 0.90) < 1  # views disagree
    one = good.copy()
    one[:, 128:] = False
    speck = np.zeros_like(good)
    speck[:30, :30] = True
    assert max(lungs.quality(m, 1.0) for m in (one, speck, np.zeros_like(good))) < 0.5


def part_of(mask, drawn):
    """Whether a mask has anything of what was drawn."""
    return bool((mask & drawn).any())


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param((slice(190, 206), slice(160, 190)), id="gas under the diaphragm"),
        pytest.param((slice(0, 256), slice(236, 256)), id="a black panel beside the body"),
        pytest.param((slice(90, 230), slice(0, 8)), id="a gap between arm and chest"),
    ],
)
def test_what_is_no_lung_does_not_take_the_place_of_one(odd):
    drawn = cv2.resize(two_lungs(), (256, 256))
    drawn[:, 128:][60:] = 0  # of the left lung only the apex is seen
    mask_of_lungs = lungs.clean(drawn)
    strange = np.zeros((256, 256), bool)
    strange[odd] = True
    mask = lungs.clean(np.where(strange, 1.0, drawn))
    assert not part_of(mask, strange) and lungs.dice(mask, mask_of_lungs) > 0.99


def seen_as(**of_tone):
    """A segmenter that sees ordinary lungs, or what is given, in the tone of that number."""

    def see(films):
        seen = [of_tone.get(f"tone_{n}", two_lungs()) for n in range(len(films))]
        return np.stack(seen), np.stack(seen)

    return see


def found_in(film, views, see):
    small = lungs.see(film, 128)
    found = judge(film, small, views, see, LIMITS)
    return found, row_of(found, film.shape, LIMITS)


def chest(height=600, width=800):
    """A film with two dark lungs in a bright body."""
    film = np.full((height, width), 190, np.uint8)
    square = lungs.over_film(lungs.clean(two_lungs()), width, height)
    film[square] = 60
    return cv2.GaussianBlur(film, (0, 0), 3)


def test_each_method_is_asked_in_turn():
    nothing = np.zeros((128, 128), np.float32)
    plain, flat = (two_lungs(), two_lungs()), np.full((600, 800), 90, np.uint8)
    found, row = found_in(chest(), plain, seen_as())
    assert row["method"] == "unet" and found.quality == 1 and row["x0_px"] > 0
    lost = (two_lungs(), two_lungs(shift=40))
    found, row = found_in(chest(), lost, seen_as())
    assert row["method"] == "unet_ensemble" and found.quality > 0.9
    blind = seen_as(**{f"tone_{n}": nothing for n in range(5)})
    found, row = found_in(chest(), (nothing, nothing), blind)
    assert row["method"] == "lung_finder" and 0.5 <= found.quality <= 1
    found, row = found_in(flat, (nothing, nothing), blind)
    assert row["method"] == "whole_film" and not found.mask.any()
    assert [row[k] for k in ("x0_px", "y0_px", "x1_px", "y1_px")] == [0, 0, 800, 600]


def test_one_tone_that_shows_the_lungs_is_enough():
    nothing = np.zeros((128, 128), np.float32)
    inverted_only = seen_as(**{f"tone_{n}": nothing for n in range(4)})
    found, _ = found_in(chest(), (nothing, nothing), inverted_only)
    assert found.method == "unet_ensemble" and found.quality > 0.9


def test_a_doubtful_lung_is_found_with_a_lower_threshold():
    doubtful = two_lungs()
    doubtful[:, :64] *= 0.4
    see = seen_as(**{f"tone_{n}": doubtful for n in range(5)})
    found, _ = found_in(chest(), (doubtful, doubtful), see)
    assert found.method == "unet_ensemble"
    assert lungs.dice(found.mask, lungs.clean(two_lungs(), lungs.on_film(800, 600))) > 0.9


def test_tones_begin_with_the_film_and_end_with_its_inverse():
    film = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    shown = tones(film)
    assert shown.shape == (5, 64, 64) and shown.dtype == np.uint8
    assert np.array_equal(shown[0], film) and np.array_equal(shown[-1], 255 - film)
    assert shown[1].mean() < film.mean() < shown[2].mean()


def test_the_lung_finders_box_has_twice_the_margins():
    mask = lungs.clean(two_lungs())
    limits = LIMITS._replace(min_height_to_width=0.0)
    found = judge(chest(1024, 1024), None, (two_lungs(), two_lungs()), None, limits)
    boxes = [row_of(found._replace(method=m), (1024, 1024), limits) for m in lungs.METHODS[:3]]
    sides = [box["x0_px"] for box in boxes]
    assert sides[0] == sides[1] and sides[0] - sides[2] == pytest.approx(0.05 * 1024, abs=1)
    assert mask.any()


def test_lungs_lie_on_the_film_and_not_on_the_black_beside_it():
    film = np.full((300, 1000), 90, np.uint8)
    limits = LIMITS._replace(min_quality=0.0, ensemble_below=0.0)
    found = judge(film, lungs.see(film, 128), (two_lungs(), two_lungs()), seen_as(), limits)
    row = row_of(found, film.shape, limits)
    on_film = lungs.over_film(found.mask, 1000, 300)
    assert on_film.sum() == pytest.approx(found.mask.sum() * (1000 / 256) ** 2, rel=0.02)
    assert row["lung_fraction"] == pytest.approx(on_film.mean(), rel=0.02)


@pytest.fixture
def batch(tmp_path):
    rng = np.random.default_rng(0)
    names = ["b.png", "a.png", "c.png"]
    write_archive(
        tmp_path / "b1.tar.gz",
        {name: png(rng.integers(0, 255, (60, 80), dtype=np.uint8)) for name in names},
    )
    rows = pd.DataFrame({"image": ["a.png", "b.png", "z.png"], "batch": ["b1", "b1", "b2"]})
    rows = rows.assign(**dict.fromkeys(FINDINGS, False))
    write_table(rows, tmp_path / "curated.parquet", META)
    (tmp_path / "net").mkdir()
    nets.save(
        segmenting.build("resnet18"),
        {
            "encoder": "resnet18",
            "architecture": "unet",
            "decoder_channels": [128, 64, 32, 16, 8],
            "size_px": 64,
        },
        tmp_path / "net",
    )
    return tmp_path


def find(batch, name="b1"):
    numbers = (0.05, 0.05, 0.08, 0.75, 0.8, 0.5)
    place = (batch / "curated.parquet", batch / "net", batch / "b1.tar.gz", batch / "lungs.parquet")
    main(*place, name, *numbers)
    return read_table(batch / "lungs.parquet")


def test_every_curated_film_of_the_batch_has_a_row(batch):
    found = find(batch)
    assert found["image"].tolist() == ["a.png", "b.png"]
    assert set(found["method"]) <= set(lungs.METHODS)
    assert ((found["x1_px"] <= 80) & (found["y1_px"] <= 60) & (found["x0_px"] >= 0)).all()
    assert found["quality"].between(0, 1).all()


def test_a_batch_that_keeps_no_film_has_the_columns_of_any_other(batch):
    columns = find(batch).dtypes
    found = find(batch, "b3")
    assert found.empty and found.dtypes.equals(columns)


def test_a_film_that_is_gone_and_a_broken_segmenter_are_refused(batch):
    write_archive(batch / "b1.tar.gz", {"a.png": png(np.zeros((60, 80), np.uint8))})
    with pytest.raises(InputError, match=r"no longer holds b\.png"):
        find(batch)
    (batch / "net" / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a readable safetensors"):
        find(batch)
