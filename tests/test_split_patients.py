import json

import pandas as pd
import pytest

from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.tables import read_table, write_table
from split_patients import draw, draws, main

META = {"labels_version": "other", "source_sha256": "0" * 64}
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.fixture
def curated(tmp_path):
    rows = [(f"{p:08d}_{n:03d}.png", p) for p in range(1, 301) for n in range(1 + p % 3)]
    table = pd.DataFrame(rows, columns=["image", "patient"]).assign(view_position="PA", width_px=0)
    write_table(table.assign(**dict.fromkeys(FINDINGS, False)), tmp_path / "c.parquet", META)
    return tmp_path / "c.parquet"


@pytest.fixture
def lists(tmp_path, curated):
    table = read_table(curated)
    test = table["patient"] % 5 == 0
    (tmp_path / "test_list.txt").write_text("\n".join(table["image"][test]))
    (tmp_path / "train_val_list.txt").write_text("\n".join(table["image"][~test]))
    return tmp_path


def split(curated, tables, tmp_path, kind="random", **changes):
    duplicates = tmp_path / "duplicates.csv"
    duplicates.write_text("image,other,distance_bits,same_pixels\n")
    outputs = tmp_path / "s.parquet", tmp_path / "certificate.json"
    settings = {"shares": SHARES, "val_share": 0.2, "folds": 5, "fold": 0, "seed": 1, **changes}
    main(curated, tables, duplicates, *outputs, kind, **settings)
    return read_table(tmp_path / "s.parquet")


def shares_of(rows, who="patient"):
    return rows.drop_duplicates(who)["split"].value_counts(normalize=True)


@pytest.mark.parametrize("kind", ["random", "official", "kfold"])
def test_patients_stay_whole_and_no_image_is_lost(curated, lists, tmp_path, kind):
    rows = split(curated, lists, tmp_path, kind)
    assert rows["image"].tolist() == read_table(curated)["image"].tolist()
    assert (rows.groupby("patient")["split"].nunique() == 1).all()
    assert set(rows["split"]) == {"train", "val", "test"}


def test_shares_are_met(curated, lists, tmp_path):
    shares = shares_of(split(curated, lists, tmp_path))
    assert shares["train"] == pytest.approx(0.7, abs=0.08)
    assert shares["test"] == pytest.approx(0.2, abs=0.08)


def test_official_takes_test_from_the_list(curated, lists, tmp_path):
    rows = split(curated, lists, tmp_path, "official")
    assert ((rows["split"] == "test") == (rows["patient"] % 5 == 0)).all()


def test_other_rows_and_newcomers_move_nobody(curated, lists, tmp_path):
    before = split(curated, lists, tmp_path).set_index("image")["split"]
    table = read_table(curated)
    newcomers = table.assign(patient=table["patient"] + 1000, image="n" + table["image"])
    write_table(pd.concat([newcomers, table[::-1]]), tmp_path / "more.parquet", META)
    after = split(tmp_path / "more.parquet", lists, tmp_path).set_index("image")["split"]
    assert after[before.index].equals(before)


def test_another_seed_moves_patients():
    assert any((draw(p, 1) < 0.5) != (draw(p, 2) < 0.5) for p in range(20))


def test_shares_that_do_not_sum_to_one_are_refused(curated, lists, tmp_path):
    with pytest.raises(InputError, match="must sum to 1"):
        split(curated, lists, tmp_path, shares={"train": 0.7, "val": 0.1, "test": 0.3})
    assert not (tmp_path / "s.parquet").exists()


def test_an_empty_side_is_refused(curated, lists, tmp_path):
    with pytest.raises(InputError, match="test is empty"):
        split(curated, lists, tmp_path, shares={"train": 0.8, "val": 0.2, "test": 0.0})


def test_seventy_to_thirty_has_val_cut_from_train_and_the_same_test(curated, lists, tmp_path):
    published = {"train": 0.7, "val": 0.0, "test": 0.3}
    one = split(curated, lists, tmp_path, shares=published)
    shares = shares_of(one)
    assert shares["test"] == pytest.approx(0.3, abs=0.08)
    assert shares["val"] == pytest.approx(0.2 * 0.7, abs=0.06)
    two = split(curated, lists, tmp_path, shares=published, val_share=0.5)
    assert ((one["split"] == "test") == (two["split"] == "test")).all()


def test_folds_put_every_patient_into_test_once(curated, lists, tmp_path):
    parts = [split(curated, lists, tmp_path, "kfold", fold=fold) for fold in range(5)]
    for fold, rows in enumerate(parts):
        assert ((rows["split"] == "test") == (rows["fold"] == fold)).all()
        assert rows["fold"].equals(parts[0]["fold"])
        shares = shares_of(rows)
        assert shares["test"] == pytest.approx(0.2, abs=0.08)
        assert shares["val"] == pytest.approx(0.8 * 0.2, abs=0.07)
    assert sum((rows["split"] == "test").sum() for rows in parts) == len(parts[0])
    assert (parts[0].groupby("patient")["fold"].nunique() == 1).all()


def test_draws_for_another_purpose_are_independent():
    patients = pd.Series(range(4000))
    chosen = draws(patients, 1) < 0.2
    assert (draws(patients, 1, "val")[chosen] < 0.2).mean() == pytest.approx(0.2, abs=0.05)


def test_by_image_leaks_and_says_so(curated, lists, tmp_path, capsys):
    rows = split(curated, lists, tmp_path, "leaky_by_image")
    assert shares_of(rows, "image")["test"] == pytest.approx(0.2, abs=0.05)
    assert (rows.groupby("patient")["split"].nunique() > 1).any()
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert certificate["leaky"] and certificate["kind"] == "leaky_by_image"
    assert certificate["verdict"].startswith("THIS SPLIT LEAKS: train and val share")
    assert certificate["verdict"] in capsys.readouterr().err


def test_the_list_that_names_an_image_travels_with_every_kind(curated, lists, tmp_path):
    rows = split(curated, lists, tmp_path)
    assert rows["official"].equals(
        (rows["patient"] % 5 == 0).map({True: "test", False: "train_val"}).astype("str")
    )
    for name in ("test", "train_val"):
        (lists / f"{name}_list.txt").unlink()
    assert split(curated, lists, tmp_path)["official"].isna().all()
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert certificate["official_test"] is None


def test_a_patient_on_both_lists_is_refused(curated, lists, tmp_path):
    names = (lists / "test_list.txt").read_text().split()
    moved = next(n for n in names if n.endswith("_001.png"))
    (lists / "test_list.txt").write_text("\n".join(n for n in names if n != moved))
    with (lists / "train_val_list.txt").open("a") as file:
        file.write("\n" + moved)
    with pytest.raises(InputError, match="and test share 1 patient; correct the"):
        split(curated, lists, tmp_path, "official")
    assert not (tmp_path / "s.parquet").exists() and not (tmp_path / "certificate.json").exists()


def test_an_image_on_both_lists_or_on_none_is_refused(curated, lists, tmp_path):
    (lists / "test_list.txt").write_text("00000001_000.png")
    with pytest.raises(InputError, match=r"00000001_000\.png is on the other list too"):
        split(curated, lists, tmp_path, "official")
    (lists / "test_list.txt").write_text("")
    with pytest.raises(InputError, match=r"is on neither list"):
        split(curated, lists, tmp_path, "official")
    (lists / "test_list.txt").unlink()
    with pytest.raises(InputError, match="no such list"):
        split(curated, lists, tmp_path, "official")
