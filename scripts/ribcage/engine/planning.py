"""Snakemake is told the verdict before it builds its graph, which is then compared with DVC's.

Snakemake speaks one language on every clone: modification times. Each rule has a stamp among its
inputs, dated now if the job is stale and 1970 if it is fresh.
"""

import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ribcage.engine.hashes import Hashes, files_in
from ribcage.engine.jobs import (
    STATE,
    Job,
    job_that_makes,
    jobs,
    lies_in,
    makers_of,
    upstream,
    write_whole,
)
from ribcage.engine.records import made_by, verdict
from ribcage.engine.store import called_by_dvc, unrecorded
from ribcage.errors import InputError
from ribcage.progress import say

FORCED = STATE / "forced"
"""A file for each job that the user wants run whatever the verdict."""
A_TICK_NS = 1_000_000
"""Two times that differ by so much differ for Snakemake, which reads them as floats."""


def plan(*, allow_missing: bool = False) -> None:
    """Date the stamps by the verdict, and say why each job is stale.

    Under `dvc repro`, DVC has seen to what comes before the stage that it runs: what is absent
    there is absent by its leave.
    """
    _set_aside_undeclared()
    shutil.rmtree(FORCED, ignore_errors=True)
    now = time.time_ns()
    _leave_the_future(now)
    hashes = Hashes()
    reasons = verdict(allow_missing=allow_missing or called_by_dvc(), hashes=hashes)
    for stage, job in jobs().items():
        reason = reasons[stage]
        # Snakemake takes an input of the same content for the same, whatever its date.
        text = f"stale at {now}: {reason}" if reason else "fresh"
        write_whole(job.stamp, json.dumps({"verdict": text, "from": planned_from(job, hashes)}))
        os.utime(job.stamp, ns=(0, 0) if not reason else (now + A_TICK_NS, now + A_TICK_NS))
    _order_times({stage for stage, reason in reasons.items() if not reason})
    if not called_by_dvc():
        _say_reasons(reasons)


def planned_from(job: Job, hashes: Hashes) -> dict[str, Any]:
    """What a job is to be made from, as far as no other job makes it: code, sources, parameters."""
    made = made_by(job, hashes)
    given = {dep: digest for dep, digest in made["deps"].items() if not makers_of(dep)}
    return {"deps": given, "params": made["params"]}


def refuse_edited(job: Job, hashes: Hashes) -> None:
    """Refuse to run a job whose code or parameters are not those that were planned with.

    Raises:
        InputError: it names what was edited since.
    """
    planned = json.loads(job.stamp.read_text(encoding="utf-8"))["from"]
    now = planned_from(job, hashes)
    edited = [
        key
        for kind in ("deps", "params")
        for key in sorted(planned[kind].keys() | now[kind].keys())
        if planned[kind].get(key) != now[kind].get(key)
    ]
    if edited:
        raise InputError(
            f"{', '.join(edited)}: edited since this run was planned; run it again, "
            "and the whole of it is made from the same code and parameters"
        )


def _say_reasons(reasons: dict[str, str | None]) -> None:
    own = {stage: why for stage, why in reasons.items() if why and not why.startswith("follows ")}
    missing = [stage for stage, why in own.items() if why and why.endswith(" is missing")]
    for stage, why in own.items():
        if stage not in missing:
            say(f"{stage} is stale: {why}")
    if missing:
        rest = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        say(f"not here yet: {', '.join(missing[:3])}{rest}")
    if lost := unrecorded(reasons):
        say(
            f"finished, but not recorded in DVC: {', '.join(lost)}; the end of a run records it, "
            "or: python scripts/record_run.py"
        )


def _set_aside_undeclared() -> None:
    """Move records of jobs that params.yaml does not ask for out of the way, and back when it does.

    A step that gathers a stage's jobs depends on the folder of their records. The outputs stay
    where they are, so a setting that is changed and changed back costs nothing.
    """
    declared = {path for job in jobs().values() for path in (job.made, job.content)}
    aside = STATE / "aside"
    for folder in ("provenance/made", "provenance/content"):
        for _, path in list(files_in(folder)):
            if path not in declared:
                (aside / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, aside / path)
    for path in declared:
        if (aside / path).exists() and not os.path.exists(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / path, path)


def _leave_the_future(now_ns: int) -> None:
    """Date outputs no later than now: a stamp that says stale would be older than they are."""
    for job in jobs().values():
        for out in (*job.outs, job.benchmark):
            if os.path.exists(out) and _time_of(out) > now_ns:
                _date(out, now_ns)


def _order_times(fresh: set[str]) -> None:
    """Date fresh outputs no older than their inputs: git and DVC do not keep times."""
    while _raise_times(fresh):  # hard links of one file have one time: an earlier one may follow
        pass


def _raise_times(fresh: set[str]) -> bool:
    """Go through the jobs once; an output that is not here has the time of its inputs."""
    raised = False
    times: dict[str, int] = {}
    for stage, job in jobs().items():
        given = [times[out] for other in upstream(job) for out in other.outs]
        given += [
            os.stat(dep).st_mtime_ns
            for dep in job.deps
            if os.path.exists(dep) and not _is_code(dep) and not makers_of(dep)
        ]
        youngest = max(given, default=0)
        # Snakemake counts the benchmark's file among a job's outputs.
        for out in (*job.outs, job.benchmark):
            times[out] = _time_of(out) if os.path.exists(out) else youngest
            if times[out] < youngest and stage in fresh:
                _date(out, youngest)
                times[out], raised = youngest, True
    return raised


def _is_code(dep: str) -> bool:
    """Whether a dependency is no input of a rule: a new time of 45 GB has them hashed again."""
    return dep.endswith(".py") or os.path.exists(os.path.join(dep, "__init__.py"))


def _date(out: str, time_ns: int) -> None:
    dated = Path(out, ".snakemake_timestamp") if os.path.isdir(out) else Path(out)
    if dated.name == ".snakemake_timestamp":
        dated.touch()
    elif not os.access(dated, os.W_OK):
        own_copy(dated)  # a link into a cache that is shared with others
    os.utime(dated, ns=(time_ns, time_ns))


def _time_of(out: str) -> int:
    """The time that Snakemake sees: of the file, or of a folder's timestamp file."""
    stamp = os.path.join(out, ".snakemake_timestamp")
    return os.stat(stamp if os.path.exists(stamp) else out).st_mtime_ns


def own_copy(path: Path) -> None:
    """Replace a link into DVC's cache by a copy that may be written: never through the link."""
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.copyfile(path, temporary)
    temporary.replace(path)


def start(dag: Any) -> None:  # noqa: ANN401 - Snakemake's own object
    """Compare the engines' graphs and make ready what is about to run, before the first job does.

    Args:
        dag: Snakemake's graph of this run.

    Raises:
        InputError: the graphs differ; it names the edge.
    """
    for job in dag.jobs:
        if job.output:
            _compare(job, [other for other in dag.dependencies[job] if other.output])
    for job in dag.needrun_jobs():
        if not job.output:
            continue
        mine = job_that_makes(str(job.output[0]))
        if dag.reason(job).forced:
            write_whole(FORCED / mine.stage, "")
        for out in map(Path, mine.outs):
            # DVC's hard links are read-only, and Snakemake refuses to replace such a file.
            if out.is_file() and not out.is_symlink() and not os.access(out, os.W_OK):
                own_copy(out)


def not_told_by_runner(record: logging.LogRecord) -> bool:
    """Whether a line of Snakemake's says more of a failed job than the runner has said."""
    text = record.getMessage()
    return not text.startswith("WorkflowError:\nAt least one job did not complete") and not (
        text.startswith("RuleException:\nCalledProcessError") and "exit status 1." in text
    )


def _compare(job: Any, others: list[Any]) -> None:  # noqa: ANN401 - Snakemake's own objects
    mine = job_that_makes(str(job.output[0]))
    outs = sorted(map(str, job.output))
    if outs != sorted(mine.outs):
        raise InputError(
            f"dvc.yaml: stage {mine.stage} has the outputs {', '.join(sorted(mine.outs))}, its "
            f"rule {', '.join(outs)}; make them the same"
        )
    made = {str(path) for other in others for path in other.output}
    given = [_script_of(job), *(path for path in map(str, job.input) if path not in made)]
    for path in given:
        if path != str(mine.stamp) and not any(lies_in(path, dep) for dep in mine.deps):
            raise InputError(
                f"dvc.yaml: stage {mine.stage} does not depend on {path}, which its rule uses; "
                "add it to the stage's deps"
            )
    asked = {job_that_makes(str(other.output[0])).stage for other in others}
    declared = {other.stage for other in upstream(mine)}
    for stage in sorted(asked - declared):
        raise InputError(
            f"dvc.yaml: stage {mine.stage} does not depend on what {stage} makes, its rule does; "
            "add it to the stage's deps"
        )
    for stage in sorted(declared - asked):
        raise InputError(
            f"rules: {job.rule.name} ({mine.stage}) does not take what {stage} makes, its stage in "
            "dvc.yaml does; add it to the rule's input, or take it from the stage's deps"
        )


def _script_of(job: Any) -> str:  # noqa: ANN401 - Snakemake's own object
    return f"scripts/{job.rule.name}.py"
