"""Training: augmentation, and the loop that keeps the best epoch."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from ribcage import losses, metrics, nets
from ribcage.errors import InputError
from ribcage.nets import Machine
from ribcage.progress import Progress, say
from ribcage.schedules import one_cycle, shuffled
from ribcage.shards import Shards
from ribcage.tables import labels_by_image

FILMS_A_STEP = 64
"""How many films validation scores at once."""

LOWER = "lower train_classifier.lr"


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

    def in_order(self, batch_size: int) -> Iterator[np.ndarray]:
        """Yield all films as they are, uint8 [n, h, w]."""
        for start in range(0, len(self.positions), batch_size):
            yield self.shards.take(self.positions[start : start + batch_size])


def data_of(images: Sequence[str], curated: pd.DataFrame, shards: Shards, where: str) -> Data:
    """Find films and labels by the images' names; the order of the tables means nothing.

    Args:
        images: file names.
        curated: the kept images with their labels, each once.
        shards: the films.
        where: the table that names the images, for the error.

    Raises:
        InputError: an image is not among the curated, or in no shard.
    """
    labels = labels_by_image(curated, images, where).to_numpy()
    return Data(shards, shards.rows(images, where), labels)


def optimizer_of(net: nn.Module, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """AdamW or Adam; norms and biases (all that has one dimension) do not decay."""
    decaying = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": decaying, "weight_decay": settings["weight_decay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    # Fused: measured 9 ms a step instead of 21, of 230 ms at 64 px and 16 films.
    return kinds[settings["optimizer"]](groups, lr=settings["lr"], fused=True)


def phases(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Split an experiment's settings by the size of its films, in the order of training.

    A network that has learnt from small films needs far fewer of the large and dear ones (see
    progressive learning in Tan & Le, EfficientNetV2, ICML 2021).

    Returns:
        Settings with size_px, samples and lr of each size; one of them without a start.
    """
    if settings["start_px"] == "none":
        return [settings]
    start = {"size_px": "start_px", "samples": "start_samples", "lr": "start_lr"}
    return [{**settings, **{key: settings[own] for key, own in start.items()}}, settings]


def fit_phases(
    net: nn.Module, parts: list[tuple[dict[str, Any], Data, Data]], seed: int, on: Machine
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train at one size after another, each from the best epoch of the size before.

    Args:
        net: the network.
        parts: of each size its settings, training films and validation films.
        seed: of the order of the films and their augmentation.
        on: where to train.

    Returns:
        The network with the weights of the last size's best epoch, and the rows of `fit`, whose
        epochs and samples are counted through all sizes.

    Raises:
        InputError: a loss is no number any more.
    """
    rng = np.random.default_rng(seed)
    history: list[dict[str, float]] = []
    for settings, train, val in parts:
        if len(parts) > 1:
            say(f"at {settings['size_px']} px:")
        net, rows = fit(net, train, val, settings, rng, on)
        done = {key: history[-1][key] if history else 0 for key in ("epoch", "samples")}
        history += [{**row, **{key: row[key] + done[key] for key in done}} for row in rows]
    return net, history


def best_of(history: list[dict[str, float]]) -> dict[str, float]:
    """The epoch whose weights were kept: the least validation loss of the last size, the first."""
    last = [row for row in history if row["size_px"] == history[-1]["size_px"]]
    return min(last, key=lambda row: row["val_loss"])


def fit(
    net: nn.Module,
    train: Data,
    val: Data,
    settings: dict[str, Any],
    rng: np.random.Generator,
    on: Machine,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train by a number of samples, and keep the epoch of the least validation loss.

    Returns:
        The network with a true copy of that epoch's weights, and a row an epoch: epoch, size_px,
        samples, lr, train_loss, val_loss, val_auroc_macro.

    Raises:
        InputError: a loss is no number any more.
    """
    weights = losses.positive_weights(train.labels, settings["weighting"])
    augment = Augment(settings, rng)
    batch_size, epochs = settings["batch_size"], settings["epochs"]
    order = shuffled(len(train.positions), batch_size, rng)
    net = on.place(net)
    optimizer = optimizer_of(net, settings)
    steps = max(math.ceil(settings["samples"] / batch_size), epochs)
    ends = [round(steps * (epoch + 1) / epochs) for epoch in range(epochs)]
    progress = Progress(steps * batch_size, "films")
    history: list[dict[str, float]] = []
    best: dict[str, torch.Tensor] = {}
    for epoch, end in enumerate(ends):
        net.train()
        total, start, rate = 0.0, ends[epoch - 1] if epoch else 0, 0.0
        for step in range(start, end):
            rate = settings["lr"] * one_cycle(step, steps, settings["warmup"])
            films, labels = train.batch(next(order), on.device)
            total += learn(net, optimizer, rate, augment(films), labels, weights, on)
            mean = total / (step + 1 - start)
            progress.add(batch_size, f"epoch {epoch + 1}/{epochs}, loss {mean:.4f}")
        row = {"epoch": epoch + 1, "size_px": settings["size_px"], "samples": end * batch_size}
        row |= {"lr": rate, "train_loss": total / (end - start), **judge(net, val, weights, on)}
        if not history or row["val_loss"] < min(past["val_loss"] for past in history):
            best = copy.deepcopy(net.state_dict())
        history.append(row)
        say(
            f"epoch {epoch + 1}/{epochs}: loss {row['train_loss']:.4f}, validation "
            f"{row['val_loss']:.4f}, macro AUROC {row['val_auroc_macro']:.4f}"
        )
    net.load_state_dict(best)
    return net.eval(), history


def learn(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    rate: float,
    films: torch.Tensor,
    labels: torch.Tensor,
    weights: np.ndarray,
    on: Machine,
) -> float:
    """Take one step on one batch, and return its loss.

    Raises:
        InputError: the loss is no number; nothing was learnt from it.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    with on.autocast():
        loss = losses.bce(net(films), labels, torch.from_numpy(weights).to(on.device))
    value = loss.item()
    if not math.isfinite(value):
        raise InputError(
            f"training: the loss became {value} at a learning rate of {rate:.2g}; {LOWER}"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return value


def judge(net: nn.Module, val: Data, weights: np.ndarray, on: Machine) -> dict[str, float]:
    """Validation loss, weighted as in training, and the macro AUROC of the findings it has.

    Raises:
        InputError: the loss is no number.
    """
    logits = nets.infer(net, val.in_order(FILMS_A_STEP), on)
    truth = torch.from_numpy(val.labels.astype(np.float32))
    loss = losses.bce(torch.from_numpy(logits), truth, torch.from_numpy(weights)).item()
    if not math.isfinite(loss):
        raise InputError(f"training: the validation loss became {loss}; {LOWER}")
    columns = range(val.labels.shape[1])
    areas = [metrics.auroc(val.labels[:, k], logits[:, k]) for k in columns]
    defined = [area for area in areas if not math.isnan(area)]
    return {"val_loss": loss, "val_auroc_macro": float(np.mean(defined)) if defined else math.nan}
