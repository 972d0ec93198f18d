"""The network that finds lungs: its making, foreign weights, its loss, its views of a film."""

import hashlib
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from ribcage import nets
from ribcage.errors import InputError

DECODER = (128, 64, 32, 16, 8)
"""Half the library's own channels: a film's lungs are two large, smooth parts."""
MAX_WEIGHTS_BYTES = 4 << 30
"""A U-Net with the largest encoder has a tenth of it."""

State = dict[str, torch.Tensor]


def build(
    encoder: str, architecture: str = "unet", decoder_channels: Sequence[int] = DECODER
) -> nn.Module:
    """A network with one channel in, one out, and no pretrained weights.

    Args:
        encoder: by its name in segmentation-models-pytorch.
        architecture: `unet` or `pspnet`, as that library builds them.
        decoder_channels: of the U-Net's five blocks, the coarsest first; a PSPNet has none.

    Raises:
        InputError: segmentation-models-pytorch has no encoder of this name, or this module no
            such architecture.
    """
    import segmentation_models_pytorch as smp  # a second of imports that only two steps need

    options: dict[str, Any] = {"encoder_weights": None, "in_channels": 1, "classes": 1}
    try:
        if architecture == "pspnet":
            return smp.PSPNet(encoder, **options)
        if architecture == "unet":
            return smp.Unet(encoder, decoder_channels=tuple(decoder_channels), **options)
    except KeyError as error:
        raise InputError(f"train_segmenter.encoder: there is no encoder {encoder!r}") from error
    raise InputError(
        f"train_segmenter.architecture: there is no {architecture!r}; train the segmenter again "
        "with unet or pspnet"
    )


def load(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a model that train_segmenter wrote, strictly.

    Raises:
        InputError: a file is absent, is no JSON, or does not fit.
    """
    path = folder / nets.CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such segmenter") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); train the segmenter again") from error
    try:
        net = build(config["encoder"], config["architecture"], config["decoder_channels"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: is no segmenter's; train the segmenter again") from error
    nets.load_strictly(net, folder / nets.WEIGHTS)
    return net.eval(), config


def import_weights(net: nn.Module, path: Path) -> dict[str, Any]:
    """Take weights that somebody else has trained for the same architecture.

    Every name and shape must fit. The one exception is a first convolution of three channels: for
    a grey film it is the same as one channel with the three weights summed. Most such networks
    were trained on ImageNet's normalisation, which for an ordinary film is near to ours (mean 0,
    standard deviation 1) and not equal to it: a few hundred samples of training mend that.

    Args:
        net: the network to fill.
        path: a `.safetensors` file, or a `.pt` or `.pth` file that holds a plain state dict.

    Returns:
        What the config says of their origin: file, bytes, sha256.

    Raises:
        InputError: one sentence with what does not fit.
    """
    state = _read_state(path)
    own = net.state_dict()
    for name, tensor in state.items():
        if name in own and tensor.ndim == 4 and (tensor.shape[1], own[name].shape[1]) == (3, 1):
            state[name] = tensor.sum(dim=1, keepdim=True)
    if problem := _misfit(state, own):
        raise InputError(f"{path}: does not fit the segmenter: {problem}")
    net.load_state_dict(state, strict=True)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": str(path), "bytes": path.stat().st_size, "sha256": sha256}


def _read_state(path: Path) -> State:
    try:
        if path.stat().st_size > MAX_WEIGHTS_BYTES:
            raise InputError(f"{path}: larger than {MAX_WEIGHTS_BYTES >> 30} GiB; no segmenter is")
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:  # weights_only: tensors are read, and nothing that the file may hold is run
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there are no such weights; see train_segmenter.init") from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        if isinstance(error, InputError):
            raise
        words = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: holds no weights alone ({words}); save a plain state_dict()"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        held = (
            ", ".join(map(str, list(state)[:5]))
            if isinstance(state, dict)
            else type(state).__name__
        )
        raise InputError(
            f"{path}: holds {held} and not a state dict alone; save the network's state_dict()"
        )
    return dict(state)


def _misfit(state: State, own: State) -> str:
    """What differs between two state dicts, in a few words; nothing where they fit."""
    lacking = sorted(own.keys() - state.keys())
    besides = sorted(state.keys() - own.keys())
    shared = [name for name in own if name in state]
    shaped = [name for name in shared if state[name].shape != own[name].shape]
    broken = [n for n in shared if state[n].is_floating_point() and not state[n].isfinite().all()]
    shapes = [f"{n} is {[*state[n].shape]} and not {[*own[n].shape]}" for n in shaped]
    parts = [
        _some("it lacks ", lacking),
        _some("it has ", besides, " besides"),
        _some("", shapes),
        _some("not finite: ", broken),
    ]
    return "; ".join(filter(None, parts))


def _some(before: str, names: list[str], after: str = "") -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{before}{', '.join(names[:3])}{more}{after}" if names else ""


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
