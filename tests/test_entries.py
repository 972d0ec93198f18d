"""NIH's table: what is read, what is refused, and how its versions are told apart."""

import base64
import time

import numpy as np
import pandas as pd
import pytest

from conftest import HEADER, ROOT, entry
from ribcage import entries
from ribcage.entries import added_labels, age_in_years, read_entries, remarks, version_of
from ribcage.errors import InputError
from ribcage.findings import FINDINGS, parse_labels

OFFICIAL = "Data_Entry_2017_v2020.csv"


def write_entries(folder, rows, header=HEADER):
    (folder / "entries.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "entries.csv"


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
        ([entry(1).replace(",1,58", ",1.5,58")], HEADER, "row 1: Patient ID is .1.5., not a whole"),
        ([entry(1).replace(",0,1,58", ",-1,1,58")], HEADER, "row 1: Follow-up # is .-1., not a"),
        (["../" + entry(1)], HEADER, "row 1: Image Index is .*, which is no file name"),
        ([entry(1) + ",F"], HEADER + ",Patient Gender", "has both columns .Patient Sex. or"),
        ([], HEADER, "has no row below its header"),
        (['"a'], HEADER, "is no table"),
    ],
)
def test_a_bad_table_is_refused_with_file_and_row(tmp_path, rows, header, words):
    path = write_entries(tmp_path, rows, header)
    with pytest.raises(InputError, match=words) as error:
        read_entries(path)
    assert str(path) in str(error.value)


def test_labels_are_read_in_any_order():
    assert parse_labels("Mass|Effusion", "") == parse_labels("Effusion|Mass", "")


def test_other_ways_to_save_a_table_are_read(tmp_path):
    path = write_entries(tmp_path, [entry(1, labels="Mass|Hernia|Mass")])
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n"), newline="")
    row = read_entries(path).iloc[0]
    assert [f for f in FINDINGS if row[f]] == ["Mass", "Hernia"]


def test_the_row_that_is_named_is_the_first_bad_one(tmp_path):
    path = write_entries(tmp_path, [entry(1), entry(2, labels="Cough"), entry(3, labels="Cough")])
    with pytest.raises(InputError, match="row 2: unknown finding"):
        read_entries(path)


def test_made_up_films_are_no_ones_and_phantoms_say_what_they_are(tmp_path):
    rows = [entry(n) for n in range(1, 201)]
    path = write_entries(tmp_path, rows)
    assert version_of(path, read_entries(path)) == "other"
    path = write_entries(tmp_path, [f"{row},yes" for row in rows], HEADER + ",Phantom")
    assert version_of(path, read_entries(path)) == "phantom"
    mixed = [f"{row},{'yes' if n else 'no'}" for n, row in enumerate(rows)]
    path = write_entries(tmp_path, mixed, HEADER + ",Phantom")
    assert version_of(path, read_entries(path)) == "other"


def test_what_is_odd_is_said_and_what_would_corrupt_a_split_is_refused(tmp_path):
    rows = [entry(1), entry(1, 1, age="57"), entry(2, age="411"), entry(3), entry(4, 1)]
    rows[3] = rows[3].replace(",3,58", ",4,58")
    rows[4] = rows[4].replace(",1,4,58,M", ",0,4,58,F")
    path = write_entries(tmp_path, rows)
    table = read_entries(path)
    assert remarks(path, table, "other") == [
        "1 films belong to another patient than their name says, as 00000003_000.png to 4; "
        "the table's column decides",
        "1 ages over 120 years are taken as unknown",
        "on 1 films a patient is younger than on the film before",
        "1 patients have films of both sexes",
        "1 films have a Follow-up # that another film of the patient has",
    ]
    with pytest.raises(InputError, match=r"entries\.csv: 1 films belong to another patient"):
        remarks(path, table, "part of v2020")
    assert remarks(path, table[:1], "other") == []


@pytest.fixture(scope="module")
def cells(official):
    """The official table, cell by cell."""
    return pd.read_csv(official / OFFICIAL, dtype=str, keep_default_na=False)


def version(cells, folder):
    path = folder / "entries.csv"
    cells.to_csv(path, index=False)
    return version_of(path, read_entries(path))


def first_labels(cells):
    """The official table with the labels of the first release."""
    without = cells.copy()
    added = added_labels()
    for row in np.flatnonzero(cells["Image Index"].isin(added)):
        kept = parse_labels(cells["Finding Labels"][row], "") - added[cells["Image Index"][row]]
        without.loc[row, "Finding Labels"] = "|".join(sorted(kept)) or "No Finding"
    return without


def traits_of_2017(cells):
    """Ages as text, follow-up numbers as in the files' names, one age that cannot be."""
    older = cells.copy()
    older["Patient Age"] = older["Patient Age"].str.zfill(3) + "Y"
    older.loc[5, "Patient Age"] = "411Y"
    older["Follow-up #"] = older["Image Index"].str[9:12].astype(int)
    return older.rename(columns={"Patient Sex": "Patient Gender"}).assign(**{"Unnamed: 11": ""})


def test_versions_of_the_whole_table(official, cells, tmp_path):
    table = read_entries(official / OFFICIAL)
    assert version_of(official / OFFICIAL, table) == "v2020"
    assert remarks(official / OFFICIAL, table, "v2020") == []
    gender = cells.rename(columns={"Patient Sex": "Patient Gender"})
    assert version(gender.sample(frac=1, random_state=0), tmp_path) == "v2020"
    assert version(traits_of_2017(cells), tmp_path) == "2017-11-22"
    first = first_labels(traits_of_2017(cells))
    assert version(first, tmp_path) == "2017-09-26"
    path = tmp_path / "entries.csv"
    table = read_entries(path)
    assert table["Pneumonia"].sum() == 1353
    said = remarks(path, table, "2017-09-26")
    assert "188 labels on 181 test films are missing" in said[0]
    assert "1 ages over 120 years" in said[1]
    numbers = first.copy()
    numbers["Patient Age"] = cells["Patient Age"]
    assert version(numbers.iloc[:, :11], tmp_path) == "2017-09-26"
    assert version(first_labels(cells), tmp_path) == "other"  # no such version was given out


def test_versions_of_parts(cells, tmp_path):
    old, first = traits_of_2017(cells), first_labels(traits_of_2017(cells))
    boxed = cells["Image Index"].isin(added_labels())
    assert version(cells[boxed], tmp_path) == "part of v2020"
    assert version(old[boxed], tmp_path) == "part of 2017-11-22"
    assert version(first[boxed], tmp_path) == "part of 2017-09-26"
    assert version(pd.concat([cells[boxed][:90], first_labels(cells)[boxed][90:]]), tmp_path) == (
        "other"
    )
    assert version(cells[~boxed][:5000], tmp_path) == "part of v2020"
    assert version(old[~boxed][:5000], tmp_path) == "part of 2017-09-26 or 2017-11-22"
    single = cells[~boxed & cells["Image Index"].str.contains("_000")]
    single = single[single["Follow-up #"] == "0"][:200]
    assert version(single, tmp_path) == "part of v2020"  # by its header alone
    renamed = single.rename(columns={"Patient Sex": "Patient Gender"})
    assert version(renamed, tmp_path) == "part of 2017-09-26 or 2017-11-22 or v2020"
    assert version(cells[:29], tmp_path) == "other"
    relabelled = cells[:3000].copy()
    relabelled.loc[:40, "Finding Labels"] = "Hernia|Mass|Edema"
    assert version(relabelled, tmp_path) == "other"


def test_real_films_are_a_part_of_v2020(nih_starter):
    table = read_entries(nih_starter / OFFICIAL)
    assert version_of(nih_starter / OFFICIAL, table) == "part of v2020"


def test_what_is_known_of_the_versions_follows_from_nihs_tables(official):
    facts = ROOT.parent / "shared" / "facts" / "first_release_vs_v2020_labels.csv"
    if not facts.is_file():
        pytest.skip(f"no list of the first release's labels at {facts}")
    rows = pd.read_csv(facts).itertuples()
    added = {
        row.image: parse_labels(row.labels_v2020, "") - parse_labels(row.labels_first_release, "")
        for row in rows
    }
    assert added_labels() == added
    assert len(added) == 181 and sum(map(len, added.values())) == 188
    table = read_entries(official / OFFICIAL)
    bits = np.zeros(160_000, np.uint8)
    bits[entries.bits_of(table, len(bits))] = 1
    known = base64.b64decode("".join(entries._known()["films"]))
    assert np.packbits(bits).tobytes() == known and 0.49 < bits.mean() < 0.51


FINDING_COUNTS = {
    "Atelectasis": (11559, 3279, 4981, 799),
    "Cardiomegaly": (2776, 1069, 1566, 338),
    "Effusion": (13317, 4658, 4275, 773),
    "Infiltration": (19894, 6112, 8035, 924),
    "Mass": (5782, 1748, 2568, 453),
    "Nodule": (6331, 1623, 3394, 539),
    "Pneumonia": (1431, 555, 1008, 311),
    "Pneumothorax": (5302, 2665, 1487, 407),
    "Consolidation": (4667, 1815, 2150, 533),
    "Edema": (2303, 925, 1073, 326),
    "Emphysema": (2516, 1093, 1046, 284),
    "Fibrosis": (1686, 435, 1260, 257),
    "Pleural_Thickening": (3385, 1143, 2006, 447),
    "Hernia": (227, 86, 134, 32),
    "No Finding": (60361, 9861, 24907, 2557),
}
"""Films in all, on the test list; patients in all, on the test list."""


def test_the_official_figures_are_reproduced(official):
    started = time.perf_counter()
    table = read_entries(official / OFFICIAL)
    version_of(official / OFFICIAL, table)
    assert time.perf_counter() - started < 3
    listed = (official / "test_list.txt").read_text().split("\n")
    test = table["image"].isin(listed)
    patient, view = table["patient"], table["view_position"]
    assert (len(table), test.sum(), (~test).sum()) == (112_120, 25_596, 86_524)
    assert (patient.nunique(), patient[test].nunique()) == (30_805, 2_797)
    assert not set(patient[test]) & set(patient[~test])
    assert patient.min() == 1 and patient.max() == 30_805
    for name, (films, tested, patients, tested_patients) in FINDING_COUNTS.items():
        has = table[name]
        assert (has.sum(), (has & test).sum()) == (films, tested), name
        assert patient[has].nunique() == patients, name
        assert patient[has & test].nunique() == tested_patients, name
    found = table[list(FINDINGS)].sum(axis=1).value_counts().sort_index()
    assert found.tolist() == [60361, 30963, 14306, 4856, 1247, 301, 67, 16, 1, 2]
    assert len(table[list(FINDINGS)].drop_duplicates()) == 801  # in 836 spellings: order is free
    films = patient.value_counts()
    assert (films.max(), films.median(), round(films.mean(), 2)) == (184, 1, 3.64)
    assert view.value_counts().to_dict() == {"PA": 67_310, "AP": 44_810}
    assert view[test].value_counts().to_dict() == {"AP": 14_500, "PA": 11_096}
    assert table["sex"].value_counts().to_dict() == {"M": 63_340, "F": 48_780}
    assert table["sex"][test].value_counts().to_dict() == {"M": 14_882, "F": 10_714}
    people = table.groupby("patient")["sex"].first().value_counts().to_dict()
    assert people == {"M": 16_630, "F": 14_175}
    ages = table["age_years"]
    assert (ages.min(), ages.max(), (ages == 0).sum()) == (0, 95, 14)
    suffix = table["image"].str[9:12].astype(int)
    assert (suffix != table["follow_up"]).sum() == 24_106
    assert (table["image"].str[:8].astype(int) == patient).all()
    for column, low, high in (
        ("spacing_mm", 0.115, 0.1988),
        ("original_width_px", 1143, 3827),
        ("original_height_px", 966, 4715),
    ):
        assert (table[column].min(), table[column].max()) == pytest.approx((low, high))
