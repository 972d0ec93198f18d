"""Real films with lung masks: how the public sets lay them out, and what they allow.

The convention is lungs without the part behind the heart, as JSRT/SCR, Montgomery, Shenzhen and
CheXmask draw them. Sets that draw the lung through the heart are not offered: V7's COVID-19 set and
the masks of covid-chestxray that were made from it. The two conventions differ by about 0.1 Dice,
more than a good segmenter errs.

Layouts are known from the sets' own descriptions and from public code that reads them. What such
a reader cannot be sure of is checked: two parts must lie side by side, masks have a film's shape.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ribcage.archives import Files
from ribcage.errors import InputError
from ribcage.films import MAX_FILE_BYTES, MAX_SIDE_PX, decode
from ribcage.remotes import Remote

JSRT_SIDE_PX, JSRT_WHITEST = 2048, 4095
"""JSRT's raw films: big-endian 16-bit words of 12 bits, 0 white (bone)."""
CHEXMASK_FILE = "ChestX-Ray8.csv"


class Layout(NamedTuple):
    """How a set names its files, in paths inside its folder or zip.

    Attributes:
        film, mask: patterns whose group `name` is the film's own name.
        parts: mask files of a film.
        licence: what its authors ask of whoever uses it.
        place: where a person gets it.
        official: what of it can be fetched and checked; None: nothing has a published checksum.
    """

    film: str
    mask: str
    parts: int
    licence: str
    place: str
    official: Remote | None = None


NLM = (
    "credit the National Library of Medicine (USA) and cite Jaeger et al. 2014 (Quant Imaging Med "
    "Surg 4(6):475-477); not to be passed on"
)
LAYOUTS = {
    "montgomery": Layout(
        film=r"(^|/)CXR_png/(?P<name>[^/]+)\.png$",
        mask=r"(^|/)ManualMask/(left|right)Mask/(?P<name>[^/]+)\.png$",
        parts=2,
        licence=NLM,
        place="https://openi.nlm.nih.gov/imgs/collections/NLM-MontgomeryCXRSet.zip",
    ),
    "shenzhen": Layout(
        film=r"(^|/)(?P<name>CHNCXR_\d+_[01])\.png$",
        mask=r"(^|/)(?P<name>CHNCXR_\d+_[01])_mask\.png$",
        parts=1,
        licence=f"films: {NLM}; masks of Stirenko et al. 2018: CC BY-NC-SA 4.0",
        place=(
            "films https://openi.nlm.nih.gov/imgs/collections/ChinaSet_AllFiles.zip, masks "
            "https://doi.org/10.17632/8gf9vpkhgy.2"
        ),
    ),
    # Never the .jpg films that lie beside these masks on Zenodo: by one public reading, the organs'
    # outlines are drawn into all 247 of them, and a network would learn to see the outline.
    "jsrt": Layout(
        film=r"(^|/)(?P<name>JPC(LN|NN)\d{3})\.(IMG|png)$",
        mask=r"(^|/)((left|right) lung/(?=[^/]+gif$)|(?=[^/]+tif$))(?P<name>JPC(LN|NN)\d{3})\.\w+$",
        parts=2,
        licence=(
            "research and education, no commercial use, not to be passed on; cite Shiraishi et al. "
            "2000 for the films and van Ginneken et al. 2006 for the masks"
        ),
        place="films, after registration, http://db.jsrt.or.jp/eng.php",
        official=Remote(
            "https://zenodo.org/records/7056076/files/masks.zip",
            "jsrt-masks.zip",
            md5="3e9bb1c4bc1f5b2672ac4bfeabab16f4",
            starts=b"PK",
        ),
    ),
    "own": Layout(
        film=r"(^|/)images/(?P<name>[^/]+)\.(png|jpg|jpeg)$",
        mask=r"(^|/)masks/(?P<name>[^/]+)\.png$",
        parts=1,
        licence="as whoever owns the films and drew the masks says",
        place="a folder of yours with images/NAME.png and masks/NAME.png",
    ),
    "chexmask": Layout(
        film="",
        mask="",
        parts=0,
        licence=(
            "PhysioNet, open access; cite Gaggion et al. 2024 (Sci Data 11:511); films: credit the "
            "NIH Clinical Center"
        ),
        place="https://physionet.org/content/chexmask-cxr-segmentation-data/1.0.0/",
        official=Remote(
            "https://physionet.org/files/chexmask-cxr-segmentation-data/1.0.0/"
            f"OriginalResolution/{CHEXMASK_FILE}",
            CHEXMASK_FILE,
            # Not PhysioNet's own page was read, but two public projects that pin the same.
            sha256="48766ab0268235d63666bb2bacbd9f642b33fce7c1be40b9e1ecb381605545fa",
        ),
    ),
}


class Pair(NamedTuple):
    """A film, uint8 [h, w], and its lungs, bool [h, w], by the film's name in its set."""

    name: str
    film: np.ndarray
    mask: np.ndarray


def rank(text: str) -> float:
    """A number in [0, 1) that follows from a name alone: it chooses films, and their split."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 256**7


def read_pairs(
    kind: str, masks: Files, films: Files, max_films: int, size_px: int
) -> Iterator[Pair]:
    """Yield the films of a set that have masks, by name.

    Args:
        kind: of `LAYOUTS`, and not chexmask.
        masks: where the masks are.
        films: where the films are; often the same.
        max_films: of more, those whose names rank lowest.
        size_px: longer films are shrunk to this side.

    Raises:
        InputError: no film has a mask, or a file is not what the layout says.
    """
    layout = LAYOUTS[kind]
    parts: dict[str, list[str]] = {}
    for path in masks.names:
        if found := re.search(layout.mask, path):
            parts.setdefault(found["name"], []).append(path)
    paths = {found["name"]: p for p in films.names if (found := re.search(layout.film, p))}
    both = sorted(parts.keys() & paths.keys(), key=rank)[:max_films]
    if not both:
        raise InputError(
            f"{masks.origin}: {len(paths)} films and masks of {len(parts)} are there, but no pair "
            f"of one name, as {kind} has them; get the set from {layout.place}"
        )
    for name in sorted(both):
        film = _film(films.read(paths[name], MAX_FILE_BYTES), f"{films.origin}: {paths[name]}")
        pieces = [
            piece
            for path in parts[name]
            for piece in _masks(masks.read(path, MAX_FILE_BYTES), f"{masks.origin}: {path}")
        ]
        where = f"{masks.origin}: the mask of {name}"
        yield shrunk(Pair(name, film, _united(pieces, layout.parts, where)), size_px, where)


def _film(data: bytes, where: str) -> np.ndarray:
    """Decode a film; JSRT's raw ones are inverted and shown in 8 bits."""
    if not where.endswith(".IMG"):
        return decode(data, where)
    if len(data) != 2 * JSRT_SIDE_PX**2:
        raise InputError(
            f"{where}: has {len(data):,} bytes, a film of JSRT {2 * JSRT_SIDE_PX**2:,}"
        )
    words = np.frombuffer(data, ">u2").reshape(JSRT_SIDE_PX, JSRT_SIDE_PX)
    share = np.minimum(words, JSRT_WHITEST).astype(np.float32) / JSRT_WHITEST
    return np.round(255 * (1 - share)).astype(np.uint8)


def _masks(data: bytes, where: str) -> list[np.ndarray]:
    """Decode a mask, bool [h, w]; of a TIFF with pages, the first two, which are the lungs."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "GIF", "TIFF")) as image:
            if max(image.size) > MAX_SIDE_PX:
                raise InputError(f"{where}: claims {image.size} px, over {MAX_SIDE_PX} a side")
            pages = []
            for number in range(2 if image.format == "TIFF" else 1):
                image.seek(number)
                grey = np.asarray(image.convert("L"))
                pages.append(grey > int(grey.max()) // 2)
            return pages
    except (UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: is no mask that can be read ({error})") from error


def _united(pieces: list[np.ndarray], parts: int, where: str) -> np.ndarray:
    """Unite the lungs of one film, which must be there and lie side by side."""
    if len(pieces) != parts or len({piece.shape for piece in pieces}) > 1:
        shapes = ", ".join(str(piece.shape) for piece in pieces)
        raise InputError(f"{where}: has parts of shapes {shapes}; it needs {parts} of one shape")
    if not all(piece.any() for piece in pieces):
        raise InputError(f"{where}: has a part without any lung")
    if parts == 2:
        middles = [float(np.flatnonzero(p.any(axis=0)).mean()) / p.shape[1] for p in pieces]
        if abs(middles[0] - middles[1]) < 0.15:
            raise InputError(f"{where}: its two parts lie over each other; they are no two lungs")
    united: np.ndarray = np.logical_or.reduce(pieces)
    return united


def shrunk(pair: Pair, size_px: int, where: str) -> Pair:
    """Bring film and mask to one size, the longer side at most `size_px`, by area means.

    Raises:
        InputError: the mask's shape is not the film's.
    """
    height, width = pair.film.shape
    tall, wide = pair.mask.shape
    if abs(height * wide - width * tall) > 0.01 * width * tall:
        raise InputError(f"{where}: is {wide} x {tall} px, its film {width} x {height}")
    scale = min(1.0, size_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    film = cv2.resize(pair.film, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(pair.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Pair(pair.name, np.asarray(film), np.asarray(mask) > 0.5)
