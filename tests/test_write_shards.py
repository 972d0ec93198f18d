import numpy as np
import pandas as pd
import pytest

from conftest import png, write_archive
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.shards import Shards
from ribcage.tables import write_table
from write_shards import main

META = {"labels_version": "other", "source_sha256": "0" * 64}
NAMES = ["c.png", "a.png", "b.png"]


@pytest.fixture
def made(tmp_path):
    """Films with a bright lung box, their curated rows (in another order), and lung boxes."""
    films, boxes = {}, []
    for number, name in enumerate(NAMES):
        film = np.full((60, 80), 20, np.uint8)
        x, y = 10 + 5 * number, 12 + 3 * number
        film[y : y + 40, x : x + 40] = 100 + 40 * number
        films[name] = png(film)
        boxes.append((name, x, y, x + 40, y + 40))
    write_archive(tmp_path / "b1.tar.gz", films)
    rows = pd.DataFrame({"image": sorted(NAMES), "batch": "b1", "width_px": 80, "height_px": 60})
    rows.loc[3] = ["other.png", "b2", 80, 60]
    rows = rows.assign(**dict.fromkeys(FINDINGS, False))
    write_table(rows, tmp_path / "curated.parquet", META)
    columns = ["image", "x0_px", "y0_px", "x1_px", "y1_px"]
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
