"""Progress that a person can follow: done, of how many, at which rate, time left."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def clock(seconds: float) -> str:
    """Write a duration in seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def say(text: str) -> None:
    """Print one line at once, where the runner's log and the terminal both get it."""
    print(text, file=sys.stderr, flush=True)


class Rate:
    """Prints MB, MB/s and time left: every five seconds at first, later once a minute.

    Args:
        name: what it is called.
        done: bytes that were there when this attempt began; they do not count for the rate.
        total: bytes of the whole; None where nobody knows.
    """

    def __init__(self, name: str, done: int, total: int | None) -> None:
        self.name, self.first, self.total = name, done, total
        self.started = self.printed = time.monotonic()

    def at(self, done: int) -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if now - self.printed < min(60, max(5, (now - self.started) / 20)):
            return
        self.printed = now
        rate = (done - self.first) / (now - self.started)
        of = f" of {self.total / 1e6:,.0f}" if self.total else ""
        left = f", {clock((self.total - done) / rate)} left" if self.total and rate else ""
        say(f"{self.name}: {done / 1e6:,.0f}{of} MB, {rate / 1e6:.2f} MB/s{left}")


class Progress:
    """Count units of work and print a line every few seconds, and at the end.

    Args:
        total: how many units there will be.
        unit: the plural noun to print ("films", "samples").
        every_s: least number of seconds between two lines.
    """

    def __init__(self, total: int, unit: str, every_s: float = 5.0) -> None:
        self.total, self.unit, self.every_s = total, unit, every_s
        self.done = 0
        self.started = self.printed = time.monotonic()

    def add(self, n: int = 1, note: str = "") -> None:
        """Count `n` units more; `note` is printed behind the figures."""
        self.done += n
        now = time.monotonic()
        if self.done < self.total and now - self.printed < self.every_s:
            return
        self.printed = now
        rate = self.done / max(now - self.started, 1e-9)
        left = clock((self.total - self.done) / rate) if rate else "?"
        line = (
            f"{self.done:,} of {self.total:,} {self.unit}, {rate:,.1f} {self.unit}/s, {left} left"
        )
        say(f"{line}, {note}" if note else line)


def track(items: Iterable[T], total: int, unit: str) -> Iterator[T]:
    """Yield the items and print progress as they are consumed."""
    progress = Progress(total, unit)
    for item in items:
        yield item
        progress.add()
