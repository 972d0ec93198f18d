"""GPUs are handed out once at a time: a pretended nvidia-smi, real processes."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from ribcage.engine import gpus
from ribcage.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
OPEN_TO_ALL = tempfile.gettempdir()  # pytest's own folders are private
HEAD = "import os, signal, sys, time; from ribcage.engine import gpus; signal.alarm(20)\n"
HOLD = f"""{HEAD}
signal.signal(signal.SIGINT, signal.default_int_handler)
with gpus.take(int(sys.argv[1])) as ids:
    print("has", os.environ["{VISIBLE}"], flush=True)
    if "fork" in sys.argv and os.fork() == 0:
        signal.alarm(20)
    sys.stdin.read()
"""
"""Holds its GPUs until its standard input is closed."""
WORK = f"""{HEAD}
def note(what, ids):
    with open(sys.argv[2], "a") as file:
        file.write("".join(f"{{time.monotonic()}} {{what}} {{gpu}}\\n" for gpu in ids))
with gpus.take(int(sys.argv[1])) as ids:
    note("start", ids)
    time.sleep(0.1)
    note("end", ids)
"""


class Holder:
    """A process that holds GPUs; its lines are what it prints."""

    def __init__(self, count: int, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(count), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def line(self) -> str:
        return self.process.stdout.readline().strip()

    def is_silent(self) -> bool:
        """Whether it prints nothing for twice as long as a waiter sleeps."""
        return not select.select([self.process.stdout], [], [], 2 * gpus.POLL_S)[0]

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture
def hold() -> Iterator[type]:
    holders = []

    def start(count: int, *more: str) -> Holder:
        holders.append(Holder(count, *more))
        return holders[-1]

    yield start
    for holder in holders:
        holder.process.kill()
        holder.end()


def pretend_smi(script: str) -> None:
    """Write the only program on the PATH."""
    path = Path(os.environ["PATH"]) / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, and locks of its own."""
    for name in (VISIBLE, "SLURM_JOB_ID", "RIBCAGE_GPU_LOCKS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pretend_smi('[ "$*" = "--query-gpu=index --format=csv,noheader" ] && echo 0 && echo 1')


def test_six_jobs_never_share_a_gpu_and_all_end(tmp_path):
    log = tmp_path / "log"
    jobs = [
        subprocess.Popen([sys.executable, "-c", WORK, str(count), log])
        for count in (1, 1, 2, 1, 1, 2)
    ]
    assert [job.wait(20) for job in jobs] == [0] * 6
    events = sorted((float(time), what, gpu) for time, what, gpu in map(str.split, log.open()))
    assert len(events) == 2 * 8
    for gpu in "01":
        turns = [what for _, what, of in events if of == gpu]
        assert turns == ["start", "end"] * (len(turns) // 2)


def test_a_job_for_two_gpus_is_not_overtaken(hold):
    first = hold(1)
    assert first.line() == "has 0"
    both = hold(2)
    assert both.line() == "waiting for 2 GPUs"
    third = hold(1)  # There is a free GPU, but it is the second's, who came before.
    assert third.line() == "waiting for 1 GPU"
    assert third.is_silent()
    first.end()
    assert both.line() == "has 0,1"
    assert third.is_silent()
    both.end()
    assert third.line() == "has 0"


@pytest.mark.parametrize("fork", [False, True])
def test_a_killed_holder_frees_its_gpu_unless_a_forked_worker_lives(monkeypatch, hold, fork):
    monkeypatch.setenv(VISIBLE, "1")
    holder = hold(1, "fork") if fork else hold(1)
    assert holder.line() == "has 1"
    waiter = hold(1)
    assert waiter.line() == "waiting for 1 GPU"
    holder.process.kill()
    holder.process.wait(20)
    if fork:
        assert waiter.is_silent()
        holder.end()
    assert waiter.line() == "has 1"


def test_an_interrupted_waiter_leaves_the_queue(hold):
    holder = hold(2)
    assert holder.line() == "has 0,1"
    waiter = hold(2)
    assert waiter.line() == "waiting for 2 GPUs"
    queued, behind = hold(1), hold(1)
    assert queued.line() == behind.line() == "waiting for 1 GPU"
    for stopped in (queued, waiter):
        stopped.process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in stopped.process.stdout.read()
    holder.end()
    assert behind.line() == "has 0"


@pytest.mark.parametrize(
    ("outer", "count", "ids"),
    [
        ("1,0", 1, ["1"]),
        ("3, 2", 2, ["3", "2"]),
        ("5", 1, ["5"]),
        ("2,2,3", 2, ["2", "3"]),
        ("GPU-8932f937-d72c,MIG-GPU-1/2/0", 2, ["GPU-8932f937-d72c", "MIG-GPU-1/2/0"]),
        ("", 1, []),
        ("-1", 2, []),
        ("0,-1,1", 1, ["0"]),
        ("NoDevFiles", 1, []),
        ("0,1", 0, []),
    ],
)
def test_an_outer_choice_bounds(monkeypatch, outer, count, ids):
    monkeypatch.setenv(VISIBLE, outer)
    with gpus.take(count) as got:
        assert got == ids
        assert os.environ[VISIBLE] == ",".join(ids)
    assert os.environ[VISIBLE] == outer


@pytest.mark.parametrize("outer", [None, "1"])
def test_the_environment_is_restored_after_an_error(monkeypatch, outer):
    if outer:
        monkeypatch.setenv(VISIBLE, outer)
    with pytest.raises(RuntimeError), gpus.take(1):
        assert os.environ[VISIBLE] == (outer or "0")
        raise RuntimeError
    assert os.environ.get(VISIBLE) == outer
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with gpus.take(1):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize(
    ("outer", "count", "sentence"),
    [
        (None, 3, r"this step asks for 3 GPUs and the machine offers 2 \(nvidia-smi lists 0,1\);"),
        ("1", 2, r"asks for 2 GPUs and the machine offers 1 \(CUDA_VISIBLE_DEVICES=1\); ask for 1"),
    ],
)
def test_more_gpus_than_there_are_is_a_sentence(monkeypatch, outer, count, sentence):
    if outer:
        monkeypatch.setenv(VISIBLE, outer)
    with pytest.raises(InputError, match=sentence), gpus.take(count):
        pass


def test_no_nvidia_smi_is_the_cpu(tmp_path):
    (tmp_path / "bin" / "nvidia-smi").unlink()
    with gpus.take(2) as ids:
        assert ids == []
        assert os.environ[VISIBLE] == ""
    assert not (tmp_path / "ribcage-gpus").exists()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo cannot reach the driver; exit 9", r"failed with code 9 \(cannot reach the driver"),
        ("echo No devices were found", r"failed with code 0 \(No devices were found\)"),
        ("exec /bin/sleep 9", "gave no answer in 0.2 s"),
    ],
)
def test_a_broken_nvidia_smi_is_a_sentence(monkeypatch, script, sentence):
    monkeypatch.setattr(gpus, "NVIDIA_SMI_LIMIT_S", 0.2)
    pretend_smi(script)
    with (
        pytest.raises(InputError, match=f"nvidia-smi {sentence}.*; set CUDA_VISIBLE_DEVICES to"),
        gpus.take(1),
    ):
        pass
    with gpus.take(0) as ids:
        assert ids == []


def test_each_slurm_job_and_each_chosen_folder_has_its_own_locks(tmp_path, monkeypatch):
    monkeypatch.setenv(VISIBLE, "0")
    with gpus.take(1) as here:
        monkeypatch.setenv("SLURM_JOB_ID", "17")
        with gpus.take(1) as there:
            assert here == there == ["0"]
            assert (tmp_path / "ribcage-gpus" / "17" / "gpu-0").exists()
        monkeypatch.setenv("RIBCAGE_GPU_LOCKS", str(tmp_path / "bin"))
        with gpus.take(1):
            assert (tmp_path / "bin" / "17" / "queue").exists()
    monkeypatch.setenv("RIBCAGE_GPU_LOCKS", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="absent: the locks of the GPUs cannot"), gpus.take(1):
        pass


@pytest.mark.parametrize("linked", ["ribcage-gpus", "ribcage-gpus/17", "ribcage-gpus/17/gpu-0"])
def test_links_are_not_followed(tmp_path, monkeypatch, linked):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    target = tmp_path / "target"
    if not linked.endswith("0"):
        target.mkdir()
    (tmp_path / linked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / linked).symlink_to(target)
    with pytest.raises(InputError, match="set RIBCAGE_GPU_LOCKS to a local folder"), gpus.take(1):
        pass
    assert not target.exists() or not list(target.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play two users")
@pytest.mark.parametrize("users", [(0, 65534), (65534, 0)])
def test_two_users_share_the_locks(monkeypatch, users):
    monkeypatch.setenv(VISIBLE, "0,1")
    umask = os.umask(0o077)
    with tempfile.TemporaryDirectory(dir=OPEN_TO_ALL) as shared:
        Path(shared).chmod(0o1777)
        monkeypatch.setattr(tempfile, "tempdir", shared)
        try:
            os.seteuid(users[0])
            with gpus.take(1) as first:
                monkeypatch.setenv(VISIBLE, "0,1")
                os.seteuid(0)
                os.seteuid(users[1])
                with gpus.take(1) as second:
                    assert (first, second) == (["0"], ["1"])
        finally:
            os.seteuid(0)
            os.umask(umask)
