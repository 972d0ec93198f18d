import numpy as np
import pandas as pd
import pytest

from conftest import png, write_archive
from ribcage import lungs, no_lungs
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.findings import FINDINGS
from ribcage.shards import Shards
from ribcage.tables import write_table
from write_shards import main

META = {"labels_version": "other", "source_sha256": "0" * 64}
NAMES = ["c.png", "a.png", "b.png"]
METHODS = ["unet", "lung_finder", "whole_film"]


@pytest.fixture
def made(tmp_path):
    """Films with a bright lung box, their curated rows (in another order), and lung boxes."""
    films, boxes = {}, []
    mask = np.zeros((256, 256), bool)
    mask[110:160, 70:110] = mask[110:160, 140:180] = True
    for number, name in enumerate(NAMES):
        film = np.full((60, 80), 20, np.uint8)
        x, y = 10 + 5 * number, 12 + 3 * number
        film[y : y + 40, x : x + 40] = 100 + 40 * number
        films[name] = png(film)
        boxes.append((name, x, y, x + 40, y + 40, METHODS[number], lungs.encode_rle(mask)))
    write_archive(tmp_path / "b1.tar.gz", films)
    rows = pd.DataFrame({"image": sorted(NAMES), "batch": "b1", "width_px": 80, "height_px": 60})
    rows.loc[3] = ["other.png", "b2", 80, 60]
    rows = rows.assign(**dict.fromkeys(FINDINGS, False))
    write_table(rows, tmp_path / "curated.parquet", META)
    columns = ["image", *lungs.Box._fields, "method", "mask_rle"]
    write_table(pd.DataFrame(boxes, columns=columns), tmp_path / "b1.parquet", META)
    return tmp_path


def write(made, wanted):
    main(
        made / "curated.parquet", made / "b1.tar.gz", made / "b1.parquet", made / "b1", "b1", wanted
    )


def test_each_view_shows_its_part_of_its_film(made):
    write(made, [("lungs", 8), ("full", 16)])
    lungs = Shards([made / "b1"], "lungs", 8)
    for number, name in enumerate(NAMES):
        film = lungs.take(lungs.rows([name], "test"))[0]
        assert (film == 100 + 40 * number).all(), name
        assert lungs.square(name) == (10 + 5 * number, 12 + 3 * number, 40)
    full = Shards([made / "b1"], "full", 16)
    assert full.square("a.png") == (0, -10, 80)
    film = full.take(full.rows(["a.png"], "test"))[0]
    assert (film[:2] == 0).all() and (film[-2:] == 0).all() and film[8, 8] == 140


def test_without_lungs_nothing_of_the_lungs_can_be_told(made):
    """Whatever lies in the lungs, the shard is the same, byte for byte."""
    write(made, [("no_lungs", 40), ("full", 40)])
    before = Shards([made / "b1"], "no_lungs", 40)
    first = before.take(before.rows(NAMES, "test"))
    assert before.geometry.equals(Shards([made / "b1"], "full", 40).geometry)
    table = pd.read_parquet(made / "b1.parquet").set_index("image")
    films = {}
    for name, data in read_batch(made / "b1.tar.gz"):
        film = decode(data, name).copy()
        row = table.loc[name]
        box = lungs.Box(*(int(row[side]) for side in lungs.Box._fields))
        lung = lungs.over_film(lungs.decode_rle(row["mask_rle"]), 80, 60)
        if row["method"] != "unet":  # no outline to go by: whatever lies in the box
            lung = np.zeros((60, 80), bool)
            lung[box.y0_px : box.y1_px, box.x0_px : box.x1_px] = True
        film[lung] = np.random.default_rng(0).integers(0, 256, int(lung.sum()))
        films[name] = png(film)
    write_archive(made / "b1.tar.gz", films)
    (made / "b1").rename(made / "before")
    write(made, [("no_lungs", 40)])
    after = Shards([made / "b1"], "no_lungs", 40)
    assert np.array_equal(after.take(after.rows(NAMES, "test")), first)


def test_what_is_painted_is_one_grey_hull_a_little_wider_than_the_lungs():
    mask = lungs.clean(np.pad(np.ones((100, 40)), ((70, 86), (50, 166))))
    mask |= mask[:, ::-1]
    film = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    painted = no_lungs.region(mask, lungs.Box(0, 0, 9, 9), "unet", 300, 300)
    lung = lungs.over_film(mask, 300, 300)
    assert painted[lung].all() and painted[150, 150]  # what lies between them, too
    wider = np.flatnonzero(painted.any(axis=1))
    tall = np.flatnonzero(lung.any(axis=1))
    assert tall[0] - wider[0] == wider[-1] - tall[-1] == 9
    shown = no_lungs.paint_out(film, painted)
    assert len(set(shown[painted])) == 1 and np.array_equal(shown[~painted], film[~painted])
    assert (no_lungs.paint_out(film, np.ones_like(painted)) == 128).all()
    empty = no_lungs.region(np.zeros_like(mask), lungs.Box(0, 0, 9, 9), "unet_ensemble", 300, 300)
    assert empty.all()
    boxed = no_lungs.region(mask, lungs.Box(10, 20, 50, 70), "lung_finder", 300, 300)
    assert boxed[20:70, 10:50].all() and boxed.sum() == 40 * 50


def test_writing_twice_gives_the_same_bytes(made):
    write(made, [("lungs", 8)])
    first = {path.name: path.read_bytes() for path in (made / "b1").iterdir()}
    (made / "b1").rename(made / "before")
    write(made, [("lungs", 8)])
    assert first == {path.name: path.read_bytes() for path in (made / "b1").iterdir()}


def test_an_archive_that_lost_a_film_since_is_refused(made):
    write_archive(made / "b1.tar.gz", {"a.png": png(np.zeros((60, 80), np.uint8))})
    with pytest.raises(InputError, match="holds 1 of the 3 images"):
        write(made, [("lungs", 8)])
