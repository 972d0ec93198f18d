import gzip

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from conftest import ROOT
from ribcage import contamination
from ribcage.contamination import Seen, films_of, ledger, seen_by, write_record
from ribcage.errors import InputError

SHARED = ROOT.parent / "shared"
NAMES = [f"{n:08d}_000.png" for n in range(100)]


@pytest.fixture
def split():
    sides = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    official = ["train_val"] * 75 + ["test"] * 25
    return pd.DataFrame({"image": NAMES, "split": sides, "official": official})


def save(folder, seen):
    """Weights with a record, as train_classifier leaves them."""
    folder.mkdir()
    record = write_record(seen, folder)
    save_file({"w": np.zeros(2, np.float32)}, folder / "weights.safetensors", record)
    return folder / "weights.safetensors"


def counts(found):
    return found["train"], found["val"], found["test"]


@pytest.mark.parametrize("init", ["none", "imagenet"])
def test_random_and_imagenet_weights_have_seen_nothing(split, init):
    found = ledger(seen_by(init, "beside"), init, split, phantoms=False)
    assert found["known"] and counts(found) == (0, 0, 0)
    assert "has seen no film of this split." in found["sentence"]
    contamination.refuse(found)


def test_a_record_beside_the_weights_is_counted_film_by_film(split, tmp_path):
    learnt = Seen(films_of([*NAMES[:10], *NAMES[95:]], phantoms=False))
    weights = save(tmp_path / "one", learnt)
    seen = seen_by(str(weights), "beside")
    assert seen == learnt
    found = ledger(seen, "one", split, phantoms=False)
    assert found["known"] and counts(found) == (10, 0, 5)
    assert found["sentence"] == "one has seen 10 train films, 5 test films of this split."
    with pytest.raises(InputError, match=r"init: one has seen 10 .* 5 test films .* to flag"):
        contamination.refuse(found)
    assert write_record(seen, tmp_path) == write_record(learnt, tmp_path)


def test_what_only_train_shares_is_no_reason_to_stop(split, tmp_path):
    found = ledger(Seen(films_of(NAMES[:60], phantoms=False)), "one", split, phantoms=False)
    assert counts(found) == (60, 0, 0)
    contamination.refuse(found)


def test_phantoms_are_not_films_of_nih_though_they_share_their_names(split):
    drawn = Seen(films_of(NAMES, phantoms=True), frozenset(["official_train_val"]))
    assert counts(ledger(drawn, "one", split, phantoms=True)) == (60, 20, 20)
    real = ledger(Seen(drawn.films), "one", split, phantoms=False)
    assert real["known"] and counts(real) == (0, 0, 0)
    nih = Seen(also=frozenset(["official_train_val", "chexnet_reproduction"]))
    assert counts(ledger(nih, "one", split, phantoms=True)) == (0, 0, 0)


def test_a_record_that_is_lost_or_of_other_weights_is_refused(tmp_path):
    one = save(tmp_path / "one", Seen(films_of(NAMES[:5], phantoms=False)))
    two = save(tmp_path / "two", Seen(films_of(NAMES[:6], phantoms=False)))
    record = one.with_name("seen.parquet")
    record.write_bytes(two.with_name("seen.parquet").read_bytes())
    with pytest.raises(InputError, match=r"is not the record that weights\.safetensors was saved"):
        seen_by(str(one), "beside")
    record.unlink()
    with pytest.raises(InputError, match="is not beside it; copy that file too, or set init_seen"):
        seen_by(str(one), "beside")
    assert seen_by(str(one), "unknown").also == {"unknown"}
    with pytest.raises(InputError, match="there are no such weights"):
        seen_by(str(tmp_path / "none.safetensors"), "beside")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a readable safetensors"):
        seen_by(str(tmp_path / "bad.safetensors"), "beside")


def test_weights_without_a_record_are_unknown_and_never_fine(split, tmp_path):
    save_file({"w": np.zeros(2, np.float32)}, tmp_path / "w.safetensors")
    found = ledger(seen_by(str(tmp_path / "w.safetensors"), "beside"), "w", split, phantoms=False)
    assert not found["known"] and counts(found) == (None, None, None)
    assert found["sentence"].startswith("w: what it has learnt from is not known")
    contamination.refuse(found)  # nothing is known against it either: config and report say so


def test_what_is_unknown_stays_so_from_weights_to_weights(split, tmp_path):
    first = Seen(films_of(NAMES[80:83], phantoms=False), frozenset(["unknown"]))
    seen = seen_by(str(save(tmp_path / "one", first)), "beside")
    found = ledger(seen.joined(Seen(films_of(NAMES[:3], phantoms=False))), "one", split, False)
    assert counts(found) == (None, None, None) and found["at_least"]["test"] == 3
    assert "at least 3 test films" in found["sentence"] and "what else" in found["sentence"]
    with pytest.raises(InputError, match="at least 3 test films"):
        contamination.refuse(found)


def test_official_train_val_is_counted_by_the_lists(split):
    seen = seen_by("x.safetensors", "official_train_val")
    found = ledger(seen, "x", split, phantoms=False)
    assert found["known"] and counts(found) == (60, 15, 0)
    bare = ledger(seen, "x", split.assign(official=None), phantoms=False)
    assert not bare["known"] and bare["likely"]
    with pytest.raises(InputError, match="it has seen most films of NIH"):
        contamination.refuse(bare)
    own = split.assign(official=None, image="hospital" + split["image"])
    assert counts(ledger(seen, "x", own, phantoms=False)) == (0, 0, 0)


def test_a_list_is_read_as_the_reproductions_keep_it(split, tmp_path):
    path = tmp_path / "train_list.txt"
    path.write_text(
        f"{NAMES[0]} 0 0 1\nimages_001/{NAMES[1]} 1 0\n{NAMES[99]},Mass\n\n00000002_000"
    )
    found = ledger(seen_by("x.safetensors", str(path)), "x", split, phantoms=False)
    assert counts(found) == (3, 0, 1)
    path.write_text("\n \n")
    with pytest.raises(InputError, match="names no film; write nothing"):
        seen_by("x.safetensors", str(path))
    path.write_bytes(b"\x1f\x8b\xff")
    with pytest.raises(InputError, match="is no text of names"):
        seen_by("x.safetensors", str(path))
    with pytest.raises(InputError, match=r"no such list; init_seen is a list's path or beside,"):
        seen_by("x.safetensors", "lists/absent.txt")


def test_a_reproduction_without_its_lists_is_refused_and_can_be_flagged(split):
    found = ledger(seen_by("x.safetensors", "chexnet_reproduction"), "x", split, phantoms=False)
    assert not found["known"] and found["likely"] and counts(found) == (None, None, None)
    with pytest.raises(InputError, match="its own lists alone say which"):
        contamination.refuse(found)


@pytest.fixture
def official():
    """The official split of all of NIH's films, which are not part of the project."""
    folder = SHARED / "facts" / "official"
    if not folder.is_dir():
        pytest.skip(f"no official lists at {folder}")
    rows = []
    for name in ("train_val", "test"):
        text = gzip.decompress((folder / f"{name}_list.txt.gz").read_bytes()).decode()
        rows += [(image, name) for image in text.split()]
    table = pd.DataFrame(rows, columns=["image", "official"])
    return table.assign(split=table["official"].replace("train_val", "train"))


def test_the_reproductions_have_seen_20383_films_of_the_official_test(official, tmp_path):
    seen = seen_by("x.safetensors", "chexnet_reproduction")
    found = ledger(seen, "x", official, phantoms=False)
    assert found["test"] == 17_920 + 2_463 and found["train"] is None
    assert found["at_least"]["train"] == 86_524 - 22_433
    with pytest.raises(InputError, match="20,383 test films"):
        contamination.refuse(found)
    peer = SHARED / "peer-predictions" / "preds.csv.gz"
    if not peer.is_file():
        pytest.skip(f"no predictions of a reproduction at {peer}")
    tested = pd.read_csv(peer, usecols=["Image Index"])["Image Index"]
    learnt = official["image"][~official["image"].isin(tested)]
    (tmp_path / "list.txt").write_text("\n".join(learnt))
    exact = ledger(seen_by("x.safetensors", str(tmp_path / "list.txt")), "x", official, False)
    assert exact["known"] and len(tested) == 22_433
    assert counts(exact) == (112_120 - 22_433 - 20_383, 0, 20_383)
