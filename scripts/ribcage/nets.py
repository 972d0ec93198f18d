"""Networks: DenseNet-121 with one linear head a finding; saved, and strictly loaded."""

import json
from pathlib import Path
from typing import Any

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
        logits: torch.Tensor = self.classifier(self.maps(films).mean(dim=(2, 3)))
        return logits


def build(init: str, log_odds: np.ndarray) -> DenseNet121:
    """Make a network whose head starts at the log odds of each finding.

    Args:
        init: `none`; `imagenet`, torchvision's weights, downloaded and checked by their hash; or
            a `.safetensors` file of a Ribcage model.
        log_odds: [14], what the head's biases start at.

    Raises:
        InputError: the weights cannot be had or do not fit.
    """
    net = DenseNet121()
    if init == "imagenet":
        _load_imagenet(net)
    elif init != "none":
        load_strictly(net, Path(init))
    with torch.no_grad():
        net.classifier.bias.copy_(torch.from_numpy(log_odds))
    return net


def _load_imagenet(net: DenseNet121) -> None:
    weights = torchvision.models.DenseNet121_Weights.IMAGENET1K_V1
    try:
        # Torchvision checks the hash in the file's name; nothing is unpickled but tensors.
        state = torchvision.models.densenet121(weights=weights).features.state_dict()
    except OSError as error:  # URLError is one
        raise InputError(
            f"init: imagenet needs {weights.url}, which cannot be fetched ({error}); put that file "
            f"into {torch.hub.get_dir()}/checkpoints, or set init: none"
        ) from error
    state["conv0.weight"] = state["conv0.weight"].sum(dim=1, keepdim=True)
    net.features.load_state_dict(state)


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


def save(net: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Write weights and readable JSON; a model on disk is nothing else."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, folder / WEIGHTS)
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
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: is not JSON ({error})") from error
    check_classes(config.get("classes", ()), str(path))
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
