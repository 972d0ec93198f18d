"""The network that finds lungs: its making, its loss, its views of a film."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ribcage import nets
from ribcage.errors import InputError

DECODER = (128, 64, 32, 16, 8)


def build(encoder: str) -> nn.Module:
    """A U-Net with one channel in, one out, and no pretrained weights.

    Raises:
        InputError: segmentation-models-pytorch has no encoder of this name.
    """
    import segmentation_models_pytorch as smp  # a second of imports that only two steps need

    try:
        return smp.Unet(
            encoder, encoder_weights=None, decoder_channels=DECODER, in_channels=1, classes=1
        )
    except KeyError as error:
        raise InputError(f"train_segmenter.encoder: there is no encoder {encoder!r}") from error


def load(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a model that train_segmenter wrote, strictly."""
    path = folder / nets.CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such segmenter") from error
    net = build(config["encoder"])
    nets.load_strictly(net, folder / nets.WEIGHTS)
    return net.eval(), config


def loss_of(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus soft Dice.

    Args:
        logits: [n, 1, h, w].
        masks: [n, 1, h, w] of 0 and 1.
    """
    logits = logits.float()
    given = torch.sigmoid(logits)
    overlap = 2 * (given * masks).sum(dim=(1, 2, 3)) + 1
    total = given.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3)) + 1
    bce = functional.binary_cross_entropy_with_logits(logits, masks)
    return bce + 1 - (overlap / total).mean()


def probabilities(
    net: nn.Module, films: np.ndarray, on: nets.Machine
) -> tuple[np.ndarray, np.ndarray]:
    """Where the lungs are, seen straight and in the mirror.

    Args:
        net: the segmenter.
        films: uint8 [n, s, s].
        on: where the network is.

    Returns:
        Two float32 [n, s, s] in [0, 1]; their mean is the answer, their agreement tells how sure.
    """
    batch = nets.normalise(torch.from_numpy(films).to(on.device))
    batch = batch.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), on.autocast():
        straight = torch.sigmoid(net(batch).float())
        mirrored = torch.sigmoid(net(batch.flip(3)).float()).flip(3)
    return straight[:, 0].cpu().numpy(), mirrored[:, 0].cpu().numpy()
