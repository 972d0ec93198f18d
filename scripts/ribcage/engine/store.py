"""DVC: what is fresh is committed to it, and what was made before is taken out of its cache."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ribcage.engine import lock
from ribcage.engine.hashes import md5_of
from ribcage.engine.jobs import STATE, Job, jobs, read_json, remove, reread, write_whole
from ribcage.engine.lock import Held
from ribcage.engine.records import Content, recorded, verdict
from ribcage.errors import InputError

UNSURE = STATE / "unsure.json"
"""Stages whose commit was begun; gone when DVC has said that it holds them."""


def called_by_dvc() -> bool:
    """Whether DVC runs this: then it decides what runs, and commits it by itself."""
    return "DVC_STAGE" in os.environ


def unrecorded(reasons: dict[str, str | None]) -> list[str]:
    """Stages that are fresh and here, of which dvc.lock says something else, or nothing."""
    held = lock.read()
    unsure = read_json(UNSURE) or []
    return [
        stage
        for stage, job in jobs().items()
        if not reasons[stage]
        and all(map(os.path.exists, (*job.outs, job.made, job.content)))
        and (stage in unsure or not _holds(held.get(stage), job))
    ]


def _holds(held: Held | None, job: Job) -> bool:
    """Whether dvc.lock says of a fresh job what its records say."""
    if held is None:
        return False
    made, content = recorded(job)
    records = {path: md5_of(path) for path in (job.made, job.content)}
    return bool(held.deps == made["deps"] and held.outs == content | records)


def commit() -> None:
    """Store what is fresh in DVC, and nothing else; DVC does it itself when it is the caller.

    Old outputs are never committed under new parameters: params.yaml and dvc.yaml are read anew,
    as they may have been edited while the jobs ran.

    Raises:
        InputError: DVC did not store everything (a full disk leaves it at exit code 0).
    """
    if called_by_dvc():
        return
    reread()
    todo = unrecorded(verdict(allow_missing=True))
    if not todo:
        return
    write_whole(UNSURE, json.dumps(todo))
    # DVC takes a second for each stage that is named, and two for all of them together.
    everything = not any(verdict().values())
    done = _dvc("commit", "--quiet", "--force", *([] if everything else todo))
    changed = json.loads(_dvc("status", "--json").stdout or "{}")
    if done.returncode or any(stage in todo for stage in changed):
        raise InputError(
            f"DVC did not store everything ({done.stderr.strip() or 'is the disk full?'}); "
            "make room, then run: python scripts/record_run.py"
        )
    UNSURE.unlink()


def _dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def take(content: Content, to: dict[str, Path]) -> bool:
    """Take outputs out of DVC's cache, with the links that DVC is set to use.

    Args:
        content: the hash of each output.
        to: where to put each output.

    Returns:
        Whether all of it was there; if not, nothing of it is left.
    """
    from dvc.repo import Repo  # half a second that a job which runs does not need

    with Repo(".") as repo:
        if all(_take(repo.cache.local, digest, to[out]) for out, digest in content.items()):
            return True
    for path in to.values():
        remove(path)
    return False


def _take(cache: Any, digest: str, path: Path) -> bool:  # noqa: ANN401 - DVC's object
    """Take one output, and hash what came: through a hard link, root may have edited the cache.

    Objects that are not what their name says are removed, so that no one meets them again.
    """
    from dvc_data.hashfile import load
    from dvc_data.hashfile.checkout import CheckoutError, checkout
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_objects.errors import ObjectFormatError

    try:
        held: Any = load(cache, HashInfo("md5", digest))
        checkout(str(path.absolute()), cache.fs, held, cache, force=True)
    except (FileNotFoundError, ObjectFormatError, CheckoutError):
        return False
    files = [info.value for _, _, info in held] if digest.endswith(".dir") else []
    objects = {cache.oid_to_path(oid): oid.removesuffix(".dir") for oid in (digest, *files)}
    bad = [name for name, md5 in objects.items() if md5_of(name) != md5]
    for name in bad:
        os.unlink(name)
    return not bad
