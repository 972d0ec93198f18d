import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

from conftest import png, write_archive
from draw_cams import main
from planted import random_net
from ribcage import nets
from ribcage.boxes import Box, read_boxes
from ribcage.errors import InputError
from ribcage.explanation import overlay
from ribcage.explanation.localisation import ALL, MEASURES
from ribcage.explanation.placement import on_film
from ribcage.findings import FINDINGS
from ribcage.gallery import outcomes
from ribcage.lungs import dice, encode_rle, over_film
from ribcage.shards import Square, cut, square_around
from ribcage.tables import read_table, write_table

META = {"labels_version": "other", "source_sha256": "0" * 64}


@pytest.fixture(scope="module")
def net():
    return random_net()


def test_only_positive_evidence_inside_the_square_is_coloured():
    film = np.full((100, 100), 120, np.uint8)
    cells = np.array([[1.0, -1.0], [-1.0, -1.0]], np.float32)
    square = Square(10, 10, 80)
    heat = on_film(cells, square, (100, 100), (100, 100))
    box = Box(70, 70, 10, 12)
    picture = np.asarray(overlay.overlay(film, heat, square, (100, 100), [box], []))
    grey = (picture == 120).all(axis=2)
    assert not grey[15:30, 15:30].any()
    assert grey[:10].all() and grey[:, :10].all() and grey[55:65, 11:89].all()
    assert (picture[70, 70:80] == overlay.BOX_COLOUR).all() and grey[75, 75]
    assert (picture[81, 70:80] == overlay.BOX_COLOUR).all() and grey[82, 75]
    nothing = np.asarray(overlay.overlay(film, -np.abs(heat), square, (100, 100), [], []))
    assert (nothing[11:89, 11:89] == 120).all()
    alone = overlay.coloured(heat)
    assert alone[20, 20, 3] == 255 and not alone[~np.isfinite(heat)][:, 3].any()
    assert not alone[55:65, :, 3].any() and not overlay.coloured(-np.abs(heat)).any()


@pytest.mark.parametrize("film_px", [(256, 256), (1024, 1024), (300, 200), (120, 500)])
def test_lungs_are_outlined_where_their_mask_lies(film_px):
    width, height = film_px
    mask = np.zeros((256, 256), bool)
    y, x = np.indices(mask.shape)
    mask |= ((x - 105) / 20) ** 2 + ((y - 130) / 34) ** 2 < 1
    mask |= ((x - 152) / 14) ** 2 + ((y - 120) / 30) ** 2 < 1
    outlines = overlay.outlines(mask, film_px)
    assert len(outlines) == 2 and max(map(len, outlines)) < 60
    filled = Image.new("1", film_px)
    for outline in outlines:
        ImageDraw.Draw(filled).polygon([tuple(point) for point in outline], fill=1)
    assert dice(np.asarray(filled), over_film(mask, width, height)) > 0.96
    assert outlines[0][:, 0].mean() < outlines[1][:, 0].mean()  # the larger one comes first
    assert overlay.path_of(np.array([[0, 1], [2.25, 3], [4, 5]])) == "M0.0,1.0 L2.2,3.0 L4.0,5.0 Z"
    assert overlay.outlines(np.zeros((256, 256), bool), film_px) == []
    drawn = np.asarray(
        overlay.overlay(
            np.zeros((height, width), np.uint8),
            np.zeros((height, width), np.float32),
            Square(0, 0, 9),
            film_px,
            [],
            outlines,
        )
    )
    at = outlines[0].mean(axis=0).astype(int)
    assert not drawn[at[1], at[0]].any() and drawn[:, at[0]].any()


SIZES = {f"{n:08d}_000.png": size for n, size in enumerate([(120, 90), (80, 80), (70, 110)] * 4)}


UNFOUND = list(SIZES)[2]
LUNGS = np.zeros((256, 256), bool)
LUNGS[70:180, 40:110] = True
LUNGS[70:180, 140:210] = True


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
        masks = [encode_rle(LUNGS & (name != UNFOUND)) for name in held]
        lungs = pd.DataFrame({"image": held, "mask_rle": masks})
        write_table(lungs, tmp_path / f"lungs-{batch}.parquet", META)
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
    inputs["lungs"] = [made / "lungs-b1.parquet", made / "lungs-b2.parquet"]
    params = {"method": "cam", "layer": "denseblock3", "compared": ["layer_cam"]}
    params |= {"occlusion": {"window": 0.5, "stride": 0.25}, "resamples": 100}
    params |= {"per_finding": 5, "display_px": 96, "seed": 1}
    main(**inputs, cams=made / out, **(params | changed))
    return made / out


def test_the_gallery_and_its_table_belong_together(made):
    folder = draw(made)
    table = read_table(folder / "cams.parquet")
    assert set(table["finding"]) == set(FINDINGS) - {"Edema"}  # which has no threshold
    assert table.groupby("finding").size().max() <= 5 and (table["method"] == "cam").all()
    assert not table.duplicated(["image", "finding"]).any()
    assert set(table["image"]) <= set(list(SIZES)[:11])  # the test split
    stems = [f"{row.image[:-4]}-{row.finding}" for row in table.itertuples()]
    for part in ("overlays", "heats", "maps"):
        assert sorted(p.stem for p in (folder / part).iterdir()) == sorted(stems)
    assert {p.stem for p in (folder / "films").iterdir()} == {stem[:12] for stem in stems}
    for row, stem in zip(table.itertuples(), stems, strict=True):
        one = np.load(folder / "maps" / f"{stem}.npy", allow_pickle=False)
        assert one.shape == (row.grid, row.grid) == (2, 2) and one.dtype == np.float32
        assert row.scale == one.max() and row.cell_px == 30
        size = SIZES[row.image]
        for part, mode in (("overlays", "RGB"), ("heats", "RGBA")):
            with Image.open(folder / part / f"{stem}.webp") as picture:
                assert picture.size == tuple(round(side * 96 / max(size)) for side in size)
                assert picture.mode == mode
        assert (row.n_boxes > 0) == pd.notna(row.hit) == pd.notna(row.iou) == pd.notna(row.iobb)
        assert (
            pd.isna(row.target) if pd.isna(row.hit) else row.target == ("on" if row.hit else "off")
        )
        called = row.probability >= row.threshold
        assert row.outcome == outcomes(np.array([row.outcome in ("TP", "FN")]), called)[0]
    first = table[table["finding"] == "Mass"].iloc[0]
    assert first["why"] == "boxed" and first["n_boxes"] == 1
    whole = table[(table["image"] == list(SIZES)[6]) & (table["finding"] == "Mass")]
    assert whole["hit"].all() and (whole["target"] == "on").all()


def test_what_is_said_of_the_lungs_is_what_their_mask_says(made):
    folder = draw(made)
    table = read_table(folder / "cams.parquet")
    without = table["image"] == UNFOUND
    assert without.any() and table["in_lungs"].isna().eq(without).all()
    said = json.loads((folder / "outlines.json").read_text())
    assert set(said) == set(table["image"])
    for row in table[~without].itertuples():
        width, height = SIZES[row.image]
        mask = over_film(LUNGS, width, height)
        x, y = int(row.peak_x_px), int(row.peak_y_px)
        assert row.in_lungs == mask[y, x]
        heat = np.load(folder / "maps" / f"{row.image[:-4]}-{row.finding}.npy")
        assert np.isnan(row.lungs_share) == (not (heat > 0).any())
        square = square_around(10, 10, 60, 70, width, height)
        shown = mask[square.y0_px : square.y0_px + 60, square.x0_px : square.x0_px + 60]
        assert row.lungs_area == pytest.approx(shown.mean())
        outline = said[row.image]
        assert outline["film_px"] == [width, height] and outline["crop"] == list(square)
        assert len(outline["lungs"]) == 2
    assert said[UNFOUND]["lungs"] == []
    assert said[list(SIZES)[6]]["boxes"] == {"Mass": [[0, 0, 120, 90]]}


def test_every_method_is_judged_on_the_same_boxes(made):
    folder = draw(made, method="layer_cam", compared=["cam", "occlusion", "layer_cam"])
    assert set(read_table(folder / "cams.parquet")["method"]) == {"layer_cam"}
    pointing = pd.read_csv(folder / "localisation.csv")
    assert pointing["method"].unique().tolist() == ["layer_cam", "cam", "occlusion"]
    totals = pointing[pointing["finding"] == ALL]
    assert (totals["films"] == 3).all() and totals["best_place"].nunique() == 1
    overlap = pd.read_csv(folder / "overlap.csv")
    assert len(overlap) == 3 * 15 * len(MEASURES)
    assert (overlap[overlap["finding"] == ALL]["boxes"] == 3).all()
    shape = np.load(next((folder / "maps").iterdir())).shape
    assert shape == (4, 4)  # of denseblock3, 16 px a cell


def test_doubt_is_written_down(made):
    said = json.loads((draw(made) / "sanity.json").read_text())
    assert said["method"] == "cam" and said["randomised"]["films"] <= 24
    assert {"head", "all"} <= set(said["randomised"])
    assert said["mean_maps"].pop("films") == 11 and list(said["mean_maps"]) == list(FINDINGS)
    assert np.array(list(said["mean_maps"].values())).shape == (14, 2, 2)
    assert "alarm" in said["corners"]


def test_mean_maps_are_of_the_method_that_is_shown(made, monkeypatch):
    monkeypatch.setattr("draw_cams.MEAN_MAP_FILMS", 4)
    said = json.loads((draw(made, method="layer_cam", compared=[]) / "sanity.json").read_text())
    assert said["method"] == "layer_cam" and said["mean_maps"].pop("films") == 4
    means = np.array(list(said["mean_maps"].values()))
    assert means.shape == (14, 4, 4) and means.min() >= 0  # of denseblock3, 16 px a cell
    assert said["corners"]["alarm"] is not None  # 4 x 4 cells are judged, cam's 2 x 2 are not


def test_a_map_without_a_peak_is_a_miss_of_unknown_target(made, net, monkeypatch):
    flat = {"layer_cam": lambda maps, slopes: torch.zeros_like(maps[:, 0])}
    monkeypatch.setattr("ribcage.explanation.methods.GRADIENT_METHODS", flat)
    folder = draw(made, method="layer_cam", compared=[])
    table = read_table(folder / "cams.parquet")
    boxed = table["n_boxes"] > 0
    assert boxed.any() and table.loc[boxed, "hit"].eq(False).all()
    assert table.loc[~boxed, "hit"].isna().all()
    nothing = table[["target", "in_lungs", "peak_x_px", "peak_y_px", "lungs_share"]]
    assert nothing.isna().all(axis=None) and (table["scale"] == 0).all()
    pointing = pd.read_csv(folder / "localisation.csv").set_index("finding")
    assert pointing.loc[ALL, ["films", "hits", "pointing"]].tolist() == [3, 0, 0]


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
    table = pd.read_csv(draw(made, per_finding=1, compared=[]) / "localisation.csv")
    table = table.set_index("finding")
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


def test_without_a_threshold_the_gallery_is_empty(made):
    (made / "tables" / "boxes.csv").write_text("image,finding,x_px,y_px,w_px,h_px\n")
    (made / "p" / "thresholds.json").write_text(json.dumps(dict.fromkeys(FINDINGS)))
    folder = draw(made)
    table = read_table(folder / "cams.parquet")
    assert len(table) == 0 and {"image", "finding", "outcome", "hit"} <= set(table.columns)
    assert not list((folder / "overlays").iterdir())
    assert json.loads((folder / "outlines.json").read_text()) == {}
    assert json.loads((folder / "sanity.json").read_text())["randomised"] is None


def test_a_film_without_a_row_of_lungs_is_refused(made):
    lungs = read_table(made / "lungs-b2.parquet")
    write_table(lungs.iloc[:0], made / "lungs-b2.parquet", META)
    with pytest.raises(InputError, match=r"has no row of 0000.*; find the lungs again"):
        draw(made)
    write_table(lungs.assign(mask_rle="7"), made / "lungs-b2.parquet", META)
    with pytest.raises(InputError, match=r"run lengths sum to 7.*; find the lungs again"):
        draw(made, "again")


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
