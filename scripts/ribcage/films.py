"""Films: where their bytes come from, and how they are decoded."""

import io
import struct
import tarfile
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from PIL import Image, UnidentifiedImageError

from ribcage.errors import InputError

FILM_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FILE_BYTES = 64 << 20
"""NIH's films take 0.4 MB on average; a member that claims more than this is refused."""
MAX_SIDE_PX = 8192
"""NIH's films have 1024 px a side; the largest detectors about 5,000 px."""
MAX_NAME = 255
MAX_MEMBERS = 200_000
"""Of an archive; all of NIH's films would fit in one."""
MAX_HEADER_BYTES, MAX_SHARED_HEADERS = 256 << 10, 100
"""What an archive says of a member: a name, a date; common ones take 2 KiB."""
BOMB_RATIO, MIN_BOMB_BYTES = 50, 1 << 30
"""Films hardly shrink when an archive is packed; one of zeros does a thousandfold."""
BLOCK_BYTES = 256 << 10
GZIP = 31
"""Window and header of zlib's unpacker."""

ABSENT = "no batch holds it"
"""The fault of an image that the data table names and that is nowhere among the films."""

# Pillow warns of films that decode() is about to refuse in a sentence.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_DAMAGE = (
    *(OSError, SyntaxError, ValueError, Image.DecompressionBombError),
    *(LookupError, TypeError, EOFError, struct.error, zlib.error),
)
"""What Pillow raises at a damaged file: the lower line from chunks that it reads unguarded."""

Film = np.ndarray
"""uint8 [height, width], 0 black (air) to 255 white (bone), as radiologists read it."""


class UndecodableError(InputError):
    """A film's bytes that are no film: truncated, empty, 16-bit, coloured, oversized."""


def decode(data: bytes, name: str) -> Film:
    """Decode the bytes of one film.

    Args:
        data: a whole PNG or JPEG file, 8-bit grey, or RGB(A) that is grey and opaque.
        name: the film's file name, for the error's sentence.

    Returns:
        uint8 [height, width].

    Raises:
        UndecodableError: a sentence that says what is wrong with the file.
    """
    if not data:
        raise UndecodableError(f"{name}: the file is empty (0 bytes)")
    if data.startswith(b"\x89PNG") and b"IEND" not in data:  # Pillow forgives a lost end
        raise UndecodableError(f"{name}: the file is truncated (its end is missing)")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if max(image.size) > MAX_SIDE_PX:
                raise UndecodableError(
                    f"{name}: claims {image.width} x {image.height} px, over {MAX_SIDE_PX} a side"
                )
            if _is_deep(image):
                raise UndecodableError(f"{name}: 16 bits a channel; convert it to 8 bits first")
            image.load()
            return _grey(image, name)
    except UnidentifiedImageError as error:
        raise UndecodableError(f"{name}: not a PNG or JPEG file") from error
    except _DAMAGE as error:
        if isinstance(error, UndecodableError):
            raise
        raise UndecodableError(f"{name}: cannot be decoded ({error})") from error


def _is_deep(image: Image.Image) -> bool:
    """Whether a channel has more than 8 bits; Pillow cuts those of colour to 8 without a word."""
    # A file that is open and not yet loaded tells how its pixels are laid out, such as RGB;16B.
    layouts = (str(tile[3]) for tile in getattr(image, "tile", ()))
    return image.mode.startswith(("I", "F")) or any(";16" in layout for layout in layouts)


def _grey(image: Image.Image, name: str) -> Film:
    """Take the one channel of an image whose colour channels are all the same."""
    if image.mode == "L":
        return np.asarray(image)
    if image.mode in ("1", "LA", "P"):
        image = image.convert("RGBA")
    if image.mode not in ("RGB", "RGBA"):
        raise UndecodableError(f"{name}: colour mode {image.mode} is no grey film")
    pixels = np.asarray(image)
    if pixels.shape[2] == 4 and pixels[..., 3].min() < 255:
        raise UndecodableError(f"{name}: has transparent pixels, which a film cannot have")
    grey = pixels[..., 0]
    if not (np.array_equal(grey, pixels[..., 1]) and np.array_equal(grey, pixels[..., 2])):
        raise UndecodableError(f"{name}: has coloured pixels, which a film cannot have")
    return np.ascontiguousarray(grey)


def read_batch(batch: Path, wanted: Collection[str] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, bytes) of the films of one batch, in the batch's own order.

    Args:
        batch: a `.tar.gz` archive, streamed and never unpacked to disk, or a folder, walked in
            sorted order.
        wanted: names to yield; others are passed over unread. None yields all.

    Raises:
        InputError: no such batch, a broken archive, a member that is no plain file or too large,
            or the same name twice.
    """
    if batch.is_dir():
        films = _read_folder(batch, wanted)
    elif batch.is_file():
        films = _read_archive(batch, wanted)
    else:
        raise InputError(f"{batch}: there is no such archive or folder of films")
    seen: set[str] = set()
    for name, data in films:
        if name in seen:
            raise InputError(f"{batch}: holds {name} twice")
        seen.add(name)
        yield name, data


def decode_some(
    batches: Sequence[Path], wanted: Sequence[Collection[str]]
) -> Iterator[tuple[str, Film]]:
    """Yield (file name, film) of a few films, each batch streamed once, up to its last of them.

    Args:
        batches: archives or folders.
        wanted: the names in each; a batch without any is not opened.

    Raises:
        InputError: see `read_batch`; or a batch no longer holds a film.
    """
    for batch, names in zip(batches, wanted, strict=True):
        left = set(names)
        for name, data in islice(read_batch(batch, names), len(names)):
            yield name, decode(data, name)
            left.remove(name)
        if left:
            raise InputError(f"{batch}: no longer holds {min(left)}; index the films again")


def _read_folder(folder: Path, wanted: Collection[str] | None) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in FILM_SUFFIXES or not path.is_file():
            continue
        if wanted is not None and path.name not in wanted:
            continue
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB, which no film is")
        yield path.name, path.read_bytes()


class _Header(tarfile.TarInfo):
    """A member's header; tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read 512 bytes."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.strip(b"\0"):
                raise tarfile.ReadError(f"a header is damaged: {error}") from error
            raise


class _Unpacked:
    """The unpacked bytes of an archive, of which no more can be had than is allowed.

    tarfile reads names, dates and maps of holes into memory whole, however long they claim to be.
    """

    def __init__(self, packed: IO[bytes], archive: Path) -> None:
        self.packed, self.archive = packed, archive
        self.headers_left, self.left = 0, max(MIN_BOMB_BYTES, BOMB_RATIO * archive.stat().st_size)
        self._unpacker = zlib.decompressobj(GZIP)
        self._rest = b""

    def allow(self, count: int) -> None:
        """Allow to read the headers of the next member, behind `count` bytes of this one."""
        self.headers_left = count + MAX_HEADER_BYTES

    def read(self, most: int) -> bytes:
        """Read up to `most` bytes as a file does; none are its end."""
        data = self._unpack(most)
        self.headers_left -= len(data)
        self.left -= len(data)
        if self.headers_left < 0:
            raise InputError(
                f"{self.archive}: has a header over {MAX_HEADER_BYTES >> 10} KiB, which no "
                "archive of films has"
            )
        if self.left < 0:
            raise InputError(
                f"{self.archive}: unpacks to over {BOMB_RATIO} times its size, which no archive of "
                "films does"
            )
        return data

    def _unpack(self, most: int) -> bytes:
        """Unpack by hand: measured 2.2 times as fast as Python's gzip, in whose place it stands."""
        while True:
            if self._unpacker.eof:  # an archive may be packed in several parts
                self._rest = self._unpacker.unused_data or self.packed.read(BLOCK_BYTES)
                if not self._rest.strip(b"\0"):
                    return b""
                self._unpacker = zlib.decompressobj(GZIP)
            packed = self._rest or self.packed.read(BLOCK_BYTES)
            data = self._unpacker.decompress(packed, most)
            self._rest = self._unpacker.unconsumed_tail
            if data:
                return data
            if not packed and not self._unpacker.eof:
                raise EOFError("it ends too early")


def _read_archive(archive: Path, wanted: Collection[str] | None) -> Iterator[tuple[str, bytes]]:
    try:
        with archive.open("rb") as packed:
            unpacked = _Unpacked(packed, archive)
            unpacked.allow(0)
            options: dict[str, Any] = {"bufsize": BLOCK_BYTES, "tarinfo": _Header}
            with tarfile.open(fileobj=unpacked, mode="r|", **options) as tar:  # type: ignore[call-overload]
                for member in _members(tar, archive):
                    name = _name(member, archive)
                    take = name is not None and (wanted is None or name in wanted)
                    # Of all that get here only plain files have content, whatever others claim.
                    unpacked.allow(member.size if member.isreg() else 0)
                    if name is not None and take:
                        content = tar.extractfile(member)
                        assert content is not None  # a plain file always has content
                        data = content.read()
                        unpacked.allow(0)
                        yield name, data
    # tarfile lets slip whatever a number or a name that is none of either leads to.
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{archive}: broken archive ({error}); fetch it again") from error


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the members; tarfile's own loop would keep all of them in memory."""
    for _ in range(MAX_MEMBERS):
        member = tar.next()
        if member is None:
            return
        tar.members.clear()  # type: ignore[attr-defined]
        if len(tar.pax_headers) > MAX_SHARED_HEADERS:
            raise InputError(f"{archive}: has too many headers that hold for all of its members")
        yield member
    raise InputError(f"{archive}: has over {MAX_MEMBERS:,} members; split it into smaller batches")


def _name(member: tarfile.TarInfo, archive: Path) -> str | None:
    """The file name of a member that is a film; None for what an archive may hold beside films.

    Raises:
        InputError: nothing is written under a member's own path, but an archive with links,
            devices, or paths that lead out of it is not one to learn from.
    """
    where = f"{archive}: member {member.name[:80]!r}"
    parts = Path(member.name).parts
    if ".." in parts or member.name.startswith("/"):
        raise InputError(f"{where} is not a plain file: its path leads out of the archive")
    if member.isdir():
        return None
    if not member.isfile() or member.issparse():
        raise InputError(f"{where} is not a plain file, but a link, a device or a file with holes")
    if not 0 <= member.size <= MAX_FILE_BYTES:
        raise InputError(f"{where} claims {member.size:,} bytes, which no film has")
    name = parts[-1] if parts else ""
    if not name.lower().endswith(FILM_SUFFIXES):
        return None
    if len(name) > MAX_NAME or not name.isprintable():
        raise InputError(f"{where} has a name that no film has")
    return name
