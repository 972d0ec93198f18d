import gzip
import hashlib
import json

import pandas as pd
import pytest

from conftest import HEADER, ROOT, entry
from fetch_tables import main, read_boxes
from index_images import labels_version, read_entries
from misbehaving_server import serving
from ribcage.errors import InputError

BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
BOXES = BOX_HEADER + "00000001_000.png,Infiltrate,1.5,2,30,40.25\n00000001_000.png,Mass,5,6,7,8"


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "blacklists").mkdir(parents=True)
    (source / "Data_Entry_2017_v2020.csv").write_text(f"{HEADER}\n{entry(1)}\n")
    (source / "BBox_List_2017.csv").write_text(BOXES)
    (source / "train_val_list.txt").write_text("00000001_000.png")
    (source / "test_list.txt").write_text("")
    (source / "blacklists" / "rotated.csv").write_text("00000001_000.png")
    return source


def test_the_tables_of_a_folder_are_taken(folder, tmp_path):
    main(folder, tmp_path / "tables", "local")
    tables = tmp_path / "tables"
    original = (folder / "Data_Entry_2017_v2020.csv").read_bytes()
    assert (tables / "entries.csv").read_bytes() == original
    boxes = pd.read_csv(tables / "boxes.csv")
    assert boxes.to_numpy().tolist() == [
        ["00000001_000.png", "Infiltration", 1.5, 2, 30, 40.25],
        ["00000001_000.png", "Mass", 5, 6, 7, 8],
    ]
    assert (tables / "train_val_list.txt").read_text() == "00000001_000.png"
    assert (tables / "blacklists" / "rotated.csv").is_file()
    sources = pd.read_csv(tables / "sources.csv").set_index("file")
    assert sources["sha256"]["entries.csv"] == hashlib.sha256(original).hexdigest()
    assert sources["from"]["entries.csv"] == "Data_Entry_2017_v2020.csv"


def test_boxes_lists_and_blacklists_may_be_absent(folder, tmp_path):
    for path in (*folder.glob("*.txt"), folder / "BBox_List_2017.csv"):
        path.unlink()
    (folder / "blacklists" / "rotated.csv").unlink()
    main(folder, tmp_path / "tables", "phantom")
    assert (tmp_path / "tables" / "boxes.csv").read_text() == "image,finding,x_px,y_px,w_px,h_px\n"
    assert (tmp_path / "tables" / "marks.csv").read_text() == "image,mark\n"


def test_a_list_of_marks_is_taken_each_row_once(folder, tmp_path):
    text = '"image","mark"\r\nb.png,drain,\r\n\r\na.png,chest_tube_2\r\nb.png,drain\r\n'
    (folder / "marks.csv").write_text(text)
    main(folder, tmp_path / "tables", "local")
    marks = (tmp_path / "tables" / "marks.csv").read_text()
    assert marks == "image,mark\na.png,chest_tube_2\nb.png,drain\n"
    sources = pd.read_csv(tmp_path / "tables" / "sources.csv").set_index("file")
    assert sources["sha256"]["marks.csv"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "Data_Entry_2017.csv",
            "x",
            r"needs one file Data_Entry_\*\.csv, has Data_Entry_2017\.csv, ",
        ),
        (
            "BBox_List_2017.csv",
            BOX_HEADER + "a.png,Mass,1,2,x,4",
            "line 2: .* is no image, finding, x, y, w, h",
        ),
        ("BBox_List_2017.csv", BOX_HEADER + "a.png,Mass,1,2,3,", "line 2: .* is no image"),
        ("BBox_List_2017.csv", BOX_HEADER + "a.png,Mass,1,2,3,4,5", "line 2: .* is no image"),
        ("BBox_List_2017.csv", BOX_HEADER + "a.png", "line 2: .* is no image"),
        ("BBox_List_2017.csv", BOX_HEADER + "a.png,Mass,1,2,0,4", "line 2: .* is no box of"),
        ("BBox_List_2017.csv", BOX_HEADER + "a.png,Mass,nan,2,3,4", "line 2: .* is no box of"),
        ("BBox_List_2017.csv", BOX_HEADER + "a.png,Mass,1,2,inf,4", "line 2: .* is no box of"),
        ("BBox_List_2017.csv", BOX_HEADER + "../a.png,Mass,1,2,3,4", "line 2: .* is no box of"),
        ("BBox_List_2017.csv", BOX_HEADER + "\na.png,Cough,1,2,3,4", "line 3: unknown finding"),
        ("BBox_List_2017.csv", BOX_HEADER + "\udcff", "byte 44 is not UTF-8"),
        ("marks.csv", "a.png,drain\n", r"line 1: \['a\.png', 'drain'\] must be image,mark"),
        ("marks.csv", "", r"line 1: \[''\] must be image,mark"),
        ("marks.csv", "image,mark\n\n../a.png,drain", "line 3: .* is no image and mark"),
        ("marks.csv", "image,mark\na.png,Drain", "line 2: .* is no image and mark"),
        ("marks.csv", "image,mark\na.png,<b>", "line 2: .* is no image and mark"),
        ("marks.csv", "image,mark\na.png," + 41 * "x", "line 2: .* is no image and mark"),
        ("marks.csv", "image,mark\na.png,drain,x", "line 2: .* is no image and mark"),
        (
            "marks.csv",
            "\n".join(["image,mark", *(f"a.png,m{n}" for n in range(51))]),
            "has 51 kinds of marks, over 50",
        ),
        ("test_list.txt", "a.png\n\nb/c.png", r"test_list\.txt: line 3: 'b/c\.png' is no file"),
        ("blacklists/rotated.csv", "a.png,tilted", "line 1: 'a.png,tilted' is no file name"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(folder, tmp_path, name, text, words):
    (folder / name).write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=words):
        main(folder, tmp_path / "tables", "local")


def test_boxes_that_a_spreadsheet_has_saved_are_read(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(BOX_HEADER.strip() + '\r\n"a.png","Mass",1,2,3.25,4,,,\r\n,,,,,,,,\r\n')
    assert read_boxes(path) == [("a.png", "Mass", "1", "2", "3.25", "4")]


def test_one_list_alone_and_no_table_are_refused(folder, tmp_path):
    (folder / "test_list.txt").unlink()
    with pytest.raises(InputError, match=r"train_val_list\.txt without the other"):
        main(folder, tmp_path / "tables", "local")
    (folder / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(InputError, match="has none"):
        main(folder, tmp_path / "tables2", "local")
    with pytest.raises(InputError, match="no such folder"):
        main(tmp_path / "nowhere", tmp_path / "tables3", "local")


def test_nihs_tables_are_downloaded_and_checked(folder, tmp_path):
    files = {
        "Data_Entry_2017_v2020.csv": (folder / "Data_Entry_2017_v2020.csv").read_bytes(),
        "BBox_List_2017.csv": BOXES.encode(),
        "list.csv": b"00000001_000.png\n",
    }
    with serving({f"/{name}": data for name, data in files.items()}, [("drop", 9), "500"]) as (
        base,
        _,
    ):
        entries = [
            {
                "file": name,
                "url": f"{base}/{name}",
                "bytes": len(data),
                "md5": None,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for name, data in files.items()
        ]
        listed = {"provider": "NIH", "site": "-", "citation": "Wang", "blacklists_licence": "MIT"}
        listed |= {"tables": entries[:2], "blacklists": entries[2:]}
        (tmp_path / "nih.json").write_text(json.dumps(listed))
        main(tmp_path / "nih.json", tmp_path / "tables", "nih", delay_s=0.001)
        assert (tmp_path / "tables" / "entries.csv").read_bytes() == files[
            "Data_Entry_2017_v2020.csv"
        ]
        assert (tmp_path / "tables" / "blacklists" / "list.csv").read_bytes() == files["list.csv"]
        assert len(pd.read_csv(tmp_path / "tables" / "boxes.csv")) == 2
        listed["tables"][1]["sha256"] = "0" * 64
        (tmp_path / "nih.json").write_text(json.dumps(listed))
        with pytest.raises(InputError, match=r"BBox_List_2017\.csv: its sha256 is"):
            main(tmp_path / "nih.json", tmp_path / "tables2", "nih", delay_s=0.001)
        listed["tables"][1]["sha256"] = hashlib.sha256(BOXES.encode()).hexdigest()
        (tmp_path / "nih.json").write_text(json.dumps(listed))
        main(tmp_path / "nih.json", tmp_path / "tables3", "nih", delay_s=0.001)
    (aside,) = (tmp_path / "tables.partial").iterdir()
    assert aside.name.startswith("BBox_List_2017.csv.wrong-sha256-")
    first, second = (tmp_path / name / "sources.csv" for name in ("tables", "tables3"))
    assert first.read_bytes() == second.read_bytes()


@pytest.fixture
def official(tmp_path):
    """NIH's own tables at full size, which are not part of the project."""
    packed = ROOT.parent / "shared" / "facts" / "official"
    if not packed.is_dir():
        pytest.skip(f"no official tables at {packed}")
    for path in packed.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return tmp_path


def test_the_official_tables_are_read_whole(official, tmp_path):
    listed = json.loads((ROOT / "scripts/ribcage/nih_files.json").read_text())["tables"]
    for known in listed:
        data = (official / known["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == known["sha256"]
        assert len(data) == known["bytes"]
    table = read_entries(official / "Data_Entry_2017_v2020.csv")
    assert len(table) == 112_120 and table["patient"].nunique() == 30_805
    assert table["Hernia"].sum() == 227 and table["No Finding"].sum() == 60_361
    assert labels_version(table) == "2017-11-22 or v2020"
    main(official, tmp_path / "tables", "local")
    original = pd.read_csv(official / "BBox_List_2017.csv", skiprows=1, header=None)
    boxes = pd.read_csv(tmp_path / "tables" / "boxes.csv")
    assert len(boxes) == 984 and "Infiltrate" not in set(boxes["finding"])
    assert (boxes.iloc[:, 2:].to_numpy() == original.iloc[:, 2:6].to_numpy()).all()


def test_real_films_tables_are_taken(nih_starter, tmp_path):
    main(nih_starter, tmp_path / "tables", "local")
    assert len(read_entries(tmp_path / "tables" / "entries.csv")) == 300
    assert len(pd.read_csv(tmp_path / "tables" / "boxes.csv")) == 6
