"""The contamination ledger: the films of a split that a network's first weights have seen.

A score on films that a network has learnt from says nothing. Weights know nothing of that, so a
record goes with them: `seen.parquet` beside the weights, whose hash stands inside their file. For
weights of other makers the user says what they have seen (`init_seen`). ImageNet has no film of
NIH. The segmenter's weights learn lungs and no findings, so that no ledger is kept for them.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from ribcage.errors import InputError
from ribcage.lists import OFFICIAL_TEST, SPLITS

RECORD = "seen.parquet"
DIGEST = "seen_sha256"
"""The one entry of the weights' metadata: safetensors would write several in any order."""

KINDS = ("beside", "nothing", "unknown", "official_train_val", "chexnet_reproduction")
NIH_NAME = re.compile(r"\d{8}_\d{3}")
NOT_SEEN, NOT_SEEN_OF_OFFICIAL_TEST = 22_433, 5_213
"""The test set of the split that arnoweng, zoogzog and jrzech share, of NIH's 112,120 films and of
the official test's 25,596, counted from their lists; the other 89,687 were in train or val."""
NOT_BY_NAME = frozenset(("unknown", "official_train_val", "chexnet_reproduction"))
MAX_LIST_BYTES = 64 << 20

Film = tuple[bool, str]
"""Whether it is a phantom, and its name without suffix: phantoms have NIH's names."""


@dataclass(frozen=True)
class Seen:
    """What weights have seen.

    Attributes:
        films: film by film.
        also: what cannot be told film by film: some of `NOT_BY_NAME`, or none.
    """

    films: frozenset[Film] = frozenset()
    also: frozenset[str] = frozenset()

    def joined(self, other: "Seen") -> "Seen":
        """What was seen by either."""
        return Seen(self.films | other.films, self.also | other.also)

    def among(self, phantoms: bool) -> "Seen":
        """What of it counts where the films are, or are not, phantoms."""
        films = frozenset(film for film in self.films if film[0] == phantoms)
        return Seen(films, self.also & {"unknown"} if phantoms else self.also)


def films_of(images: Iterable[str], phantoms: bool) -> frozenset[Film]:
    """Name films as they are compared: whatever the folder and the suffix."""
    return frozenset((phantoms, PurePosixPath(image).stem) for image in images)


def seen_by(init: str, init_seen: str) -> Seen:
    """Say what the weights that an experiment starts from have seen.

    Args:
        init: none, imagenet, or a `.safetensors` file.
        init_seen: one of `KINDS`, or a text file with a film a line.

    Raises:
        InputError: the record or list is not there, or is not of these weights.
    """
    if init in ("none", "imagenet") or init_seen == "nothing":
        return Seen()
    if init_seen == "beside":
        return _beside(Path(init))
    return told(init_seen, "init_seen", KINDS)


def told(word: str, key: str, kinds: Sequence[str] = KINDS[1:]) -> Seen:
    """Say what a user tells of a model: the films that it has learnt from.

    Args:
        word: one of `KINDS` but `beside`, or a text file with a film a line.
        key: the setting that the word stands in, for errors.
        kinds: what it may be beside a path, for errors.

    Raises:
        InputError: there is no such list, or it names no film.
    """
    if word == "nothing":
        return Seen()
    if word in NOT_BY_NAME:
        return Seen(also=frozenset([word]))
    return Seen(films_of(_listed(Path(word), key, kinds), phantoms=False))


def _beside(weights: Path) -> Seen:
    try:
        with safe_open(weights, "numpy") as file:
            digest = (file.metadata() or {}).get(DIGEST)
    except FileNotFoundError as error:
        raise InputError(f"{weights}: there are no such weights") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights}: not a readable safetensors file ({error})") from error
    if digest is None:
        return Seen(also=frozenset(["unknown"]))
    path = weights.with_name(RECORD)
    if not path.is_file():
        raise InputError(
            f"{path}: what {weights.name} has seen is not beside it; copy that file too, or set "
            "init_seen to unknown"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise InputError(
            f"{path}: is not the record that {weights.name} was saved with; copy both from one "
            "model's folder, or set init_seen to unknown"
        )
    try:
        table = pq.read_table(path, columns=["phantom", "film"])
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: is no record of what weights have seen ({error})") from error
    also = frozenset((table.schema.metadata or {}).get(b"also", b"").decode().split())
    rows = table.to_pandas()
    films = frozenset(zip(rows["phantom"], rows["film"], strict=True))
    # A word that a later version may write is not understood here, and so not known.
    return Seen(films, also if also <= NOT_BY_NAME else also & NOT_BY_NAME | {"unknown"})


def _listed(path: Path, key: str, kinds: Sequence[str]) -> list[str]:
    """Names of a list as the reproductions keep them: the first word of a line, labels after it."""
    if not path.is_file():
        raise InputError(f"{path}: no such list; {key} is a list's path or {', '.join(kinds)}")
    if path.stat().st_size > MAX_LIST_BYTES:
        raise InputError(f"{path}: larger than {MAX_LIST_BYTES >> 20} MiB, which no list is")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text of names, a film a line ({error.reason})") from error
    names = [re.split(r"[\s,]", line.strip(), maxsplit=1)[0] for line in lines if line.strip()]
    if not names:
        raise InputError(f"{path}: names no film; write nothing, if that is what was seen")
    return names


def write_record(seen: Seen, folder: Path) -> dict[str, str]:
    """Write what weights have seen beside them, and return what goes into their file."""
    rows = pd.DataFrame(sorted(seen.films), columns=["phantom", "film"])
    types = pa.schema([("phantom", pa.bool_()), ("film", pa.string())])
    table = pa.Table.from_pandas(rows, schema=types, preserve_index=False)
    head = {"also": " ".join(sorted(seen.also))}
    pq.write_table(table.replace_schema_metadata(head), folder / RECORD)
    return {DIGEST: hashlib.sha256((folder / RECORD).read_bytes()).hexdigest()}


def ledger(seen: Seen, weights: str, split: pd.DataFrame, phantoms: bool) -> dict[str, Any]:
    """Count the films of each side that the weights have seen.

    Args:
        seen: by the weights.
        weights: their name, as `init` has it.
        split: image, split, `official` (the official list that names the image, or null).
        phantoms: whether these films are phantoms.

    Returns:
        weights; `known`: whether all three counts are; train, val and test: films, or null where
        nobody knows; `at_least`: by side, how many at the least; `likely`: whether, where nobody
        knows, most films of NIH were seen; and a sentence.
    """
    seen = seen.among(phantoms)
    counts: dict[str, int | None] = {}
    least: dict[str, int] = {}
    for side in SPLITS:
        counts[side], least[side] = _count(seen, split[split["split"] == side])
    known = None not in counts.values()
    likely = not known and "unknown" not in seen.also
    found = {"weights": weights, "known": known, **counts, "at_least": least, "likely": likely}
    return {**found, "sentence": _sentence(found)}


def _count(seen: Seen, rows: pd.DataFrame) -> tuple[int | None, int]:
    """Count the films of one side that were seen: exactly, or null; and the least it can be."""
    stems = rows["image"].map(lambda image: PurePosixPath(image).stem)
    named = {film for _, film in seen.films}
    held = pd.Series([stem in named for stem in stems], rows.index, dtype=bool)
    of_nih = stems.astype("str").str.fullmatch(NIH_NAME)
    exact = "unknown" not in seen.also
    if "official_train_val" in seen.also:
        held |= rows["official"] == "train_val"
        exact &= not (of_nih & rows["official"].isna()).any()
    least = int(held.sum())
    if "chexnet_reproduction" in seen.also and of_nih.any():
        on_test = int((of_nih & (rows["official"] == "test")).sum())
        least = max(least, int(of_nih.sum()) - NOT_SEEN, on_test - NOT_SEEN_OF_OFFICIAL_TEST)
        exact &= on_test == len(rows) == OFFICIAL_TEST and not held.any()
    return (least if exact else None), least


def _sentence(found: dict[str, Any]) -> str:
    weights = found["weights"]
    name = {"none": "A random start", "imagenet": "ImageNet"}.get(weights, weights)
    told = []
    for side in SPLITS:
        least = found["at_least"][side]
        if least:
            told.append(f"{'at least ' if found[side] is None else ''}{least:,} {side} films")
    if found["known"]:
        return f"{name} has seen {', '.join(told) or 'no film'} of this split."
    start = f"{name} has seen {', '.join(told)} of this split" if told else name
    if found["likely"]:
        return f"{start}: it has seen most films of NIH, and its own lists alone say which."
    what = "what else" if told else "what"
    return f"{start}: {what} it has learnt from is not known, and scores may be too high."


def refuse(found: dict[str, Any]) -> None:
    """Stop before training where films that would judge the network were seen.

    Args:
        found: as from `ledger`.

    Raises:
        InputError: with how many films of val and test.
    """
    if found["likely"] or found["at_least"]["val"] or found["at_least"]["test"]:
        raise InputError(
            f"init: {found['sentence'].removesuffix('.')}; scores on films that were learnt from "
            "mean nothing: take other weights, split otherwise, or set contaminated to flag"
        )
