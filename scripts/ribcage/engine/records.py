"""What made an output, and whether it is fresh: the one verdict that both engines share.

Each job leaves two small files beside its outputs, which travel with them through DVC:

- `provenance/made/<job>.json`: the hashes of all that it depended on, and the parameters;
- `provenance/content/<job>.json`: the hashes of what it wrote.

A job is fresh if and only if the first equals what dvc.yaml and the working tree say now, the
second equals what lies on the disk, and the jobs that it depends on are fresh. As downstream jobs
depend on content alone, a job that was redone with the same result disturbs nobody.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ribcage.engine import lock
from ribcage.engine.hashes import Hashes
from ribcage.engine.jobs import STATE, Job, jobs, read_json, upstream, write_whole
from ribcage.engine.lock import Held

Content = dict[str, str]


def made_by(job: Job, hashes: Hashes) -> dict[str, Any]:
    """What would make the job's outputs now: the text of `provenance/made/<job>.json`."""
    deps = {dep: hashes.of(dep) for dep in sorted(job.deps)}
    return {"stage": job.stage, "deps": deps, "params": job.params}


def content_of(job: Job, hashes: Hashes, at: dict[str, Path] | None = None) -> Content:
    """Hashes of the job's outputs, read at other paths where `at` says so."""
    found = {out: hashes.of(str((at or {}).get(out, out))) for out in job.outs}
    return {out: digest for out, digest in found.items() if digest}


def recorded(job: Job) -> tuple[Any, Any]:
    """The two records of the job as they lie on the disk; None for one that does not."""
    return read_json(Path(job.made)), read_json(Path(job.content))


def verdict(*, allow_missing: bool = False, hashes: Hashes | None = None) -> dict[str, str | None]:
    """Judge every job: stage address to why it is stale, or None if it is fresh.

    Args:
        allow_missing: go by dvc.lock for what is not here, as `dvc repro --allow-missing` does:
            one can rebuild the report without 45 GB of films.
        hashes: where to look; given by a caller who looks further.
    """
    hashes = hashes or Hashes()
    held = lock.read(with_params=True) if allow_missing else {}
    asked = [held[stage] for stage in jobs() if stage in held]
    outs = {path: md5 for entry in asked for path, md5 in entry.outs.items()}
    hashes.absent = {path: md5 for path, md5 in outs.items() if not os.path.exists(path)}
    reasons: dict[str, str | None] = {}
    for stage, job in jobs().items():
        above = [other.stage for other in upstream(job) if reasons[other.stage]]
        reasons[stage] = _own_reason(job, hashes, held.get(stage)) or (
            f"follows {', '.join(above)}" if above else None
        )
    hashes.save()
    return reasons


def _own_reason(job: Job, hashes: Hashes, held: Held | None) -> str | None:
    """Why the job itself is stale, whatever becomes of those that it depends on."""
    made, content = recorded(job)
    if held and job.made in hashes.absent:
        made = {"stage": job.stage, "deps": held.deps, "params": held.params}
    if held and job.content in hashes.absent:
        content = {out: held.outs.get(out) for out in job.outs}
    lost = [out for out in job.outs if not os.path.exists(out) and out not in hashes.absent]
    if lost:
        return f"{lost[0]} is missing"
    if made is None or content is None:
        return "nothing says what made it"
    now = made_by(job, hashes)
    # What dvc.yaml has ceased to name does not count: DVC takes no notice of it either.
    changed = [
        f"{kind[:-1]} {key}"
        for kind in ("deps", "params")
        for key, value in now[kind].items()
        if key not in made[kind] or made[kind][key] != value
    ]
    if changed:
        return f"changed: {', '.join(changed)}"
    if content != content_of(job, hashes):
        return "its output is not what it wrote"
    return None


def is_made(job: Job, hashes: Hashes) -> bool:
    """Whether the job's outputs are here, and are what it would make now."""
    return _own_reason(job, hashes, None) is None


def record(job: Job, made: dict[str, Any], content: Content) -> None:
    """Write what made the job's outputs, after they stand under their final names."""
    for path, value in ((job.content, content), (job.made, made)):
        write_whole(Path(path), json.dumps(value, indent=1, sort_keys=True) + "\n")


def forget(job: Job) -> None:
    """Put the records into the history before the outputs are replaced: half-done has none."""
    made, content = recorded(job)
    if made is not None and content is not None:
        write_whole(_page(job, made), json.dumps(content))
    for path in (job.made, job.content):
        Path(path).unlink(missing_ok=True)


def remembered(job: Job, made: dict[str, Any]) -> Content | None:
    """What the job wrote when it was last made in exactly this way; None if it never was."""
    last_made, last_content = recorded(job)
    if last_made == made and last_content is not None:
        return dict(last_content)
    page = read_json(_page(job, made))
    return None if page is None else dict(page)


def _page(job: Job, made: dict[str, Any]) -> Path:
    digest = hashlib.md5(json.dumps(made, sort_keys=True).encode()).hexdigest()
    return STATE / "history" / job.name / f"{digest}.json"
