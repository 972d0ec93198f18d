"""Archives: tarballs whose bytes follow from their members; folders and zips read without trust."""

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ribcage.errors import InputError

MAX_MEMBERS = 1_000_000
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
A_LINK = 0xA
"""The file type of a symbolic link, in the high bits of a zip's attributes."""


def png(pixels: np.ndarray) -> bytes:
    """Encode as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


@contextmanager
def archive(path: Path) -> Iterator[tarfile.TarFile]:
    """Write a .tar.gz whose bytes depend on its members alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        yield tar


def put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member without date or owner."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


class Files:
    """The files of a folder or of a zip, by their path inside it; nothing is unpacked to disk.

    Attributes:
        names: paths inside, with `/`, sorted; hidden files are left out.
        bytes: how many bytes were read.
        sha256: of all files read, one after the other.

    Args:
        origin: a folder, or a `.zip`.

    Raises:
        InputError: there is no such folder or zip, or a member's name leads out of it.
    """

    def __init__(self, origin: Path) -> None:
        self.origin = origin
        self.bytes, self._hash = 0, hashlib.sha256()
        self._zip: zipfile.ZipFile | None = None
        if origin.is_dir():
            found = (path for path in origin.rglob("*") if path.is_file())
            names = [path.relative_to(origin).as_posix() for path in found]
        elif origin.suffix.lower() == ".zip" and origin.is_file():
            names = self._names_in_zip()
        else:
            raise InputError(f"{origin}: there is no such folder or .zip; see fetch_lung_masks")
        self.names = sorted(n for n in names if not _is_hidden(n))

    def _names_in_zip(self) -> list[str]:
        try:
            self._zip = zipfile.ZipFile(self.origin)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise InputError(f"{self.origin}: is no zip ({error}); fetch it again") from error
        members = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(members) > MAX_MEMBERS:
            raise InputError(f"{self.origin}: claims {len(members):,} members; no such set has")
        for info in members:
            # Nothing is written under a member's path, but a hostile zip is none to learn from.
            parts = info.filename.split("/")
            led_out = ".." in parts or parts[0] == "" or "\\" in info.orig_filename
            if led_out or info.external_attr >> 28 == A_LINK:
                raise InputError(f"{self.origin}: member {info.filename!r} is no plain file in it")
            if info.compress_type not in PACKINGS:  # LZMA asks for memory as the zip wishes
                raise InputError(
                    f"{self.origin}: packs {info.filename!r} by a method that is not Deflate; "
                    "unpack it and name the folder"
                )
            if info.flag_bits & 1:
                raise InputError(f"{self.origin}: is encrypted; unpack it and name the folder")
        names = [info.filename for info in members]
        if len(set(names)) < len(names):
            raise InputError(f"{self.origin}: holds a member twice; fetch it again")
        return names

    def read(self, name: str, limit: int) -> bytes:
        """Read one file.

        Args:
            name: one of `names`.
            limit: bytes that it may have.

        Raises:
            InputError: it has more, or cannot be read.
        """
        where = f"{self.origin}: {name}"
        try:
            size = self._size(name)
            if size > limit:
                raise InputError(f"{where}: has {size:,} bytes, over {limit:,}; no such file has")
            if self._zip is None:
                data = (self.origin / name).read_bytes()
            else:
                with self._zip.open(name) as member:
                    data = member.read(limit + 1)  # to its end, where its checksum is compared
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise InputError(f"{where}: cannot be read ({error}); fetch it again") from error
        self.bytes += len(data)
        self._hash.update(data)
        return data

    def _size(self, name: str) -> int:
        if self._zip is None:
            return (self.origin / name).stat().st_size
        return self._zip.getinfo(name).file_size

    @property
    def sha256(self) -> str:
        """Of all files read so far, one after the other."""
        return self._hash.hexdigest()


def _is_hidden(name: str) -> bool:
    """Whether a file is a system's own: `.DS_Store`, or what lies in `__MACOSX`."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")
