"""docs/daily-use.md, replayed: each command, and the lines that are promised under it."""

import shlex
import shutil

from conftest import ROOT
from shell import sh


def transcript():
    """The commands of the page with the words that their output is to hold."""
    commands = []
    for line in (ROOT / "docs/daily-use.md").read_text().splitlines():
        if line.startswith("    $ "):
            commands.append((line.removeprefix("    $ "), []))
        elif line.startswith("    ") and commands:
            commands[-1][1].append(line.split())
        elif line.startswith("## A reviewer"):
            return commands  # a clone of its own, in tests/test_two_engines.py
    raise AssertionError("the page has lost its end")


def test_every_command_does_what_the_page_says(finished, tmp_path):
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder, symlinks=True)
    sh("dvc remote remove store", folder)
    sh("git reset --soft HEAD~1", folder)
    commands = transcript()
    assert len(commands) > 25
    for command, promised in commands:
        done = sh(shlex.split(command), folder)
        said = [line.split() for line in done.stdout.splitlines()]
        for words in promised:
            held = any(" ".join(words) in " ".join(line) for line in said)
            assert held, f"{command}: no line {' '.join(words)!r} in\n{done.stdout[-3000:]}"
    page = (folder / "run.html").read_text()
    assert "reports/index.html" in page
