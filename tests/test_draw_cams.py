import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import png, write_archive
from draw_cams import main
from ribcage import cams, nets
from ribcage.boxes import Box, read_boxes
from ribcage.cams import ALL, Pointed
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.gallery import outcomes
from ribcage.shards import Square, cut, square_around
from ribcage.tables import read_table, write_table

META = {"labels_version": "other", "source_sha256": "0" * 64}


@pytest.fixture(scope="module")
def net():
    """An untrained network whose logits differ between films, and whose norms are not neutral."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = nets.build("none", np.linspace(-3, 1, 14).astype(np.float32))
    with torch.no_grad():
        made.classifier.weight.mul_(20)
        made.train()(torch.randn(8, 1, 64, 64))
    return made.eval()


def some_films(n, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


@pytest.mark.parametrize("size", [64, 96, 160])
def test_a_map_sums_to_its_logit_without_the_bias(net, size):
    films = some_films(3, size)
    maps = cams.class_maps(net, films)
    assert maps.shape == (3, 14, size // 32, size // 32) and maps.dtype == np.float32
    with torch.inference_mode():
        logits = net(nets.normalise(torch.from_numpy(films))).numpy()
    bias = net.classifier.bias.detach().numpy()
    assert np.ptp(logits - bias) > 1
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), logits - bias, atol=1e-4)


def test_each_map_uses_its_own_row_of_the_weights(net):
    films = some_films(2, 96)
    before = cams.class_maps(net, films)
    order = np.roll(np.arange(14), 3)
    weight = net.classifier.weight.detach().clone()
    with torch.no_grad():
        net.classifier.weight.copy_(weight[order])
    swapped = cams.class_maps(net, films)
    with torch.no_grad():
        net.classifier.weight.copy_(torch.randn(weight.shape) * weight.std())
    randomised = cams.class_maps(net, films)
    with torch.no_grad():
        net.classifier.weight.copy_(weight)
    np.testing.assert_allclose(swapped, before[:, order], atol=1e-5)
    for row in range(14):
        alike = np.corrcoef(before[:, row].ravel(), randomised[:, row].ravel())[0, 1]
        assert abs(alike) < 0.9, FINDINGS[row]


class Brightness(nn.Module):
    """Feature 0 is what is bright in an 8 px cell, feature 1 what is dark; class c reads one."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(2, 14)
        with torch.no_grad():
            self.classifier.weight.zero_()
            self.classifier.weight[4, 0] = 1.0  # Mass
            self.classifier.weight[5, 1] = 1.0  # Nodule

    def maps(self, films):
        both = torch.cat([films, -films], dim=1)
        return torch.relu(nn.functional.avg_pool2d(both, 8))


PLACES = [(width, height) for width in (300, 420) for height in (300, 500)]


@pytest.mark.parametrize("film_px", PLACES)
@pytest.mark.parametrize("view", ["full", "lungs"])
def test_a_planted_square_is_found_where_it_lies_on_the_film(film_px, view):
    width, height = film_px
    lungs = (80, 60, 250, 290)
    for x, y in [(90, 70), (200, 110), (130, 220)]:
        film = np.full((height, width), 90, np.uint8)
        film[y : y + 36, x : x + 36] = 255
        square = square_around(*(lungs if view == "lungs" else (0, 0, *film_px)), *film_px)
        maps = cams.class_maps(Brightness(), np.stack([cut(film, square, 64)]))[0]
        assert maps.shape[1:] == (8, 8) and not maps[3].any()
        at_x, at_y = cams.peak(maps[4], square)
        # A cell spans up to 62 px: the peak may be half a cell from the square's middle.
        half = square.side_px / 16 + 1
        assert abs(at_x - x - 18) <= half and abs(at_y - y - 18) <= half
        heat = cams.on_film(maps[4], square, film_px, (height, width))
        assert heat[int(at_y), int(at_x)] == pytest.approx(np.nanmax(heat), rel=0.05)


def test_iou_is_that_of_the_pixels_from_half_of_the_maximum_on():
    heat = np.full((10, 10), np.nan, np.float32)
    heat[2:8, 2:8] = 0.4
    heat[4:6, 2:8] = 0.9  # 12 px
    assert cams.iou(heat, [Box(2, 4, 3, 2)]) == 6 / 12
    assert cams.iou(heat, [Box(2, 4, 3, 2), Box(4, 4, 4, 4)]) == 12 / 20
    assert cams.iou(heat, [Box(-5, -5, 30, 30)]) == 12 / 100
    assert cams.iou(-heat, [Box(2, 4, 3, 2)]) == 0
    assert np.isnan(cams.iou(heat, []))


@pytest.mark.parametrize("square", [Square(40, 16, 128), Square(-32, 0, 256), Square(0, -8, 192)])
def test_each_cell_is_mapped_back_to_its_pixels(square):
    film_px, grid = (192, 176), 4
    cell = square.side_px // grid
    for row, column in np.ndindex(grid, grid):
        one = np.zeros((grid, grid), np.float32)
        one[row, column] = 1
        x, y = cams.peak(one, square)
        assert x == square.x0_px + cell * column + cell / 2
        assert y == square.y0_px + cell * row + cell / 2
        heat = cams.on_film(one, square, film_px, film_px[::-1])
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
    cam, square = np.random.default_rng(1).random((3, 3)), Square(60, 20, 120)
    heat = cams.on_film(cam, square, (240, 200), (200, 240))
    small = cams.on_film(cam, square, (240, 200), (50, 60))
    means = heat.reshape(50, 4, 60, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(small, means, atol=0.02)


def test_only_positive_evidence_inside_the_square_is_coloured():
    film = np.full((100, 100), 120, np.uint8)
    cam = np.array([[1.0, -1.0], [-1.0, -1.0]], np.float32)
    square = Square(10, 10, 80)
    heat = cams.on_film(cam, square, (100, 100), (100, 100))
    picture = np.asarray(cams.overlay(film, heat, square, (100, 100), [Box(70, 70, 10, 12)]))
    grey = (picture == 120).all(axis=2)
    assert not grey[15:30, 15:30].any()
    assert grey[:10].all() and grey[:, :10].all() and grey[55:65, 11:89].all()
    assert (picture[70, 70:80] == cams.BOX_COLOUR).all() and grey[75, 75]
    assert (picture[81, 70:80] == cams.BOX_COLOUR).all() and grey[82, 75]
    nothing = np.asarray(cams.overlay(film, -np.abs(heat), square, (100, 100), []))
    assert (nothing[11:89, 11:89] == 120).all()


def test_the_pointing_game_counts_films_beside_blind_pointers():
    films = [
        Pointed("Mass", (100, 100), (25, 25), (Box(20, 20, 20, 20),)),
        Pointed("Mass", (200, 100), (99, 99), (Box(40, 20, 40, 20), Box(150, 60, 20, 20))),
        Pointed("Mass", (100, 100), (40, 40), (Box(20, 20, 20, 20),)),
        Pointed("Effusion", (100, 100), (50, 99), (Box(40, 40, 20, 60),)),
    ]
    table = cams.pointing_game(films, ["Mass", "Effusion", "Hernia"]).set_index("finding")
    assert table.loc["Mass", ["films", "boxes", "hits"]].tolist() == [3, 4, 1]
    assert table.loc["Mass", "pointing"] == pytest.approx(1 / 3)
    # Others' mean of film 1: ((110 / 200 + .3) / 2, (.5 + .3) / 2) = (.425, .4): a miss.
    # Of film 2: (.3, .3) is (60, 30): a hit. Of film 3, as film 1: a miss.
    assert table.loc["Mass", "mean_place"] == pytest.approx(1 / 3)
    # Every film of the three has a box around (.3, .3).
    assert table.loc["Mass", "best_place"] == 1
    assert table.loc["Mass", "centre"] == 0
    assert table.loc["Effusion", "centre"] == 1 and np.isnan(table.loc["Effusion", "mean_place"])
    assert table.loc["Effusion", "best_place"] == 1
    assert table.loc["Hernia", "films"] == 0 and np.isnan(table.loc["Hernia", "pointing"])
    assert table.loc[ALL, ["films", "boxes", "hits"]].tolist() == [4, 5, 2]
    assert table.loc[ALL, "mean_place"] == pytest.approx(1 / 3)
    assert cams.wilson(1, 3) == pytest.approx((0.0615, 0.7923), abs=1e-4)


SIZES = {f"{n:08d}_000.png": size for n, size in enumerate([(120, 90), (80, 80), (70, 110)] * 4)}


@pytest.fixture
def made(tmp_path, net):
    """Twelve films in two batches, everything that comes before them, and an untrained model."""
    rng = np.random.default_rng(5)
    names = list(SIZES)
    films = {}
    for name, (width, height) in SIZES.items():
        noise = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
        films[name] = np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))
    write_archive(tmp_path / "b1.tar.gz", {name: png(films[name]) for name in reversed(names[:5])})
    (tmp_path / "b2").mkdir()
    for name in names[5:]:
        (tmp_path / "b2" / name).write_bytes(png(films[name]))
    parts = []
    for batch, held in (("b1", names[:5]), ("b2", names[5:])):
        folder = tmp_path / "shards" / batch
        folder.mkdir(parents=True)
        cuts = [square_around(10, 10, 60, 70, *SIZES[name]) for name in held]
        stack = [cut(films[name], at, 64) for name, at in zip(held, cuts, strict=True)]
        np.save(folder / "lungs-64.npy", np.stack(stack))
        geometry = pd.DataFrame(cuts, columns=list(Square._fields)).assign(image=held)
        geometry[["width_px", "height_px"]] = [SIZES[name] for name in held]
        geometry.to_parquet(folder / "lungs.parquet", index=False)
        parts += stack
    nets.save(net, {"classes": FINDINGS, "view": "lungs", "size_px": 64}, make(tmp_path / "model"))
    with torch.inference_mode():
        given = net(nets.normalise(torch.from_numpy(np.stack(parts)))).sigmoid().numpy()
    rows = pd.DataFrame({"image": names, "patient": range(12), "split": ["test"] * 11 + ["val"]})
    rows = rows.iloc[::-1].reset_index(drop=True)
    scores = pd.DataFrame(given[::-1], columns=FINDINGS)
    truth = pd.DataFrame(False, index=range(12), columns=FINDINGS)
    truth["Mass"] = [True] * 8 + [False] * 4
    truth.loc[:3, "Effusion"] = True
    truth.loc[:3, "Edema"] = True
    table = pd.concat([rows, scores], axis=1)
    write_table(table, make(tmp_path / "p") / "predictions.parquet", META)
    cuts = {f: {"threshold": float(scores[f].median())} for f in FINDINGS} | {"Edema": None}
    (tmp_path / "p" / "thresholds.json").write_text(json.dumps(cuts))
    curated = pd.concat([pd.DataFrame({"image": names}), truth], axis=1)
    write_table(curated, tmp_path / "curated.parquet", META)
    lines = [
        f"{names[0]},Mass,20,20,30,30",
        f"{names[6]},Mass,0,0,120,90",
        f"{names[11]},Mass,1,1,5,5",
    ]
    text = "\n".join(["image,finding,x_px,y_px,w_px,h_px", *lines, f"{names[9]},Hernia,0,0,9,9"])
    (make(tmp_path / "tables") / "boxes.csv").write_text(text + "\n")
    return tmp_path


def make(folder):
    folder.mkdir()
    return folder


def draw(made, out="cams", **changed):
    inputs = {name: made / name for name in ("model", "tables")}
    inputs |= {"predictions": made / "p", "curated": made / "curated.parquet"}
    inputs["shards"] = [made / "shards" / "b1", made / "shards" / "b2"]
    inputs["films"] = [made / "b1.tar.gz", made / "b2"]
    main(**inputs, cams=made / out, **({"per_finding": 5, "display_px": 96, "seed": 1} | changed))
    return made / out


def test_the_gallery_and_its_table_belong_together(made):
    folder = draw(made)
    table = read_table(folder / "cams.parquet")
    assert set(table["finding"]) == {"Mass", "Effusion"}  # Edema has no threshold
    assert table.groupby("finding").size().max() <= 5
    assert not table.duplicated(["image", "finding"]).any()
    assert set(table["image"]) <= set(list(SIZES)[:11])  # the test split
    stems = [f"{row.image[:-4]}-{row.finding}" for row in table.itertuples()]
    assert sorted(p.stem for p in (folder / "overlays").iterdir()) == sorted(stems)
    assert sorted(p.stem for p in (folder / "maps").iterdir()) == sorted(stems)
    assert {p.stem for p in (folder / "films").iterdir()} == {stem[:12] for stem in stems}
    for row, stem in zip(table.itertuples(), stems, strict=True):
        one = np.load(folder / "maps" / f"{stem}.npy", allow_pickle=False)
        assert one.shape == (row.grid, row.grid) == (2, 2) and one.dtype == np.float32
        assert row.scale == one.max() and row.cell_px == 30
        size = SIZES[row.image]
        with Image.open(folder / "overlays" / f"{stem}.webp") as picture:
            assert picture.size == tuple(round(side * 96 / max(size)) for side in size)
        assert (row.n_boxes > 0) == pd.notna(row.hit) == pd.notna(row.iou)
        called = row.probability >= row.threshold
        assert row.outcome == outcomes(np.array([row.outcome in ("TP", "FN")]), called)[0]
    first = table[table["finding"] == "Mass"].iloc[0]
    assert first["why"] == "boxed" and first["n_boxes"] == 1
    whole = table[table["image"] == list(SIZES)[6]]
    assert whole["hit"].all()


def test_films_on_which_experts_and_labels_disagree_are_shown_besides(made):
    before = read_table(draw(made, "before", per_finding=2) / "cams.parquet")
    assert before["expert"].isna().all() and before["expert"].dtype == "boolean"
    names = list(SIZES)
    said = pd.DataFrame({"image": names, "Abnormal": 1}).assign(**dict.fromkeys(FINDINGS, 0))
    said["Mass"] = [1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1]  # labelled: the first eight
    said.to_csv(made / "tables" / "expert_all.csv", index=False)
    folder = draw(made, per_finding=2)
    table = read_table(folder / "cams.parquet")
    disputed = table[(table["finding"] == "Mass") & (table["why"] == "experts disagree")]
    assert 1 <= len(disputed) <= 2 and set(disputed["expert_question"]) == {"Mass"}
    assert set(disputed["image"]) <= {names[n] for n in (2, 3, 6, 8, 9)}
    for row in disputed.itertuples():
        assert row.expert != (row.outcome in ("TP", "FN"))
        assert (folder / "overlays" / f"{row.image[:-4]}-Mass.webp").is_file()
    of_experts = said.set_index("image")
    for row in table.itertuples():
        assert row.expert == bool(of_experts.at[row.image, row.finding])
    others = table[table["why"] != "experts disagree"]
    assert (others.groupby("finding").size() <= 2).all()
    assert not table.duplicated(["image", "finding"]).any()


def test_every_boxed_test_film_is_judged_though_not_shown(made):
    table = pd.read_csv(draw(made, per_finding=1) / "localisation.csv").set_index("finding")
    assert table.loc["Mass", ["films", "boxes"]].tolist() == [2, 2]  # the third is not test
    assert table.loc["Hernia", "films"] == 1  # a box without a label
    assert table.loc[ALL, "films"] == 3 and list(table.index) == [*FINDINGS, ALL]


def test_drawing_twice_gives_the_same_bytes(made):
    first, second = draw(made), draw(made, "again")
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) > 10
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_source_without_boxes_is_drawn_all_the_same(made):
    (made / "tables" / "boxes.csv").write_text("image,finding,x_px,y_px,w_px,h_px\n")
    folder = draw(made)
    table = read_table(folder / "cams.parquet")
    assert len(table) and table["hit"].isna().all() and not (table["why"] == "boxed").any()
    assert pd.read_csv(folder / "localisation.csv")["pointing"].isna().all()


def test_a_test_split_without_findings_gives_an_empty_gallery(made):
    (made / "tables" / "boxes.csv").write_text("image,finding,x_px,y_px,w_px,h_px\n")
    curated = read_table(made / "curated.parquet")
    write_table(curated.assign(**dict.fromkeys(FINDINGS, False)), made / "curated.parquet", META)
    folder = draw(made)
    table = read_table(folder / "cams.parquet")
    assert len(table) == 0 and {"image", "finding", "outcome", "hit"} <= set(table.columns)
    assert not list((folder / "overlays").iterdir())


def test_probabilities_of_another_model_are_refused(made):
    table = read_table(made / "p" / "predictions.parquet")
    table[list(FINDINGS)] = table[list(FINDINGS)].to_numpy()[::-1]
    write_table(table, made / "p" / "predictions.parquet", META)
    with pytest.raises(InputError, match="predict again"):
        draw(made)


def test_a_film_that_changed_or_went_since_is_refused(made):
    for path in (made / "b2").iterdir():
        path.write_bytes(png(np.zeros((30, 30), np.uint8)))
    with pytest.raises(InputError, match=r"has no longer \d+ x \d+ px"):
        draw(made)
    for path in (made / "b2").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"b2: no longer holds 0000"):
        draw(made, "again")


def test_boxes_that_are_none_are_refused(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,finding,x_px,y_px,w_px,h_px\na.png,Infiltrate,1,2,3,4\n")
    assert read_boxes(path, {"a.png"}) == {("a.png", "Infiltration"): [Box(1, 2, 3, 4)]}
    path.write_text("image,finding,x_px,y_px,w_px\na.png,Mass,1,2,3\n")
    with pytest.raises(InputError, match="no table of boxes"):
        read_boxes(path, {"a.png"})
    path.write_text("image,finding,x_px,y_px,w_px,h_px\na.png,Warts,1,2,3,4\n")
    with pytest.raises(InputError, match="unknown finding 'Warts'"):
        read_boxes(path, {"a.png"})
