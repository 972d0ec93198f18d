"""What a server answers to a GET: from which byte on, of how many, and whether to ask again."""

import re
import time
from collections.abc import Iterator
from email.message import Message
from email.utils import parsedate_to_datetime

import requests
import urllib3

TIMEOUT_S = (20.0, 60.0)
"""To connect, and of silence between two parts of an answer."""
SLOWEST_BYTES_S = 1_000
"""Less than this over a whole minute is a connection that has died without saying so."""
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError)
PASSING = (408, 425, 429)
"""Refusals that pass, beside all from 500 on."""
RUN_OUT = (401, 403, 404, 410)
"""What a short-lived link, to which the lasting one has led, answers when its time is over."""


class TryAgainError(Exception):
    """A failure that another attempt may mend.

    Attributes:
        after_s: how long the server wants to be left alone; 0 where it does not say.
    """

    def __init__(self, text: str, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.after_s = after_s


class StartOverError(TryAgainError):
    """A failure after which the bytes that have come cannot be gone on with."""


class RefusedError(Exception):
    """An answer that no further attempt will better."""


HOPELESS = (
    RefusedError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


def start_of(answer: requests.Response, have: int) -> int:
    """The byte at which an answer starts: `have`, from where it was asked for, or 0.

    Raises:
        TryAgainError: the server cannot give it now.
        StartOverError: it will not go on from there.
        RefusedError: it does not give it at all.
    """
    status = answer.status_code
    if status == 200:
        return 0  # the server ignores ranges, or none was asked for
    if status >= 500 or status in PASSING:
        raise TryAgainError(f"the server answered {status}", _retry_after_s(answer))
    if status in RUN_OUT and answer.history:
        raise TryAgainError(f"the link to which it led answered {status}")
    if status == 416:  # the file has changed
        raise StartOverError("the server refused to go on; starting over")
    if status != 206:
        raise RefusedError(f"answered {status}")
    if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise StartOverError("the server sent another part than it was asked for; starting over")
    return have


def total_of(answer: requests.Response) -> int | None:
    """The whole file's size in bytes, as far as an answer tells it."""
    ranged = answer.headers.get("Content-Range", "")
    text = ranged.rpartition("/")[2] if ranged else answer.headers.get("Content-Length", "")
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None


def name_of(answer: requests.Response) -> str | None:
    """What the server calls the file that it sends; None where it does not say, or scrawls."""
    header = Message()
    header["Content-Disposition"] = answer.headers.get("Content-Disposition", "")
    try:
        return header.get_filename()
    except (LookupError, TypeError, ValueError):  # an alphabet or a numbering that is none
        return None


def parts_of(answer: requests.Response, most: int) -> Iterator[bytes]:
    """Yield the bytes of an answer as they come, up to `most` at a time.

    Raises:
        TryAgainError: it drips: a byte now and then never meets the timeout of silence.
    """
    came, since = 0, time.monotonic()
    # Not iter_content: it would unpack a .gz that a server labels as packed on the way. And by
    # read1: what came before a break is not lost in a buffer.
    while part := answer.raw.read1(most, decode_content=False):
        yield part
        came += len(part)
        passed_s = time.monotonic() - since
        if passed_s >= TIMEOUT_S[1]:
            if came < SLOWEST_BYTES_S * passed_s:
                raise TryAgainError(f"only {came:,} bytes came in {passed_s:.0f} s")
            came, since = 0, time.monotonic()


def _retry_after_s(answer: requests.Response) -> float:
    """Seconds for which the server wants to be left alone, told as a number or as a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):  # none, or no date
        return 0.0


def reason(error: Exception) -> str:
    """The cause of a failure in a few words; requests wraps it up to three times."""
    inner = error.args[0] if error.args else type(error).__name__
    cause = getattr(inner, "reason", inner)
    causes = (error, inner, cause)
    if any(isinstance(e, urllib3.exceptions.ReadTimeoutError) for e in causes):
        return f"nothing came for {TIMEOUT_S[1]:g} s"
    if any(isinstance(e, urllib3.exceptions.ProtocolError) for e in causes):
        return "the connection broke"
    return str(cause).rpartition(": ")[2]
