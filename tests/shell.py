"""What the workflow tests share: clones of the working tree, and commands in them as a user's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "passive",
}
"""Of every command; the fixture `zygote` adds to it."""


def sh(command, folder, check=True):
    """Run a command (a line, or its words) in a clone as a user would; its output is the test's."""
    done = subprocess.run(
        command.split() if isinstance(command, str) else command,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command}:\n{done.stdout[-5000:]}"
    return done


def clone(folder):
    """Copy what git would hold of the working tree, and make it a repository of its own."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, names):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    sh("git init -q", folder)
    sh("git config user.email nobody@example.org", folder)
    sh("git config user.name nobody", folder)
    sh("git add --all", folder)
    sh("git commit -q -m start", folder)
    return folder


def preset(folder, *assignments):
    """Lay the smoke preset, and single settings, over a clone's params.yaml."""
    command = f"{sys.executable} scripts/use_preset.py presets/smoke.yaml {' '.join(assignments)}"
    return sh(command.strip(), folder)
