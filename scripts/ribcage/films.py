"""Films: where their bytes come from, and how they are decoded."""

import io
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ribcage.errors import InputError

FILM_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FILE_BYTES = 64 << 20
"""NIH's films take 0.4 MB on average; a member that claims more than this is refused."""
MAX_SIDE_PX = 8192
"""NIH's films have 1024 px a side; the largest detectors about 5,000 px."""

ABSENT = "no batch holds it"
"""The fault of an image that the data table names and that is nowhere among the films."""

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
            if image.mode.startswith("I") or image.mode == "F":
                raise UndecodableError(f"{name}: 16-bit grey; convert it to 8 bits first")
            image.load()
            return _grey(image, name)
    except UnidentifiedImageError as error:
        raise UndecodableError(f"{name}: not a PNG or JPEG file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UndecodableError):
            raise
        raise UndecodableError(f"{name}: cannot be decoded ({error})") from error


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


def _read_folder(folder: Path, wanted: Collection[str] | None) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in FILM_SUFFIXES or not path.is_file():
            continue
        if wanted is not None and path.name not in wanted:
            continue
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB, which no film is")
        yield path.name, path.read_bytes()


def _read_archive(archive: Path, wanted: Collection[str] | None) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                if member.isdir():
                    continue
                # Nothing is written under a member's own path, but a hostile archive is not
                # one to learn from.
                parts = Path(member.name).parts
                if not member.isfile() or ".." in parts or member.name.startswith("/"):
                    raise InputError(f"{archive}: member {member.name!r} is not a plain file")
                if member.size > MAX_FILE_BYTES:
                    raise InputError(
                        f"{archive}: member {member.name!r} claims {member.size:,} bytes, "
                        "which no film has"
                    )
                name = parts[-1]
                if not name.lower().endswith(FILM_SUFFIXES):
                    continue
                if wanted is not None and name not in wanted:
                    continue
                content = tar.extractfile(member)
                assert content is not None  # a plain file always has content
                yield name, content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{archive}: broken archive ({error}); fetch it again") from error
