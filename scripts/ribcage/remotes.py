"""Files that somebody else holds: where to have them, and by what the right bytes are known."""

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ribcage.errors import InputError

BEGINNING_BYTES = 64
"""By these a web page or another format is told; fewer are fetched anew rather than resumed."""
SLACK_BYTES = 1 << 20
HTML_STARTS = (b"<!doc", b"<html", b"<?xml", b"<head")
NO_MIRROR = "none"


@dataclass(frozen=True)
class Remote:
    """A file that somebody else holds.

    Attributes:
        url: where a GET begins, which may redirect to another place each time; or, for a mirror
            on a disk, the file's path.
        name: what it is called, for messages.
        size: expected bytes; another size is only a warning, the hash decides. None: unknown.
        md5, sha256: the verdict. None: unknown.
        start_bytes, start_sha256: so many first bytes, and their hash: a wrong file is known long
            before all of it has come. 0 and None: unknown.
        starts: the first bytes that such a file has (gzip: 1f8b). None: any but HTML.
    """

    url: str
    name: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    start_bytes: int = 0
    start_sha256: str | None = None
    starts: bytes | None = None

    @classmethod
    def of(cls, entry: dict[str, Any], mirror: str = NO_MIRROR) -> "Remote":
        """Read an entry of nih_files.json, to be had from its own place or from a mirror.

        Raises:
            InputError: the mirror is neither a folder nor a URL, or the folder lacks the file.
        """
        name = entry["file"]
        starts = b"\x1f\x8b" if name.endswith(".gz") else None
        known = {key: entry.get(key) for key in ("md5", "sha256", "start_sha256")}
        url = entry["url"] if mirror == NO_MIRROR else _in_mirror(mirror, name)
        begun = entry.get("start_bytes", 0)
        return cls(url, name, entry.get("bytes"), start_bytes=begun, starts=starts, **known)

    @property
    def on_disk(self) -> bool:
        """Whether it is read from a folder."""
        return not _is_url(self.url)

    @property
    def limit(self) -> int:
        """More bytes than this are never written."""
        return int(self.size * 1.1) + SLACK_BYTES if self.size else 64 << 30

    @property
    def waits_as(self) -> str:
        """Name of its unfinished bytes; they are the same from whatever place they come."""
        known = f"{self.name} {self.md5 or self.sha256 or self.url}"
        return hashlib.sha256(known.encode()).hexdigest()[:16]


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _in_mirror(mirror: str, name: str) -> str:
    if _is_url(mirror):
        return f"{mirror}{name}" if mirror.endswith("/") else f"{mirror}/{name}"
    if not Path(mirror).is_dir():
        raise InputError(
            f"source.mirror: {mirror} is neither a folder nor a URL that begins with http:// or "
            f"https://; write {NO_MIRROR} to fetch from the official place"
        )
    path = Path(mirror) / name
    if not path.is_file():
        raise InputError(
            f"source.mirror: {mirror} has no file {name}; put it there, or write {NO_MIRROR} to "
            "fetch it from the official place"
        )
    return str(path)


def refuse_other(remote: Remote, chunk: bytes) -> None:
    """Refuse a web page or another format by its first bytes."""
    start = chunk[:64].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    html = start.startswith(HTML_STARTS)
    wrong = remote.starts is not None and remote.starts[: len(chunk)] != chunk[: len(remote.starts)]
    if html or wrong:
        what = "a web page" if html else f"bytes {chunk[:4].hex()}"
        raise InputError(
            f"{remote.name}: {remote.url} gives {what} instead of the file; has it moved?"
        )


def check_beginning(remote: Remote, waiting: Path) -> None:
    """Compare the hash of the first bytes, where it is known."""
    if remote.start_sha256 is None:
        return
    with waiting.open("rb") as file:
        actual = hashlib.sha256(file.read(remote.start_bytes)).hexdigest()
    if actual != remote.start_sha256:
        which = f"the sha256 of its first {remote.start_bytes:,} bytes"
        _keep_aside(remote, waiting, "start", which, actual, remote.start_sha256)


def check(remote: Remote, waiting: Path) -> None:
    """Compare the hashes of the whole."""
    for kind, expected in (("md5", remote.md5), ("sha256", remote.sha256)):
        if expected is None:
            continue
        with waiting.open("rb") as file:
            actual = hashlib.file_digest(file, kind).hexdigest()
        if actual != expected:
            _keep_aside(remote, waiting, kind, f"its {kind}", actual, expected)


def _keep_aside(
    remote: Remote, waiting: Path, kind: str, which: str, actual: str, expected: str
) -> None:
    """Keep wrong bytes under a name that says so, and end with a sentence."""
    aside = waiting.with_name(f"{remote.name}.wrong-{kind}-{actual[:12]}")
    waiting.replace(aside)
    raise InputError(
        f"{remote.name}: {which} is {actual}, not {expected}; "
        f"the bytes are kept as {aside}; start again to fetch it anew"
    )
