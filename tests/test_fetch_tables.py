import hashlib
import json

import pandas as pd
import pytest

from conftest import HEADER, entry
from fetch_tables import main, read_boxes
from misbehaving_server import serving
from ribcage.entries import read_entries
from ribcage.errors import InputError
from test_expert_labels import ALL, FOUR, READERS

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
    one = "00000001_000.png"
    text = f'"image","mark"\r\n{one},drain,\r\n\r\n{one},chest_tube_2\r\nb.png,drain\r\n'
    text += f"{one},drain\r\n"
    (folder / "marks.csv").write_text(text)
    main(folder, tmp_path / "tables", "local")
    marks = (tmp_path / "tables" / "marks.csv").read_text()
    assert marks == f"image,mark\n{one},chest_tube_2\n{one},drain\nb.png,drain\n"
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
        (
            "BBox_List_2017.csv",
            "a.png,Mass,1,2,3,4\n",
            r"line 1: \['a\.png', .* must be NIH's header",
        ),
        (
            "BBox_List_2017.csv",
            "image,finding,x_px,y_px,w_px,h_px\n",
            "line 1: .* Image Index,Find",
        ),
        ("BBox_List_2017.csv", "", r"line 1: \[''\] must be NIH's header"),
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
    quoted = ",".join(f'"{cell}"' for cell in BOX_HEADER.strip().split(","))
    for header in (BOX_HEADER.strip(), f"\ufeff{quoted}", BOX_HEADER.strip("\n,")):
        path.write_text(header + '\r\n"a.png","Mass",1,2,3.25,4,,,\r\n,,,,,,,,\r\n')
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


def listed(path, files, base="http://nowhere.invalid", **sums):
    """Write a list of NIH's files, {name: bytes}, of which the lists are blacklists."""
    entries = [
        {"file": name, "url": f"{base}/{name}", "bytes": len(data), "md5": None}
        | {"sha256": sums.get("sha256") or hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    lists = [entry for entry in entries if entry["file"].startswith("list")]
    tables = [entry for entry in entries if entry not in lists]
    path.write_text(json.dumps({"tables": tables, "blacklists": lists}))
    return path


def test_nihs_tables_are_downloaded_and_checked(folder, tmp_path):
    table = (folder / "Data_Entry_2017_v2020.csv").read_bytes()
    files = {"Data_Entry_2017_v2020.csv": table, "BBox_List_2017.csv": BOXES.encode()}
    files |= {"list.csv": b"00000001_000.png\n"}
    faults = [("drop", 9), "500"]
    with serving({f"/{name}": data for name, data in files.items()}, faults) as (base, _):
        right = listed(tmp_path / "nih.json", files, base)
        main(right, tmp_path / "tables", "nih", delay_s=0.001)
        assert (tmp_path / "tables" / "entries.csv").read_bytes() == table
        assert (tmp_path / "tables" / "blacklists" / "list.csv").read_bytes() == files["list.csv"]
        assert len(pd.read_csv(tmp_path / "tables" / "boxes.csv")) == 2
        wrong = listed(tmp_path / "wrong.json", files, base, sha256="0" * 64)
        with pytest.raises(InputError, match=r"Data_Entry_2017_v2020\.csv: its sha256 is"):
            main(wrong, tmp_path / "tables2", "nih", delay_s=0.001)
        main(right, tmp_path / "tables3", "nih", delay_s=0.001)
    (aside,) = (tmp_path / "tables.partial").iterdir()
    assert aside.name.startswith("Data_Entry_2017_v2020.csv.wrong-sha256-")
    first, second = (tmp_path / name / "sources.csv" for name in ("tables", "tables3"))
    assert first.read_bytes() == second.read_bytes()


def test_real_films_tables_are_taken(nih_starter, tmp_path):
    main(nih_starter, tmp_path / "tables", "local")
    assert len(read_entries(tmp_path / "tables" / "entries.csv")) == 300
    assert len(pd.read_csv(tmp_path / "tables" / "boxes.csv")) == 6
    four = pd.read_csv(tmp_path / "tables" / "expert_four.csv")
    assert four["set"].value_counts().to_dict() == {"val": 4, "test": 3}
    assert four.iloc[:, 2:].sum().tolist() == [1, 0, 1, 1]
    licences = (tmp_path / "tables" / "LICENCES.md").read_text()
    assert all(word in licences for word in ("Wang", "MIT", "Majkowska"))
    assert "Nabulsi" not in licences


def test_terms_and_version_are_said_once_and_kept(folder, tmp_path, capsys):
    main(folder, tmp_path / "tables", "local")
    said = capsys.readouterr().err
    assert "1 films of 1 patients; labels: other" in said
    text = (tmp_path / "tables" / "LICENCES.md").read_text()
    assert text.startswith("# Licences") and "of your own" in text and "MIT" not in text
    assert said.count("ask whoever gave you the data") == 1
    (folder / "blacklists" / "rotated.csv").rename(
        folder / "blacklists" / "blacklist_rotated_images.csv"
    )
    main(folder, tmp_path / "tables2", "local")
    assert "MIT licence" in (tmp_path / "tables2" / "LICENCES.md").read_text()


def test_marks_of_no_film_are_refused_before_anything_is_trained(folder, tmp_path):
    (folder / "marks.csv").write_text("image,mark\nelsewhere.png,drain\n")
    with pytest.raises(InputError, match=r"source/marks\.csv: names no film of the table, as 0000"):
        main(folder, tmp_path / "tables", "local")


def test_a_bad_row_names_the_file_that_the_user_has(folder, tmp_path):
    (folder / "Data_Entry_2017_v2020.csv").write_text(f"{HEADER}\n{entry(1, age='old')}\n")
    with pytest.raises(InputError, match=r"source/Data_Entry_2017_v2020\.csv: row 1: Patient Age"):
        main(folder, tmp_path / "tables", "local")


def test_expert_labels_are_taken_from_a_folder_of_their_own(folder, tmp_path, capsys):
    experts = tmp_path / "experts"
    experts.mkdir()
    for name, text in (("a.csv", FOUR), ("b.csv", ALL), ("c.csv", READERS), ("d.csv", "x,y\n")):
        (experts / name).write_text(text, newline="")
    main(folder, tmp_path / "tables", "phantom", expert_labels=str(experts))
    tables = tmp_path / "tables"
    assert (tables / "expert_four.csv").read_text() == (
        "image,set,Fracture,Pneumothorax,Airspace opacity,Nodule or mass\n"
        "00000001_000.png,test,0,0,1,1\n00000002_000.png,val,1,0,0,0\n"
    )
    every = pd.read_csv(tables / "expert_all.csv")
    assert every.loc[0, ["image", "Abnormal", "Pleural_Thickening", "Hernia"]].tolist() == [
        *("00000001_000.png", 1, 1, 0)
    ]
    readers = pd.read_csv(tables / "expert_readers.csv", dtype={"reader": str})
    assert readers["reader"].tolist() == ["4343882583", "4343882785"]
    sources = pd.read_csv(tables / "sources.csv").set_index("file")
    assert sources["sha256"]["expert_four.csv"] == hashlib.sha256(FOUR.encode()).hexdigest()
    assert sources["from"]["expert_all.csv"] == "b.csv"
    said = capsys.readouterr().err
    assert "a.csv: 2 rows, another file than is known" in said
    assert "expert_four.csv: 1 of its films are in the table" in said
    assert "Nabulsi" in (tables / "LICENCES.md").read_text()


def test_a_folder_without_expert_labels_and_two_that_disagree_are_refused(folder, tmp_path):
    experts = tmp_path / "experts"
    experts.mkdir()
    with pytest.raises(InputError, match="has no CSV file with expert labels, by its header"):
        main(folder, tmp_path / "tables", "local", expert_labels=str(experts))
    for name in ("a.csv", "b.csv"):
        (experts / name).write_text(FOUR, newline="")
    with pytest.raises(InputError, match=r"a\.csv and .*b\.csv: name the same films"):
        main(folder, tmp_path / "tables2", "local", expert_labels=str(experts))


def test_whichever_mirror_gives_nihs_tables_they_are_the_same(folder, tmp_path, capsys):
    name = "Data_Entry_2017_v2020.csv"
    data = (folder / name).read_bytes()
    known = listed(tmp_path / "nih.json", {name: data})
    main(known, tmp_path / "tables", "nih", mirror=str(folder))
    assert f"{name}: from {folder / name}\n" in capsys.readouterr().err
    assert (tmp_path / "tables" / "entries.csv").read_bytes() == data
    assert not (tmp_path / "tables.partial").exists()
    sources = (tmp_path / "tables" / "sources.csv").read_bytes()
    assert f"http://nowhere.invalid/{name}," in sources.decode()
    with serving({f"/nih/{name}": data}) as (base, _):
        main(known, tmp_path / "tables2", "nih", mirror=f"{base}/nih/")
    assert (tmp_path / "tables2" / "sources.csv").read_bytes() == sources
    older = data.replace(b"58", b"058Y")
    (folder / name).write_bytes(older)
    with pytest.raises(InputError, match=r"Data_Entry_2017_v2020\.csv: .*sha256"):
        main(known, tmp_path / "tables3", "nih", mirror=str(folder))
    main(folder, tmp_path / "tables4", "local")
    assert (tmp_path / "tables4" / "entries.csv").read_bytes() == older


def test_every_table_may_begin_with_a_mark_of_its_encoding(folder, tmp_path):
    (folder / "marks.csv").write_text("image,mark\n00000001_000.png,drain\n")
    main(folder, tmp_path / "plain", "local")
    for path in folder.rglob("*.*"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    main(folder, tmp_path / "marked", "local")
    for name in ("boxes.csv", "marks.csv"):
        assert (tmp_path / "marked" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
