import pandas as pd
import pytest

from conftest import png, write_archive
from curate_images import main
from index_images import main as index_images
from ribcage.errors import InputError
from ribcage.measures import RULES
from ribcage.tables import read_meta, read_table

NAMES = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png"]
OFF = dict.fromkeys(RULES, "none")


def index(tables, batch, tmp_path):
    path = tmp_path / "images.parquet"
    index_images(tables, [batch], path, tmp_path / "measures.parquet", ["b"], "refuse", "refuse")
    return path


@pytest.fixture
def images(tables, batch, tmp_path):
    return index(tables, batch, tmp_path)


def curate(images, tables, tmp_path, **settings):
    kept, dropped = tmp_path / "curated.parquet", tmp_path / "dropped.csv"
    main(
        images=images,
        measures=tmp_path / "measures.parquet",
        tables=tables,
        curated=kept,
        dropped=dropped,
        spared=tmp_path / "spared.csv",
        **{
            "blacklists": ["rotated"],
            "undecodable": "refuse",
            "from_test": "keep",
            "split_kind": "official",
            "quality": OFF,
            **settings,
        },
    )
    return read_table(kept), pd.read_csv(dropped)


def test_listed_films_are_dropped_with_the_reason(images, tables, tmp_path):
    kept, dropped = curate(images, tables, tmp_path)
    assert dropped.to_numpy().tolist() == [["00000001_001.png", "on the list rotated"]]
    assert len(kept) == 3 and "fault" not in kept
    assert read_meta(tmp_path / "curated.parquet") == read_meta(images)


def test_no_list_drops_nothing(images, tables, tmp_path):
    kept, dropped = curate(images, tables, tmp_path, blacklists=[])
    assert len(kept) == 4 and dropped.empty and list(dropped.columns) == ["image", "reason"]


def test_a_name_on_a_list_that_the_table_lacks_is_no_matter(images, tables, tmp_path):
    (tables / "blacklists" / "rotated.csv").write_text("00000001_001.png\n99999999_000.png")
    assert len(curate(images, tables, tmp_path)[1]) == 1


def test_an_unknown_list_is_refused(images, tables, tmp_path):
    with pytest.raises(InputError, match=r"no such list; the source has rotated"):
        curate(images, tables, tmp_path, blacklists=["tilted"])


@pytest.mark.parametrize(("length", "words"), [(0, "empty"), (-20, "truncated")])
def test_a_broken_film_is_refused_or_dropped(tables, tmp_path, length, words):
    good = png(pd.DataFrame([[1, 2], [3, 4]]).to_numpy("uint8"))
    write_archive(tmp_path / "b.tar.gz", dict.fromkeys(NAMES, good) | {NAMES[2]: good[:length]})
    images = index(tables, tmp_path / "b.tar.gz", tmp_path)
    with pytest.raises(InputError, match=rf"00000002_000\.png.*{words}.*undecodable to drop"):
        curate(images, tables, tmp_path)
    assert not (tmp_path / "curated.parquet").exists()
    kept, dropped = curate(images, tables, tmp_path, undecodable="drop")
    reasons = dropped.set_index("image")["reason"]
    assert words in reasons["00000002_000.png"] and len(kept) == 2


def test_dropping_everything_is_refused(images, tables, tmp_path):
    (tables / "blacklists" / "rotated.csv").write_text("\n".join(NAMES))
    with pytest.raises(InputError, match="would drop all 4"):
        curate(images, tables, tmp_path)


def test_the_official_test_set_stays_whole_unless_told(images, tables, tmp_path):
    (tables / "test_list.txt").write_text(f"{NAMES[1]}\n99999999_000.png")
    kept, dropped = curate(images, tables, tmp_path)
    assert len(kept) == 4 and dropped.empty
    spared = pd.read_csv(tmp_path / "spared.csv")
    assert spared.to_numpy().tolist() == [[NAMES[1], "on the list rotated"]]
    for change in ({"from_test": "drop"}, {"split_kind": "random"}):
        kept, dropped = curate(images, tables, tmp_path, **change)
    assert len(kept) == 3 and dropped["image"].tolist() == [NAMES[1]]
    assert pd.read_csv(tmp_path / "spared.csv").empty


def test_a_broken_film_of_the_test_set_is_dropped_all_the_same(tables, tmp_path):
    good = png(pd.DataFrame([[1, 2], [3, 4]]).to_numpy("uint8"))
    write_archive(tmp_path / "b.tar.gz", dict.fromkeys(NAMES, good) | {NAMES[1]: b""})
    (tables / "test_list.txt").write_text(NAMES[1])
    images = index(tables, tmp_path / "b.tar.gz", tmp_path)
    _, dropped = curate(images, tables, tmp_path, undecodable="drop")
    assert dropped["reason"].str.contains("empty").tolist() == [True]
    assert pd.read_csv(tmp_path / "spared.csv").empty


def test_a_rule_of_quality_drops_with_its_figures_and_a_list_comes_first(tables, tmp_path):
    films = [pd.DataFrame([[grey, grey + 40]]).to_numpy("uint8") for grey in (10, 20, 100, 200)]
    write_archive(
        tmp_path / "b.tar.gz", {n: png(film) for n, film in zip(NAMES, films, strict=True)}
    )
    images = index(tables, tmp_path / "b.tar.gz", tmp_path)
    quality = {**OFF, "too_dark": 50, "too_bright": 195.5}
    kept, dropped = curate(images, tables, tmp_path, quality=quality)
    assert kept["image"].tolist() == [NAMES[2]]
    assert dropped.to_numpy().tolist() == [
        [NAMES[0], "too dark: mean grey 30.0 of 255 (limit 50)"],
        [NAMES[1], "on the list rotated"],
        [NAMES[3], "too bright: mean grey 220.0 of 255 (limit 195.5)"],
    ]


def test_a_run_on_the_tables_alone_is_curated_by_lists(tables, tmp_path):
    images, measures = tmp_path / "images.parquet", tmp_path / "measures.parquet"
    index_images(tables, [], images, measures, [], "keep", "refuse")
    quality = {name: rule.suggested for name, rule in RULES.items()}
    kept, dropped = curate(images, tables, tmp_path, quality=quality)
    assert len(kept) == 3 and dropped["image"].tolist() == [NAMES[1]]
