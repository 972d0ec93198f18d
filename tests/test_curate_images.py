import pandas as pd
import pytest

from conftest import png, write_archive
from curate_images import main, read_blacklist
from index_images import main as index_images
from ribcage.errors import InputError
from ribcage.tables import read_meta, read_table


@pytest.fixture
def images(tables, batch, tmp_path):
    path = tmp_path / "images.parquet"
    index_images(tables, [batch], path, ["images_001"], "refuse", "refuse")
    return path


def curate(images, tables, tmp_path, blacklists=("rotated",), undecodable="refuse"):
    kept, dropped = tmp_path / "curated.parquet", tmp_path / "dropped.csv"
    main(images, tables, kept, dropped, list(blacklists), undecodable)
    return read_table(kept), pd.read_csv(dropped)


def test_listed_films_are_dropped_with_the_reason(images, tables, tmp_path):
    kept, dropped = curate(images, tables, tmp_path)
    assert dropped.to_numpy().tolist() == [["00000001_001.png", "on the list rotated"]]
    assert len(kept) == 3 and "fault" not in kept
    assert read_meta(tmp_path / "curated.parquet") == read_meta(images)


def test_no_list_drops_nothing(images, tables, tmp_path):
    kept, dropped = curate(images, tables, tmp_path, blacklists=[])
    assert len(kept) == 4 and dropped.empty and list(dropped.columns) == ["image", "reason"]


def test_lists_have_no_header_and_may_lack_the_last_newline(tmp_path):
    (tmp_path / "list.csv").write_text("a.png\r\nb.png\n\nc.png")
    assert read_blacklist(tmp_path / "list.csv") == ["a.png", "b.png", "c.png"]
    (tmp_path / "empty.csv").write_text("")
    assert read_blacklist(tmp_path / "empty.csv") == []


def test_a_name_on_a_list_that_the_table_lacks_is_no_matter(images, tables, tmp_path):
    (tables / "blacklists" / "rotated.csv").write_text("00000001_001.png\n99999999_000.png")
    assert len(curate(images, tables, tmp_path)[1]) == 1


def test_an_unknown_list_is_refused(images, tables, tmp_path):
    with pytest.raises(InputError, match=r"no such list; the source has rotated"):
        curate(images, tables, tmp_path, blacklists=["tilted"])


@pytest.mark.parametrize(("length", "words"), [(0, "empty"), (-20, "truncated")])
def test_a_broken_film_is_refused_or_dropped(tables, tmp_path, length, words):
    good = png(pd.DataFrame([[1, 2], [3, 4]]).to_numpy("uint8"))
    names = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png"]
    write_archive(tmp_path / "b.tar.gz", dict.fromkeys(names, good) | {names[2]: good[:length]})
    images = tmp_path / "images.parquet"
    index_images(tables, [tmp_path / "b.tar.gz"], images, ["b"], "refuse", "refuse")
    with pytest.raises(InputError, match=rf"00000002_000\.png.*{words}.*undecodable to drop"):
        curate(images, tables, tmp_path)
    assert not (tmp_path / "curated.parquet").exists()
    kept, dropped = curate(images, tables, tmp_path, undecodable="drop")
    reasons = dropped.set_index("image")["reason"]
    assert words in reasons["00000002_000.png"] and len(kept) == 2


def test_dropping_everything_is_refused(images, tables, tmp_path):
    names = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png"]
    (tables / "blacklists" / "rotated.csv").write_text("\n".join(names))
    with pytest.raises(InputError, match="would drop all 4"):
        curate(images, tables, tmp_path)
