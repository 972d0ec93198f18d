"""Train a U-Net to find the lungs, on phantoms whose lungs are known."""

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import segmentation_models_pytorch as smp
import torch
from PIL import Image

from ribcage import lungs, nets, segmenting
from ribcage.disguise import Disguise
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.progress import Progress, say
from ribcage.schedules import shuffled

HELD_OUT = 200
"""Test phantoms on which Dice is measured."""


def read_pairs(share: Path, names: set[str], size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Read films and masks by name, in the order of the archives.

    Returns:
        uint8 [n, size, size] and bool [n, size, size].
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
    return np.stack(films), np.stack(masks)


def names_on(share: Path, side: str, at_most: int, rng: np.random.Generator) -> set[str]:
    """Draw films from an official list, without those on a blacklist."""
    named = set((share / f"{side}_list.txt").read_text(encoding="utf-8").split())
    for path in (share / "blacklists").glob("*.csv"):
        named -= set(path.read_text(encoding="utf-8").split())
    chosen = sorted(named)
    rng.shuffle(chosen)
    return set(chosen[:at_most])


def batches(
    films: np.ndarray, masks: np.ndarray, batch_size: int, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield disguised films, normalised float32 [n, 1, h, w], and their masks, for ever."""
    disguise = Disguise(rng)
    for chosen in shuffled(len(films), batch_size, rng):
        pairs = [disguise(films[k], masks[k]) for k in chosen]
        seen = nets.normalise(torch.from_numpy(np.stack([film for film, _ in pairs])) * 255)
        truth = torch.from_numpy(np.stack([mask for _, mask in pairs]).astype(np.float32))
        yield seen.contiguous(memory_format=torch.channels_last), truth.unsqueeze(1)


def dice_of(
    net: torch.nn.Module, films: np.ndarray, masks: np.ndarray, on: nets.Machine
) -> np.ndarray:
    """Dice of the cleaned masks against the true ones, float [n]."""
    net.eval()
    found = []
    for start in range(0, len(films), 32):
        one, two = segmenting.probabilities(net, films[start : start + 32], on)
        for given, truth in zip((one + two) / 2, masks[start : start + 32], strict=True):
            large = np.asarray(Image.fromarray(truth).resize((lungs.MASK_SIDE,) * 2)) > 0
            found.append(lungs.dice(lungs.clean(given), large))
    return np.array(found)


def main(
    share: Path,
    segmenter: Path,
    encoder: str,
    size_px: int,
    films: int,
    samples: int,
    batch_size: int,
    lr: float,
    seed: int,
    threads: int = 1,
) -> None:
    """Write `models/segmenter/`: weights, config, history and metrics.

    Args:
        share: phantoms with lung masks, in NIH's layout.
        segmenter: the folder to write.
        encoder: of the U-Net, by its name in segmentation-models-pytorch.
        size_px: side at which it sees films.
        films: films of the train_val list to learn from at the most.
        samples: disguised films seen in all.
        batch_size: films a step.
        lr: first learning rate of the cosine.
        seed: of weights, order and disguises.
        threads: of the CPU.
    """
    on = nets.machine(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learn = read_pairs(share, names_on(share, "train_val", films, rng), size_px)
    held = read_pairs(share, names_on(share, "test", HELD_OUT, rng), size_px)
    net = on.place(segmenting.build(encoder))
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=1e-2)
    steps = math.ceil(samples / batch_size)
    judged = {max(1, round(steps * k / 4)) for k in range(1, 5)}
    progress = Progress(steps * batch_size, "films")
    source = batches(*learn, batch_size, rng)
    history = []
    total, count = 0.0, 0
    for number in range(1, steps + 1):
        warm = min(1.0, number / max(steps * 0.05, 1))
        for group in optimizer.param_groups:
            group["lr"] = lr * warm * (1 + math.cos(math.pi * number / steps)) / 2
        net.train()
        seen, truth = (part.to(on.device) for part in next(source))
        with on.autocast():
            loss = segmenting.loss_of(net(seen), truth)
        if not torch.isfinite(loss):
            raise InputError(f"segmenter loss became {loss.item()} at step {number}; lower the lr")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, count = total + loss.item(), count + 1
        progress.add(batch_size, f"loss {total / count:.4f}")
        if number in judged:
            dice = dice_of(net, *held, on)
            history.append((number, number * batch_size, total / count, dice.mean()))
            say(f"step {number}/{steps}: loss {total / count:.4f}, held-out Dice {dice.mean():.4f}")
            total, count = 0.0, 0
    segmenter.mkdir()
    config = {
        "architecture": "segmentation_models_pytorch.Unet",
        "encoder": encoder,
        "decoder_channels": segmenting.DECODER,
        "size_px": size_px,
        "normalisation": nets.NORMALISATION,
        "settings": {"films": films, "samples": samples, "batch_size": batch_size, "lr": lr},
        "seed": seed,
        "n_train_films": len(learn[0]),
        "device": on.device.type,
        "precision": "bfloat16 autocast" if on.bf16 else "float32",
        "versions": {"torch": torch.__version__, "segmentation_models_pytorch": smp.__version__},
    }
    nets.save(net, config, segmenter)
    table = pd.DataFrame(history, columns=["step", "samples", "loss", "dice"])
    table.to_csv(segmenter / "history.csv", index=False, float_format="%.6g", lineterminator="\n")
    scores = {"dice_mean": round(float(dice.mean()), 6), "dice_min": round(float(dice.min()), 6)}
    scores["films"] = len(dice)
    (segmenter / "metrics.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
