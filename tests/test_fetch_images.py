import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from email.utils import formatdate

import pytest

from conftest import ROOT
from fetch_images import main
from misbehaving_server import serving
from ribcage import fetch, progress, servers
from ribcage.errors import InputError
from ribcage.fetch import download
from ribcage.remotes import Remote

DATA = b"\x1f\x8b" + random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(DATA).hexdigest()
START = {"start_bytes": 20_000, "start_sha256": hashlib.sha256(DATA[:20_000]).hexdigest()}
ENTRY = {"file": "x.gz", "url": "unused", "bytes": len(DATA), "md5": MD5, **START}


@pytest.fixture(autouse=True)
def _small_and_impatient(monkeypatch):
    monkeypatch.setattr(fetch, "CHUNK", 10_000)
    monkeypatch.setattr(fetch, "LONGEST_RETRY_AFTER_S", 0.02)
    monkeypatch.setattr(servers, "TIMEOUT_S", (5, 0.3))


def get(tmp_path, faults, **changes):
    with serving({"/x.gz": DATA}, faults) as (base, seen):
        known = {"size": len(DATA), "md5": MD5, "starts": b"\x1f\x8b", **START} | changes
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
        ["500", "500", "500"],
        [("stall", 0), ("stall", 100_000)],
        ["silent"],
        [("drip", 2_000)],
        ["no length"],
        [("drop, no length", 100_000), "chunked"],
        [("drop, chunked", 100_000), "no length"],
        [("drop, chunked", 100_000), "chunked, ignore range"],
        [("429", "3600"), ("503", formatdate(time.time() + 3600, usegmt=True)), ("503", "soon")],
        [("redirect, drop", 100_000), ("redirect, drop", 100_000), "redirect, gone", "redirect"],
    ],
)
def test_the_right_bytes_arrive_whatever_happens(tmp_path, faults):
    get(tmp_path, faults)
    assert (tmp_path / "x.gz").read_bytes() == DATA
    assert not list((tmp_path / "partial").iterdir())


CUTTING = ("drop", "drop, ignore range", "drop, no length", "drop, chunked", "redirect, drop")
WHOLE = (
    *("500", "redirect", "redirect, gone", "ignore range", "shifted", "grown", "html", "wrong"),
    *("no length", "chunked", "labelled", "chunked, wrong", ("429", "1"), ("503", "x"), None),
    *(("drip", 30_000), ("drip, chunked", 40_000), ("named", "y.gz"), "silent"),
)


def faults_by_chance(rng):
    """Up to seven faults; one in twenty falls silent, which costs the time of a timeout."""
    for _ in range(rng.randrange(8)):
        if rng.random() < 0.5:
            cut = rng.randrange(200_000)
            yield ("stall" if rng.random() < 0.1 else rng.choice(CUTTING), cut)
        else:
            yield rng.choice(WHOLE)


def test_200_schedules_of_random_faults_end_in_the_right_bytes_or_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "TIMEOUT_S", (5, 0.1))
    ends = []
    for number in range(200):
        rng = random.Random(number)
        faults = list(faults_by_chance(rng))
        known = START if rng.random() < 0.5 else {"start_bytes": 0, "start_sha256": None}
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            get(folder, faults, **known)
        except InputError as error:
            assert "\n" not in str(error) and str(error).startswith("x.gz: "), faults
            assert not (folder / "x.gz").exists(), faults
            ends.append("refused")
            get(folder, [])  # what is left there stands in nobody's way
        else:
            ends.append("right")
        assert (folder / "x.gz").read_bytes() == DATA, faults
    assert ends.count("right") > 100 and ends.count("refused") > 15


def test_a_download_that_is_killed_goes_on_where_it_was(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ribcage.fetch import fetch\n"
        "fetch(eval(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    with serving({"/x.gz": DATA}, [("drip", 500)]) as (base, seen):
        entry = ENTRY | {"url": f"{base}/x.gz"}
        command = [sys.executable, "-c", code, str(entry), tmp_path / "x.gz", tmp_path / "p"]
        run = subprocess.Popen(command, cwd=ROOT / "scripts")
        deadline = time.monotonic() + 20
        while not any(p.stat().st_size > 40_000 for p in tmp_path.glob("p/*")):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not (tmp_path / "x.gz").exists()
        fetch.fetch(entry, tmp_path / "x.gz", tmp_path / "p")
    assert (tmp_path / "x.gz").read_bytes() == DATA
    assert int(seen[-1][2].removeprefix("bytes=").removesuffix("-")) > 40_000


def test_two_files_at_once_share_the_folder_of_unfinished_bytes(tmp_path):
    files = {f"/{name}.gz": DATA[:2] + name.encode() * 100_000 for name in "ab"}
    faults = [("drop", 30_000), ("drop", 40_000), ("drop, chunked", 50_000), "500"]
    with serving(files, faults) as (base, _):
        threads = []
        for path, data in files.items():
            md5 = hashlib.md5(data).hexdigest()
            remote = Remote(f"{base}{path}", path[1:], len(data), md5)
            place = (remote, tmp_path / path[1:], tmp_path / "p", 9, 0.001)
            threads.append(threading.Thread(target=download, args=place))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all((tmp_path / path[1:]).read_bytes() == data for path, data in files.items())
    assert not list((tmp_path / "p").iterdir())


def test_a_connection_that_only_drips_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "SLOWEST_BYTES_S", 10**8)
    monkeypatch.setattr(servers, "TIMEOUT_S", (5, 0.05))
    monkeypatch.setattr(fetch, "CHUNK", 200_000)
    with pytest.raises(InputError, match=r"failed 4 times in a row \(only [\d,]+ bytes came"):
        get(tmp_path, [("drip", 100)] * 9)


def test_a_server_is_left_alone_for_as_long_as_it_asks(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(fetch, "LONGEST_RETRY_AFTER_S", 600)
    monkeypatch.setattr(fetch.time, "sleep", slept.append)
    soon = formatdate(time.time() + 100, usegmt=True)
    with serving({"/x.gz": DATA}, [("429", "7"), ("503", "86400"), ("503", soon)]) as (base, _):
        download(Remote(f"{base}/x.gz", "x.gz", md5=MD5), tmp_path / "x", tmp_path / "p")
    waited = [s for s in slept if s > 6]
    assert waited[0] == 7 and waited[1] == 600 and 90 < waited[2] <= 100


def test_wrong_bytes_are_known_by_their_beginning(tmp_path, monkeypatch):
    wrong = DATA[:100] + b"x" + DATA[101:]
    with serving({"/x.gz": wrong}, [("drop", 15_000), ("stall", 10_000)]) as (base, seen):
        entry = ENTRY | {"url": f"{base}/x.gz"}
        with pytest.raises(InputError, match=r"the sha256 of its first 20,000 bytes is") as raised:
            fetch.fetch(entry, tmp_path / "x.gz", tmp_path / "p", delay_s=0.001)
        (aside,) = (tmp_path / "p").iterdir()
        assert aside.name.startswith("x.gz.wrong-start-") and str(aside) in str(raised.value)
        assert 20_000 <= aside.stat().st_size <= 25_000 and len(seen) == 2
        # Those that an earlier run has left are known before the server is asked.
        aside.rename(tmp_path / "p" / Remote.of(entry).waits_as)
        with pytest.raises(InputError, match="of its first 20,000 bytes"):
            fetch.fetch(entry, tmp_path / "x.gz", tmp_path / "p")
        assert len(seen) == 2


def test_another_name_is_a_warning_and_the_hash_decides(tmp_path, capsys):
    get(tmp_path, [("named", "images_007.tar.gz")])
    assert "the server calls it 'images_007.tar.gz'; its hash" in capsys.readouterr().err
    get(tmp_path, [("named", "x.gz")])
    assert "calls it" not in capsys.readouterr().err


def test_the_rate_leaves_out_what_was_there_before(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    rate = progress.Rate("x.gz", 3_000_000_000, 4_000_000_000)
    for now[0], done in ((104, 3_008_000_000), (110, 3_020_000_000), (112, 3_024_000_000)):
        rate.at(done)
    assert capsys.readouterr().err == "x.gz: 3,020 of 4,000 MB, 2.00 MB/s, 8:10 left\n"
    for now[0] in range(1100, 1200, 2):  # later lines come less often
        rate.at(3_000_000_000 + (now[0] - 100) * 2_000_000)
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_may_be_a_url(tmp_path, slash):
    with serving({"/nih/x.gz": DATA}, [("drop", 50_000)]) as (base, seen):
        mirror = f"{base}/nih{slash}"
        fetch.fetch(ENTRY, tmp_path / "x.gz", tmp_path / "p", mirror, delay_s=0.001)
    assert (tmp_path / "x.gz").read_bytes() == DATA
    assert {path for _, path, _ in seen} == {"/nih/x.gz"}


def test_a_mirror_may_be_a_folder_and_goes_on_with_what_a_server_began(tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "x.gz").write_bytes(DATA)
    place = (tmp_path / "x.gz", tmp_path / "p")
    with (
        serving({"/x.gz": DATA}, [("drop", 70_000)]) as (base, _),
        pytest.raises(InputError, match="failed 1 times"),
    ):
        fetch.fetch(ENTRY | {"url": f"{base}/x.gz"}, *place, attempts=1)
    read = []
    blocks = fetch._blocks
    monkeypatch.setattr(fetch, "_blocks", lambda path, at: read.append(at) or blocks(path, at))
    fetch.fetch(ENTRY, *place, str(tmp_path / "mirror"))
    assert (tmp_path / "x.gz").read_bytes() == DATA and read == [70_000]
    assert not list((tmp_path / "p").iterdir()) and (tmp_path / "mirror" / "x.gz").exists()


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (DATA[:-1] + bytes([DATA[-1] ^ 1]), f"its md5 is .*, not {MD5}"),
        (DATA[:100_000], f"its md5 is .*, not {MD5}"),
        (DATA[:50] + b"!" + DATA[51:], "first 20,000 bytes"),
        (b"<!doctype html>" * 9, "gives a web page"),
        (b"", "its md5 is"),
    ],
)
def test_what_a_folder_holds_is_not_believed_unseen(tmp_path, held, words):
    (tmp_path / "x.gz").write_bytes(held)
    with pytest.raises(InputError, match=words):
        fetch.fetch(ENTRY, tmp_path / "out", tmp_path / "p", str(tmp_path))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mirror", "words"),
    [
        ("empty", r"source.mirror: .*empty has no file x.gz; put it there, or write none"),
        ("absent", r"source.mirror: .*absent is neither a folder nor a URL that begins with"),
        ("ftp://host/nih", r"source.mirror: ftp://host/nih is neither"),
        ("http:///nih", "x.gz: http:///nih/x.gz Invalid URL"),
    ],
)
def test_a_mirror_that_is_none_is_one_sentence(tmp_path, monkeypatch, mirror, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=words) as raised:
        fetch.fetch(ENTRY, tmp_path / "out", tmp_path / "p", mirror, attempts=1)
    assert "\n" not in str(raised.value)


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
        waiting = tmp_path / "p" / remote.waits_as
        waiting.parent.mkdir()
        waiting.write_bytes(DATA)
        download(remote, tmp_path / "x.gz", tmp_path / "p")
    assert (tmp_path / "x.gz").read_bytes() == DATA and len(seen) == 1


def test_wrong_bytes_are_kept_aside_under_a_name_that_says_so(tmp_path):
    with pytest.raises(InputError, match=f"its md5 is .*, not {MD5}"):
        get(tmp_path, ["wrong"], starts=None, start_sha256=None)
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
