import json
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from conftest import ROOT
from fetch_images import main
from misbehaving_server import serving
from ribcage.errors import InputError
from ribcage.remotes import Remote
from test_fetch import DATA, MD5


def fetch_batch(folder, batch, **changes):
    """Run the step, whose temporary output lies beside those of other batches."""
    out = folder / f".{batch}.tar.gz.tmp"
    known = {"kind": "nih", "archives": [batch], "partial": str(folder / "p")} | changes
    main(folder / "files.json", out, batch=batch, **({"delay_s": 0.001} | known))
    return out


def test_the_archive_of_a_batch_is_fetched_by_its_name(tmp_path):
    with serving({"/b.gz": DATA}) as (base, _):
        entry = {"file": "images_002.tar.gz", "url": f"{base}/b.gz", "bytes": len(DATA), "md5": MD5}
        (tmp_path / "files.json").write_text(json.dumps({"archives": [entry]}))
        assert fetch_batch(tmp_path, "images_002").read_bytes() == DATA
        with pytest.raises(InputError, match=r"NIH has no archive images_013; it has images_002"):
            fetch_batch(tmp_path, "images_013")


def test_the_disk_must_hold_all_archives_that_are_still_to_come(tmp_path, monkeypatch):
    entries = [
        {"file": f"{name}.tar.gz", "url": f"http://127.0.0.1:9/{name}", "bytes": size, "md5": name}
        for name, size in (("a", 2 * 10**9), ("b", 4 * 10**9), ("c", 3 * 10**9))
    ]
    (tmp_path / "files.json").write_text(json.dumps({"archives": entries}))
    (tmp_path / "p").mkdir()
    (tmp_path / "c.tar.gz").write_bytes(b"is here")
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(6 * 10**9))
    with pytest.raises(InputError, match=r"a\.tar\.gz and 1 more that are to come: needs 6\.0 GB"):
        fetch_batch(tmp_path, "a", archives=["a", "b", "c"])
    with (tmp_path / "p" / Remote.of(entries[1]).waits_as).open("wb") as begun:
        begun.truncate(2 * 10**9)  # a hole that takes no disk
    with pytest.raises(
        InputError, match=r"failed 1 times in a row"
    ):  # there is room, but no server
        fetch_batch(tmp_path, "a", archives=["a", "b", "c"], attempts=1)


def test_an_archive_in_the_cache_is_not_fetched_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    (tmp_path / "held.tar.gz").write_bytes(DATA)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "held.tar.gz"], check=True)
    listed = {"file": "b.tar.gz", "url": "http://127.0.0.1:9/b", "bytes": len(DATA), "md5": MD5}
    (tmp_path / "files.json").write_text(json.dumps({"archives": [listed]}))
    out = fetch_batch(tmp_path, "b", attempts=1)
    assert out.read_bytes() == DATA and "DVC's cache" in capsys.readouterr().err
    # What the cache holds under that name is not believed unseen.
    (cached,) = (tmp_path / ".dvc/cache/files/md5" / MD5[:2]).iterdir()
    cached.chmod(0o644)
    cached.write_bytes(b"other bytes")
    cached.chmod(0o444)
    out.unlink()
    with pytest.raises(InputError):
        fetch_batch(tmp_path, "b", attempts=1)
    assert not cached.exists() and not out.exists()


def test_a_phantom_batch_is_copied(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.tar.gz").write_bytes(DATA)
    main(tmp_path, tmp_path / "out", "phantom", "b", ["b"], "unused")
    assert (tmp_path / "out").read_bytes() == DATA
    with pytest.raises(InputError, match="no such batch"):
        main(tmp_path, tmp_path / "out", "phantom", "c", ["b"], "unused")


def test_the_official_archives_are_twelve_with_their_sums():
    listed = json.loads((ROOT / "scripts/ribcage/nih_files.json").read_text())["archives"]
    assert [entry["file"] for entry in listed] == [f"images_{n:03d}.tar.gz" for n in range(1, 13)]
    assert sum(entry["bytes"] for entry in listed) == 45_079_862_784
    assert sum(entry["images"] for entry in listed) == 112_120
    assert {entry["start_bytes"] for entry in listed} == {14 << 20}
    for key in ("md5", "start_sha256"):
        assert len({entry[key] for entry in listed}) == 12
    assert all(entry["url"].startswith("https://nihcc.box.com/shared/static/") for entry in listed)
