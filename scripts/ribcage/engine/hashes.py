"""What a file or folder holds, in the words of DVC: its MD5."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from ribcage.engine.jobs import STATE, read_json, write_whole

IGNORED = {".snakemake_timestamp", "__pycache__", ".DS_Store"}
"""Names that are no part of an output's content; .dvcignore names the same."""

YOUNG_NS = 1_000_000_000
"""A file that was changed so shortly ago is hashed again next time."""


class Hashes:
    """Hashes of files and folders as DVC gives them, remembered by path, size, time and inode.

    That they are DVC's makes a record of what a job wrote a list of objects in DVC's cache.

    Attributes:
        absent: hashes of paths that are not here, but are to be taken as if they were.
    """

    def __init__(self) -> None:
        self.absent: dict[str, str] = {}
        self._file = STATE / "hashes.json"
        self._known: dict[str, list[Any]] = read_json(self._file) or {}
        self._changed = False
        self._seen: dict[str, str | None] = {}

    def of(self, path: str) -> str | None:
        """Hash a file; a folder by the names and hashes of its files; None if there is neither.

        A path is looked at once in the life of this object.
        """
        if path not in self._seen:
            self._seen[path] = self._look(path)
        return self._seen[path]

    def _look(self, path: str) -> str | None:
        if os.path.isfile(path):
            return self._of_file(path)
        if path in self.absent:
            return self.absent[path]
        inside = {name: self._of_file(full) for name, full in files_in(path)}
        for lost, digest in self.absent.items():
            if lost.startswith(f"{path}/"):
                inside.setdefault(os.path.relpath(lost, path), digest)
        if not inside and not os.path.isdir(path):
            return None
        rows = [{"md5": digest, "relpath": name} for name, digest in sorted(inside.items())]
        return hashlib.md5(json.dumps(rows).encode()).hexdigest() + ".dir"

    def _of_file(self, path: str) -> str:
        stat = os.stat(path)
        key = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        known = self._known.get(path)
        if known and known[:3] == key:
            return str(known[3])
        digest = md5_of(path)
        # A file that is written twice within a tick of the clock may keep time, size and inode.
        if abs(time.time_ns() - stat.st_mtime_ns) > YOUNG_NS:
            self._known[path] = [*key, digest]
            self._changed = True
        return digest

    def save(self) -> None:
        """Remember for the next start."""
        if self._changed:
            write_whole(self._file, json.dumps(self._known))
            self._changed = False


def md5_of(path: str) -> str:
    """Hash a file, looking at nothing but its bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def files_in(folder: str) -> Iterator[tuple[str, str]]:
    """Walk a folder in sorted order: (path inside the folder, path)."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _ignored(name))
        for name in sorted(names):
            if not _ignored(name):
                full = os.path.join(root, name)
                yield os.path.relpath(full, folder), full


def _ignored(name: str) -> bool:
    return name in IGNORED or (name.startswith(".") and name.endswith(".tmp"))
