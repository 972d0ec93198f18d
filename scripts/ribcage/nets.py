"""Networks: DenseNet-121 with one linear head a finding; where it runs; saved, strictly loaded."""

import json
import os
import pickle
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ribcage.errors import InputError
from ribcage.findings import FINDINGS, check_classes

WEIGHTS, CONFIG = "weights.safetensors", "config.json"
NORMALISATION = "each film to mean 0 and standard deviation 1"

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
    """Choose device and precision, and set what makes a run the same twice on one machine.

    Args:
        threads: of the CPU. Sums are split among them, so that another number rounds otherwise.
    """
    # cuBLAS reads this once, at its start; without it its sums differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if torch.cuda.is_available():
        return Machine(
            torch.device("cuda"), torch.cuda.is_bf16_supported(including_emulation=False)
        )
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return Machine(torch.device("cpu"), supported)


class DenseNet121(nn.Module):
    """Torchvision's DenseNet-121 for grey films.

    The first convolution has one input channel. For a grey film this is the same as three equal
    channels under weights that are summed over them, and it saves two thirds of that layer.
    """

    def __init__(self) -> None:
        super().__init__()
        stock = torchvision.models.densenet121(weights=None, num_classes=len(FINDINGS))
        stock.features.conv0 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(stock.features.conv0.weight)
        self.features = stock.features
        self.classifier = stock.classifier

    def maps(self, films: torch.Tensor) -> torch.Tensor:
        """The last maps, [n, 1024, h, w], after the ReLU and before the mean over their cells."""
        # Not in place: norm5's own output must survive for whoever hooks it.
        return torch.relu(self.features(films))

    def forward(self, films: torch.Tensor) -> torch.Tensor:
        """Logits [n, 14] of films [n, 1, h, w]."""
        means = self.maps(films).float().mean(dim=(2, 3))
        # Never in bfloat16: with its 8 bits 788 films had 250 different logits, and ranks tied.
        with torch.autocast(films.device.type, enabled=False):
            logits: torch.Tensor = self.classifier(means)
        return logits


def build(init: str, log_odds: np.ndarray) -> DenseNet121:
    """Make a network to train.

    Args:
        init: `none`; `imagenet`, torchvision's weights, downloaded and checked by their hash; or
            a `.safetensors` file of a Ribcage model, whose head is kept.
        log_odds: [14], what the biases of a new head start at.

    Raises:
        InputError: the weights cannot be had or do not fit.
    """
    net = DenseNet121()
    if init not in ("none", "imagenet"):
        load_strictly(net, Path(init))
        return net
    if init == "imagenet":
        _load_imagenet(net)
    with torch.no_grad():
        net.classifier.bias.copy_(torch.from_numpy(log_odds))
    return net


def _load_imagenet(net: DenseNet121) -> None:
    weights = torchvision.models.DenseNet121_Weights.IMAGENET1K_V1
    try:
        # Not by torchvision's builder, which would unpickle whatever the file holds.
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:  # URLError is an OSError
        raise InputError(
            f"init: imagenet needs {weights.url}, which cannot be had ({error}); put that file "
            f"into {torch.hub.get_dir()}/checkpoints, or set init: none"
        ) from error
    features = {
        # The file is older than torchvision's names: norm.1 is norm1 today.
        re.sub(r"(norm|conv)\.([12])\.", r"\1\2.", name.removeprefix("features.")): tensor
        for name, tensor in state.items()
        if name.startswith("features.")
    }
    features["conv0.weight"] = features["conv0.weight"].sum(dim=1, keepdim=True)
    net.features.load_state_dict(features)


def load_strictly(net: nn.Module, path: Path) -> None:
    """Load weights of which every name and shape must match.

    Raises:
        InputError: names the file and what does not match; a head is never left random.
    """
    try:
        state = load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there are no such weights") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from error
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:
        words = " ".join(str(error).split())
        raise InputError(f"{path}: does not fit the network: {words[:400]}") from error


def save(
    net: nn.Module, config: dict[str, Any], folder: Path, record: dict[str, str] | None = None
) -> None:
    """Write weights and readable JSON.

    Args:
        net: the network.
        config: what config.json says of it.
        folder: of the model.
        record: one entry at the most for the weights' own metadata, whose order is not kept.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, folder / WEIGHTS, record)
    text = json.dumps(config, indent=1, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[DenseNet121, dict[str, Any]]:
    """Read a model that train_classifier wrote: the network in evaluation mode, and its config.

    Raises:
        InputError: a file is absent, does not fit, or has other classes.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such model") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error})") from error
    known = config if isinstance(config, dict) else {}
    check_classes(known.get("classes", ()), str(path))
    for key, kind in (("view", str), ("size_px", int)):
        if not isinstance(known.get(key), kind):
            raise InputError(f"{path}: {key} is {known.get(key)!r}; train the model again")
    net = DenseNet121()
    load_strictly(net, folder / WEIGHTS)
    return net.eval(), config


def normalise(films: torch.Tensor) -> torch.Tensor:
    """Bring each film to mean 0 and standard deviation 1; a flat film to 0.

    Args:
        films: uint8 or float [n, h, w], on any device.

    Returns:
        float32 [n, 1, h, w].
    """
    films = films.float()
    spread, mean = torch.std_mean(films, dim=(1, 2), keepdim=True, correction=0)
    return ((films - mean) / spread.clamp(min=1.0)).unsqueeze(1)


def infer(net: nn.Module, batches: Iterable[np.ndarray], on: Machine) -> np.ndarray:
    """Say what a network makes of films as they are, without any augmentation.

    Args:
        net: on the machine already.
        batches: uint8 [n, h, w] each, one at least.
        on: where the network is.

    Returns:
        Logits, float32 [sum of n, 14], in order.
    """
    net.eval()
    parts = []
    with torch.inference_mode(), on.autocast():
        for films in batches:
            seen = normalise(torch.from_numpy(films).to(on.device))
            parts.append(net(seen.contiguous(memory_format=torch.channels_last)).cpu())
    return torch.cat(parts).numpy()
