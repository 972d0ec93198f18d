"""Training: device, precision, augmentation, and the loop with the best epoch kept."""

import copy
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ribcage import losses, metrics, nets
from ribcage.errors import InputError
from ribcage.progress import Progress, say
from ribcage.schedules import one_cycle
from ribcage.shards import Shards

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Machine:
    """Where a network runs, and in which precision.

    Attributes:
        device: cuda where there is a GPU that the job may use, else cpu.
        bf16: whether the device computes in bfloat16 itself; elsewhere it would only be slower.
    """

    device: torch.device
    bf16: bool

    def place(self, net: N) -> N:
        """Move a network there, its weights laid out as the device likes them."""
        net.to(self.device)
        net.to(memory_format=torch.channels_last)
        return net

    def autocast(self) -> AbstractContextManager[Any]:
        """Run what is inside in bfloat16 where the device has it."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def machine(threads: int) -> Machine:
    """Choose device and precision, and set what makes a run the same twice on one machine."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = False
        return Machine(
            torch.device("cuda"), torch.cuda.is_bf16_supported(including_emulation=False)
        )
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return Machine(torch.device("cpu"), supported)


class Augment:
    """The transform of training films: whole batches turned, shifted, scaled, mirrored, lit anew.

    Evaluation has none; it uses `nets.normalise` alone.

    Args:
        settings: flip, max_rotation_deg, max_shift, max_scale, max_contrast of an experiment.
        rng: the source of all its draws.
    """

    def __init__(self, settings: dict[str, Any], rng: np.random.Generator) -> None:
        self.settings, self.rng = settings, rng

    def __call__(self, films: torch.Tensor) -> torch.Tensor:
        """Change films [n, 1, h, w] that are normalised already."""
        n, chosen = len(films), self.settings
        angle = np.radians(self.rng.uniform(-1, 1, n) * chosen["max_rotation_deg"])
        scale = 1 + self.rng.uniform(-1, 1, n) * chosen["max_scale"]
        shift = self.rng.uniform(-2, 2, (n, 2)) * chosen["max_shift"]
        mirror = np.where(chosen["flip"] & (self.rng.random(n) < 0.5), -1.0, 1.0)
        contrast = 1 + self.rng.uniform(-1, 1, n) * chosen["max_contrast"]
        light = self.rng.uniform(-1, 1, n) * chosen["max_contrast"]
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        rows = [[cos * mirror, -sin, shift[:, 0]], [sin * mirror, cos, shift[:, 1]]]
        matrix = np.stack([np.stack(row, axis=-1) for row in rows], axis=1).astype(np.float32)
        place = torch.from_numpy(matrix).to(films.device)
        grid = functional.affine_grid(place, list(films.shape), align_corners=False)
        films = functional.grid_sample(
            films, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        gain = torch.from_numpy(contrast.astype(np.float32)).to(films.device)
        offset = torch.from_numpy(light.astype(np.float32)).to(films.device)
        return films * gain.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)


@dataclass
class Data:
    """The films of one split: where they lie, and their labels bool [n, 14]."""

    shards: Shards
    positions: np.ndarray
    labels: np.ndarray

    def batch(self, chosen: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Films float32 [n, 1, h, w], normalised, and labels float32 [n, 14], on the device."""
        films = torch.from_numpy(self.shards.take(self.positions[chosen])).to(device)
        labels = torch.from_numpy(self.labels[chosen].astype(np.float32)).to(device)
        return nets.normalise(films).contiguous(memory_format=torch.channels_last), labels


def shuffled(n: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield batches of indices for ever: each film once before any comes again."""
    waiting = np.empty(0, np.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, rng.permutation(n)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def infer(net: nn.Module, data: Data, on: Machine, batch_size: int) -> np.ndarray:
    """Logits float32 [n, 14] of every film of a split, in order, without any augmentation."""
    net.eval()
    parts = []
    with torch.inference_mode(), on.autocast():
        for start in range(0, len(data.positions), batch_size):
            chosen = np.arange(start, min(start + batch_size, len(data.positions)))
            films, _ = data.batch(chosen, on.device)
            parts.append(net(films).float().cpu())
    return torch.cat(parts).numpy()


def optimizer_of(net: nn.Module, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """AdamW or Adam; norms and biases (all that has one dimension) do not decay."""
    decaying = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": decaying, "weight_decay": settings["weight_decay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    return kinds[settings["optimizer"]](groups, lr=settings["lr"])


def fit(
    net: nn.Module, train: Data, val: Data, settings: dict[str, Any], seed: int, on: Machine
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train by a number of samples, and keep the epoch of the least validation loss.

    Returns:
        The network with a true copy of that epoch's weights, and a row an epoch: epoch, samples,
        lr, train_loss, val_loss, val_auroc_macro.

    Raises:
        InputError: the loss is no number any more.
    """
    weights = losses.positive_weights(train.labels, settings["weighting"])
    weigh = torch.from_numpy(weights).to(on.device)
    rng = np.random.default_rng(seed)
    augment, order = (
        Augment(settings, rng),
        shuffled(len(train.positions), settings["batch_size"], rng),
    )
    net = on.place(net)
    optimizer = optimizer_of(net, settings)
    epochs = settings["epochs"]
    steps = max(math.ceil(settings["samples"] / settings["batch_size"]), epochs)
    ends = {round(steps * (k + 1) / epochs): k + 1 for k in range(epochs)}
    progress = Progress(steps * settings["batch_size"], "films")
    history: list[dict[str, float]] = []
    best: dict[str, torch.Tensor] = {}
    total, count = 0.0, 0
    for step in range(steps):
        rate = settings["lr"] * one_cycle(step, steps, settings["warmup"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        net.train()
        films, labels = train.batch(next(order), on.device)
        with on.autocast():
            loss = losses.bce(net(augment(films)), labels, weigh)
        if not torch.isfinite(loss):
            raise InputError(f"training loss became {loss.item()} at step {step}; lower the lr")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, count = total + loss.item(), count + 1
        progress.add(settings["batch_size"], f"loss {total / count:.4f}")
        if step + 1 in ends:
            row = {
                "epoch": ends[step + 1],
                "samples": (step + 1) * settings["batch_size"],
                "lr": rate,
            }
            row |= {"train_loss": total / count, **judge(net, val, weights, on)}
            history.append(row)
            if row["val_loss"] <= min(past["val_loss"] for past in history):
                best = copy.deepcopy(net.state_dict())
            say(
                f"epoch {row['epoch']}/{epochs}: loss {row['train_loss']:.4f}, validation "
                f"{row['val_loss']:.4f}, macro AUROC {row['val_auroc_macro']:.4f}"
            )
            total, count = 0.0, 0
    net.load_state_dict(best)
    return net.eval(), history


def judge(net: nn.Module, val: Data, weights: np.ndarray, on: Machine) -> dict[str, float]:
    """Validation loss, weighted as in training, and the macro AUROC of the findings it has."""
    logits = infer(net, val, on, batch_size=64)
    truth = torch.from_numpy(val.labels.astype(np.float32))
    loss = losses.bce(torch.from_numpy(logits), truth, torch.from_numpy(weights)).item()
    columns = range(val.labels.shape[1])
    areas = [metrics.auroc(val.labels[:, k], logits[:, k]) for k in columns]
    defined = [area for area in areas if not math.isnan(area)]
    macro = float(np.mean(defined)) if defined else math.nan
    return {"val_loss": loss, "val_auroc_macro": macro}
