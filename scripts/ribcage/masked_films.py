"""Films with lung masks, to learn from: read from phantoms and real ones, mixed, disguised."""

import io
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ribcage import lungs, nets
from ribcage.disguise import Disguise
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.lists import OFFICIAL_LISTS, read_list
from ribcage.schedules import shuffled

Choice = list[tuple[int, int]]
"""A batch's films: kind (0 phantom, 1 real) and number of each."""
Batch = tuple[torch.Tensor, torch.Tensor]


class Pairs(NamedTuple):
    """Films and their masks: uint8 and bool [n, size, size]."""

    films: np.ndarray
    masks: np.ndarray


class Mix(NamedTuple):
    """What a batch is made of: how many films, and the share of them that is real, in [0, 1]."""

    batch_size: int
    real_share: float


def read_pairs(share: Path, names: set[str], size_px: int) -> Pairs:
    """Read films and masks by name, in the order of the archives.

    Raises:
        InputError: a film has no mask, or none of the films is there.
    """
    films, masks = [], []
    for batch in sorted((share / "images").iterdir()):
        drawn = dict(read_batch(share / "lung_masks" / batch.name, names))
        for name, data in read_batch(batch, names):
            if name not in drawn:
                raise InputError(f"{share / 'lung_masks' / batch.name}: has no mask of {name}")
            films.append(lungs.see(decode(data, name), size_px))
            mask = Image.open(io.BytesIO(drawn[name]), formats=("PNG",))
            masks.append(lungs.see(np.asarray(mask.convert("L")), size_px) > 127)
    if not films:
        raise InputError(f"{share}: holds none of the {len(names)} films on its lists")
    return Pairs(np.stack(films), np.stack(masks))


def names_on(share: Path, side: str, at_most: int, rng: np.random.Generator) -> set[str]:
    """Draw films from an official list, without those on a blacklist."""
    named = set(read_list(share / OFFICIAL_LISTS[side]))
    for path in (share / "blacklists").glob("*.csv"):
        named -= set(read_list(path))
    chosen = sorted(named)
    rng.shuffle(chosen)
    return set(chosen[:at_most])


def real_pairs(
    lung_masks: Path, real_share: float, held_out: int, size_px: int, rng: np.random.Generator
) -> tuple[Pairs, Pairs]:
    """Read real films to learn from, if a share of them is wanted, and those held out, if any.

    Args:
        lung_masks: the folder of fetch_lung_masks; its lists are empty where it holds no film.
        real_share: share of the training films that is to be real.
        held_out: test films to read at the most.
        size_px: side at which the network sees films.
        rng: of the choice.

    Raises:
        InputError: a share is wanted and there is nothing to draw it from.
    """
    none = Pairs(np.empty((0, size_px, size_px), np.uint8), np.empty((0, size_px, size_px), bool))
    learn = names_on(lung_masks, "train_val", 1_000_000, rng) if real_share else set()
    held = names_on(lung_masks, "test", held_out, rng)
    if real_share and not learn:
        raise InputError(
            f"train_segmenter.real_share: is {real_share:g}, but {lung_masks} holds no film to "
            "learn from; add one to fetch_lung_masks.sources, or write 0"
        )
    return (
        read_pairs(lung_masks, learn, size_px) if learn else none,
        read_pairs(lung_masks, held, size_px) if held else none,
    )


def chosen(sizes: tuple[int, int], mix: Mix, rng: np.random.Generator) -> Iterator[Choice]:
    """Choose the films of each batch, for ever; no film comes again before all of its kind did.

    The share of real films is exact over the batches: of 0.1 of 16 films, a batch has one or two.

    Args:
        sizes: how many phantoms there are, and how many real films.
        mix: batch size and share of real films.
        rng: of the order.
    """
    orders = [shuffled(size, 1, rng) for size in sizes]
    share = mix.batch_size * mix.real_share
    for number in count():
        from_real = math.floor((number + 1) * share) - math.floor(number * share)
        kinds = [int(place < from_real) for place in range(mix.batch_size)]
        yield [(kind, int(next(orders[kind])[0])) for kind in kinds]


def disguised(sources: tuple[Pairs, Pairs], choice: Choice, rng: np.random.Generator) -> Batch:
    """Disguise a batch: normalised float32 films and masks, both [n, 1, h, w]."""
    disguise = Disguise(rng)
    pairs = [disguise(sources[kind].films[k], sources[kind].masks[k]) for kind, k in choice]
    seen = nets.normalise(torch.from_numpy(np.stack([film for film, _ in pairs])) * 255)
    truth = torch.from_numpy(np.stack([mask for _, mask in pairs]).astype(np.float32))
    return seen.contiguous(memory_format=torch.channels_last), truth.unsqueeze(1)


def batches(sources: tuple[Pairs, Pairs], mix: Mix, seed: int, threads: int) -> Iterator[Batch]:
    """Yield disguised batches for ever, made in threads while the network learns from the last.

    Each batch has a generator of its own, so that it is the same whichever thread makes it.

    Args:
        sources: phantoms and real films.
        mix: batch size and share of real films.
        seed: of order and disguises.
        threads: of the CPU; one is left to the network where there are more. Measured: a disguise
            takes 3 % of a film's CPU time beside a ResNet-18 U-Net at any size (1.2 of 35 ms at
            128 px), so that threads matter where the network has a GPU.
    """
    workers = max(1, threads - 1)
    sizes = (len(sources[0].films), len(sources[1].films))
    order = enumerate(chosen(sizes, mix, np.random.default_rng([seed, 0])))
    with ThreadPoolExecutor(workers) as pool:

        def next_one() -> Future[Batch]:
            number, choice = next(order)
            return pool.submit(disguised, sources, choice, np.random.default_rng([seed, 1, number]))

        waiting = deque(next_one() for _ in range(2 * workers))
        while True:
            made = waiting.popleft().result()
            waiting.append(next_one())
            yield made
