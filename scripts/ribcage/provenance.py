"""What made an output, and whether it is fresh: the one verdict that both engines share.

`dvc.yaml` declares what matters to an output: code, inputs, parameters. Each job leaves two small
files beside its outputs, which travel with them through DVC:

- `provenance/made/<job>.json`: the hashes of all that it depended on and the parameters;
- `provenance/content/<job>.json`: the hashes of what it wrote.

A job is fresh if and only if the first equals what dvc.yaml and the working tree say now, the
second equals what lies on the disk, and the jobs that it depends on are fresh. `plan` tells
Snakemake this verdict in the only language that it speaks on every clone, modification times:
each rule has a stamp among its inputs, dated now if the job is stale and 1970 if it is fresh.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ribcage.errors import InputError

STATE = Path(".stamps")
"""Local state that no output depends on: stamps, locks, cached hashes. Never in git or DVC."""

IGNORED = {".snakemake_timestamp", "__pycache__", ".DS_Store"}
"""Names that are no part of an output's content; .dvcignore names the same."""


@dataclass(frozen=True)
class Job:
    """One stage of dvc.yaml, resolved: what it makes, and what matters to that.

    Attributes:
        stage: DVC's address, as `find_lungs@images_001`.
        outs: paths of the outputs, without the two provenance files.
        made, content: paths of the two provenance files.
        deps: paths of code files and inputs.
        params: values by dotted key of params.yaml.
    """

    stage: str
    outs: tuple[str, ...]
    made: str
    content: str
    deps: tuple[str, ...]
    params: dict[str, Any]

    @property
    def name(self) -> str:
        """The job's name as a path: `find_lungs/images_001`; its log and benchmark have it too."""
        return str(Path(self.made).relative_to("provenance/made").with_suffix(""))

    @property
    def stamp(self) -> Path:
        """The input that tells Snakemake whether this job is stale."""
        return STATE / self.name


def _resolve() -> list[Job]:
    """Read dvc.yaml through DVC's own resolver, dependencies first."""
    import networkx  # heavy imports that a cached reading does not need
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    with Repo(".") as repo:
        ordered = [s for s in networkx.dfs_postorder_nodes(repo.index.graph) if s.cmd]
        return [_job(stage, ParamsDependency) for stage in ordered]


def _job(stage: Any, params_type: Any) -> Job:  # noqa: ANN401 - DVC's classes are untyped
    outs = [out.def_path for out in stage.outs]
    made = [out for out in outs if out.startswith("provenance/made/")]
    content = [out for out in outs if out.startswith("provenance/content/")]
    if len(made) != 1 or len(content) != 1:
        raise InputError(
            f"dvc.yaml: stage {stage.addressing} needs one out in each of "
            "provenance/made/ and provenance/content/"
        )
    params: dict[str, Any] = {}
    for dep in stage.deps:
        if isinstance(dep, params_type):
            params |= dep.read_params()
            lost = [key for key in dep.params if key not in params]
            if lost:
                raise InputError(
                    f"params.yaml: {lost[0]} is missing; dvc.yaml's stage "
                    f"{stage.addressing} depends on it"
                )
    deps = [dep.def_path for dep in stage.deps if not isinstance(dep, params_type)]
    return Job(
        stage=stage.addressing,
        outs=tuple(out for out in outs if out not in (*made, *content)),
        made=made[0],
        content=content[0],
        deps=tuple(deps),
        params=json.loads(json.dumps(params, sort_keys=True)),
    )


@cache
def jobs() -> dict[str, Job]:
    """All jobs that dvc.yaml declares, by stage address, dependencies first.

    The resolved list is cached by content of its two sources: importing DVC takes as long as
    everything else that happens before Snakemake builds its graph.
    """
    sources = [Path("dvc.yaml"), Path("params.yaml"), Path(__file__)]
    key = hashlib.md5(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
    cached = STATE / "jobs.json"
    state = _read_json(cached)
    if state is None or state["key"] != key:
        state = {"key": key, "jobs": [asdict(job) for job in _resolve()]}
        write_whole(cached, json.dumps(state))
    rows = json.loads(json.dumps(state["jobs"]))
    return {
        row["stage"]: Job(**{**row, "outs": tuple(row["outs"]), "deps": tuple(row["deps"])})
        for row in rows
    }


def job_that_makes(out: str) -> Job:
    """Find the job of an output path.

    Raises:
        InputError: dvc.yaml declares no stage with this output.
    """
    for job in jobs().values():
        if out in job.outs:
            return job
    raise InputError(f"dvc.yaml: no stage has the output {out}; add one for its rule")


def upstream(job: Job) -> list[Job]:
    """The jobs whose outputs, or whose recorded content, this job depends on."""
    return [
        other
        for other in jobs().values()
        if other is not job
        and any(_overlap(dep, out) for dep in job.deps for out in (*other.outs, other.content))
    ]


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


class Hashes:
    """MD5 of files and folders, remembered by path, size, time and inode."""

    def __init__(self) -> None:
        self._file = STATE / "hashes.json"
        self._known: dict[str, list[Any]] = _read_json(self._file) or {}
        self._changed = False

    def of(self, path: str) -> str | None:
        """Hash a file, or a folder by the names and hashes of its files; None if absent."""
        if os.path.isdir(path):
            lines = [f"{name} {self._of_file(full)}\n" for name, full in _files(path)]
            return hashlib.md5("".join(lines).encode()).hexdigest()
        return self._of_file(path) if os.path.isfile(path) else None

    def _of_file(self, path: str) -> str:
        stat = os.stat(path)
        key = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        known = self._known.get(path)
        if known is None or known[:3] != key:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
            known = self._known[path] = [*key, digest]
            self._changed = True
        return str(known[3])

    def save(self) -> None:
        """Remember for the next start."""
        if self._changed:
            write_whole(self._file, json.dumps(self._known))
            self._changed = False


def _files(folder: str) -> Iterator[tuple[str, str]]:
    """Walk a folder in sorted order: (path inside the folder, path)."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - IGNORED)
        for name in sorted(set(names) - IGNORED):
            full = os.path.join(root, name)
            yield os.path.relpath(full, folder), full


def made_by(job: Job, hashes: Hashes) -> dict[str, Any]:
    """What would make the job's outputs now: the text of `provenance/made/<job>.json`."""
    deps = {dep: hashes.of(dep) for dep in sorted(job.deps)}
    return {"stage": job.stage, "deps": deps, "params": job.params}


def content_of(job: Job, hashes: Hashes, at: dict[str, str] | None = None) -> dict[str, str | None]:
    """Hashes of the job's outputs, read at other paths where `at` says so."""
    return {out: hashes.of((at or {}).get(out, out)) for out in job.outs}


def stale_reasons() -> dict[str, str | None]:
    """Judge every job: stage address to why it is stale, or None if it is fresh."""
    hashes = Hashes()
    reasons: dict[str, str | None] = {}
    for stage, job in jobs().items():
        above = [other.stage for other in upstream(job) if reasons[other.stage]]
        reasons[stage] = _own_reason(job, hashes) or (
            f"depends on {', '.join(above)}" if above else None
        )
    hashes.save()
    return reasons


def _own_reason(job: Job, hashes: Hashes) -> str | None:
    made, content = _read_json(Path(job.made)), _read_json(Path(job.content))
    lost = [out for out in job.outs if not os.path.exists(out)]
    if lost:
        return f"{lost[0]} is missing"
    if made is None or content is None:
        return "nothing says what made it"
    now = made_by(job, hashes)
    changed = [
        f"{kind[:-1]} {key}"
        for kind in ("deps", "params")
        for key in sorted(made[kind].keys() | now[kind].keys())
        if made[kind].get(key) != now[kind].get(key)
    ]
    if changed:
        return f"changed: {', '.join(changed)}"
    if content != content_of(job, hashes):
        return "its output is not what it wrote"
    return None


def plan() -> dict[str, str | None]:
    """Date the stamps by the verdict, before Snakemake builds its graph; return the reasons."""
    _set_aside_undeclared()
    reasons = stale_reasons()
    for stage, job in jobs().items():
        reason = reasons[stage]
        # Snakemake takes an input of the same content for the same, whatever its date.
        write_whole(job.stamp, f"stale at {time.time_ns()}: {reason}\n" if reason else "fresh\n")
        if not reason:
            os.utime(job.stamp, (0, 0))
            _make_younger_than_inputs(job)
    return reasons


def _set_aside_undeclared() -> None:
    """Move records of jobs that params.yaml does not ask for out of the way, and back when it does.

    A step that gathers a stage's jobs depends on the folder of their records. The outputs stay
    where they are, so a setting that is changed and changed back costs nothing.
    """
    declared = {path for job in jobs().values() for path in (job.made, job.content)}
    aside = STATE / "aside"
    for folder in ("provenance/made", "provenance/content"):
        for _, path in list(_files(folder)):
            if path not in declared:
                (aside / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, aside / path)
    for path in declared:
        if (aside / path).exists() and not os.path.exists(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / path, path)


def _make_younger_than_inputs(job: Job) -> None:
    """Date a fresh output at least as young as its inputs: git and DVC do not keep times."""
    times = [os.stat(dep).st_mtime_ns for dep in job.deps if os.path.exists(dep)]
    times += [_time_of(out) for other in upstream(job) for out in other.outs]
    youngest = max(times, default=0)
    # Snakemake counts the benchmark's file among a job's outputs.
    benchmark = f"benchmarks/{job.name}.tsv"
    for out in (*job.outs, *([benchmark] if os.path.exists(benchmark) else [])):
        if _time_of(out) < youngest:
            dated = Path(out, ".snakemake_timestamp") if os.path.isdir(out) else Path(out)
            dated.touch()
            os.utime(dated, ns=(youngest, youngest))


def _time_of(out: str) -> int:
    """The time that Snakemake sees: of the file, or of a folder's timestamp file."""
    stamp = os.path.join(out, ".snakemake_timestamp")
    return os.stat(stamp if os.path.exists(stamp) else out).st_mtime_ns


def record(job: Job, made: dict[str, Any], content: dict[str, str | None]) -> None:
    """Write what made the job's outputs, after they stand under their final names."""
    for path, value in ((job.content, content), (job.made, made)):
        write_whole(Path(path), json.dumps(value, indent=1, sort_keys=True) + "\n")


def forget(job: Job) -> None:
    """Remove the record before the outputs are replaced: a half-done job has none."""
    for path in (job.made, job.content):
        Path(path).unlink(missing_ok=True)


def commit() -> None:
    """Store what is fresh in DVC, and nothing else; DVC itself does it when it is the caller.

    Raises:
        InputError: DVC did not store everything (a full disk leaves it at exit code 0).
    """
    if "DVC_STAGE" in os.environ:
        return
    stale = stale_reasons()
    changed = json.loads(_dvc("status", "--json").stdout)
    todo = [stage for stage in changed if stage in stale and stale[stage] is None]
    if not todo:
        return
    # DVC takes a second for each stage that is named, and two for all of them together.
    everything = not any(stale.values())
    _dvc("commit", "--quiet", "--force", *([] if everything else todo))
    if any(stage in todo for stage in json.loads(_dvc("status", "--json").stdout)):
        raise InputError(
            "dvc commit did not store everything (is the disk full?); make room and "
            f"run: dvc commit --force {' '.join(todo)}"
        )


def _dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)


def write_whole(path: Path, text: str) -> None:
    """Write a small file in one step: the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _read_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return None  # cut short by a crash: as good as absent, and written anew
