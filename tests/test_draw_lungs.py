import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import png, write_archive
from draw_lungs import (
    BOX_COLOUR,
    CROP_COLOUR,
    FALLBACK_COLOUR,
    FINDING_COLOUR,
    choose,
    losses,
    main,
    outlined,
)
from ribcage import lungs
from ribcage.boxes import Box
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.tables import write_table

META = {"labels_version": "other", "source_sha256": "0" * 64}
SIZE = (64, 48)
MASK = np.zeros((256, 256), bool)
MASK[80:180, 40:100] = MASK[80:180, 150:210] = True


def rows_of(qualities, first=0):
    """Rows of data/lungs: a film of no quality is taken whole."""
    rows = pd.DataFrame({"image": [f"{first + n:08d}_000.png" for n in range(len(qualities))]})
    rows["quality"] = np.array(qualities, float)
    rows["method"] = np.where(rows["quality"] > 0, "unet", "whole_film")
    boxes = [(0, 0, *SIZE) if quality == 0 else (5, 4, 60, 44) for quality in qualities]
    rows[list(lungs.Box._fields)] = np.array(boxes).reshape(-1, 4)
    return rows.assign(mask_rle=lungs.encode_rle(MASK))


NO_LOSS = losses({}, rows_of([]))


def test_films_are_chosen_by_rule():
    found = rows_of([0.9, 0.5, 0, 0.7, 0.5, 0, 1.0, 0])
    found["image"] = list("hgfedcba")
    shown = choose(found, NO_LOSS, random=3, worst=3, fallbacks=2, cut=2, seed=4)
    assert list(shown["sheet"]) == ["random"] * 3 + ["worst"] * 3 + ["fallback"] * 2
    assert list(shown["order"]) == [1, 2, 3, 1, 2, 3, 1, 2]
    assert list(shown["image"][3:6]) == ["d", "g", "e"]  # equal qualities by name
    assert list(shown["image"][6:]) == ["a", "c"]
    random = list(shown["image"][:3])
    assert random == sorted(random, reverse=True) and len(set(random)) == 3  # in the table's order
    draws = {tuple(choose(found, NO_LOSS, 3, 3, 2, 2, seed)["image"][:3]) for seed in range(20)}
    assert len(draws) > 5


def test_a_sheet_has_what_there_is():
    shown = choose(rows_of([0.9, 0.8]), NO_LOSS, random=5, worst=5, fallbacks=5, cut=5, seed=0)
    assert list(shown["sheet"]) == ["random"] * 2 + ["worst"] * 2
    assert shown["order"].dtype == np.int64
    assert len(choose(rows_of([]), NO_LOSS, 5, 5, 5, 5, 0)) == 0


@pytest.mark.parametrize(("quality", "colour"), [(0.9, BOX_COLOUR), (0, FALLBACK_COLOUR)])
def test_outline_and_box_lie_where_they_belong(quality, colour):
    row = rows_of([quality]).iloc[0]
    picture = np.asarray(outlined(np.full(SIZE[::-1], 90, np.uint8), row, 128, []))
    assert picture.shape == (96, 128, 3)
    boxed = np.argwhere((picture == colour).all(axis=2))
    x0, y0, x1, y1 = (2 * row[key] for key in lungs.Box._fields)
    assert boxed.min(axis=0).tolist() == [y0, x0] and boxed.max(axis=0).tolist() == [y1 - 1, x1 - 1]
    red, green, blue = np.moveaxis(picture.astype(int), 2, 0)
    lines = np.argwhere((green > red + 9) & (green > blue + 9))
    # The mask covers the film's square, which is 16 px higher than the film: rows 80 to 180 of 256
    # are 40 to 90 of 128, less the 16 above the film in this picture.
    assert abs(lines.min(axis=0) - [24, 20]).max() <= 1
    assert abs(lines.max(axis=0) - [73, 104]).max() <= 1


@pytest.fixture
def made(tmp_path):
    """Eight films in three batches, the second without any that is kept; lungs and two boxes."""
    rng = np.random.default_rng(1)
    parts = {
        "b1": rows_of([0.9, 0.8, 0.6, 0]),
        "b2": rows_of([]),
        "b3": rows_of([0.5, 0.9, 0, 1], 4),
    }
    sizes = pd.concat(parts.values()).assign(width_px=SIZE[0], height_px=SIZE[1])
    curated = sizes[["image", "width_px", "height_px"]].assign(**dict.fromkeys(FINDINGS, False))
    write_table(curated, tmp_path / "curated.parquet", META)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "boxes.csv").write_text(
        "image,finding,x_px,y_px,w_px,h_px\n"
        "00000001_000.png,Mass,20,20,10,10\n"
        "00000004_000.png,Nodule,0,0,10,10\n"
        "dropped_000.png,Mass,0,0,10,10\n"
    )
    for batch, rows in parts.items():
        write_table(rows, tmp_path / f"{batch}.parquet", META)
        films = {n: png(rng.integers(0, 256, SIZE[::-1], dtype=np.uint8)) for n in rows["image"]}
        if batch == "b3":
            (tmp_path / batch).mkdir()
            for name, data in films.items():
                (tmp_path / batch / name).write_bytes(data)
        else:
            write_archive(tmp_path / f"{batch}.tar.gz", dict(reversed(films.items())))
    return tmp_path


def draw(made, out="lungs", **changed):
    names = ("b1.tar.gz", "b2.tar.gz", "b3")
    numbers = {
        "random": 4,
        "worst": 2,
        "fallbacks": 5,
        "cut": 3,
        "picture_px": 96,
        "seed": 1,
    } | changed
    tables = [made / f"b{n}.parquet" for n in (1, 2, 3)]
    place = (made / "curated.parquet", made / "tables")
    main(*place, tables, [made / name for name in names], made / out, **numbers)
    return made / out


def test_the_pictures_and_their_table_belong_together(made):
    folder = draw(made)
    table = pd.read_csv(folder / "sheets.csv")
    assert list(table) == ["sheet", "order", "image", "method", "quality", "picture"]
    assert table["sheet"].value_counts().to_dict() == {
        "random": 4,
        "worst": 2,
        "fallback": 2,
        "cut": 1,
    }
    worst = table[table["sheet"] == "worst"]
    assert list(worst["quality"]) == [0.5, 0.6] and (worst["method"] == "unet").all()
    assert list(table["image"][table["sheet"] == "cut"]) == ["00000004_000.png"]
    assert list(table["image"][table["sheet"] == "fallback"]) == [
        "00000003_000.png",
        "00000006_000.png",
    ]
    assert {path.name for path in folder.glob("*.webp")} == set(table["picture"])
    for row in table.itertuples():
        end = "-cut.webp" if row.sheet == "cut" else ".webp"
        assert row.picture == row.image.replace(".png", end)
        with Image.open(folder / row.picture) as picture:
            assert picture.size == (96, 72)


def test_what_the_crop_cuts_off_is_counted_for_every_box_of_a_kept_film(made):
    loss = pd.read_csv(draw(made) / "box_loss.csv").set_index("image")
    assert loss.index.tolist() == ["00000001_000.png", "00000004_000.png"]
    inside, corner = loss.loc["00000001_000.png"], loss.loc["00000004_000.png"]
    assert (inside["kept_by_crop"], inside["kept_by_box"]) == (1, 1)
    # The lungs' box is [5, 60) x [4, 44); the square around it starts at x 5 and keeps all heights.
    assert (corner["kept_by_crop"], corner["kept_by_box"]) == (0.5, 0.3)
    assert (corner["finding"], corner["method"]) == ("Nodule", "unet")


def test_the_worst_cut_boxes_are_shown_first_with_the_crop():
    found = rows_of([0.9, 0.8, 0.7]).assign(width_px=SIZE[0], height_px=SIZE[1])
    first, second, third = found["image"]
    boxes = {
        (first, "Mass"): [Box(0, 10, 10, 10)],
        (second, "Mass"): [Box(20, 20, 5, 5), Box(0, 10, 6, 10)],
        (third, "Mass"): [Box(20, 20, 5, 5)],
    }
    loss = losses(boxes, found)
    assert loss["kept_by_crop"].tolist() == [0.5, 1, pytest.approx(1 / 6, abs=1e-3), 1]
    shown = choose(found, loss, 1, 1, 1, 5, 0)
    assert shown["image"][shown["sheet"] == "cut"].tolist() == [second, first]
    film = np.full(SIZE[::-1], 90, np.uint8)
    picture = np.asarray(outlined(film, found.iloc[1], 128, boxes[second, "Mass"]))
    for colour in (CROP_COLOUR, FINDING_COLOUR, BOX_COLOUR):
        assert (picture == colour).all(axis=2).any(), colour


def test_drawing_twice_gives_the_same_bytes(made):
    first, second = draw(made), draw(made, "again")
    names = sorted(path.name for path in first.iterdir())
    assert len(names) >= 5 and names == sorted(path.name for path in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_batch_without_a_shown_film_is_not_read(made):
    (made / "b2.tar.gz").write_bytes(b"no archive")
    draw(made)


def test_a_film_that_went_since_is_named(made):
    (made / "b3" / "00000004_000.png").unlink()
    with pytest.raises(InputError, match=r"b3: no longer holds 00000004_000\.png; index the films"):
        draw(made)


def test_two_films_that_would_share_a_picture_are_refused(made):
    rows = rows_of([0.9, 0.8])
    rows["image"] = ["a.png", "a.jpg"]
    write_table(rows, made / "b2.parquet", META)
    sizes = rows[["image"]].assign(width_px=SIZE[0], height_px=SIZE[1])
    kept = pd.read_parquet(made / "curated.parquet")
    more = pd.concat([kept, sizes.assign(**dict.fromkeys(FINDINGS, False))])
    write_table(more, made / "curated.parquet", META)
    with pytest.raises(InputError, match=r"both be drawn as a\.webp; rename one"):
        draw(made, random=10)
