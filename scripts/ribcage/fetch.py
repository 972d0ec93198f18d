"""Downloads that survive broken connections and end in the right bytes, or in a sentence."""

import random
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import requests

from ribcage import servers
from ribcage.errors import InputError
from ribcage.progress import Rate, say
from ribcage.remotes import BEGINNING_BYTES, Remote, check, check_beginning, refuse_other
from ribcage.servers import StartOverError, TryAgainError

CHUNK = 1 << 16
"""Bytes read at a time; further than this must a failed attempt come to count as progress."""
SPARE_BYTES = 1 << 30
"""Free disk that must be left beside a download."""
LONGEST_PAUSE_S, LONGEST_RETRY_AFTER_S = 120.0, 600.0
"""Between two attempts: by our own choice, and at a server's wish."""


def download(
    remote: Remote, target: Path, partial: Path, attempts: int = 10, delay_s: float = 2.0
) -> None:
    """Fetch a file; `target` stands only when the bytes are right.

    Unfinished bytes wait in the folder `partial`, under a name that follows from what is fetched,
    and are resumed there by whoever comes next. Attempts that fail are repeated with exponential
    backoff and jitter; those that came further start the count again.

    Args:
        remote: what to fetch.
        target: where it is to stand.
        partial: folder of unfinished downloads; best on the same file system.
        attempts: in a row without progress, before giving up.
        delay_s: before the second attempt; doubled for each further one, at most two minutes. A
            server that asks for more time gets up to ten.

    Raises:
        InputError: the file is not to be had there or cannot be written, or its bytes are wrong,
            which are then kept aside under a name that says so.
    """
    waiting = partial / remote.waits_as
    try:
        partial.mkdir(parents=True, exist_ok=True)
        check_room([remote], partial, partial)
        if _size(waiting) >= remote.start_bytes:
            check_beginning(remote, waiting)
        if remote.on_disk:
            _copy(remote, waiting)
        else:
            _get_at_last(remote, waiting, attempts, delay_s)
        check(remote, waiting)
    except OSError as error:
        raise InputError(f"{waiting}: cannot be written ({error})") from error
    try:
        shutil.move(waiting, target)
    except OSError as error:
        with suppress(OSError):  # it may never have been begun
            target.unlink()
        raise InputError(
            f"{target}: cannot be written ({error}); make room there and start again: all has "
            f"come, and waits as {waiting}"
        ) from error


def check_room(remotes: Iterable[Remote], folder: Path, partial: Path) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        remotes: all that is still to come.
        folder: where it is to stand.
        partial: where unfinished bytes wait; those on the folder's disk count as there already.

    Raises:
        InputError: it says what is needed and what is free.
    """
    remotes = list(remotes)
    same = partial.is_dir() and partial.stat().st_dev == folder.stat().st_dev
    there = [_size(partial / remote.waits_as) if same else 0 for remote in remotes]
    needed = sum(max((r.size or 0) - have, 0) for r, have in zip(remotes, there, strict=True))
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        more = f" and {len(remotes) - 1} more that are to come" if len(remotes) > 1 else ""
        raise InputError(
            f"{remotes[0].name}{more}: needs {needed / 1e9:.1f} GB and 1 GB to spare, {folder} "
            f"has {free / 1e9:.1f} GB free; make room{', or name fewer batches' if more else ''}"
        )


def _check_told_room(remote: Remote, waiting: Path, total: int | None) -> None:
    """Refuse what the disk cannot hold where only the answer tells how much it is."""
    if remote.size is None and total:
        check_room([replace(remote, size=total)], waiting.parent, waiting.parent)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _copy(remote: Remote, waiting: Path) -> None:
    """Bring the waiting file to the end of a mirror's own."""
    held = Path(remote.url)
    try:
        total = held.stat().st_size
    except OSError as error:
        raise InputError(f"{held}: cannot be read ({error})") from error
    have = _size(waiting) if _size(waiting) >= BEGINNING_BYTES else 0
    if total < have:
        raise InputError(
            f"{held}: has {total:,} bytes, fewer than the {have:,} that have come before and wait "
            f"as {waiting}; put the whole file there, fetch it elsewhere, or delete what waits"
        )
    _check_told_room(remote, waiting, total)
    _append(remote, waiting, have, _blocks(held, have), total)


def _blocks(path: Path, start: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(CHUNK):
                yield block
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _get_at_last(remote: Remote, waiting: Path, attempts: int, delay_s: float) -> None:
    """Ask a server until all has come, or it has failed too often."""
    failures, furthest, totals = 0, _size(waiting), set[int]()
    while True:
        try:
            return _get(remote, waiting, totals)
        except servers.HOPELESS as error:
            raise InputError(f"{remote.name}: {remote.url} {error}") from error
        except (*servers.FAILURES, TryAgainError) as error:
            if isinstance(error, StartOverError):
                waiting.unlink(missing_ok=True)
            failures += 1
            if _size(waiting) >= furthest + CHUNK:
                failures, furthest = 1, _size(waiting)
            if failures >= attempts:
                raise InputError(
                    f"{remote.name}: {remote.url} failed {failures} times in a row "
                    f"({servers.reason(error)}); check the network and start again: what has come "
                    "is kept"
                ) from error
            # Jitter only spreads the load; nothing that is kept depends on it.
            pause = min(delay_s * 2 ** (failures - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1.5)
            pause = max(pause, min(getattr(error, "after_s", 0.0), LONGEST_RETRY_AFTER_S))
            say(f"{remote.name}: {servers.reason(error)}; again in {pause:.0f} s")
            time.sleep(pause)


def _get(remote: Remote, waiting: Path, totals: set[int]) -> None:
    """One attempt: append what is missing to the waiting file.

    `totals` holds the sizes told since the file was begun; there must be only one.
    """
    have = _size(waiting) if _size(waiting) >= BEGINNING_BYTES else 0
    # A range counts the bytes as they are sent, so they must not be packed on the way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(remote.url, headers=headers, stream=True, timeout=servers.TIMEOUT_S) as given:
        total = servers.total_of(given)
        if given.status_code == 416 and total == have:
            return  # nothing is left to send
        have = servers.start_of(given, have)
        if have == 0:
            totals.clear()
        totals |= {total} if total else set()
        if len(totals) > 1:
            raise StartOverError("the file has changed on the server; starting over")
        _say_what_differs(remote, given, total)
        _check_told_room(remote, waiting, total)
        have = _append(remote, waiting, have, servers.parts_of(given, CHUNK), total)
    # Without a length of its own an answer that broke looks whole.
    expected = total or remote.size or 0
    if have < expected:
        raise TryAgainError(f"the connection broke after {have:,} of {expected:,} bytes")


def _say_what_differs(remote: Remote, given: requests.Response, total: int | None) -> None:
    if remote.size and total and total != remote.size:
        say(f"{remote.name}: {total:,} bytes, not {remote.size:,}; its hash decides")
    called = servers.name_of(given)
    if called and called != remote.name:
        say(f"{remote.name}: the server calls it {called[:80]!r}; its hash decides")


def _append(
    remote: Remote, waiting: Path, have: int, chunks: Iterator[bytes], total: int | None
) -> int:
    """Write what comes behind the first `have` bytes, which are kept; return how many there are."""
    if have == 0:
        first = b""
        while len(first) < BEGINNING_BYTES and (more := next(chunks, b"")):
            first += more
        refuse_other(remote, first)  # before the waiting file is opened, which empties it
        chunks = chain([first], chunks)
    rate = Rate(remote.name, have, total)
    with waiting.open("ab" if have else "wb") as file:
        for chunk in chunks:
            begun = have < remote.start_bytes
            have += len(chunk)
            if have > remote.limit:
                waiting.unlink()
                raise InputError(f"{remote.name}: over {remote.limit:,} bytes came; stopped")
            file.write(chunk)
            if begun and have >= remote.start_bytes:
                file.flush()
                check_beginning(remote, waiting)
            rate.at(have)
    return have
