import gzip
import io
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, png, write_archive
from ribcage import films
from ribcage.errors import InputError
from ribcage.films import UndecodableError, decode, read_batch

FILM = np.arange(48 * 40, dtype=np.uint8).reshape(48, 40)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(
    width: int, height: int, bits: int = 8, colour: int = 0, data: bytes = bytes(1000)
) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND")


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
    deep_colours = {"RGB": (2, 3), "RGBA": (6, 4), "LA": (4, 2)}
    return {
        "empty": (b"", "empty"),
        "truncated": (png(FILM)[:-60], "truncated"),
        "cut before its end": (png(FILM)[:-12], "truncated"),
        "scrambled": (png(FILM)[:60] + png(FILM)[70:], "cannot be decoded"),
        "text": (b"<html>Not found</html>", "not a PNG or JPEG"),
        "16-bit": (deep.getvalue(), "16 bits a channel; convert it to 8 bits first"),
        **{
            f"16-bit {mode}": (
                png_that_claims(2, 2, 16, kind, bytes(2 * (1 + 4 * channels))),
                "16 bits a channel; convert it to 8 bits first",
            )
            for mode, (kind, channels) in deep_colours.items()
        },
        "profile behind the pixels": (
            png(FILM)[:-12] + chunk(b"iCCP") + chunk(b"IEND"),
            "cannot be decoded",
        ),
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
    held = {"b.png": png(FILM), "a.png": png(FILM[::-1].copy())}
    write_archive(tmp_path / "x.tar.gz", held)
    (tmp_path / "x" / "deeper").mkdir(parents=True)
    for name, data in held.items():
        (tmp_path / "x" / "deeper" / name).write_bytes(data)
    (tmp_path / "x" / "notes.txt").write_text("no film")
    assert dict(read_batch(tmp_path / "x.tar.gz")) == held == dict(read_batch(tmp_path / "x"))
    assert [name for name, _ in read_batch(tmp_path / "x.tar.gz", {"a.png"})] == ["a.png"]


def header(name="images/a.png", size=0, kind=tarfile.REGTYPE, **more) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    for key, value in more.items():
        setattr(member, key, value)
    return member.tobuf(tarfile.GNU_FORMAT)


def record(key: str, value: str) -> bytes:
    """One line of a pax header, which begins with its own length."""
    size = len(f" {key}={value}\n")
    while len(f"{size} {key}={value}\n") != size:
        size = len(f"{size} {key}={value}\n")
    return f"{size} {key}={value}\n".encode()


def pax(*records: bytes, kind=tarfile.XHDTYPE, claims: int | None = None) -> bytes:
    text = b"".join(records)
    padded = text + bytes(-len(text) % 512)
    return header("pax", len(text) if claims is None else claims, kind) + padded


GIB = 1 << 30
EMPTY = header() + bytes(1024)


def sparse_header() -> bytes:
    """A file with holes in GNU's old form, whose map says that it goes on."""
    buffer = bytearray(header(kind=tarfile.GNUTYPE_SPARSE))
    buffer[482] = 1
    buffer[148:156] = b"%06o\0 " % (sum(buffer[:148]) + sum(buffer[156:512]) + 8 * 32)
    return bytes(buffer)


HOSTILE = {
    "absolute path": ([header("/etc/a.png")], "its path leads out"),
    "path upwards": ([header("../a.png")], "its path leads out"),
    "path upwards within": ([header("images/../../a.png")], "its path leads out"),
    "folder upwards": ([header("../images", kind=tarfile.DIRTYPE)], "its path leads out"),
    "symbolic link": ([header(kind=tarfile.SYMTYPE, linkname="/etc/passwd")], "not a plain file"),
    "hard link": ([header(kind=tarfile.LNKTYPE, linkname="/etc/passwd")], "not a plain file"),
    "character device": ([header(kind=tarfile.CHRTYPE)], "not a plain file"),
    "block device": ([header(kind=tarfile.BLKTYPE)], "not a plain file"),
    "pipe": ([header(kind=tarfile.FIFOTYPE)], "not a plain file"),
    "unknown kind": ([header(kind=b"~")], "claims|not a plain file"),
    "10 GB": ([header(size=10 * GIB)], "claims 10,737,418,240 bytes"),
    "10 GB by pax": ([pax(record("size", str(10 * GIB))), EMPTY], "claims 10,737,418,240 bytes"),
    "less than nothing by pax": ([pax(record("size", "-512")), EMPTY], "claims -512 bytes"),
    "sparse": ([header(size=512, kind=tarfile.GNUTYPE_SPARSE), bytes(512)], "not a plain file"),
    "sparse without end": ([sparse_header(), (b"1" * 512, 100_000)], "a header over 256 KiB"),
    "10 GB of holes by pax": (
        [pax(record("GNU.sparse.size", str(10 * GIB)), record("GNU.sparse.map", "0,1")), EMPTY],
        "not a plain file",
    ),
    "holes without end by pax": (
        [
            pax(record("GNU.sparse.major", "1"), record("GNU.sparse.minor", "0")),
            header(size=60 << 20) + b"9999999999\n".ljust(512, b"1"),
            (b"1\n" * 256, 100_000),
        ],
        "a header over 256 KiB",
    ),
    "pax of 1 GB": ([pax(claims=GIB), (bytes(512), 100_000)], "a header over 256 KiB"),
    "long name of 1 GB": (
        [header("long", GIB, tarfile.GNUTYPE_LONGNAME), (b"a" * 512, 100_000)],
        "a header over 256 KiB",
    ),
    "long name behind a folder of 4 GiB": (
        [
            header("images", 4 * GIB, tarfile.DIRTYPE),
            header("long", 300 << 20, tarfile.GNUTYPE_LONGNAME),
            (b"a" * 512, 100_000),
        ],
        "a header over 256 KiB",
    ),
    "pax behind pax": ([(pax(record("a", "b")), 2000)], "a header over|broken archive"),
    "pax for all": (
        [
            pax(record(f"k{n}", "v" * 1000), kind=tarfile.XGLTYPE) + header(f"{n}.txt")
            for n in range(200)
        ],
        "too many headers",
    ),
    "a million members": ([(header("a.txt"), 1_000_001)], "has over 200,000 members"),
    "bomb": ([(header("a.txt", 60 << 20) + bytes(60 << 20), 20)], "unpacks to over 50 times"),
    "nameless": ([header("."), header(""), header("images/a\n.png")], "has a name that no film"),
    "long name": ([pax(record("path", "a" * 300 + ".png")), EMPTY], "has a name that no film has"),
    "damaged header": ([header("a.txt"), b"x" * 512], "a header is damaged"),
    "half a header": ([header("a.txt"), header("b.txt")[:200]], "a header is damaged|broken"),
    "half a film": ([header(size=5000), bytes(700)], "broken archive"),
    "no archive": ([b"no archive at all" * 99], "broken archive"),
    "nothing": ([], "broken archive"),
}
"""Blocks, or (block, how often it comes), and the words that refuse them."""


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_sentence_and_little_memory(
    tmp_path, case, monkeypatch
):
    blocks, words = HOSTILE[case]
    if case == "a million members":  # 200,000 take 5 s to read
        monkeypatch.setattr(films, "MAX_MEMBERS", 5_000)
        words = "has over 5,000 members"
    with gzip.open(tmp_path / "x.tar.gz", "wb", compresslevel=1) as packed:
        for block in blocks:
            data, times = block if isinstance(block, tuple) else (block, 1)
            for _ in range(times):
                packed.write(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=words) as error:
            list(read_batch(tmp_path / "x.tar.gz"))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert str(error.value).startswith(str(tmp_path / "x.tar.gz"))


def test_an_archive_of_several_parts_with_pax_headers_and_folders_is_read(tmp_path):
    member = tarfile.TarInfo("images/é.png")
    member.size, member.mtime = len(png(FILM)), 1234567890.123
    tar = header("images", kind=tarfile.DIRTYPE) + member.tobuf(tarfile.PAX_FORMAT)
    tar += png(FILM) + bytes(-len(png(FILM)) % 512) + bytes(1024)
    parts = gzip.compress(tar[:700]) + gzip.compress(tar[700:]) + bytes(100)
    (tmp_path / "x.tar.gz").write_bytes(parts)
    assert dict(read_batch(tmp_path / "x.tar.gz")) == {"é.png": png(FILM)}


def test_a_film_whose_text_is_a_bomb_is_refused_in_little_memory():
    whole = png(FILM)
    text = b"Comment\0\0" + zlib.compress(bytes(100 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableError, match="cannot be decoded"):
            decode(whole[:33] + chunk(b"zTXt", text) + whole[33:], "a.png")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_large_claim_is_a_sentence_without_a_warning(tmp_path):
    (tmp_path / "a.png").write_bytes(png_that_claims(10_000, 10_000))
    code = (
        "import sys; from ribcage.films import decode; decode(open(sys.argv[1], 'rb').read(), 'a')"
    )
    command = [sys.executable, "-W", "default", "-c", code, tmp_path / "a.png"]
    done = subprocess.run(
        command, cwd=ROOT / "scripts", capture_output=True, text=True, check=False
    )
    assert "claims 10000 x 10000 px" in done.stderr and "BombWarning" not in done.stderr


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
