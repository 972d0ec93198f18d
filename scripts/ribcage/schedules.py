"""Schedules: the learning rate of each step, and the order of the films."""

import math
from collections.abc import Iterator

import numpy as np


def one_cycle(step: int, steps: int, warmup: float, low: float = 0.04) -> float:
    """The share of the highest learning rate at a step: up, then down to nearly nothing.

    Cosines both ways, from `low` to 1 in the first `warmup` share of the steps, then to 1e-4
    (Smith & Topin 2018, "Super-Convergence").

    Args:
        step: from 0 to `steps` - 1.
        steps: how many there are.
        warmup: share of the steps, in [0, 1).
        low: where it starts.
    """
    rising = warmup * steps
    if step < rising:
        return low + (1 - low) * (1 - math.cos(math.pi * step / rising)) / 2
    falling = (step - rising) / max(steps - 1 - rising, 1)
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * min(falling, 1.0))) / 2


def shuffled(n: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield batches of indices for ever: each film once before any comes again."""
    waiting = np.empty(0, np.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, rng.permutation(n)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]
