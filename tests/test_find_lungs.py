import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import png, write_archive
from find_lungs import judge, main
from ribcage import lungs, nets, segmenting
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.tables import read_table, write_table

META = {"labels_version": "other", "source_sha256": "0" * 64}
MARGINS = lungs.Margins(sides=0.05, top=0.05, bottom=0.08)


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
    assert lungs.quality(good, 0.97) == 1.0
    assert lungs.quality(good, 0.75) < 0.5  # the network's two views disagree
    one = good.copy()
    one[:, 128:] = False
    speck = np.zeros_like(good)
    speck[:30, :30] = True
    assert max(lungs.quality(m, 1.0) for m in (one, speck, np.zeros_like(good))) < 0.5


def test_implausible_lungs_fall_back_to_the_whole_film():
    options = {"margins": MARGINS, "min_height_to_width": 0.75, "min_quality": 0.5}
    found = judge(two_lungs(), two_lungs(), (600, 800), **options)
    assert found["method"] == "unet" and found["x0_px"] > 0
    lost = judge(two_lungs(), two_lungs(shift=40), (600, 800), **options)
    assert lost["method"] == "whole_film"
    assert [lost[k] for k in ("x0_px", "y0_px", "x1_px", "y1_px")] == [0, 0, 800, 600]


def test_lungs_lie_on_the_film_and_not_on_the_black_beside_it():
    options = {"margins": MARGINS, "min_height_to_width": 0.75, "min_quality": 0.0}
    found = judge(two_lungs(), two_lungs(), (300, 1000), **options)
    mask = lungs.decode_rle(found["mask_rle"])
    assert lungs.over_film(mask, 1000, 300).sum() == pytest.approx(
        mask.sum() * (1000 / 256) ** 2, rel=0.02
    )
    assert found["lung_fraction"] == pytest.approx(
        lungs.over_film(mask, 1000, 300).mean(), rel=0.02
    )
    beside = judge(two_lungs(), two_lungs(), (20, 1000), **options)
    assert beside["y0_px"] < beside["y1_px"] <= 20


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
    numbers = (0.05, 0.05, 0.08, 0.75, 0.5)
    place = (batch / "curated.parquet", batch / "net", batch / "b1.tar.gz", batch / "lungs.parquet")
    main(*place, name, *numbers)
    return read_table(batch / "lungs.parquet")


def test_every_curated_film_of_the_batch_has_a_row(batch):
    found = find(batch)
    assert found["image"].tolist() == ["a.png", "b.png"]
    assert set(found["method"]) <= {"unet", "whole_film"}
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
