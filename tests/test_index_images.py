import pandas as pd
import pytest

import index_images
from conftest import entry, png, write_archive
from index_images import look_at, main
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.progress import Progress
from ribcage.tables import read_meta, read_table


def index(tables, batch, out, **options):
    options = {"absent": "refuse", "unlisted": "refuse", **options}
    measures = out.with_name("measures.parquet")
    main(tables, [batch], out, measures, batch_names=["images_001"], **options)
    return read_table(out)


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
    written = []
    for threads in (1, 3):
        index(tables, batch, tmp_path / "images.parquet", threads=threads)
        written += [(tmp_path / f"{name}.parquet").read_bytes() for name in ("images", "measures")]
    assert written[:2] == written[2:]


def test_few_films_wait_in_memory(tables, batch, tmp_path, monkeypatch):
    films, ahead = [(f"{n}.png", b"") for n in range(40)], []
    read = 0

    def counted(batch):
        nonlocal read
        for read, film in enumerate(films, start=1):  # noqa: B007 - counted outside
            yield film

    monkeypatch.setattr(index_images, "read_batch", counted)
    looks = look_at(batch, 2, Progress(40, "films"))
    for done, (name, look) in enumerate(looks):
        assert name == films[done][0] and "empty" in look.fault
        ahead.append(read - done)
    assert len(ahead) == 40 and max(ahead) == 8


def test_one_row_of_measures_a_decoded_film(tables, batch, tmp_path):
    index(tables, batch, tmp_path / "images.parquet")
    table = read_table(tmp_path / "measures.parquet").set_index("image")
    assert len(table) == 4 and table.index.is_monotonic_increasing
    assert table["mean_grey"]["00000002_000.png"] == 90
    assert read_meta(tmp_path / "measures.parquet") == read_meta(tmp_path / "images.parquet")


def test_the_tables_alone_can_be_indexed(tables, tmp_path):
    images, measures = tmp_path / "images.parquet", tmp_path / "measures.parquet"
    main(tables, [], images, measures, [], "keep", "refuse")
    table = read_table(images)
    assert len(table) == 4 and table["fault"].isna().all() and table["batch"].isna().all()
    assert (table["width_px"] == 0).all() and (table["height_px"] == 0).all()
    empty = read_table(measures)
    assert empty.empty and empty["mean_grey"].dtype == float


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
    assert read_table(tmp_path / "measures.parquet")["image"].tolist() == [names[0], names[3]]
    assert "empty" in faults[names[1]] and names[2] in faults[names[2]]
