"""Find films that are the same picture: equal in every pixel, or nearly, by a perceptual hash.

Two films are near duplicates if their hashes differ in at most `max_distance_bits` bits. The hash
is ImageHash's `phash` of 24 x 24 = 576 bits: the signs of a film's low frequencies. How it and the
bound of 90 bits were chosen, on 300 real films of 300 patients (44,850 pairs):

- All chests look alike. 64 bits put strangers 6 bits apart, and copies that lost 1 % on each side
  as far; with 256 bits it is 64 and 42, with 576 bits 176 and 94. Difference, average and wavelet
  hashes of 256 bits put strangers 24, 13 and 14 apart, no further than their copies.
- Copies lie, at the median and at most: re-encoded as JPEG of quality 80, 2 and 8 bits; shrunk to
  512 px, 2 and 8; 20 grey levels brighter or darker, 2 to 17 and 34; contrast 0.7 or 1.3, 3 to 28
  and 56; gamma 0.7 or 1.4, 30 and 48; a line of text burnt in, 50 and 98; 1 % cut off on each
  side, 69 and 94; turned by 1 degree, 67 and 116; histogram equalised, 64 and 126. Not found: 2 %
  cut off on each side (131 and 170), a mirror image (286), an inverted film (574).
- NIH's 112,120 films make 6.3e9 pairs. An exponential tail fitted to the 100 nearest strangers
  expects one pair of strangers within 94 bits, a generalised Pareto tail one within 152. The
  nearest of 3.4 million pairs of 2,600 phantoms, of one patient or of two, is 144 bits apart.

Phash says nothing of a film without structure, so such films are only compared pixel by pixel.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from ribcage.duplicates import MAX_PARTNERS, PAIR_COLUMNS, crowded
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.progress import say, track
from ribcage.tables import read_table

MIN_SD_GREY = 2.0
"""Below this spread of its grey levels, of 255, a film has no structure to hash."""
ROWS, COLUMNS = 64, 4096
"""Hashes compared at once: 64 x 4096 differences of 8 bytes fill a core's own cache."""

Pair = tuple[int, int, int]
"""Rows of two films, the first before the second, and the bits in which their hashes differ."""


def words_of(hashes: pd.Series) -> np.ndarray:
    """Read hashes of hexadecimal digits as uint64 [words, n], a film a column.

    Raises:
        InputError: a hash is of another length than the first, or no whole number of 64 bits.
    """
    digits = len(hashes.iloc[0]) if len(hashes) else 16
    if digits % 16 or (hashes.str.len() != digits).any():
        raise InputError("measures.parquet: hashes of unequal length; make it anew")
    rows = np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").reshape(-1, digits // 16)
    return np.ascontiguousarray(rows.T).astype(np.uint64)


def near_pairs(words: np.ndarray, max_distance_bits: int, threads: int = 1) -> Iterator[Pair]:
    """Compare all pairs of hashes, and yield each film's nearest later ones.

    Args:
        words: uint64 [words, n].
        max_distance_bits: at most so many bits differ.
        threads: cores to use; numpy leaves Python's lock.

    Yields:
        Pairs in the order of their first film, at most `MAX_PARTNERS` for each.
    """
    starts = range(0, words.shape[1], ROWS)
    with ThreadPoolExecutor(threads) as pool:
        blocks = pool.map(lambda start: _near_pairs_of(words, start, max_distance_bits), starts)
        for block in track(blocks, len(starts), "blocks"):
            yield from block


def _near_pairs_of(words: np.ndarray, start: int, max_distance_bits: int) -> list[Pair]:
    """The pairs of which the first film is one of `ROWS` films from `start` on."""
    block = words[:, start : start + ROWS]
    found: list[np.ndarray] = []
    for left in range(start, words.shape[1], COLUMNS):
        others = words[:, left : left + COLUMNS]
        # The last words hold the highest frequencies, in which strangers differ most. Measured:
        # four of nine leave 3 of 10,000 pairs to be looked at whole, for half of the time.
        # (A sum over 255 bits wraps round to a small one, which the whole distance then mends.)
        shape = block.shape[1], others.shape[1]
        part, bits_of_word = np.zeros(shape, np.uint8), np.empty(shape, np.uint8)
        differing = np.empty(shape, np.uint64)
        for mine, theirs in zip(block[-4:], others[-4:], strict=True):
            np.bitwise_xor(mine[:, None], theirs, out=differing)
            part += np.bitwise_count(differing, out=bits_of_word)
        row, column = np.divmod(np.flatnonzero(part <= max_distance_bits), shape[1])
        later = column + left > row + start
        row, column = row[later], column[later]
        bits = np.bitwise_count(block[:, row] ^ others[:, column]).sum(axis=0, dtype=np.int64)
        near = bits <= max_distance_bits
        found.append(np.stack([row[near] + start, column[near] + left, bits[near]]))
    first, second, bits = np.concatenate(found, axis=1)
    order = np.lexsort((second, bits, first))
    first, second, bits = first[order], second[order], bits[order]
    place = np.arange(len(first)) - np.searchsorted(first, first)
    kept = place < MAX_PARTNERS
    return list(zip(first[kept].tolist(), second[kept].tolist(), bits[kept].tolist(), strict=True))


def same_pairs(sums: pd.Series) -> Iterator[tuple[int, int]]:
    """Pair films of the same pixels, each with at most `MAX_PARTNERS` of the next ones."""
    for rows in sums.reset_index(drop=True).groupby(sums.to_numpy()).indices.values():
        for at, row in enumerate(rows):
            yield from ((int(row), int(other)) for other in rows[at + 1 : at + 1 + MAX_PARTNERS])


def main(measures: Path, duplicates: Path, max_distance_bits: int, threads: int = 1) -> None:
    """Write `data/interim/duplicates.csv`: image, other, distance_bits, same_pixels, sorted.

    Args:
        measures: `data/interim/measures.parquet`, a row a decoded film.
        duplicates: the CSV to write; of two films the one with the lesser name is `image`. A
            film is the `image` of at most `MAX_PARTNERS` equal and as many near ones, the nearest.
        max_distance_bits: films whose hashes differ in at most so many of 576 bits are near.
        threads: films are compared on so many cores.
    """
    table = read_table(measures).sort_values("image", ignore_index=True)
    names, sums = table["image"], table["pixels_sha256"]
    hashed = np.flatnonzero(table["sd_grey"] >= MIN_SD_GREY)
    pairs = dict.fromkeys(same_pairs(sums), 0)
    for first, second, bits in near_pairs(
        words_of(table["phash"].iloc[hashed]), max_distance_bits, threads
    ):
        pairs.setdefault((int(hashed[first]), int(hashed[second])), bits)
    rows = [
        (names[first], names[second], bits, sums[first] == sums[second])
        for (first, second), bits in sorted(pairs.items())
    ]
    out = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    out.to_csv(duplicates, index=False, lineterminator="\n")
    if many := crowded(out):
        say(f"{many:,} films have {MAX_PARTNERS} partners or more; the nearest are written")
    same = int(out["same_pixels"].sum())
    say(f"{len(table):,} films: {same:,} pairs of equal ones, {len(out) - same:,} of near ones")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
