"""What is measured on a film when it is decoded, and the rules that call a film spoilt.

Six rules, each a measure and a threshold. All are off by default, since a rule that drops films
changes the benchmark. The thresholds in `RULES` are suggestions, tried on 297 real films of NIH's
that nobody had complained of, on 40 of another source, and on spoilt copies of the 297:

- Inverted and rotated: none of the 337 named; all of the inverted copies, and 99.9 % of those
  turned by 90, 180 or 270 degrees. Of three films that others had set aside, the inverted one.
- Not frontal: none of the 337 named; of pieces of the films, 67 % of single lungs, 62 % of apices,
  56 % of upper halves, 16 % of abdomens. No lateral film was at hand.
- Too dark and too bright have the bounds of a published filter, which named 61 and 52 of NIH's
  112,120 films. Of the 337, one: a small chest on a white canvas.
- Flat: none of the 337 named; all copies with a tenth of their contrast, 40 % with a fifth.

What misleads the likeness is a lung whited out, and a child's whole body: of 2,582 phantoms, many
of them very ill, inverted named 6, rotated 7 and not frontal 38. So look at what a rule drops.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Literal, NamedTuple

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from ribcage.films import Film

SIDE_PX = 256
"""Everything but the mean, the spread and the sum is measured on a film shrunk to this side."""
HASH_SIDE = 24
"""Side of the fingerprint in bits; see find_duplicates.py for why 576 bits, and not 64 or 256."""

CHEST = (
    "00012456",
    "12234457",
    "23454347",
    "45653237",
    "57753137",
    "57752137",
    "46642147",
    "24432248",
    "13322358",
    "13333478",
    "12334679",
    "02346789",
    "02468889",
    "02578999",
    "02589999",
    "03578888",
)
"""The mean of 517 phantoms, evened out: half of a symmetric chest, 0 dark to 9 bright."""
ROOM = 2
"""The chest is sought up to so many of 16 cells off the middle, its rim left out for that."""

Threshold = float | Literal["none"]


class Measures(NamedTuple):
    """The measures of one film, a column each in `data/interim/measures.parquet`."""

    mean_grey: float
    """Of all pixels as stored, 0 (black) to 255 (white)."""
    sd_grey: float
    """Standard deviation of all pixels as stored, in grey levels."""
    centre_sd_grey: float
    """The same of the middle half in height and width, where no frame or canvas is."""
    chest_likeness: float
    """Correlation with a mean chest in the pose that fits best, -1 to 1."""
    turned: float
    """How much better a chest on its side or head fits than an upright one, -2 to 2."""
    inverted: float
    """How much better a chest with black bones fits than one with white, -2 to 2."""
    phash: str
    """Perceptual hash of 576 bits, as hexadecimal digits."""
    pixels_sha256: str
    """SHA-256 of shape and pixels: equal if and only if the films are."""


def measure(film: Film) -> Measures:
    """Measure one film.

    Measured: 2.2 ms for a film of 1024 px on one core, a fifth of what its decoding takes.

    Args:
        film: uint8 [height, width].
    """
    mean, spread = (float(value.item()) for value in cv2.meanStdDev(film))
    small = cv2.resize(film, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    quarter = SIDE_PX // 4
    _, centre = cv2.meanStdDev(small[quarter:-quarter, quarter:-quarter])
    fits = _fits(small)
    digest = hashlib.sha256(f"{film.shape[0]} x {film.shape[1]}:".encode())
    digest.update(film.tobytes())
    return Measures(
        mean_grey=mean,
        sd_grey=spread,
        centre_sd_grey=float(centre.item()),
        chest_likeness=float(fits.max()),
        turned=float(fits[1:].max() - fits[0].max()),
        inverted=float(fits[:, 1].max() - fits[:, 0].max()),
        phash=str(imagehash.phash(Image.fromarray(small), hash_size=HASH_SIDE)),
        pixels_sha256=digest.hexdigest(),
    )


def _fits(small: Film) -> np.ndarray:
    """Best correlation with the mean chest: [4 quarter turns, as it is or inverted]."""
    picture = evened_out(small)
    fits = np.empty((4, 2))
    for turn, chest in enumerate(_chests()):
        # The chest is moved over the picture; where its inverse fits best, the fit is lowest.
        fit = cv2.matchTemplate(picture, chest, cv2.TM_CCOEFF_NORMED)
        fits[turn] = fit.max(), -fit.min()
    return fits


@cache
def _chests() -> tuple[np.ndarray, ...]:
    """The mean chest without its rim in four quarter turns, each float32 [12, 12]."""
    half = np.array([[int(digit) for digit in row] for row in CHEST], np.float32)
    chest = np.hstack([half, half[:, ::-1]])
    inner = chest[ROOM:-ROOM, ROOM:-ROOM]
    return tuple(np.ascontiguousarray(np.rot90(inner, turn)) for turn in range(4))


def evened_out(small: Film) -> np.ndarray:
    """Reduce a film to 16 x 16 cells in which exposure counts little: float32 [16, 16].

    Two pictures are added: the film with its histogram equalised, which shows the body on its
    background, and that film compared with its wider surroundings, which shows lungs, spine and
    diaphragm. Measured on 297 films and their turned and inverted copies: the sum parts the two
    by 0.16 at least, the first alone by 0.02, the second alone not at all.

    Args:
        small: uint8 [256, 256].
    """
    equal = cv2.equalizeHist(small)
    cells = len(CHEST), len(CHEST)
    coarse = cv2.resize(equal, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    around = cv2.GaussianBlur(coarse, (0, 0), 8)
    spread = np.sqrt(cv2.GaussianBlur((coarse - around) ** 2, (0, 0), 8) + 25)
    pictures = (coarse, (coarse - around) / spread)
    return sum(
        (
            _standard(cv2.resize(picture, cells, interpolation=cv2.INTER_AREA))
            for picture in pictures
        ),
        np.zeros(cells, np.float32),
    )


def _standard(picture: np.ndarray) -> np.ndarray:
    away = picture - picture.mean()
    return away / max(float(away.std()), 1e-6)


def table_of(measured: Mapping[str, Measures]) -> pd.DataFrame:
    """Make the table of measures: `image` and a column a measure, sorted by image."""
    rows = [(image, *measures) for image, measures in sorted(measured.items())]
    kinds = {name: kind.__name__ for name, kind in Measures.__annotations__.items()}
    return pd.DataFrame(rows, columns=["image", *kinds]).astype({"image": "str", **kinds})


class Rule(NamedTuple):
    """A measure that may not lie beyond a threshold."""

    column: str
    """Of `Measures`."""
    is_spoilt: Literal["below", "above"]
    """On which side of the threshold a film is spoilt."""
    words: str
    """The reason, as a person would say it, with a place for the value."""
    suggested: float
    """A threshold for those who want the rule, in the units of the column."""


RULES = {
    "too_dark": Rule("mean_grey", "below", "too dark: mean grey {:.1f} of 255", 50),
    "too_bright": Rule("mean_grey", "above", "too bright: mean grey {:.1f} of 255", 195),
    "flat": Rule("centre_sd_grey", "below", "flat: its greys spread by {:.1f} of 255", 10),
    "inverted": Rule("inverted", "above", "inverted: black bones fit better by {:.2f}", 0.1),
    "rotated": Rule("turned", "above", "rotated: a turned chest fits better by {:.2f}", 0.1),
    "not_frontal": Rule(
        "chest_likeness", "below", "not frontal: likeness to a frontal chest {:.2f}", 0.5
    ),
}
"""By their names in `curate_images.quality`, in the order in which they are asked."""


def broken(measures: pd.DataFrame, thresholds: Mapping[str, Threshold]) -> dict[str, str]:
    """Find the films that break a rule: {image: reason}, the first rule's where several do.

    Args:
        measures: `image` and the columns of `Measures`; any index.
        thresholds: a number for each rule to apply, in the units of its column, or `none`.

    Raises:
        ValueError: a threshold's name is no rule.
    """
    found: dict[str, str] = {}
    for name in sorted(thresholds, key=list(RULES).index):
        threshold, rule = thresholds[name], RULES[name]
        if threshold == "none":
            continue
        values = measures[rule.column]
        spoilt = values < threshold if rule.is_spoilt == "below" else values > threshold
        for image, value in zip(measures["image"][spoilt], values[spoilt], strict=True):
            found.setdefault(image, f"{rule.words.format(value)} (limit {threshold:g})")
    return found
