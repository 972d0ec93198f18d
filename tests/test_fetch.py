import hashlib
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
from misbehaving_server import serving
from ribcage import fetch, progress, servers
from ribcage.errors import InputError
from ribcage.fetch import download
from ribcage.remotes import Remote

pytestmark = pytest.mark.usefixtures("small_and_impatient")

DATA = b"\x1f\x8b" + random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(DATA).hexdigest()
START = {"start_bytes": 20_000, "start_sha256": hashlib.sha256(DATA[:20_000]).hexdigest()}
ENTRY = {"file": "x.gz", "url": "unused", "bytes": len(DATA), "md5": MD5, **START}
SCRAWLS = ("idna''x", "punycode''%ff", "undefined''x", "a; filename*0*=b")
"""Names of files in alphabets or with numbers that are none."""


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
        *([("scrawled", text)] for text in SCRAWLS),
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
    *(("scrawled", text) for text in SCRAWLS),
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
        "import sys; from pathlib import Path\n"
        "from ribcage.fetch import download; from ribcage.remotes import Remote\n"
        "download(Remote.of(eval(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))"
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
        download(Remote.of(entry), tmp_path / "x.gz", tmp_path / "p")
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


@pytest.mark.parametrize("place", ["server", "folder"])
def test_a_disk_too_small_for_a_size_that_only_the_answer_tells_is_said(
    tmp_path, monkeypatch, place
):
    (tmp_path / "x.gz").write_bytes(DATA)
    free = fetch.SPARE_BYTES + len(DATA) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(free))
    with serving({"/x.gz": DATA}) as (base, _):
        url = f"{base}/x.gz" if place == "server" else str(tmp_path / "x.gz")
        with pytest.raises(InputError, match=r"x\.gz: needs 0\.0 GB and 1 GB to spare"):
            download(Remote(url, "x.gz"), tmp_path / "out", tmp_path / "p")
        assert not list((tmp_path / "p").iterdir())
        free += 1
        download(Remote(url, "x.gz"), tmp_path / "out", tmp_path / "p")
    assert (tmp_path / "out").read_bytes() == DATA


def test_a_full_disk_at_the_end_is_one_sentence_and_costs_no_byte(tmp_path, monkeypatch):
    def full(waiting, target):
        target.write_bytes(waiting.read_bytes()[:1000])
        raise OSError(28, "No space left on device")

    target = tmp_path / "out"
    with serving({"/x.gz": DATA}) as (base, _), monkeypatch.context() as patch:
        patch.setattr(shutil, "move", full)
        remote = Remote(f"{base}/x.gz", "x.gz", len(DATA), MD5)
        with pytest.raises(InputError, match=f"^{target}: cannot be .*No space .* waits as"):
            download(remote, target, tmp_path / "p")
    assert not target.exists()
    assert (tmp_path / "p" / remote.waits_as).read_bytes() == DATA
    with pytest.raises(InputError, match="absent/out: cannot be written"):
        download(Remote(__file__, "x", md5=None), tmp_path / "absent" / "out", tmp_path / "p")


def test_a_place_for_unfinished_bytes_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "p").write_text("")
    with pytest.raises(InputError, match=r"p/.*: cannot be written \("):
        download(Remote(__file__, "x"), tmp_path / "out", tmp_path / "p")
