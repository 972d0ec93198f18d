import hashlib
import json

import pandas as pd
import pytest

from conftest import HEADER, ROOT, entry
from fetch_tables import main, read_boxes
from misbehaving_server import serving
from ribcage.entries import read_entries
from ribcage.errors import InputError
from ribcage.findings import BOXED
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


def test_the_official_tables_are_read_whole(official, tmp_path):
    listed = json.loads((ROOT / "scripts/ribcage/nih_files.json").read_text())["tables"]
    for known in listed:
        data = (official / known["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == known["sha256"]
        assert len(data) == known["bytes"]
    main(official, tmp_path / "tables", "local")
    assert "ChestX-ray14" in (tmp_path / "tables" / "LICENCES.md").read_text()
    original = pd.read_csv(official / "BBox_List_2017.csv", skiprows=1, header=None)
    boxes = pd.read_csv(tmp_path / "tables" / "boxes.csv")
    assert len(boxes) == 984 and "Infiltrate" not in set(boxes["finding"])
    assert (boxes.iloc[:, 2:].to_numpy() == original.iloc[:, 2:6].to_numpy()).all()
    check_boxes(boxes, read_entries(official / "Data_Entry_2017_v2020.csv"))
    test = set((official / "test_list.txt").read_text().split("\n"))
    assert set(boxes["image"]) <= test and len(test) == 25_596


def check_boxes(boxes, table):
    """What is known of NIH's boxes."""
    of = table.set_index("image").loc[boxes["image"]]
    assert boxes["image"].nunique() == 880 and of["patient"].nunique() == 726
    films = of[~of.index.duplicated()]
    assert films["view_position"].value_counts().to_dict() == {"PA": 478, "AP": 402}
    assert boxes["image"].value_counts().value_counts().to_dict() == {1: 787, 2: 83, 3: 9, 4: 1}
    assert not boxes.duplicated(["image", "finding"]).any()
    assert (boxes["x_px"] + boxes["w_px"]).max() <= 1024
    assert (boxes["y_px"] + boxes["h_px"]).max() <= 1024
    assert all(
        row[finding] for (_, row), finding in zip(of.iterrows(), boxes["finding"], strict=True)
    )
    share = 100 * boxes["w_px"] * boxes["h_px"] / 1024**2
    median = share.groupby(boxes["finding"]).median().round(2).to_dict()
    counts = boxes["finding"].value_counts().to_dict()
    assert {f: (counts[f], median[f]) for f in BOXED} == {
        "Atelectasis": (180, 1.88),
        "Cardiomegaly": (146, 17.09),
        "Effusion": (153, 5.57),
        "Infiltration": (123, 5.66),
        "Mass": (85, 1.48),
        "Nodule": (79, 0.46),
        "Pneumonia": (120, 5.72),
        "Pneumothorax": (98, 3.58),
    }


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


def test_nihs_tables_are_read_from_a_mirror_and_no_other_version_is_taken(folder, tmp_path):
    data = (folder / "Data_Entry_2017_v2020.csv").read_bytes()
    known = {
        "file": "Data_Entry_2017_v2020.csv",
        "url": "http://nowhere.invalid/x",
        "bytes": len(data),
        "md5": None,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (tmp_path / "nih.json").write_text(json.dumps({"tables": [known], "blacklists": []}))
    main(tmp_path / "nih.json", tmp_path / "tables", "nih", mirror=str(folder))
    assert (tmp_path / "tables" / "entries.csv").read_bytes() == data
    assert not (tmp_path / "tables.partial").exists()
    sources = pd.read_csv(tmp_path / "tables" / "sources.csv")
    assert sources["from"].tolist() == [str(folder / "Data_Entry_2017_v2020.csv")]
    older = data.replace(b"58", b"058Y")
    (folder / "Data_Entry_2017_v2020.csv").write_bytes(older)
    with pytest.raises(InputError, match=r"Data_Entry_2017_v2020\.csv: .*sha256"):
        main(tmp_path / "nih.json", tmp_path / "tables2", "nih", mirror=str(folder))
    main(folder, tmp_path / "tables3", "local")
    assert (tmp_path / "tables3" / "entries.csv").read_bytes() == older
