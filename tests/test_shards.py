import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ribcage.errors import InputError
from ribcage.shards import Shards, Square, cut, square_around

PX = st.integers(1, 300)


@given(PX, PX, st.data())
def test_a_square_holds_its_box_and_stays_inside_where_it_fits(width, height, data):
    x0 = data.draw(st.integers(0, width - 1))
    x1 = data.draw(st.integers(x0 + 1, width))
    y0 = data.draw(st.integers(0, height - 1))
    y1 = data.draw(st.integers(y0 + 1, height))
    left, top, side = square_around(x0, y0, x1, y1, width, height)
    assert side == max(x1 - x0, y1 - y0)
    assert left <= x0 and left + side >= x1
    assert top <= y0 and top + side >= y1
    if side <= width:
        assert left >= 0 and left + side <= width
    if side <= height:
        assert top >= 0 and top + side <= height


def test_cutting_is_the_area_mean():
    film = np.arange(64, dtype=np.uint8).reshape(8, 8)
    expected = film[2:6, 0:4].reshape(2, 2, 2, 2).mean(axis=(1, 3))
    assert np.abs(cut(film, Square(0, 2, 4), 2) - expected).max() <= 0.5


def test_what_lies_outside_the_film_is_black():
    film = np.full((4, 8), 200, np.uint8)
    square = square_around(0, 0, 8, 4, 8, 4)
    assert square == (0, -2, 8)
    shown = cut(film, square, 8)
    assert (shown[2:6] == 200).all()
    assert (shown[:2] == 0).all() and (shown[6:] == 0).all()


def test_films_are_found_by_name_across_batches(tmp_path):
    for batch, names in {"b1": ["a", "b"], "b2": ["c"]}.items():
        (tmp_path / batch).mkdir()
        films = np.stack([np.full((4, 4), ord(name), np.uint8) for name in names])
        np.save(tmp_path / batch / "full-4.npy", films)
        geometry = {"image": names, "x0_px": 0, "y0_px": 0, "side_px": 8}
        pd.DataFrame(geometry).to_parquet(tmp_path / batch / "full.parquet")
    shards = Shards([tmp_path / "b1", tmp_path / "b2"], "full", 4)
    taken = shards.take(shards.rows(["c", "a", "b", "a"], "test"))
    assert taken[:, 0, 0].tolist() == [ord(name) for name in "caba"]
    with pytest.raises(InputError, match="lost is in no shard"):
        shards.rows(["a", "lost"], "test")
    with pytest.raises(InputError, match=r"full-8\.npy: no such shard; .* has full-4"):
        Shards([tmp_path / "b1"], "full", 8)
