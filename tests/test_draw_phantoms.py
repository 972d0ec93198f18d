import csv
import io
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from draw_phantoms import HEADER, draw, main
from ribcage.entries import read_entries, version_of
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.findings import BOXED, FINDINGS, canonical
from ribcage.phantoms import anatomy, devices, pathology
from ribcage.phantoms.exposure import draw_film
from ribcage.phantoms.population import (
    MARKS,
    Cohort,
    Film,
    Shortcut,
    population,
    rng_of,
)

OPTIONS = {
    "films_per_batch": 20,
    "size_px": 96,
    "quality_faults": 0.15,
    "test_share": 0.4,
    "seed": 3,
}
NOISY = {
    "label_noise": {"missed": 0.3, "invented": 0.2},
    "shortcuts": [{"finding": "Mass", "mark": "drain", "with": 1, "without": 0}],
}


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "share"
    main(folder, 50, **OPTIONS)
    return folder


def films_of(share, kind):
    found = {}
    for path in sorted((share / kind).glob("*.tar.gz")):
        with tarfile.open(path) as tar:
            for member in tar:
                found[member.name] = Image.open(io.BytesIO(tar.extractfile(member).read()))
                found[member.name].load()
    return found


def test_the_layout_is_nihs(share):
    table = (share / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    assert table[0] == HEADER and len(table) == 51
    box_header = (share / "BBox_List_2017.csv").read_text().splitlines()[0]
    assert box_header == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    entries = share / "Data_Entry_2017_v2020.csv"
    assert len(read_entries(entries)) == 50
    assert version_of(entries, read_entries(entries)) == "phantom"
    names = {name for p in sorted((share / "images").glob("*")) for name, _ in read_batch(p)}
    assert len(names) == 50 and [p.name for p in sorted((share / "images").glob("*"))] == [
        f"images_00{n}.tar.gz" for n in (1, 2, 3)
    ]
    assert not (share / "test_list.txt").read_text().endswith("\n")


def test_films_are_grey_or_grey_stored_as_rgba():
    film = Film(1, 0, 50, "F", "PA", (), None, True)
    data = draw((film, 64, 1)).film
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    assert decode(data, "x.png").shape == (64, 64)


def test_every_finding_and_the_heart_have_a_mask(share):
    parts = films_of(share, "part_masks")
    stored = {name.removeprefix("part_masks/").removesuffix(".png") for name in parts}
    planned = population(50, OPTIONS["quality_faults"], OPTIONS["seed"])
    wanted = {f"{film.name[:-4]}_{part}" for film in planned for part in ("Heart", *film.findings)}
    assert stored == wanted
    film = next(film for film in planned if film.findings)
    drawn = draw_film(film, 96, OPTIONS["seed"])
    for finding in film.findings:
        mask = np.asarray(parts[f"part_masks/{film.name[:-4]}_{finding}.png"]) > 0
        assert np.array_equal(mask, drawn.lesions[finding])


def test_patients_are_on_one_list(share):
    sides = [
        {name[:8] for name in (share / f"{side}_list.txt").read_text().split()}
        for side in ("train_val", "test")
    ]
    assert not sides[0] & sides[1] and sides[0] and sides[1]


def test_the_count_of_workers_changes_nothing(share, tmp_path):
    main(tmp_path / "again", 50, **OPTIONS, threads=2)
    for path in sorted(share.rglob("*")):
        if path.is_file():
            other = tmp_path / "again" / path.relative_to(share)
            assert other.read_bytes() == path.read_bytes(), path


def test_a_film_is_drawn_again_alone(share):
    film = population(50, OPTIONS["quality_faults"], OPTIONS["seed"])[7]
    drawn = draw_film(film, 96, 3).pixels
    stored = np.asarray(films_of(share, "images")[f"images/{film.name}"].convert("L"))
    assert np.array_equal(drawn, stored)


def test_masks_are_two_dark_lungs_beside_a_bright_middle(share):
    images, masks = films_of(share, "images"), films_of(share, "lung_masks")
    faulty = {n for p in (share / "blacklists").glob("*") for n in p.read_text().split()}
    contrast = []
    for name, image in images.items():
        name = name.removeprefix("images/")
        film = np.asarray(image.convert("L")).astype(float)
        mask = np.asarray(masks[f"lung_masks/{name}"])
        assert mask.shape == film.shape and set(np.unique(mask)) == {0, 255}
        if name in faulty:
            continue
        columns = np.flatnonzero((mask > 0).any(axis=0))
        middle = (columns[0] + columns[-1]) // 2
        rows = np.flatnonzero((mask > 0).any(axis=1))
        band = film[rows[0] : rows[-1], middle - 3 : middle + 4]
        contrast.append(band.mean() - film[mask > 0].mean())
    assert np.mean(np.array(contrast) > 20) > 0.95


def test_boxes_lie_in_test_films_on_a_label(share):
    labels = {
        row["image"]: row for _, row in read_entries(share / "Data_Entry_2017_v2020.csv").iterrows()
    }
    test = set((share / "test_list.txt").read_text().split())
    rows = list(csv.reader((share / "BBox_List_2017.csv").read_text().splitlines()[1:]))
    assert len(rows) >= 5
    for name, label, *box in rows:
        x, y, w, h = map(float, box)
        finding = canonical(label, "boxes")
        assert finding in BOXED and labels[name][finding] and name in test
        assert x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= 96 and y + h <= 96


def test_blacklisted_films_are_those_drawn_with_a_fault(share):
    planned = population(50, OPTIONS["quality_faults"], OPTIONS["seed"])
    for fault in ("rotated_images", "other_images_with_lower_quality"):
        text = (share / "blacklists" / f"blacklist_{fault}.csv").read_text()
        assert text.split() == [film.name for film in planned if film.fault == fault]
    assert (share / "blacklists" / "blacklist_non_PA_AP_view.csv").read_text() == ""
    assert any(film.fault for film in planned)


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_is_seen_where_its_mask_and_box_are(finding):
    seen, unseen = [], []
    for patient in range(1, 9):
        healthy = draw_film(Film(patient, 0, 50, "M", "PA", (), None, False), 128, 1)
        ill = draw_film(Film(patient, 0, 50, "M", "PA", (finding,), None, False), 128, 1)
        assert list(ill.lesions) == [finding] and not healthy.lesions
        x, y, w, h = map(int, ill.boxes[finding])
        change = np.abs(ill.pixels.astype(float) - healthy.pixels)
        seen.append(change[y : y + h, x : x + w].mean())
        far = cv2.dilate(ill.lesions[finding].astype(np.uint8), np.ones((15, 15))) == 0
        unseen.append(change[far].mean())
    assert np.mean(seen) > 6
    if finding not in ("Edema", "Emphysema"):  # lungs that change as a whole change all tones
        assert np.mean(seen) > 1.2 * np.mean(unseen)


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_graver_finding_changes_more(finding):
    def change(patient, severity):
        maps = []
        for severe in ({}, {finding: severity}):
            rng = rng_of(1, patient)
            shape = anatomy.proportions(rng, 50, "M")
            pathology.prepare(severe, shape)
            chest = anatomy.draw(rng, shape, "PA", 96)
            for name in severe:
                pathology.add(name, chest, rng_of(1, patient, 9), severity)
            maps.append(chest.soft - 0.74 * chest.depth + chest.vessels)
        return np.abs(maps[1] - maps[0]).sum()

    mild, grave = (sum(change(patient, s) for patient in range(6)) for s in (0.15, 1.0))
    assert grave > 1.1 * mild


def test_lungs_leave_out_what_heart_and_great_vessels_hide():
    for patient in range(1, 6):
        drawn = draw_film(Film(patient, 0, 70, "F", "AP", (), None, False), 256, 1)
        assert drawn.heart.mean() > 0.02
        assert (drawn.lungs & drawn.heart).mean() < 2e-4
        rows = np.flatnonzero(drawn.lungs.any(axis=1))
        high = rows[-1] - rows[0]
        band = drawn.lungs[rows[0] + high // 4 : rows[0] + 3 * high // 4].astype(int)
        parts = (np.diff(band, axis=1, prepend=0) == 1).sum(axis=1)
        assert np.mean(parts == 2) > 0.9  # one lung on each side, and a gap between


@pytest.mark.parametrize(
    "finding",
    ["Mass", "Nodule", "Pneumonia", "Consolidation", "Pleural_Thickening", "Hernia", "Effusion"],
)
def test_a_finding_in_one_place_changes_the_chest_only_there(finding):
    def dense(chest):
        return chest.soft - 0.74 * chest.depth + chest.vessels

    for patient in range(6):
        rng = rng_of(1, patient)
        chest = anatomy.draw(rng, anatomy.proportions(rng, 50, "F"), "PA", 128)
        before = dense(chest).copy()
        mask = pathology.add(finding, chest, rng_of(1, patient, 9), 0.7)
        near = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        changed = np.abs(dense(chest) - before)
        assert changed[~near].max() < 0.2 and changed[mask].mean() > 0.5


def test_a_patients_later_film_shows_the_same_chest():
    films = [Film(9, n, 50, "M", "PA", (), None, False) for n in (0, 1)]
    other = Film(10, 0, 50, "M", "PA", (), None, False)
    one, two, stranger = (draw_film(film, 96, 1) for film in (*films, other))
    assert not np.array_equal(one.pixels, two.pixels)
    assert not np.array_equal(one.pixels, stranger.pixels)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("films", 5),
        ("films_per_batch", 0),
        ("size_px", 32),
        ("quality_faults", 1.5),
        ("test_share", -0.1),
        ("no_finding_share", 1.0),
        ("rare_boost", 1.1),
    ],
)
def test_a_param_out_of_range_is_refused_by_name(key, value, tmp_path):
    with pytest.raises(InputError, match=rf"^draw_phantoms\.{key} must be"):
        main(tmp_path / "share", **{"films": 50, **OPTIONS, key: value})
    assert not (tmp_path / "share").exists()


def test_a_noisy_table_is_wrong_as_often_as_asked_and_the_truth_lies_beside_it(tmp_path):
    share = tmp_path / "share"
    main(share, 40, **OPTIONS, **NOISY)
    noise = NOISY["label_noise"]
    planned = population(4000, 0, 3, Cohort(**noise))
    drawn = sum(len(film.findings) for film in planned)
    missed = sum(len(set(film.findings) - set(film.listed)) for film in planned)
    invented = np.mean([bool(set(film.listed) - set(film.findings)) for film in planned])
    assert missed / drawn == pytest.approx(0.3, abs=0.03)
    assert invented == pytest.approx(0.2, abs=0.03)
    shortcut = Shortcut("Mass", "drain", 1, 0)
    films = population(40, 0.15, 3, Cohort(**noise, shortcuts=(shortcut,)))
    table = read_entries(share / "Data_Entry_2017_v2020.csv").set_index("image")
    truth = {tuple(row) for row in csv.reader((share / "truth.csv").read_text().splitlines())}
    marks = {tuple(row) for row in csv.reader((share / "marks.csv").read_text().splitlines())}
    assert truth == {("image", "finding"), *((f.name, x) for f in films for x in f.findings)}
    assert marks == {("image", "mark"), *((f.name, x) for f in films for x in f.marks)}
    for film in films:
        assert {f for f in FINDINGS if table[f][film.name]} == set(film.listed)
    assert any(film.findings != film.listed for film in films)
    for name, label, *_ in csv.reader((share / "BBox_List_2017.csv").read_text().splitlines()[1:]):
        assert table[canonical(label, "boxes")][name]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mark": "stent"}, r"entry 1: mark 'stent' must be one of drain, lead, "),
        ({"finding": "Cough"}, r"entry 1: unknown finding 'Cough'"),
        ({"with": 1.5}, r"entry 1: with must be 0 to 1"),
    ],
)
def test_a_shortcut_that_cannot_be_drawn_is_refused(changed, words, tmp_path):
    planted = [{**NOISY["shortcuts"][0], **changed}]
    with pytest.raises(InputError, match=words):
        main(tmp_path / "share", 40, **OPTIONS, shortcuts=planted)
    with pytest.raises(InputError, match="each once"):
        main(tmp_path / "share", 40, **OPTIONS, shortcuts=2 * NOISY["shortcuts"])
    assert not (tmp_path / "share").exists()


@pytest.mark.parametrize("mark", [*MARKS, "none"])
def test_a_mark_is_seen_and_nothing_else_changes(mark):
    marks = () if mark == "none" else (mark,)
    brighter, changed = [], []
    for patient in range(1, 5):
        plain, marked = (
            draw_film(Film(patient, 0, 50, "M", "PA", (), None, False, borne), 128, 1).pixels
            for borne in ((), marks)
        )
        difference = marked.astype(float) - plain
        brighter.append((difference > 8).mean())
        changed.append((np.abs(difference) > 40).mean())
    assert (min(brighter) > 0.001) == (mark != "none")
    assert max(changed) < 0.12


@pytest.mark.parametrize("finding", ["Pneumothorax", "Effusion"])
def test_a_drain_goes_to_the_side_of_air_or_fluid(finding):
    for patient in range(8):
        rng = rng_of(1, patient)
        chest = anatomy.draw(rng, anatomy.proportions(rng, 50, "M"), "PA", 128)
        mask = pathology.add(finding, chest, rng_of(1, patient, 9), 0.8)
        before = chest.bone.copy()
        film = Film(1, 0, 50, "M", "PA", (finding,), None, False, ("drain",))
        devices.inside(chest, film, {finding: mask}, rng_of(1, patient, 6))
        added = chest.bone - before
        assert added.min() > -1e-5 and added.max() > 1
        assert np.sign((added * chest.x).sum()) == np.sign((mask * chest.x).sum())
