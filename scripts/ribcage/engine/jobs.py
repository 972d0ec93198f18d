"""The jobs that dvc.yaml declares: what each makes, and what matters to that."""

import hashlib
import json
import os
import shutil
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ribcage.errors import InputError

STATE = Path(".stamps")
"""Local state that no output depends on: stamps, locks, cached hashes. Never in git or DVC."""


@dataclass(frozen=True)
class Job:
    """One stage of dvc.yaml, resolved.

    Attributes:
        stage: DVC's address, as `find_lungs@images_001`.
        outs: paths of the outputs, without the two records.
        made, content: paths of the two records.
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
        """The job's name as a path: `find_lungs/images_001`; its log has it too."""
        return str(Path(self.made).relative_to("provenance/made").with_suffix(""))

    @property
    def step(self) -> str:
        """The step that it is a job of: the one name of rule, script and params block."""
        return self.name.split("/")[0]

    @property
    def stamp(self) -> Path:
        """The input that tells Snakemake whether this job is stale."""
        return STATE / self.name

    @property
    def benchmark(self) -> str:
        """Snakemake's file of time and memory, which it counts among the job's outputs."""
        return f"benchmarks/{self.name}.tsv"


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

    The resolved list is cached by content of its sources: importing DVC takes as long as
    everything else that happens before Snakemake builds its graph.
    """
    sources = [Path("dvc.yaml"), Path("params.yaml"), Path(__file__)]
    key = hashlib.md5(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
    cached = STATE / "jobs.json"
    state = read_json(cached)
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
    stage = _makers().get(out, [])
    if len(stage) == 1 and out in jobs()[stage[0]].outs:
        return jobs()[stage[0]]
    raise InputError(f"dvc.yaml: no stage has the output {out}; add one for its rule")


@cache
def _makers() -> dict[str, list[str]]:
    """The stages that make a path, or what lies below it: outputs and records of content."""
    makers: dict[str, list[str]] = defaultdict(list)
    for job in jobs().values():
        for out in (*job.outs, job.content):
            for path in (out, *map(str, PurePosixPath(out).parents)):
                if job.stage not in makers[path]:
                    makers[path].append(job.stage)
    return makers


def lies_in(path: str, folder: str) -> bool:
    """Whether a path is a folder (or file) itself, or lies below it."""
    return path == folder or path.startswith(f"{folder}/")


def reread() -> None:
    """Forget what was read of dvc.yaml and params.yaml: they may have been edited since."""
    jobs.cache_clear()
    _makers.cache_clear()


def makers_of(dep: str) -> list[Job]:
    """The jobs that make a dependency: a part of it, all of it, or the folder that it is in."""
    found = list(_makers().get(dep, []))
    for parent in map(str, PurePosixPath(dep).parents):
        found += [s for s in _makers().get(parent, []) if parent in jobs()[s].outs]
    return [jobs()[stage] for stage in dict.fromkeys(found)]


def upstream(job: Job) -> list[Job]:
    """The jobs whose outputs, or whose recorded content, this job depends on."""
    found = {other.stage: other for dep in job.deps for other in makers_of(dep)}
    return [other for stage, other in found.items() if stage != job.stage]


def write_whole(path: Path, text: str) -> None:
    """Write a small file in one step: the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Read a small file; None if it is absent, or was cut short by a crash: it is written anew."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
