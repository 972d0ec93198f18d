"""Train a network to find the lungs, on phantoms whose lungs are known, and on real masks."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch.optim.swa_utils import AveragedModel

from ribcage import lungs, nets, segmenting
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.masked_films import Batch, Mix, Pairs, batches, names_on, read_pairs, real_pairs
from ribcage.progress import Progress, say

HELD_OUT = 200
"""Test films on which Dice is measured: so many phantoms, and as many real ones."""


class Recipe(NamedTuple):
    """How the network learns; main says what each means."""

    samples: int
    batch_size: int
    lr: float
    ema: float


def dice_of(net: torch.nn.Module, held: Pairs, on: nets.Machine) -> np.ndarray:
    """Dice of the cleaned masks against the true ones, float [n]."""
    net.eval()
    found = []
    for start in range(0, len(held.films), 32):
        one, two = segmenting.probabilities(net, held.films[start : start + 32], on)
        for given, truth in zip((one + two) / 2, held.masks[start : start + 32], strict=True):
            large = np.asarray(Image.fromarray(truth).resize((lungs.MASK_SIDE,) * 2)) > 0
            found.append(lungs.dice(lungs.clean(given), large))
    return np.array(found)


def averaged(net: torch.nn.Module, ema: float) -> AveragedModel:
    """Follow a network by an exponential moving average of its weights and batch statistics.

    Early on the average is over fewer steps than `ema` says: it forgets the random start.
    """

    def moved(old: torch.Tensor, new: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
        kept = min(ema, (1 + int(steps)) / (10 + int(steps)))
        return old + (new - old) * (1 - kept)

    return AveragedModel(net, avg_fn=moved, use_buffers=True)


def train(
    net: torch.nn.Module,
    source: Iterator[Batch],
    held: Pairs,
    recipe: Recipe,
    on: nets.Machine,
) -> tuple[torch.nn.Module, list[tuple[int, int, float, float]], np.ndarray]:
    """Train a network, or its moving average; measure Dice four times on the way.

    Returns:
        The network to keep; rows of step, samples, loss, mean Dice; and the last Dice, float [n].
    """
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.lr, weight_decay=1e-2)
    follower = averaged(net, recipe.ema) if recipe.ema else None
    kept = follower.module if follower else net
    steps = math.ceil(recipe.samples / recipe.batch_size)
    judged = {max(1, round(steps * k / 4)) for k in range(1, 5)}
    progress = Progress(steps * recipe.batch_size, "films")
    history, losses, dice = [], [], np.empty(0)
    for number in range(1, steps + 1):
        warm = min(1.0, number / max(steps * 0.05, 1))
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * warm * (1 + math.cos(math.pi * number / steps)) / 2
        net.train()
        seen, truth = (part.to(on.device) for part in next(source))
        with on.autocast():
            loss = segmenting.loss_of(net(seen), truth)
        if not torch.isfinite(loss):
            raise InputError(f"segmenter loss became {loss.item()} at step {number}; lower the lr")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if follower:
            follower.update_parameters(net)
        losses.append(loss.item())
        progress.add(recipe.batch_size, f"loss {np.mean(losses):.4f}")
        if number in judged:
            mean, dice = float(np.mean(losses)), dice_of(kept, held, on)
            history.append((number, number * recipe.batch_size, mean, float(dice.mean())))
            say(f"step {number}/{steps}: loss {mean:.4f}, held-out Dice {dice.mean():.4f}")
            losses = []
    if not steps:  # imported weights that are taken as they are: a single point, and no loss
        dice = dice_of(kept, held, on)
        history = [(0, 0, math.nan, float(dice.mean()))]
    return kept, history, dice


def summary(dice: np.ndarray) -> dict[str, Any] | None:
    """What metrics.json says of held-out films; None where there are none."""
    if not len(dice):
        return None
    low, mean = round(float(dice.min()), 6), round(float(dice.mean()), 6)
    return {"dice_mean": mean, "dice_min": low, "films": len(dice)}


def main(
    share: Path,
    lung_masks: Path,
    segmenter: Path,
    architecture: str,
    encoder: str,
    decoder_channels: list[int],
    init: str,
    size_px: int,
    films: int,
    real_share: float,
    samples: int,
    batch_size: int,
    lr: float,
    ema: float,
    seed: int,
    threads: int = 1,
) -> None:
    """Write `models/segmenter/`: weights, config, history and metrics.

    Args:
        share: phantoms with lung masks, in NIH's layout.
        lung_masks: real films with lung masks in the same layout; it may hold none.
        segmenter: the folder to write.
        architecture: `unet` or `pspnet`.
        encoder: by its name in segmentation-models-pytorch.
        decoder_channels: of the U-Net's five blocks, the coarsest first.
        init: `none`, or a file of weights for this very network.
        size_px: side at which it sees films.
        films: phantoms of the train_val list to learn from at the most.
        real_share: share of the training films that are real ones, in [0, 1].
        samples: disguised films seen in all; 0 takes the weights of `init` as they are.
        batch_size: films a step.
        lr: first learning rate of the cosine.
        ema: what the average of the weights keeps of itself at a step, in [0, 1); 0: no average.
        seed: of weights, order and disguises.
        threads: of the CPU.

    Raises:
        InputError: weights do not fit, real films are wanted and absent, or the loss is no number.
    """
    if not samples and init == "none":
        raise InputError("train_segmenter.samples: 0 takes weights as they are; name them in init")
    on = nets.machine(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    recipe = Recipe(samples, batch_size, lr, ema)
    net = segmenting.build(encoder, architecture, decoder_channels)
    origin = None if init == "none" else segmenting.import_weights(net, Path(init))
    learn = read_pairs(share, names_on(share, "train_val", films, rng), size_px)
    held = read_pairs(share, names_on(share, "test", HELD_OUT, rng), size_px)
    real, real_held = real_pairs(lung_masks, real_share, HELD_OUT, size_px, rng)
    source = batches((learn, real), Mix(batch_size, real_share), seed, threads)
    net, history, dice = train(on.place(net), source, held, recipe, on)
    segmenter.mkdir()
    config = {
        "architecture": architecture,
        "encoder": encoder,
        "decoder_channels": list(decoder_channels),
        "init": origin,
        "size_px": size_px,
        "normalisation": nets.NORMALISATION,
        "settings": {"films": films, "real_share": real_share, **recipe._asdict()},
        "seed": seed,
        "n_train_films": len(learn.films),
        "n_real_films": len(real.films),
        "device": on.device.type,
        "precision": "bfloat16 autocast" if on.bf16 else "float32",
        "versions": {"torch": torch.__version__, "segmentation_models_pytorch": smp.__version__},
    }
    nets.save(net, config, segmenter)
    table = pd.DataFrame(history, columns=["step", "samples", "loss", "dice"])
    table.to_csv(segmenter / "history.csv", index=False, float_format="%.6g", lineterminator="\n")
    scores = {**(summary(dice) or {}), "real": summary(dice_of(net, real_held, on))}
    (segmenter / "metrics.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
