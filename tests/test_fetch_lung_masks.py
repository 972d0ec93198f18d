"""Real films with lung masks: small stand-ins in the layouts of the public sets."""

import csv
import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, png, write_archive
from fetch_lung_masks import main
from misbehaving_server import serving
from ribcage import chexmask, lung_masks
from ribcage.archives import Files
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.masked_films import names_on, read_pairs

OPTIONS = {"size_px": 64, "min_rca": 0.7, "test_share": 0.2, "attempts": 2, "delay_s": 0.001}
RNG = np.random.default_rng(0)


def film(height=40, width=50):
    return RNG.integers(0, 256, (height, width), dtype=np.uint8)


def mask(*columns, height=40, width=50):
    """Lungs that fill some columns in the film's middle rows: uint8 of 0 and 255."""
    drawn = np.zeros((height, width), np.uint8)
    for first, last in columns:
        drawn[10 : height - 10, first:last] = 255
    return drawn


LEFT, RIGHT = (28, 42), (8, 22)


def gif(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "GIF")
    return buffer.getvalue()


def tif(*pages):
    buffer = io.BytesIO()
    first, *others = [Image.fromarray(page) for page in pages]
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue()


def write(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def montgomery():
    files = {"MontgomerySet/ClinicalReadings/MCUCXR_0001_0.txt": b"Patient's Sex: F"}
    for number in range(1, 4):
        name = f"MCUCXR_{number:04d}_0.png"
        files[f"MontgomerySet/CXR_png/{name}"] = png(film())
        files[f"MontgomerySet/ManualMask/leftMask/{name}"] = png(mask(LEFT), "1")
        files[f"MontgomerySet/ManualMask/rightMask/{name}"] = png(mask(RIGHT), "1")
        files[f"__MACOSX/MontgomerySet/CXR_png/._{name}"] = b"\x00\x05\x16\x07"
    return files


def fetched(tmp_path, *sources, **changes):
    out = tmp_path / ".lung_masks.tmp"
    main(out, [{"max_films": 100, **source} for source in sources], **OPTIONS | changes)
    return out


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def test_without_a_source_there_is_an_almost_empty_folder(tmp_path):
    out = fetched(tmp_path)
    assert (out / "sources.csv").read_text() == "kind,origin,films,bytes,sha256,licence\n"
    assert (out / "train_val_list.txt").read_text() == (out / "test_list.txt").read_text() == ""
    assert not list((out / "images").iterdir())


@pytest.mark.parametrize("packed", [False, True])
def test_montgomerys_two_masks_are_united(tmp_path, packed, capsys):
    files = montgomery()
    origin = (zipped if packed else write)(tmp_path / ("set.zip" if packed else "set"), files)
    out = fetched(tmp_path, {"kind": "montgomery", "origin": str(origin)})
    assert "credit the National Library of Medicine" in capsys.readouterr().err
    listed = [(out / f"{s}_list.txt").read_text().split() for s in ("train_val", "test")]
    assert len(listed[0]) + len(listed[1]) == 3
    drawn = members(out / "lung_masks/montgomery.tar.gz")
    assert set(drawn) == {f"lung_masks/montgomery_MCUCXR_000{n}_0.png" for n in (1, 2, 3)}
    united = decode(drawn["lung_masks/montgomery_MCUCXR_0001_0.png"], "mask")
    assert np.array_equal(united, mask(LEFT, RIGHT))
    assert set(members(out / "images/montgomery.tar.gz")) == {
        name.replace("lung_masks/", "images/") for name in drawn
    }
    (row,) = csv.DictReader((out / "sources.csv").open())
    assert (row["kind"], row["films"], len(row["sha256"])) == ("montgomery", "3", 64)


def test_the_same_files_give_the_same_bytes_and_are_what_the_segmenter_reads(tmp_path):
    origin = write(tmp_path / "set", montgomery())
    (tmp_path / "b").mkdir()
    source = {"kind": "montgomery", "origin": str(origin)}
    one = fetched(tmp_path, source, test_share=0)
    two = fetched(tmp_path / "b", source, test_share=0)
    for path in (p for p in one.rglob("*") if p.is_file()):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes(), path
    rng = np.random.default_rng(0)
    pairs = read_pairs(one, names_on(one, "train_val", 10, rng), 32)
    assert pairs.films.shape == pairs.masks.shape == (3, 32, 32)
    assert pairs.masks.any(axis=(1, 2)).all()


def test_only_films_of_shenzhen_with_a_mask_are_taken(tmp_path):
    files = {f"CXR_png/CHNCXR_{n:04d}_0.png": png(film(), "RGB") for n in range(1, 5)}
    write(tmp_path / "films", files)
    masks = {f"mask/CHNCXR_{n:04d}_0_mask.png": png(mask(LEFT, RIGHT)) for n in (2, 4, 9)}
    source = {"kind": "shenzhen", "origin": str(write(tmp_path / "masks", masks))}
    out = fetched(tmp_path, source | {"films": str(tmp_path / "films")})
    names = {name.split("/")[1] for name in members(out / "images/shenzhen.tar.gz")}
    assert names == {"shenzhen_CHNCXR_0002_0.png", "shenzhen_CHNCXR_0004_0.png"}


def raw_film():
    """A film of JSRT: air (dark) is 4095, the white square in the middle 0."""
    words = np.full((2048, 2048), 4095, ">u2")
    words[900:1100, 900:1100] = 0
    return words.tobytes()


@pytest.mark.parametrize("layout", ["gif", "tif"])
def test_jsrts_raw_films_are_inverted_and_its_masks_united(tmp_path, layout):
    large = {"height": 1024, "width": 1024}
    sides = [mask((600, 900), **large), mask((100, 400), **large)]
    files = {"All247images/JPCLN001.IMG": raw_film(), "jpg/JPCLN001.jpg": b"drawn over"}
    if layout == "gif":
        files |= {"scr/fold1/masks/heart/JPCLN001.gif": gif(mask((400, 600), **large))}
        for side, name in zip(sides, ("left", "right"), strict=True):
            files[f"scr/fold1/masks/{name} lung/JPCLN001.gif"] = gif(side)
    else:
        files["masks/JPCLN001.tif"] = tif(*sides, mask((400, 600), **large))
    out = fetched(tmp_path, {"kind": "jsrt", "origin": str(write(tmp_path / "set", files))})
    shown = decode(members(out / "images/jsrt.tar.gz")["images/jsrt_JPCLN001.png"], "film")
    assert shown.shape == (64, 64) and shown[0, 0] == 0 and shown[32, 32] == 255
    lungs = decode(members(out / "lung_masks/jsrt.tar.gz")["lung_masks/jsrt_JPCLN001.png"], "m")
    assert lungs[32, 45] == lungs[32, 15] == 255 and lungs[32, 31] == 0 and lungs[0].max() == 0


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("masks/JPCLN001.tif", tif(mask(LEFT)), "is no mask that can be read"),
        ("masks/JPCLN001.tif", tif(mask(LEFT), mask((30, 44))), "lie over each other"),
        ("masks/JPCLN001.tif", tif(mask(LEFT), mask()), "has a part without any lung"),
        ("left lung/JPCLN001.gif", gif(mask(LEFT)), "it needs 2 of one shape"),
        ("masks/JPCLN001.tif", tif(*[mask(side) for side in (LEFT, RIGHT)]), "is 50 x 40 px, its"),
        ("masks/JPCLN001.tif", b"II*\x00", "is no mask that can be read"),
    ],
)
def test_masks_that_are_no_two_lungs_of_that_film_are_refused(tmp_path, name, data, words):
    files = {"JPCLN001.png": png(film(40, 40)), name: data}
    with pytest.raises(InputError, match=words):
        fetched(tmp_path, {"kind": "jsrt", "origin": str(write(tmp_path / "set", files))})


def test_a_raw_film_of_another_size_is_refused(tmp_path):
    files = {"JPCLN001.IMG": b"\x00" * 100, "JPCLN001.tif": tif(mask(LEFT), mask(RIGHT))}
    with pytest.raises(InputError, match="has 100 bytes, a film of JSRT 8,388,608"):
        fetched(tmp_path, {"kind": "jsrt", "origin": str(write(tmp_path / "set", files))})


# CheXmask


def test_run_lengths_are_what_a_hand_counts():
    # 3 rows of 5: pixel 1 is the first of the first row, 6 the first of the second.
    assert chexmask.decode_runs("2 3 6 1 10 2", 3, 5, "row").astype(int).tolist() == [
        [0, 1, 1, 1, 0],
        [1, 0, 0, 0, 1],
        [1, 0, 0, 0, 0],
    ]
    assert not chexmask.decode_runs("", 3, 5, "row").any()
    assert chexmask.decode_runs("15 1", 3, 5, "row")[2, 4]


@pytest.mark.parametrize(
    ("runs", "height", "words"),
    [
        ("1 2 3", 3, "no pairs of start and length"),
        ("0 2", 3, "no pairs of start and length"),
        ("1 -2", 3, "no pairs of start and length"),
        ("15 2", 3, "its runs leave the 5 x 3 px"),
        ("1 99999999999999999999", 3, "no whole numbers"),
        ("one 2", 3, "no whole numbers"),
        ("1 2", 0, "claims 5 x 0 px"),
        ("1 2", 100_000, "claims 5 x 100000 px"),
    ],
)
def test_run_lengths_that_cannot_be_are_refused(runs, height, words):
    with pytest.raises(InputError, match=words):
        chexmask.decode_runs(runs, height, 5, "table: row 2")


def runs_of(pixels):
    flat = np.concatenate([[0], (pixels.ravel() > 0).astype(int), [0]])
    turns = np.flatnonzero(np.diff(flat))
    return " ".join(f"{a + 1} {b - a}" for a, b in zip(turns[::2], turns[1::2], strict=True))


def table(path, rows, name_column="Image Index"):
    header = ["Dice RCA (Mean)", "Landmarks", "Left Lung", "Right Lung", "Heart", "Height", "Width"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([name_column, *header])
        for name, rca in rows:
            sides = runs_of(mask(LEFT)), runs_of(mask(RIGHT))
            writer.writerow([name, rca, "[1, 2]" * 40_000, *sides, "1 3", 40, 50])
    return path


def nih_names(*patients):
    return [f"{patient:08d}_{n:03d}.png" for patient in patients for n in range(3)]


@pytest.mark.parametrize("packed", [False, True])
def test_chexmasks_of_low_quality_are_dropped_and_patients_stay_whole(tmp_path, packed):
    names = nih_names(*range(1, 31))
    films = {name: png(film()) for name in names}
    if packed:
        write_archive(tmp_path / "raw/images_001.tar.gz", films)
    else:
        write(tmp_path / "raw/images", films)
    rows = [(n, 0.9 - 0.01 * k % 0.3) for k, n in enumerate(names)] + [("00009999_000.png", 0.9)]
    rows[0], rows[1], rows[2] = (names[0], 0.69), (names[1], "nan"), (names[2], 0.7)
    origin = table(tmp_path / "ChestX-Ray8.csv", rows)
    source = {"kind": "chexmask", "origin": str(origin), "films": str(tmp_path / "raw")}
    out = fetched(tmp_path, source, test_share=0.3)
    taken = {n.removeprefix("images/chexmask_") for n in members(out / "images/chexmask.tar.gz")}
    assert taken == {name for name, rca in rows if name in names and float(rca) >= 0.7}
    sides = [(out / f"{s}_list.txt").read_text().split() for s in ("train_val", "test")]
    patients = [{name.split("_")[1] for name in side} for side in sides]
    assert all(patients) and not patients[0] & patients[1]
    drawn = members(out / "lung_masks/chexmask.tar.gz")["lung_masks/chexmask_00000001_002.png"]
    assert np.array_equal(decode(drawn, "mask"), mask(LEFT, RIGHT))
    (row,) = csv.DictReader((out / "sources.csv").open())
    assert row["sha256"] == hashlib.sha256(origin.read_bytes()).hexdigest()


def test_a_bounded_number_of_films_is_the_same_whoever_asks(tmp_path):
    names = nih_names(1, 2, 3, 4)
    write(tmp_path / "films", {name: png(film()) for name in names})
    origin = table(tmp_path / "ChestX-Ray8.csv", [(name, 0.9) for name in names], "Image ID")
    pairs = [
        {p.name for p in chexmask.read_pairs(origin, tmp_path / "films", 0.7, most, 64)}
        for most in (3, 3, 5)
    ]
    assert pairs[0] == pairs[1] < pairs[2] and len(pairs[0]) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Image Index,Dice\na,1\n", "has no column Dice RCA"),
        ("name,Dice RCA (Mean),Left Lung,Right Lung,Height,Width\n", "no column Image Index"),
        ("", "has no column Dice RCA"),
        ("Image Index,Dice RCA (Mean),Left Lung,Right Lung,Height,Width\n", "has no mask with"),
        (
            "Image Index,Dice RCA (Mean),Left Lung,Right Lung,Height,Width\n"
            "00000001_000.png,high,1 2,1 2,40,50\n",
            "row 2: its RCA, height or width is no number",
        ),
        (
            "Image Index,Dice RCA (Mean),Left Lung,Right Lung,Height,Width\n"
            "00000001_000.png,1,1 2\n",
            "row 2: its RCA, height or width is no number",
        ),
        ("Image Index," + "x" * (chexmask.MAX_LINE_CHARS + 9), "has no column|cannot be read"),
        ("Image Index,\xff\n", "cannot be read"),
    ],
)
def test_a_table_that_is_not_chexmasks_is_refused(tmp_path, text, words):
    write(tmp_path / "films", {"00000001_000.png": png(film())})
    (tmp_path / "ChestX-Ray8.csv").write_bytes(text.encode("latin-1"))
    source = {"kind": "chexmask", "origin": str(tmp_path), "films": str(tmp_path / "films")}
    with pytest.raises(InputError, match=words) as error:
        fetched(tmp_path, source)
    assert "\n" not in str(error.value)


# Where files come from


@pytest.mark.parametrize("kind", ["montgomery", "shenzhen", "own"])
def test_what_has_no_published_checksum_is_not_fetched(tmp_path, kind):
    with pytest.raises(InputError, match=f"{kind} has no official file .* get it from"):
        fetched(tmp_path, {"kind": kind, "origin": "official"})


@pytest.mark.parametrize("kind", ["jsrt", "chexmask"])
def test_official_masks_need_a_folder_of_films(tmp_path, kind):
    with pytest.raises(InputError, match=f"of {kind} only masks can be fetched; name the folder"):
        fetched(tmp_path, {"kind": kind, "origin": "official"})


@pytest.mark.parametrize("faults", [[], [("drop", 300), "500", "redirect"]])
def test_official_masks_are_fetched_once_and_checked(tmp_path, monkeypatch, faults):
    packed = zipped(
        tmp_path / "served.zip", {"masks/JPCLN001.tif": tif(mask(LEFT), mask(RIGHT))}
    ).read_bytes()
    write(tmp_path / "films", {"JPCLN001.png": png(film())})
    source = {"kind": "jsrt", "origin": "official", "films": str(tmp_path / "films")}
    with serving({"/masks.zip": packed}, faults) as (base, seen):
        layout = lung_masks.LAYOUTS["jsrt"]
        for md5, ends_well in (("0" * 32, False), (hashlib.md5(packed).hexdigest(), True)):
            remote = layout.official.__class__(f"{base}/masks.zip", "jsrt-masks.zip", md5=md5)
            monkeypatch.setitem(lung_masks.LAYOUTS, "jsrt", layout._replace(official=remote))
            folder = tmp_path / str(ends_well)
            folder.mkdir()
            if not ends_well:
                with pytest.raises(InputError, match="its md5 is"):
                    fetched(folder, source, attempts=4)
                continue
            out = fetched(folder, source)
            assert (folder / "lung_masks.partial/jsrt-masks.zip").is_file()
            asked = len(seen)
            out.rename(folder / "first")
            again = fetched(folder, source)
            assert len(seen) == asked
            assert (again / "sources.csv").read_text() == (folder / "first/sources.csv").read_text()


# Hostile and broken files


def test_a_zip_that_asks_for_memory_as_it_wishes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("CXR_png/a.png", b"x")
    with pytest.raises(InputError, match="by a method that is not Deflate; unpack it"):
        Files(tmp_path / "set.zip")


def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path):
    for name in ("../CXR_png/a.png", "/CXR_png/a.png", "CXR_png/../../a.png"):
        with pytest.raises(InputError, match="is no plain file in it"):
            Files(zipped(tmp_path / "set.zip", {name: b"x"}))
    link = zipfile.ZipInfo("CXR_png/a.png")
    link.external_attr = 0xA1ED << 16
    with pytest.raises(InputError, match="is no plain file in it"):
        Files(zipped(tmp_path / "set.zip", {link: b"/etc/passwd"}))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    bomb = zipped(tmp_path / "set.zip", {"CXR_png/a.png": bytes(1 << 20)})
    with pytest.raises(InputError, match="has 1,048,576 bytes, over 1,000"):
        Files(bomb).read("CXR_png/a.png", 1000)
    monkeypatch.setattr("ribcage.archives.MAX_MEMBERS", 2)
    with pytest.raises(InputError, match="claims 3 members"):
        Files(zipped(tmp_path / "many.zip", {f"{n}.png": b"" for n in range(3)}))


def test_a_zip_that_lies_about_a_members_size_is_refused(tmp_path):
    path = zipped(tmp_path / "set.zip", {"a.png": bytes(100_000)})
    size = (100_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"a\.png: cannot be read"):
        Files(path).read("a.png", 1000)


def test_broken_and_absent_origins_are_one_sentence(tmp_path):
    (tmp_path / "cut.zip").write_bytes(zipped(tmp_path / "a.zip", montgomery()).read_bytes()[:900])
    empty = tmp_path / "empty"
    empty.mkdir()
    for origin, words in (
        (tmp_path / "cut.zip", "is no zip"),
        (tmp_path / "nothing", "there is no such folder or .zip"),
        (empty, "0 films and masks of 0 are there, but no pair"),
    ):
        with pytest.raises(InputError, match=words) as error:
            fetched(tmp_path / f"out-{origin.stem}", {"kind": "montgomery", "origin": str(origin)})
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="name a kind once"):
        fetched(tmp_path / "twice", *[{"kind": "own", "origin": str(empty)}] * 2)


def test_real_films_with_masks_of_a_folder_of_ones_own(tmp_path):
    folder = ROOT.parent / "shared" / "lungs-starter"
    if not folder.is_dir():
        pytest.skip(f"no real films at {folder}")
    out = fetched(tmp_path, {"kind": "own", "origin": str(folder)}, size_px=512)
    assert len(list(read_batch(out / "images/own.tar.gz"))) == 40
    names = set((out / "train_val_list.txt").read_text().split())
    pairs = read_pairs(out, names, 128)
    assert 25 <= len(names) < 40 and 0.05 < pairs.masks.mean() < 0.6
