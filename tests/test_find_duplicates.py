from itertools import combinations

import cv2
import numpy as np
import pandas as pd
import pytest

import find_duplicates
from find_duplicates import MAX_PARTNERS, main, near_pairs, words_of
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.measures import measure, table_of
from ribcage.tables import write_table


def film(seed):
    noise = np.random.default_rng(seed).random((16, 16), np.float32)
    return (cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(
        np.uint8
    )


def find(films, tmp_path, max_distance_bits=90, threads=1):
    table = table_of({name: measure(film) for name, film in films.items()})
    write_table(table, tmp_path / "measures.parquet", {})
    main(tmp_path / "measures.parquet", tmp_path / "duplicates.csv", max_distance_bits, threads)
    return pd.read_csv(tmp_path / "duplicates.csv")


def test_equal_and_near_films_are_found_and_others_are_not(tmp_path):
    darker = cv2.subtract(film(1), 20)
    films = {"d.png": film(1), "b.png": film(1), "c.png": darker, "a.png": film(2)}
    found = find(films, tmp_path)
    assert found[["image", "other"]].to_numpy().tolist() == [
        ["b.png", "c.png"], ["b.png", "d.png"], ["c.png", "d.png"],
    ]  # fmt: skip
    assert found["same_pixels"].tolist() == [False, True, False]
    assert found["distance_bits"][1] == 0 and (found["distance_bits"] <= 90).all()


def test_no_films_and_no_duplicates_leave_a_header(tmp_path):
    for films in ({}, {"a.png": film(1)}, {"a.png": film(1), "b.png": film(2)}):
        assert find(films, tmp_path).empty
        header = (tmp_path / "duplicates.csv").read_text()
        assert header == "image,other,distance_bits,same_pixels\n"


def test_films_without_structure_are_equal_or_nothing(tmp_path):
    flat = {f"{n}.png": np.full((64, 64), n // 2, np.uint8) for n in range(6)}
    found = find(flat, tmp_path)
    assert found["image"].tolist() == ["0.png", "2.png", "4.png"] and found["same_pixels"].all()


def test_a_thousand_equal_films_do_not_make_half_a_million_rows(tmp_path):
    one = measure(film(1))
    table = table_of({f"{n:04d}.png": one for n in range(1000)})
    write_table(table, tmp_path / "measures.parquet", {})
    main(tmp_path / "measures.parquet", tmp_path / "duplicates.csv", 90)
    found = pd.read_csv(tmp_path / "duplicates.csv")
    assert len(found) == 1000 * MAX_PARTNERS - MAX_PARTNERS * (MAX_PARTNERS + 1) // 2
    assert found["other"].nunique() == 999  # each is somebody's duplicate


@pytest.mark.parametrize("threads", [1, 3])
def test_all_near_pairs_are_found_whatever_the_blocks(monkeypatch, threads):
    monkeypatch.setattr(find_duplicates, "ROWS", 7)
    monkeypatch.setattr(find_duplicates, "COLUMNS", 50)
    rng = np.random.default_rng(0)
    bits = rng.random((150, 576)) < 0.5
    for row in range(0, 60, 2):  # pairs of all distances, and one that differs in every bit
        bits[row + 1] = bits[row] ^ (rng.random(576) < row / 250)
    bits[101] = ~bits[100]
    hashes = pd.Series([np.packbits(row).tobytes().hex() for row in bits])
    expected = [
        (one, other, int((bits[one] != bits[other]).sum()))
        for one, other in combinations(range(150), 2)
        if (bits[one] != bits[other]).sum() <= 90
    ]
    assert 15 < len(expected) < 30
    assert list(near_pairs(words_of(hashes), 90, threads)) == expected


def test_threads_change_nothing(tmp_path):
    films = {f"{n}.png": cv2.add(film(n % 40), n) for n in range(100)}
    find(films, tmp_path)
    one = (tmp_path / "duplicates.csv").read_bytes()
    find(films, tmp_path, threads=3)
    assert (tmp_path / "duplicates.csv").read_bytes() == one and one.count(b"\n") > 50


def test_hashes_of_another_length_are_refused():
    with pytest.raises(InputError, match="unequal length"):
        words_of(pd.Series(["0" * 144, "0" * 16]))


def test_copies_of_real_films_are_found_and_strangers_are_not(nih_starter, tmp_path):
    films = {name: decode(data, name) for name, data in read_batch(nih_starter / "images")}
    for name in sorted(films)[:8]:
        jpeg = cv2.imencode(".jpg", films[name], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        films[f"{name}-jpeg"] = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
        films[f"{name}-half"] = cv2.resize(films[name], (512, 512), interpolation=cv2.INTER_AREA)
    found = find(films, tmp_path)
    assert len(found) == 8 * 3 and not found["same_pixels"].any()
    assert (found["image"].str[:16] == found["other"].str[:16]).all()
