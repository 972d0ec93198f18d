import pytest

from ribcage.errors import InputError
from ribcage.expert_labels import KINDS, find_expert_files
from ribcage.findings import FINDINGS

FOUR = (
    "Image Index,Finding Labels,Patient ID,Fracture,Pneumothorax,Airspace opacity,Nodule or mass,"
    "Set Id\r\n"
    "00000001_000.png,No Finding|Mass,1,NO,NO,YES,YES,test\r\n"
    "00000002_000.png,No Finding,2,YES,NO,NO,NO,val\r\n"
)
HEAD = ",".join(name.replace("_", " ") for name in FINDINGS)
ALL = (
    f"Image ID,Patient ID,Abnormal,{HEAD},Other\n"
    f"00000001_000.png,1,1,{'NO,' * 12}YES,NO,NO\n"
    f"00000002_000.png,2,0,{'NO,' * 14}NO\n"
)
READERS = (
    f"Image ID,Patient ID,Reader ID,Abnormal,{HEAD},Other\n"
    f"00000001_000.png,1,4343882583,0,{'NO,' * 14}NO^\n"  # as the file itself has it
    f"00000001_000.png,1,4343882785,1,YES,{'NO,' * 13}NO\n"
)


def found(tmp_path, text, name="labels.csv"):
    (tmp_path / name).write_text(text, newline="")
    (file,) = find_expert_files(tmp_path).values()
    return file


@pytest.mark.parametrize(
    ("text", "kind", "first"),
    [
        (FOUR, "expert_four", ("00000001_000.png", "test", "0", "0", "1", "1")),
        ("\ufeff" + FOUR, "expert_four", ("00000001_000.png", "test", "0", "0", "1", "1")),
        (ALL, "expert_all", ("00000001_000.png", "1", *"00000000000010")),
        (READERS, "expert_readers", ("00000001_000.png", "4343882583", "0", *"00000000000000")),
    ],
)
def test_a_file_is_known_by_its_header_and_read_as_it_is(tmp_path, text, kind, first):
    (tmp_path / "BBox.csv").write_text("Image Index,Finding Label\n")
    file = found(tmp_path, text)
    assert file.kind == kind and file.rows[0] == first and len(file.rows) == 2
    assert len(first) == len(KINDS[kind].columns) and not file.known
    assert file.size == len(text.encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FOUR.replace("YES,YES", "YES,MAYBE"), "line 2: Nodule or mass is 'MAYBE', not one of YES"),
        (FOUR.replace(",val", ",train"), "line 3: set is 'train', not one of test, val"),
        (FOUR.replace("Set Id", "Set"), "line 1: has 0 columns of 'set', not one"),
        (FOUR.replace("Finding Labels", "Image ID"), "line 1: has 2 columns of 'image'"),
        (FOUR.replace("2,YES", "2,NO,YES"), "line 3: has more or fewer cells"),
        (FOUR.replace(",val", ""), "line 3: has more or fewer cells"),
        (FOUR.replace("00000002", "00000001"), "line 3: names 00000001_000.png a second time"),
        (FOUR.replace("00000002", "../2"), "line 3: image is '../2_000.png', which is no name"),
        (FOUR.replace("No Finding,2", '"No'), "is no CSV"),
        (READERS.replace("882785", "882583"), "names 00000001_000.png of reader 4343882583 a sec"),
        (ALL.replace("Hernia", "Hernias"), "line 1: has 0 columns of 'Hernia'"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as error:
        found(tmp_path, text)
    assert "labels.csv" in str(error.value)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(FOUR.encode() + b"\xff")
    with pytest.raises(InputError, match=r"labels\.csv: byte \d+ is not UTF-8"):
        find_expert_files(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_expert_files(tmp_path / "nowhere")
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    assert find_expert_files(tmp_path) == {}


def test_the_real_rows_are_read(nih_starter):
    (file,) = find_expert_files(nih_starter).values()
    assert file.kind == "expert_four" and len(file.rows) == 7 and not file.known
