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
