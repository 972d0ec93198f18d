"""Downloads that survive broken connections and end in the right bytes, or in a sentence."""

import codecs
import hashlib
import random
import shutil
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import requests
import urllib3

from ribcage.errors import InputError
from ribcage.progress import say

CHUNK = 1 << 16
"""Bytes read at a time, and the most that a broken connection loses."""
SLACK_BYTES = 1 << 20
TIMEOUT_S = (20, 60)
"""To connect, and between two parts of an answer."""
SPARE_BYTES = 1 << 30
"""Free disk that must be left beside a download."""
HTML_STARTS = (b"<!doc", b"<html", b"<?xml", b"<head")


@dataclass(frozen=True)
class Remote:
    """A file that somebody else holds.

    Attributes:
        url: where a GET begins; it may redirect to another place each time.
        name: what it is called, for messages.
        size: expected bytes; another size is only a warning, the hash decides. None: unknown.
        md5, sha256: the verdict. None: unknown.
        starts: the first bytes that such a file has (gzip: 1f8b). None: any but HTML.
    """

    url: str
    name: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    starts: bytes | None = None

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "Remote":
        """Read an entry of nih_files.json."""
        starts = b"\x1f\x8b" if entry["file"].endswith(".gz") else None
        hashes = {name: entry.get(name) for name in ("md5", "sha256")}
        return cls(entry["url"], entry["file"], entry.get("bytes"), starts=starts, **hashes)

    @property
    def limit(self) -> int:
        """More bytes than this are never written."""
        return int(self.size * 1.1) + SLACK_BYTES if self.size else 64 << 30


class TryAgainError(Exception):
    """A failure that another attempt may mend."""


class Rate:
    """Prints MB, MB/s and time left every few seconds."""

    def __init__(self, name: str, done: int, total: int | None) -> None:
        self.name, self.first, self.total = name, done, total
        self.started = self.printed = time.monotonic()

    def at(self, done: int) -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if now - self.printed < 5:
            return
        self.printed = now
        rate = (done - self.first) / (now - self.started)
        of = f" of {self.total / 1e6:,.0f}" if self.total else ""
        left = f", {(self.total - done) / rate / 60:.0f} min left" if self.total and rate else ""
        say(f"{self.name}: {done / 1e6:,.0f}{of} MB, {rate / 1e6:.2f} MB/s{left}")


def download(
    remote: Remote, target: Path, partial: Path, attempts: int = 10, delay_s: float = 2.0
) -> None:
    """Fetch a file; `target` stands only when the bytes are right.

    Unfinished bytes wait in the folder `partial`, under a name that follows from the URL, and are
    resumed there by whoever comes next. Attempts that fail are repeated with exponential backoff
    and jitter; one that came further than all before it starts the count again.

    Args:
        remote: what to fetch.
        target: where it is to stand.
        partial: folder of unfinished downloads; best on the same file system.
        attempts: in a row without progress, before giving up.
        delay_s: before the second attempt; doubled for each further one, at most two minutes.

    Raises:
        InputError: the server does not give the file, or its bytes are wrong, which are then kept
            aside under a name that says so.
    """
    partial.mkdir(parents=True, exist_ok=True)
    waiting = partial / hashlib.sha256(remote.url.encode()).hexdigest()[:16]
    _check_room(remote, partial, waiting)
    failures, furthest, totals = 0, _size(waiting), set[int]()
    while True:
        try:
            _get(remote, waiting, totals)
            break
        # In this order: requests' errors are OSErrors too.
        except (requests.RequestException, urllib3.exceptions.HTTPError, TryAgainError) as error:
            failures = 1 if _size(waiting) > furthest else failures + 1
            furthest = max(furthest, _size(waiting))
            if failures >= attempts:
                raise InputError(
                    f"{remote.name}: {remote.url} failed {failures} times in a row "
                    f"({_reason(error)}); check the network and start again: what has come is kept"
                ) from error
            # Jitter only spreads the load; nothing that is kept depends on it.
            pause = min(delay_s * 2 ** (failures - 1), 120) * random.uniform(0.5, 1.5)
            say(f"{remote.name}: {_reason(error)}; again in {pause:.0f} s")
            time.sleep(pause)
        except OSError as error:
            raise InputError(f"{waiting}: cannot be written ({error})") from error
    _check(remote, waiting)
    shutil.move(waiting, target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    """The cause in a few words; requests wraps it up to three times."""
    inner = error.args[0] if error.args else type(error).__name__
    cause = getattr(inner, "reason", inner)
    if any(isinstance(e, urllib3.exceptions.ProtocolError) for e in (error, cause)):
        return "the connection broke"
    return str(cause).rpartition(": ")[2]


def _check_room(remote: Remote, folder: Path, waiting: Path) -> None:
    needed = (remote.size or 0) - _size(waiting)
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise InputError(
            f"{remote.name}: needs {needed / 1e9:.1f} GB and 1 GB to spare, "
            f"{folder} has {free / 1e9:.1f} GB free; make room"
        )


def _get(remote: Remote, waiting: Path, totals: set[int]) -> None:
    """One attempt: append what is missing to the waiting file.

    `totals` holds the sizes told since the file was begun; there must be only one.
    """
    have = _size(waiting)
    # A range counts the bytes as they are sent, so they must not be packed on the way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        total = _total(answer)
        if answer.status_code == 416 and total == have:
            return  # nothing is left to send
        have = _start_of(remote, answer, waiting)
        if have == 0:
            totals.clear()
        if total:
            totals.add(total)
        if len(totals) > 1:
            waiting.unlink()
            raise TryAgainError("the file has changed on the server; starting over")
        # Not iter_content: it would unpack a .gz that a server labels as packed on the way.
        chunks = answer.raw.stream(CHUNK, decode_content=False)
        first = next(chunks, b"")
        if have == 0:
            _check_start(remote, first)  # before the waiting file is opened, which empties it
            if remote.size and total and total != remote.size:
                say(f"{remote.name}: {total:,} bytes, not {remote.size:,}; its hash decides")
        rate = Rate(remote.name, have, total)
        with waiting.open("ab" if have else "wb") as file:
            for chunk in chain([first], chunks):
                have += len(chunk)
                if have > remote.limit:
                    waiting.unlink()
                    raise InputError(f"{remote.name}: over {remote.limit:,} bytes came; stopped")
                file.write(chunk)
                rate.at(have)
    if total and have < total:
        raise TryAgainError(f"the connection broke after {have:,} of {total:,} bytes")


def _start_of(remote: Remote, answer: requests.Response, waiting: Path) -> int:
    """Return the byte at which an answer starts, or refuse the answer."""
    have, status = _size(waiting), answer.status_code
    if status == 200:
        return 0  # the server ignores ranges, or none was asked for
    if status >= 500 or status in (408, 429):
        raise TryAgainError(f"the server answered {status}")
    if status == 416:  # the file has changed
        waiting.unlink(missing_ok=True)
        raise TryAgainError("the server refused to go on; starting over")
    if status != 206:
        raise InputError(f"{remote.name}: {remote.url} answered {status}")
    if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        waiting.unlink(missing_ok=True)
        raise TryAgainError("the server sent another part than it was asked for; starting over")
    return have


def _total(answer: requests.Response) -> int | None:
    """The whole file's size, as far as an answer tells it."""
    ranged = answer.headers.get("Content-Range", "")
    if "/" in ranged:
        text = ranged.rpartition("/")[2]
        return int(text) if text.isdigit() else None
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _check_start(remote: Remote, chunk: bytes) -> None:
    start = chunk[:64].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    html = start.startswith(HTML_STARTS)
    wrong = remote.starts is not None and remote.starts[: len(chunk)] != chunk[: len(remote.starts)]
    if html or wrong:
        what = "a web page" if html else f"bytes {chunk[:4].hex()}"
        raise InputError(
            f"{remote.name}: {remote.url} gives {what} instead of the file; has it moved?"
        )


def _check(remote: Remote, waiting: Path) -> None:
    """Compare the hashes; keep wrong bytes aside under a name that says so."""
    for kind, expected in (("md5", remote.md5), ("sha256", remote.sha256)):
        if expected is None:
            continue
        with waiting.open("rb") as file:
            actual = hashlib.file_digest(file, kind).hexdigest()
        if actual != expected:
            aside = waiting.with_name(f"{remote.name}.wrong-{kind}-{actual[:12]}")
            waiting.replace(aside)
            raise InputError(
                f"{remote.name}: its {kind} is {actual}, not {expected}; "
                f"the bytes are kept as {aside}; start again to fetch it anew"
            )
