import io
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from conftest import png, write_archive
from ribcage.errors import InputError
from ribcage.films import UndecodableError, decode, read_batch

FILM = np.arange(48 * 40, dtype=np.uint8).reshape(48, 40)


def png_that_claims(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = {b"IHDR": head, b"IDAT": zlib.compress(bytes(1000)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_is_decoded_whatever_its_mode(mode):
    assert np.array_equal(decode(png(FILM, mode), "a.png"), FILM)


def test_a_grey_jpeg_is_decoded():
    buffer = io.BytesIO()
    Image.fromarray(FILM).save(buffer, "JPEG", quality=95)
    assert np.abs(decode(buffer.getvalue(), "a.jpg").astype(int) - FILM).mean() < 8


def bad_films() -> dict[str, tuple[bytes, str]]:
    deep = io.BytesIO()
    Image.fromarray(FILM.astype(np.uint16) * 200).save(deep, "PNG")
    coloured = np.stack([FILM, FILM, FILM.T.reshape(FILM.shape)], axis=-1)
    clear = np.stack([FILM] * 4, axis=-1)
    return {
        "empty": (b"", "empty"),
        "truncated": (png(FILM)[:-60], "truncated"),
        "cut before its end": (png(FILM)[:-12], "truncated"),
        "scrambled": (png(FILM)[:60] + png(FILM)[70:], "cannot be decoded"),
        "text": (b"<html>Not found</html>", "not a PNG or JPEG"),
        "16-bit": (deep.getvalue(), "16-bit"),
        "coloured": (png(coloured, "RGB"), "coloured"),
        "transparent": (png(clear, "RGBA"), "transparent"),
        "oversized": (png_that_claims(9_000, 8_000), "9000 x 8000"),
        "enormous": (png_that_claims(60_000, 60_000), "3600000000 pixels"),
    }


@pytest.mark.parametrize("case", bad_films())
def test_what_is_no_film_is_said_with_its_name(case):
    data, words = bad_films()[case]
    with pytest.raises(UndecodableError, match=words) as error:
        decode(data, "00000007_000.png")
    assert "00000007_000.png" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_archive_and_a_folder_give_the_same_films(tmp_path):
    films = {"b.png": png(FILM), "a.png": png(FILM[::-1].copy())}
    write_archive(tmp_path / "x.tar.gz", films)
    (tmp_path / "x" / "deeper").mkdir(parents=True)
    for name, data in films.items():
        (tmp_path / "x" / "deeper" / name).write_bytes(data)
    (tmp_path / "x" / "notes.txt").write_text("no film")
    assert dict(read_batch(tmp_path / "x.tar.gz")) == films == dict(read_batch(tmp_path / "x"))
    assert [name for name, _ in read_batch(tmp_path / "x.tar.gz", {"a.png"})] == ["a.png"]


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "images/../../a.png"])
def test_an_archive_with_a_path_out_of_it_is_refused(tmp_path, name):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(InputError, match="not a plain file"):
        list(read_batch(tmp_path / "x.tar.gz"))


def test_a_link_and_a_giant_are_refused(tmp_path):
    link = tarfile.TarInfo("images/a.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar.gz", "w:gz") as tar:
        tar.addfile(link)
    with pytest.raises(InputError, match="not a plain file"):
        list(read_batch(tmp_path / "link.tar.gz"))
    giant = tarfile.TarInfo("images/a.png")
    giant.size = 10 << 30
    with tarfile.open(tmp_path / "giant.tar.gz", "w:gz") as tar:
        tar.fileobj.write(giant.tobuf())
    with pytest.raises(InputError, match=r"claims 10,737,418,240 bytes"):
        list(read_batch(tmp_path / "giant.tar.gz"))


def test_a_cut_archive_and_a_missing_one_are_refused(tmp_path):
    write_archive(tmp_path / "x.tar.gz", {f"{n}.png": png(FILM) for n in range(20)})
    whole = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="broken archive"):
        list(read_batch(tmp_path / "x.tar.gz"))
    with pytest.raises(InputError, match="no such archive"):
        list(read_batch(tmp_path / "absent"))


def test_a_name_that_comes_twice_is_refused(tmp_path):
    for folder in "ab":
        (tmp_path / "x" / folder).mkdir(parents=True)
        (tmp_path / "x" / folder / "1.png").write_bytes(png(FILM))
    with pytest.raises(InputError, match=r"1\.png twice"):
        list(read_batch(tmp_path / "x"))
