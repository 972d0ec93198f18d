import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from conftest import png
from ribcage.explanation.localisation import detected
from ribcage.explanation.methods import class_maps
from ribcage.explanation.placement import on_film, peak, share_inside
from ribcage.findings import FINDINGS
from ribcage.lungs import encode_rle
from ribcage.shards import Shards, Square, cut, square_around
from ribcage.tables import write_table
from write_shards import main as write_shards

META = {"labels_version": "other", "source_sha256": "0" * 64}
BACKGROUND, SIDE = 60, 40
FILMS = [(300, 300), (420, 300), (300, 500)]
"""Width and height."""
LUNGS = {"inside": (60, 40, 260, 270), "over the edge": (5, 20, 299, 120)}
"""Boxes of lungs; the other, on a film less high than wide, is cut to a square like this film's."""
CORNERS = [(70, 50), (190, 60), (110, 215)]
"""Where squares are planted, each on a film of its own: left and upper side."""


def planted(film_px, at):
    film = np.full(film_px[::-1], BACKGROUND, np.uint8)
    film[at[1] : at[1] + SIDE, at[0] : at[0] + SIDE] = 255
    return film


@pytest.fixture(params=LUNGS)
def shards(request, tmp_path):
    """Films with a bright square each, written as shards in every view and size; no masks."""
    (tmp_path / "films").mkdir()
    rows = []
    for film_px in FILMS:
        for at in CORNERS:
            name = f"{len(rows):08d}_000.png"
            (tmp_path / "films" / name).write_bytes(png(planted(film_px, at)))
            rows.append({"image": name, "batch": "films", "width_px": film_px[0]})
            rows[-1] |= {"height_px": film_px[1], "at": at}
    table = pd.DataFrame(rows)
    write_table(table.drop(columns="at"), tmp_path / "curated.parquet", META)
    boxes = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), LUNGS[request.param], strict=True))
    # A network outlined them where nothing is planted, so that no_lungs paints no square out.
    mask = np.zeros((256, 256), bool)
    mask[120:150, 150:250] = True
    found = table[["image"]].assign(**boxes, method="unet", mask_rle=encode_rle(mask))
    write_table(found, tmp_path / "lungs.parquet", META)
    wanted = [(view, size) for view in ("full", "lungs", "no_lungs") for size in (64, 96, 224)]
    names = ("curated", "films", "lungs")
    inputs = (tmp_path / f"{name}{'' if name == 'films' else '.parquet'}" for name in names)
    write_shards(*inputs, tmp_path / "shards", "films", wanted)
    return tmp_path / "shards", table


@pytest.mark.parametrize("size", [64, 96, 224])
@pytest.mark.parametrize("view", ["full", "lungs", "no_lungs"])
def test_a_planted_square_is_found_to_the_pixel(shards, view, size):
    folder, table = shards
    held = Shards([folder], view, size)
    judged = 0
    for row in table.itertuples():
        square, film_px = held.square(row.image), (row.width_px, row.height_px)
        x, y = row.at
        cell = square.side_px / size
        whole = square.x0_px + cell <= x and x + SIDE <= square.x0_px + square.side_px - cell
        whole &= square.y0_px + cell <= y and y + SIDE <= square.y0_px + square.side_px - cell
        if not whole:
            continue
        judged += 1
        # The film as the network is shown it is the finest map there could be.
        cells = held.take(held.rows([row.image], "test"))[0].astype(np.float32)
        heat = on_film(cells, square, film_px, film_px[::-1])
        # 128 is far above what is painted out: what is left is the square and its rim.
        bright = (np.nan_to_num(heat) - 128).clip(min=0)
        rows, columns = np.indices(bright.shape) + 0.5
        total = bright.sum()
        assert (columns * bright).sum() / total == pytest.approx(x + SIDE / 2, abs=0.5)
        assert (rows * bright).sum() / total == pytest.approx(y + SIDE / 2, abs=0.5)
        # Its sides are as sharp as a cell.
        found = detected(bright)
        assert len(found) == 1
        ends = found[0].x_px + found[0].w_px, found[0].y_px + found[0].h_px
        np.testing.assert_allclose([*found[0][:2], *ends], [x, y, x + SIDE, y + SIDE], atol=cell)
        at = peak(cells, square)
        assert x - cell <= at[0] <= x + SIDE + cell and y - cell <= at[1] <= y + SIDE + cell
    assert judged >= len(FILMS)


@pytest.mark.parametrize("cells", [np.zeros((3, 3)), np.full((2, 4), 0.5), np.ones((1, 1))])
def test_a_map_that_is_equal_everywhere_has_no_peak(cells):
    assert np.isnan(peak(cells.astype(np.float32), Square(10, 10, 80))).all()


def test_the_control_shows_the_square_of_the_whole_film(shards):
    folder, table = shards
    full, control = Shards([folder], "full", 64), Shards([folder], "no_lungs", 64)
    assert [full.square(name) for name in table["image"]] == [
        control.square(name) for name in table["image"]
    ]


class Brightness(nn.Module):
    """Feature 0 is what is bright in an 8 px cell, feature 1 what is dark; class c reads one."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(2, 14)
        with torch.no_grad():
            self.classifier.weight.zero_()
            self.classifier.weight[FINDINGS.index("Mass"), 0] = 1.0
            self.classifier.weight[FINDINGS.index("Nodule"), 1] = 1.0

    def maps(self, films):
        both = torch.cat([films, -films], dim=1)
        return torch.relu(nn.functional.avg_pool2d(both, 8))


@pytest.mark.parametrize("film_px", FILMS)
@pytest.mark.parametrize("size", [64, 96, 224])
@pytest.mark.parametrize("box", [(60, 40, 260, 270), (0, 0, 0, 0)])
def test_the_map_of_a_class_peaks_in_its_planted_square(film_px, size, box):
    box = box if any(box) else (0, 0, *film_px)
    for x, y in CORNERS:
        film = planted(film_px, (x, y))
        square = square_around(*box, *film_px)
        maps = class_maps(Brightness(), np.stack([cut(film, square, size)]))[0]
        mass, other = maps[FINDINGS.index("Mass")], maps[FINDINGS.index("Emphysema")]
        assert mass.shape == (size // 8, size // 8) and not other.any()
        at_x, at_y = peak(mass, square)
        # The centre of a cell that the square covers most of, or as much as any other.
        half = square.side_px / len(mass) / 2 + 1
        assert x - half <= at_x <= x + SIDE + half and y - half <= at_y <= y + SIDE + half
        heat = on_film(mass, square, film_px, film_px[::-1])
        assert heat[int(at_y), int(at_x)] == pytest.approx(np.nanmax(heat), rel=0.06)


@pytest.mark.parametrize("square", [Square(40, 16, 128), Square(-32, 0, 256), Square(0, -8, 192)])
def test_each_cell_is_mapped_back_to_its_pixels(square):
    film_px, grid = (192, 176), 4
    cell = square.side_px // grid
    for row, column in np.ndindex(grid, grid):
        one = np.zeros((grid, grid), np.float32)
        one[row, column] = 1
        x, y = peak(one, square)
        assert x == square.x0_px + cell * column + cell / 2
        assert y == square.y0_px + cell * row + cell / 2
        heat = on_film(one, square, film_px, film_px[::-1])
        if 0 < x < film_px[0] and 0 < y < film_px[1]:
            # The centre lies between four pixels, half a pixel from each, and the map falls evenly
            # towards the next cells; beyond the outermost centres it does not fall.
            ix, iy = int(x), int(y)
            near = heat[iy - 1 : iy + 1, ix - 1 : ix + 1]
            low = (1 - 0.5 / cell) ** 2
            assert near.min() == pytest.approx(low) and near.max() == heat[np.isfinite(heat)].max()
            if 0 < row < grid - 1 and 0 < column < grid - 1:
                np.testing.assert_allclose(near, low, atol=1e-6)
    y, x = np.indices(heat.shape) + 0.5
    inside = (x > square.x0_px) & (x < square.x0_px + square.side_px)
    inside &= (y > square.y0_px) & (y < square.y0_px + square.side_px)
    assert (np.isfinite(heat) == inside).all()


def test_a_smaller_picture_of_a_film_has_its_map_in_the_same_place():
    cells, square = np.random.default_rng(1).random((3, 3)), Square(60, 20, 120)
    heat = on_film(cells, square, (240, 200), (200, 240))
    small = on_film(cells, square, (240, 200), (50, 60))
    means = heat.reshape(50, 4, 60, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(small, means, atol=0.02)


def test_the_share_inside_a_mask_is_of_positive_evidence_alone():
    heat = np.full((10, 10), np.nan, np.float32)
    heat[:, :5] = 1
    heat[:, 5:8] = -4
    mask = np.zeros((10, 10), bool)
    mask[:4] = True
    assert share_inside(heat, mask) == pytest.approx(0.4)
    assert np.isnan(share_inside(-np.abs(heat), mask))
