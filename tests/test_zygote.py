"""The zygote runs a command as Python itself does: each case is run in both ways and compared."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shell import ENVIRONMENT

CASES = {
    "what a script sees": (
        "import os, sys\n"
        "print(sys.argv, sys.path[0], __name__, __file__, os.getcwd(), os.environ['MARK'])\n"
        "print(sys.stdin.read(), 'pandas' in dir(), [m for m in sys.modules if 'ribcage' in m])\n"
    ),
    "an exit code": "import sys; sys.exit(7)",
    "an exit with a text": "import sys; sys.exit('a text')",
    "an uncaught error": "def f():\n    raise ValueError('surprise')\nf()",
    "a shell in between": "import os; os.system('python inner.py deep; echo $?')",
    "an end by a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "functions to run at the exit": "import atexit; atexit.register(print, 'bye'); print('ran')",
}


def plainly():
    return {name: ENVIRONMENT[name] for name in ENVIRONMENT if name != "RIBCAGE_TEST_ZYGOTE"}


@pytest.mark.parametrize("name", CASES)
def test_a_script_ends_as_it_does_without(zygote, tmp_path, name):
    (tmp_path / "case.py").write_text(CASES[name])
    (tmp_path / "inner.py").write_text("import sys; print(sys.argv, __file__); sys.exit(3)")
    ended = [
        subprocess.run(
            [sys.executable, "case.py", "a", "b c"],
            cwd=tmp_path,
            env={**environment, "MARK": "here"},
            input="given",
            capture_output=True,
            text=True,
            check=False,
        )
        for environment in (plainly(), ENVIRONMENT)
    ]
    plain, forked = ((done.returncode, done.stdout) for done in ended)
    assert plain == forked
    lines = [done.stderr.strip().splitlines()[-1:] for done in ended]
    assert lines[0] == lines[1]


SLEEPER = """
import os, time
open("pid", "w").write(str(os.getpid()))
try:
    time.sleep(60)
except KeyboardInterrupt:
    open("interrupted", "w").close()
    raise
"""


def start_sleeper(folder):
    (folder / "sleeper.py").write_text(SLEEPER)
    run = subprocess.Popen(
        [sys.executable, "sleeper.py"],
        cwd=folder,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not ((folder / "pid").exists() and (folder / "pid").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return run, int((folder / "pid").read_text())


def test_ctrl_c_reaches_the_command(zygote, tmp_path):
    run, _ = start_sleeper(tmp_path)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(20) == -signal.SIGINT
    assert (tmp_path / "interrupted").exists()


def test_a_command_dies_with_the_process_that_was_started(zygote, tmp_path):
    run, pid = start_sleeper(tmp_path)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (tmp_path / "interrupted").exists()


def test_without_a_zygote_a_command_runs_as_ever(zygote, tmp_path):
    environment = {**ENVIRONMENT, "RIBCAGE_TEST_ZYGOTE": str(tmp_path / "none")}
    command = [sys.executable, "-m", "dvc", "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip()[0].isdigit()
