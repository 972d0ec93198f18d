import pandas as pd
import pytest

from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.tables import read_table, write_table
from split_patients import draw, main

META = {"labels_version": "other", "source_sha256": "0" * 64}
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.fixture
def curated(tmp_path):
    rows = [(f"{p:08d}_{n:03d}.png", p) for p in range(1, 301) for n in range(1 + p % 3)]
    table = pd.DataFrame(rows, columns=["image", "patient"])
    write_table(table.assign(**dict.fromkeys(FINDINGS, False)), tmp_path / "c.parquet", META)
    return tmp_path / "c.parquet"


@pytest.fixture
def lists(tmp_path, curated):
    table = read_table(curated)
    test = table["patient"] % 5 == 0
    (tmp_path / "test_list.txt").write_text("\n".join(table["image"][test]))
    (tmp_path / "train_val_list.txt").write_text("\n".join(table["image"][~test]))
    return tmp_path


def split(curated, tables, tmp_path, kind="random", shares=SHARES, val_share=0.2, seed=1):
    main(curated, tables, tmp_path / "s.parquet", kind, shares, val_share, seed)
    return read_table(tmp_path / "s.parquet")


@pytest.mark.parametrize("kind", ["random", "official"])
def test_patients_stay_whole_and_no_image_is_lost(curated, lists, tmp_path, kind):
    rows = split(curated, lists, tmp_path, kind)
    assert rows["image"].tolist() == read_table(curated)["image"].tolist()
    assert (rows.groupby("patient")["split"].nunique() == 1).all()
    assert set(rows["split"]) == {"train", "val", "test"}


def test_shares_are_met(curated, lists, tmp_path):
    patients = split(curated, lists, tmp_path).drop_duplicates("patient")
    shares = patients["split"].value_counts(normalize=True)
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
    with pytest.raises(InputError, match="val is empty"):
        split(curated, lists, tmp_path, shares={"train": 0.8, "val": 0.0, "test": 0.2})


def test_a_patient_on_both_lists_is_refused(curated, lists, tmp_path):
    names = (lists / "test_list.txt").read_text().split()
    moved = next(n for n in names if n.endswith("_001.png"))
    (lists / "test_list.txt").write_text("\n".join(n for n in names if n != moved))
    with (lists / "train_val_list.txt").open("a") as file:
        file.write("\n" + moved)
    with pytest.raises(InputError, match=rf"patient {int(moved[:8])} is on 2 sides"):
        split(curated, lists, tmp_path, "official")


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
