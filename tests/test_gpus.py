"""Steps that want GPUs, as processes, with a pretended nvidia-smi."""

import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import ROOT
from ribcage.engine import gpus
from ribcage.errors import InputError

STEP = """
import sys, time
sys.path.insert(0, {scripts!r})
from ribcage.engine import gpus
name, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with gpus.take(count) as ids:
    with open("held.txt", "a") as file:
        file.write(f"{{name}} starts {{','.join(ids)}}\\n")
    time.sleep(seconds)
    with open("held.txt", "a") as file:
        file.write(f"{{name}} ends {{','.join(ids)}}\\n")
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with two GPUs, whose locks are the test's own."""
    fake = tmp_path / "bin" / "nvidia-smi"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RIBCAGE_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "step.py").write_text(STEP.format(scripts=str(ROOT / "scripts")))
    return tmp_path


def start(name, count, seconds):
    command = [sys.executable, "step.py", name, str(count), str(seconds)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def events(machine):
    path = machine / "held.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(line.split(" ")) for line in lines]


def wait_for(machine, *event):
    deadline = time.monotonic() + 20
    while not any(found[: len(event)] == event for found in events(machine)):
        assert time.monotonic() < deadline, f"{event} never came: {events(machine)}"
        time.sleep(0.05)


def test_six_steps_never_share_a_gpu(machine):
    wanted = [1, 1, 2, 1, 1, 2]
    steps = [start(f"s{n}", count, 0.2) for n, count in enumerate(wanted)]
    assert [step.wait(30) for step in steps] == [0] * 6
    held = {}
    for name, what, ids in events(machine):
        ids = ids.split(",")
        assert len(ids) == wanted[int(name[1:])] and set(ids) <= {"0", "1"}
        for gpu in ids:
            if what == "starts":
                assert gpu not in held, f"{name} and {held[gpu]} share GPU {gpu}"
                held[gpu] = name
            else:
                assert held.pop(gpu) == name
    assert held == {} and len(events(machine)) == 12


def test_a_step_that_is_killed_frees_its_gpus(machine):
    holder = start("holder", 2, 60)
    wait_for(machine, "holder", "starts")
    waiter = start("waiter", 2, 0)
    time.sleep(0.5)
    assert len(events(machine)) == 1 and waiter.poll() is None
    holder.send_signal(signal.SIGKILL)
    assert waiter.wait(20) == 0 and events(machine)[-1] == ("waiter", "ends", "0,1")
    holder.wait()


def test_a_step_that_waits_for_two_is_not_overtaken(machine):
    first = start("first", 1, 1.5)
    wait_for(machine, "first", "starts")
    both = start("both", 2, 0)
    time.sleep(0.5)  # it is in the queue now
    late = start("late", 1, 0)
    assert [step.wait(20) for step in (first, both, late)] == [0, 0, 0]
    order = [name for name, what, _ in events(machine) if what == "starts"]
    assert order == ["first", "both", "late"]


@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        ("1", ["1"]),
        ("3,1", ["3", "1"]),
        ("GPU-8f2b,GPU-77aa", ["GPU-8f2b", "GPU-77aa"]),
        ("1,-1,0", ["1"]),
        ("-1", []),
        ("", []),
    ],
)
def test_an_outer_choice_bounds_the_pool(machine, monkeypatch, outer, expected):
    monkeypatch.setenv(gpus.VISIBLE, outer)
    assert gpus.pool() == expected
    with gpus.take(len(expected) or 1) as ids:
        assert ids == expected and os.environ[gpus.VISIBLE] == ",".join(expected)
    assert os.environ[gpus.VISIBLE] == outer


def test_more_gpus_than_there_are_is_one_sentence(machine):
    with pytest.raises(InputError, match=r"wants 3 GPUs, and there are 2 \(0, 1\)"), gpus.take(3):
        pass


def test_without_a_gpu_a_step_runs_on_the_cpu(machine, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with gpus.take(2) as ids:
        assert ids == [] and os.environ[gpus.VISIBLE] == ""
    assert gpus.VISIBLE not in os.environ


def test_a_step_that_wants_none_sees_none(machine):
    with gpus.take(0) as ids:
        assert ids == [] and os.environ[gpus.VISIBLE] == ""


def test_a_driver_that_does_not_answer_is_one_sentence(machine, monkeypatch):
    smi = machine / "bin/nvidia-smi"
    for script in ("#!/bin/sh\nexit 9\n", "#!/bin/sh\nexec sleep 60\n"):
        smi.write_text(script)
        monkeypatch.setattr(gpus, "PATIENCE_S", 0.2)
        with pytest.raises(InputError, match="nvidia-smi cannot say"), gpus.take(1):
            pass


def test_each_slurm_job_has_locks_of_its_own(machine, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "0")
    with gpus.take(1):
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        monkeypatch.setenv(gpus.VISIBLE, "0")
        with gpus.take(1) as ids:  # would wait for ever on the outer lock
            assert ids == ["0"]


def test_a_link_in_place_of_the_locks_is_not_followed(machine):
    (machine / "locks").symlink_to(machine / "bin")
    with pytest.raises(InputError, match="is no folder"), gpus.take(1):
        pass
