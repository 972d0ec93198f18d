"""The runner in which every script ends: whole outputs, a log, provenance, one-sentence errors."""

import fcntl
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from ribcage.engine import gpus, planning, store
from ribcage.engine.hashes import Hashes
from ribcage.engine.jobs import STATE, Job, job_that_makes, lies_in, remove
from ribcage.engine.records import (
    Content,
    content_of,
    forget,
    is_made,
    made_by,
    record,
    remembered,
)
from ribcage.errors import InputError
from ribcage.progress import say

SCRIPTS = Path(__file__).resolve().parents[2]
NOBODYS = (
    "scripts/ribcage/engine/",
    "scripts/ribcage/__init__.py",
    "scripts/ribcage/errors.py",
    "scripts/ribcage/progress.py",
)
"""How a step is run, not what it computes: no output depends on these modules."""


class Tee:
    """Write to a log file and, each line under the job's name, to the terminal."""

    def __init__(self, terminal: TextIO, log: TextIO, name: str) -> None:
        self.terminal, self.log, self.name = terminal, log, name
        self._at_line_start = True

    def write(self, text: str) -> int:
        """Write text that may hold several lines, or a part of one."""
        self.log.write(text)
        with suppress(OSError):  # the terminal may be gone; the job and its log go on
            for line in text.splitlines(keepends=True):
                self.terminal.write(f"[{self.name}] {line}" if self._at_line_start else line)
                self._at_line_start = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        """Flush both."""
        self.log.flush()
        with suppress(OSError):
            self.terminal.flush()

    def fileno(self) -> int:
        """The terminal's, for child processes."""
        return self.terminal.fileno()

    def isatty(self) -> bool:
        """Never: nothing is to draw bars into a log."""
        return False


def run(main: Callable[..., None], snakemake: Any) -> None:  # noqa: ANN401 - Snakemake's own object
    """Run a step as one Snakemake job.

    `main` gets every named input as a Path (a list where the rule names several), every named
    output as a temporary path beside the final one, every param, and `threads` if it asks for
    it. When it returns, the outputs are renamed to their final names and the record is written.

    Raises:
        SystemExit: with code 1 after an error; the sentence of an InputError, else a traceback,
            stands in the log and on the terminal.
    """
    job = job_that_makes(str(snakemake.output[0]))
    with Path(snakemake.log[0]).open("w", encoding="utf-8") as log:
        terminal = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = Tee(sys.stderr, log, job.stage)
        signal.signal(signal.SIGTERM, _stop)
        try:
            with _lock(job):
                _run_locked(main, snakemake, job)
        except KeyboardInterrupt:
            say("Stopped; nothing was left half-written.")
            sys.exit(130)
        except Exception as error:  # noqa: BLE001 - the log must have it before it is closed
            known = isinstance(error, InputError)
            say(f"Error: {error}" if known else _traceback(error, f"scripts/{snakemake.rule}.py"))
            say(
                f"This step failed; its log is {snakemake.log[0]}. When it is mended, give the "
                "same command again: what is finished stays."
            )
            sys.exit(1)
        finally:
            sys.stderr.flush()
            sys.stdout, sys.stderr = terminal


def _traceback(error: Exception, script: str) -> str:
    """The traceback below the runner, in lines of the script, of which Snakemake runs a copy."""
    told = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in told.stack if frame.filename != __file__]
    for frame in frames:
        if Path(frame.filename).name.endswith(f".{Path(script).name}"):
            lengths = [
                len(Path(name).read_text(encoding="utf-8").splitlines())
                for name in (frame.filename, script)
            ]
            frame.filename, frame.lineno = script, (frame.lineno or 0) - lengths[0] + lengths[1]
    told.stack = traceback.StackSummary.from_list(frames)
    return "".join(told.format()).rstrip()


def _stop(number: int, frame: FrameType | None) -> None:
    """End as after Ctrl-C, so that temporary outputs are removed."""
    raise KeyboardInterrupt


@contextmanager
def _lock(job: Job) -> Iterator[None]:
    """Hold the job's lock: a Snakemake that was killed may have left the same job running."""
    path = STATE / "locks" / job.stage
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_locked(main: Callable[..., None], snakemake: Any, job: Job) -> None:  # noqa: ANN401
    hashes = Hashes()
    planning.refuse_edited(job, hashes)
    temporary = {out: _temporary(out) for out in job.outs}
    for path in temporary.values():
        remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    made = made_by(job, hashes)
    forced = (planning.FORCED / job.stage).exists()
    try:
        if not forced and is_made(job, hashes):
            say("kept: another run made it from the same code, inputs and parameters")
            return
        content = None if forced else remembered(job, made)
        if content and store.take(content, temporary):
            say("taken from DVC's cache: made before from the same code, inputs and parameters")
        else:
            content = _make(main, snakemake, job, temporary)
        forget(job)
        for out, path in temporary.items():
            remove(Path(out))
            path.replace(out)
        record(job, made, content)
    finally:
        for path in temporary.values():
            remove(path)


def _make(
    main: Callable[..., None],
    snakemake: Any,  # noqa: ANN401
    job: Job,
    temporary: dict[str, Path],
) -> Content:
    """Run the step itself, and hash what it wrote."""
    outputs = {name: temporary[str(path)] for name, path in snakemake.output.items()}
    with gpus.take(int(snakemake.resources.get("gpu", 0))):
        main(**_arguments(main, snakemake), **outputs)
    _check_declared(job)
    _check_written(temporary)
    return content_of(job, Hashes(), temporary)


def _arguments(main: Callable[..., None], snakemake: Any) -> dict[str, Any]:  # noqa: ANN401
    """Inputs as paths, params as they are; the stamp is Snakemake's business alone."""
    arguments: dict[str, Any] = {}
    for name, value in snakemake.input.items():
        if name != "stamp":
            arguments[name] = Path(value) if isinstance(value, str) else [Path(v) for v in value]
    arguments |= dict(snakemake.params.items())
    if "threads" in inspect.signature(main).parameters:
        arguments["threads"] = snakemake.threads
    return arguments


def _temporary(out: str) -> Path:
    """A hidden name beside the output, on the same file system."""
    path = Path(out)
    return path.with_name(f".{path.name}.tmp")


def _check_written(temporary: dict[str, Path]) -> None:
    for out, path in temporary.items():
        if not path.exists():
            raise RuntimeError(f"the step ended without writing {out}")


def _check_declared(job: Job) -> None:
    """Refuse a step that ran code which dvc.yaml does not name among its dependencies."""
    loaded = {
        Path(file).resolve()
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and "scripts" in file
    }
    used = sorted(os.path.relpath(path) for path in loaded if path.is_relative_to(SCRIPTS))
    undeclared = [
        path
        for path in used
        if not path.startswith(NOBODYS) and not any(lies_in(path, dep) for dep in job.deps)
    ]
    if undeclared:
        raise InputError(
            f"dvc.yaml: stage {job.stage} also runs {', '.join(undeclared)}; "
            "add it to its deps, so that a change in it is noticed"
        )
