import hashlib
import json
import random
import subprocess
import sys

import pytest

from conftest import ROOT
from fetch_images import main
from misbehaving_server import serving
from ribcage import fetch
from ribcage.errors import InputError
from ribcage.fetch import Remote, download

DATA = b"\x1f\x8b" + random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(fetch, "CHUNK", 10_000)


def get(tmp_path, faults, **changes):
    with serving({"/x.gz": DATA}, faults) as (base, seen):
        known = {"size": len(DATA), "md5": MD5, "starts": b"\x1f\x8b"} | changes
        remote = Remote(f"{base}/x.gz", "x.gz", **known)
        download(remote, tmp_path / "x.gz", tmp_path / "partial", attempts=4, delay_s=0.001)
    return seen


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["redirect"],
        ["500", "500"],
        [("drop", 1), ("drop", 12_345), ("drop", 1), ("drop", 100_000)],
        ["labelled"] * 4,
        [("drop", 50_000), "ignore range"],
        [("drop", 50_000), "shifted"],
        [("drop", 50_000), "500", "redirect", ("drop", 7)],
    ],
)
def test_the_right_bytes_arrive_whatever_happens(tmp_path, faults):
    get(tmp_path, faults)
    assert (tmp_path / "x.gz").read_bytes() == DATA
    assert not list((tmp_path / "partial").iterdir())


def test_random_faults_end_in_the_right_bytes_or_a_sentence(tmp_path):
    rng = random.Random(1)
    kinds = ["500", "redirect", "ignore range", "shifted", "grown", "html", "wrong", None]
    ends = set()
    for number in range(40):
        faults = [
            ("drop", rng.randrange(200_000)) if rng.random() < 0.5 else rng.choice(kinds)
            for _ in range(rng.randrange(6))
        ]
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            get(folder, faults)
            assert (folder / "x.gz").read_bytes() == DATA
            ends.add("right")
        except InputError as error:
            assert "\n" not in str(error) and not (folder / "x.gz").exists()
            ends.add("refused")
    assert ends == {"right", "refused"}


def test_a_broken_download_is_resumed_by_the_next_run(tmp_path):
    with serving({"/x.gz": DATA}, [("drop", 100_000), "500", "500"]) as (base, seen):
        remote = Remote(f"{base}/x.gz", "x.gz", len(DATA), MD5)
        with pytest.raises(InputError, match=r"failed 2 times in a row .* is kept"):
            download(remote, tmp_path / "x.gz", tmp_path / "p", attempts=2, delay_s=0.001)
        assert not (tmp_path / "x.gz").exists()
        download(remote, tmp_path / "x.gz", tmp_path / "p", attempts=2, delay_s=0.001)
    assert (tmp_path / "x.gz").read_bytes() == DATA
    assert seen[-1][2] == "bytes=100000-"


def test_a_web_page_in_the_middle_costs_no_byte(tmp_path):
    with serving({"/x.gz": DATA}, [("drop", 100_000), "html"]) as (base, seen):
        remote = Remote(f"{base}/x.gz", "x.gz", len(DATA), MD5, starts=b"\x1f\x8b")
        with pytest.raises(InputError, match="gives a web page"):
            download(remote, tmp_path / "x.gz", tmp_path / "p", delay_s=0.001)
        download(remote, tmp_path / "x.gz", tmp_path / "p", delay_s=0.001)
    assert (tmp_path / "x.gz").read_bytes() == DATA
    assert seen[-1][2] == "bytes=100000-"


def test_a_file_that_changes_on_the_server_is_started_over(tmp_path):
    seen = get(tmp_path, [("drop", 50_000), "grown"])
    assert [asked for _, _, asked in seen] == [None, "bytes=50000-", None]
    assert (tmp_path / "x.gz").read_bytes() == DATA


def test_a_server_that_always_starts_over_and_breaks_is_given_up(tmp_path):
    faults = [("drop, ignore range", n) for n in (50_000, 10_000) * 20]
    with serving({"/x.gz": DATA}, faults) as (base, seen):
        remote = Remote(f"{base}/x.gz", "x.gz", len(DATA), MD5)
        with pytest.raises(InputError, match=r"failed 4 times in a row \(the connection broke\)"):
            download(remote, tmp_path / "x.gz", tmp_path / "p", attempts=4, delay_s=0.001)
    assert len(seen) == 4


def test_without_a_network_the_sentence_says_what_to_do(tmp_path):
    with serving({}) as (base, _):
        remote = Remote(f"{base}/x.gz", "x.gz")  # nobody listens there any more
    with pytest.raises(InputError, match=r"\([^():]*refused\); check the network") as raised:
        download(remote, tmp_path / "x.gz", tmp_path / "p", attempts=2, delay_s=0.001)
    assert len(str(raised.value)) < 200 and not (tmp_path / "x.gz").exists()


def test_a_download_that_was_whole_when_it_was_killed_is_not_fetched_again(tmp_path):
    with serving({"/x.gz": DATA}) as (base, seen):
        remote = Remote(f"{base}/x.gz", "x.gz", len(DATA), MD5)
        waiting = tmp_path / "p" / hashlib.sha256(remote.url.encode()).hexdigest()[:16]
        waiting.parent.mkdir()
        waiting.write_bytes(DATA)
        download(remote, tmp_path / "x.gz", tmp_path / "p")
    assert (tmp_path / "x.gz").read_bytes() == DATA and len(seen) == 1


def test_wrong_bytes_are_kept_aside_under_a_name_that_says_so(tmp_path):
    with pytest.raises(InputError, match=f"its md5 is .*, not {MD5}"):
        get(tmp_path, ["wrong"], starts=None)
    assert not (tmp_path / "x.gz").exists()
    (aside,) = (tmp_path / "partial").iterdir()
    assert aside.name.startswith("x.gz.wrong-md5-")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("html", "gives a web page instead"), ("wrong", "gives bytes e074.* instead of the file")],
)
def test_what_is_not_the_file_is_refused_at_its_first_bytes(tmp_path, fault, words):
    with pytest.raises(InputError, match=words):
        get(tmp_path, [fault])
    assert not (tmp_path / "x.gz").exists()


def test_another_size_is_a_warning_and_the_hash_decides(tmp_path, capsys):
    get(tmp_path, [], size=len(DATA) - 7)
    assert "300,002 bytes, not 299,995; its hash decides" in capsys.readouterr().err
    assert (tmp_path / "x.gz").read_bytes() == DATA


def test_a_flood_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(Remote, "limit", 50_000)
    with pytest.raises(InputError, match="over 50,000 bytes came"):
        get(tmp_path, [])


def test_a_full_disk_is_said_before_the_first_byte(tmp_path):
    with serving({"/x.gz": DATA}) as (base, seen):
        remote = Remote(f"{base}/x.gz", "x.gz", 10**18)
        with pytest.raises(InputError, match=r"needs 1000000000\.0 GB"):
            download(remote, tmp_path / "x.gz", tmp_path / "p")
    assert seen == []


def test_a_missing_file_is_one_sentence(tmp_path):
    with serving({}) as (base, _):
        remote = Remote(f"{base}/gone", "gone")
        with pytest.raises(InputError, match=r"gone: .* answered 404"):
            download(remote, tmp_path / "x", tmp_path / "p", delay_s=0.001)


def test_the_archive_of_a_batch_is_fetched_by_its_name(tmp_path):
    with serving({"/b.gz": DATA}) as (base, _):
        entry = {"file": "images_002.tar.gz", "url": f"{base}/b.gz", "bytes": len(DATA), "md5": MD5}
        (tmp_path / "files.json").write_text(json.dumps({"archives": [entry]}))
        place = (tmp_path / "files.json", tmp_path / "out", "nih")
        main(*place, "images_002", str(tmp_path / "p"), delay_s=0.001)
        assert (tmp_path / "out").read_bytes() == DATA
        with pytest.raises(InputError, match=r"NIH has no archive images_013; it has images_002"):
            main(*place, "images_013", str(tmp_path / "p"))


def test_an_archive_in_the_cache_is_not_fetched_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    (tmp_path / "held.tar.gz").write_bytes(DATA)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "held.tar.gz"], check=True)
    listed = {"file": "b.tar.gz", "url": "http://127.0.0.1:9/b", "size": len(DATA), "md5": MD5}
    (tmp_path / "files.json").write_text(json.dumps({"archives": [listed]}))
    out = tmp_path / "out.tar.gz"
    main(tmp_path / "files.json", out, "nih", "b", str(tmp_path / "partial"), 1, 0.001)
    assert out.read_bytes() == DATA and "DVC's cache" in capsys.readouterr().err
    # What the cache holds under that name is not believed unseen.
    (cached,) = (tmp_path / ".dvc/cache/files/md5" / MD5[:2]).iterdir()
    cached.chmod(0o644)
    cached.write_bytes(b"other bytes")
    cached.chmod(0o444)
    out.unlink()
    with pytest.raises(InputError):
        main(tmp_path / "files.json", out, "nih", "b", str(tmp_path / "partial"), 1, 0.001)
    assert not cached.exists() and not out.exists()


def test_a_phantom_batch_is_copied(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.tar.gz").write_bytes(DATA)
    main(tmp_path, tmp_path / "out", "phantom", "b", "unused")
    assert (tmp_path / "out").read_bytes() == DATA
    with pytest.raises(InputError, match="no such batch"):
        main(tmp_path, tmp_path / "out", "phantom", "c", "unused")


def test_the_official_archives_are_twelve_with_their_sums():
    listed = json.loads((ROOT / "scripts/ribcage/nih_files.json").read_text())["archives"]
    assert [entry["file"] for entry in listed] == [f"images_{n:03d}.tar.gz" for n in range(1, 13)]
    assert sum(entry["bytes"] for entry in listed) == 45_079_862_784
    assert len({entry["md5"] for entry in listed}) == 12
    assert all(entry["url"].startswith("https://nihcc.box.com/shared/static/") for entry in listed)
