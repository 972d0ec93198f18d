import pandas as pd
import pytest

from conftest import HEADER, entry, png, write_archive
from index_images import age_in_years, labels_version, main, read_entries
from ribcage.errors import InputError
from ribcage.findings import FINDINGS, parse_labels
from ribcage.tables import read_meta, read_table


def index(tables, batch, out, **options):
    options = {"absent": "refuse", "unlisted": "refuse", **options}
    main(tables, [batch], out, batch_names=["images_001"], **options)
    return read_table(out)


def write_entries(folder, rows, header=HEADER):
    (folder / "entries.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "entries.csv"


def test_one_row_an_image_with_its_labels_and_size(tables, batch, tmp_path):
    table = index(tables, batch, tmp_path / "images.parquet").set_index("image")
    assert len(table) == 4
    first = table.loc["00000001_000.png"]
    assert [f for f in FINDINGS if first[f]] == ["Effusion", "Mass"]
    assert not first["No Finding"] and table.loc["00000003_000.png"]["No Finding"]
    assert (first["width_px"], first["height_px"]) == (40, 32)
    assert (first["original_width_px"], first["original_height_px"]) == (2500, 2048)
    assert first["batch"] == "images_001" and table["fault"].isna().all()
    meta = read_meta(tmp_path / "images.parquet")
    assert meta["labels_version"] == "other" and len(meta["source_sha256"]) == 64


def test_threads_change_nothing(tables, batch, tmp_path):
    index(tables, batch, tmp_path / "one.parquet")
    index(tables, batch, tmp_path / "two.parquet", threads=3)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_the_other_spellings_of_the_header_and_labels(tmp_path):
    path = write_entries(
        tmp_path,
        [entry(1, labels="Infiltrate|Pleural Thickening", age="011M")],
        HEADER.replace("Patient Sex", "Patient Gender"),
    )
    row = read_entries(path).iloc[0]
    assert row["Infiltration"] and row["Pleural_Thickening"] and row["sex"] == "M"
    assert row["age_years"] == pytest.approx(11 / 12)


def test_the_first_release_has_a_trailing_comma(tmp_path):
    path = write_entries(tmp_path, [entry(1, age="058Y") + ","], HEADER + ",")
    assert read_entries(path).iloc[0]["age_years"] == 58


@pytest.mark.parametrize(
    ("cell", "years"),
    [("0", 0), ("95", 95), ("058Y", 58), ("001D", 1 / 365.25), ("002W", 14 / 365.25)],
)
def test_ages(cell, years):
    assert age_in_years(cell, "") == pytest.approx(years)


def test_an_impossible_age_is_unknown():
    assert pd.isna(age_in_years("411", "")) and pd.isna(age_in_years("412Y", ""))


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ([entry(1)], HEADER.replace("View Position", "View"), "column 'View Position' is missing"),
        ([entry(1)], HEADER.replace("Patient Sex", "X"), "'Patient Sex' or 'Patient Gender'"),
        ([entry(1), entry(1)], HEADER, "row 2 names 00000001_000.png a second time"),
        ([entry(1, labels="Mass|Cough")], HEADER, "row 1: unknown finding 'Cough'"),
        ([entry(1, labels="")], HEADER, "row 1: unknown finding ''"),
        ([entry(1, labels="Mass|No Finding")], HEADER, "row 1: .* together with 'No Finding'"),
        ([entry(1, age="old")], HEADER, "row 1: Patient Age is 'old'"),
        ([entry(1).replace(",PA,", ",LL,")], HEADER, "row 1: view_position is 'LL'"),
        ([entry(1).replace(",1,58", ",one,58")], HEADER, "row 1: Patient ID is 'one'"),
    ],
)
def test_a_bad_table_is_refused_with_file_and_row(tmp_path, rows, header, words):
    path = write_entries(tmp_path, rows, header)
    with pytest.raises(InputError, match=words) as error:
        read_entries(path)
    assert str(path) in str(error.value)


def test_an_image_without_a_film_is_refused_or_marked(tables, batch, tmp_path):
    with (tables / "entries.csv").open("a") as file:
        file.write(entry(9) + "\n")
    with pytest.raises(InputError, match=r"names 00000009_000\.png, which no batch holds"):
        index(tables, batch, tmp_path / "images.parquet")
    assert not (tmp_path / "images.parquet").exists()
    table = index(tables, batch, tmp_path / "images.parquet", absent="drop")
    assert table.set_index("image")["fault"]["00000009_000.png"] == "no batch holds it"


def test_a_film_without_a_row_is_refused_or_ignored(tables, batch, tmp_path):
    lines = (tables / "entries.csv").read_text().splitlines()
    (tables / "entries.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InputError, match=r"names no 00000003_000\.png"):
        index(tables, batch, tmp_path / "images.parquet")
    assert len(index(tables, batch, tmp_path / "images.parquet", unlisted="ignore")) == 3


def test_a_film_that_cannot_be_decoded_is_indexed_with_its_fault(tables, tmp_path):
    names = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png"]
    good = png(pd.DataFrame([[1, 2], [3, 4]]).to_numpy("uint8"))
    bad = {names[0]: good, names[1]: b"", names[2]: good[:-20], names[3]: good}
    write_archive(tmp_path / "b.tar.gz", bad)
    faults = index(tables, tmp_path / "b.tar.gz", tmp_path / "i.parquet").set_index("image")[
        "fault"
    ]
    assert faults.isna().tolist() == [True, False, False, True]
    assert "empty" in faults[names[1]] and names[2] in faults[names[2]]


def test_labels_are_read_in_any_order():
    assert parse_labels("Mass|Effusion", "") == parse_labels("Effusion|Mass", "")


def test_versions_of_the_official_table_are_told_apart():
    table = pd.DataFrame({"Pneumonia": [False] * 112_120})
    assert labels_version(table) == "other"
    table.loc[:1352, "Pneumonia"] = True
    assert labels_version(table) == "2017-09-26"
    table.loc[:1430, "Pneumonia"] = True
    assert labels_version(table) == "2017-11-22 or v2020"
