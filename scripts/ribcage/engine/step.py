"""The runner in which every script ends: whole outputs, a log, provenance, one-sentence errors."""

import fcntl
import inspect
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from ribcage import provenance
from ribcage.errors import InputError

SCRIPTS = Path(__file__).resolve().parents[1]
ENGINE = {
    f"scripts/ribcage/{name}.py"
    for name in ("__init__", "errors", "progress", "provenance", "step")
}
"""How a step is run, not what it computes: no output depends on these modules."""


class Tee:
    """Write to a log file and, each line under the job's name, to the terminal."""

    def __init__(self, terminal: TextIO, log: TextIO, name: str) -> None:
        self.terminal, self.log, self.name = terminal, log, name
        self._at_line_start = True

    def write(self, text: str) -> int:
        """Write text that may hold several lines, or a part of one."""
        self.log.write(text)
        for line in text.splitlines(keepends=True):
            self.terminal.write(f"[{self.name}] {line}" if self._at_line_start else line)
            self._at_line_start = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        """Flush both."""
        self.log.flush()
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
    job = provenance.job_that_makes(str(snakemake.output[0]))
    with Path(snakemake.log[0]).open("w", encoding="utf-8") as log:
        terminal = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = Tee(sys.stderr, log, job.stage)
        signal.signal(signal.SIGTERM, _stop)
        try:
            with _lock(job):
                _run_locked(main, snakemake, job)
        except InputError as error:
            print(f"Error: {error}")
            sys.exit(1)
        except KeyboardInterrupt:
            print("Stopped; nothing was left half-written.")
            sys.exit(130)
        except Exception:  # noqa: BLE001 - the log must have it before it is closed
            traceback.print_exc()
            sys.exit(1)
        finally:
            sys.stderr.flush()
            sys.stdout, sys.stderr = terminal


def _stop(number: int, frame: FrameType | None) -> None:
    """End as after Ctrl-C, so that temporary outputs are removed."""
    raise KeyboardInterrupt


@contextmanager
def _lock(job: provenance.Job) -> Iterator[None]:
    """Hold the job's lock: a Snakemake that was killed may have left the same job running."""
    path = provenance.STATE / "locks" / job.stage
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_locked(main: Callable[..., None], snakemake: Any, job: provenance.Job) -> None:  # noqa: ANN401
    named = {name: str(path) for name, path in snakemake.output.items()}
    if sorted(named.values()) != sorted(job.outs):
        raise InputError(
            f"dvc.yaml: stage {job.stage} has the outputs {sorted(job.outs)}, "
            f"its rule {sorted(named.values())}; make them the same"
        )
    temporary = {out: _temporary(out) for out in job.outs}
    for path in temporary.values():
        _remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    made = provenance.made_by(job, provenance.Hashes())
    try:
        arguments = _arguments(main, snakemake)
        main(**arguments, **{name: temporary[out] for name, out in named.items()})
        _check_declared(job)
        _check_written(temporary)
        content = provenance.content_of(
            job, provenance.Hashes(), {out: str(path) for out, path in temporary.items()}
        )
        provenance.forget(job)
        for out, path in temporary.items():
            _remove(Path(out))
            path.replace(out)
        provenance.record(job, made, content)
    finally:
        for path in temporary.values():
            _remove(path)


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


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_written(temporary: dict[str, Path]) -> None:
    for out, path in temporary.items():
        if not path.exists():
            raise RuntimeError(f"the step ended without writing {out}")


def _check_declared(job: provenance.Job) -> None:
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
        if path not in ENGINE
        and not any(path == dep or path.startswith(f"{dep}/") for dep in job.deps)
    ]
    if undeclared:
        raise InputError(
            f"dvc.yaml: stage {job.stage} also runs {', '.join(undeclared)}; "
            "add it to its deps, so that a change in it is noticed"
        )
