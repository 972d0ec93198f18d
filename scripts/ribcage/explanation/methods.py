"""Six ways to ask a network where on a film it finds the evidence for one finding.

`cam` is exact for a network that ends in ReLU, the mean over the cells of its last maps f_k, and
one linear layer, because that network adds each logit up from its cells. With

    map_c(cell) = sum over k of w_ck * f_k(cell) / number of cells

the sum of map_c over its cells is exactly logit_c - bias_c. (Zhou et al., Learning Deep Features
for Discriminative Localization, CVPR 2016; they leave the division out.) The Grad-CAM family asks
the gradient at an earlier layer instead, whose cells are smaller and whose answer is approximate.
`occlusion` hides parts of the film and trusts the logits alone.

A map's cells tile the square of the film that the network was shown. The network sees far beyond a
cell's own footprint, so a map is never sharper than its cells.

The paths are our own, and the tests hold them against captum. It has neither Grad-CAM++ nor
LayerCAM, which need what Grad-CAM needs; its guided backpropagation sees modules alone, and so
would leave out the ReLU at this network's end; its occlusion gives pixels for cells.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ribcage import nets

METHODS = ("cam", "grad_cam", "grad_cam_pp", "layer_cam", "guided_grad_cam", "occlusion")
LAYERS = ("denseblock1", "denseblock2", "denseblock3", "denseblock4")
"""Their cells are 4, 8, 16 and 32 px of what the network is shown."""
FINEST_PX = 4
"""conv0 and pool0 step over the film by so many pixels."""


class Occlusion(NamedTuple):
    """What `occlusion` hides.

    Attributes:
        window: side of the hidden square, as a share of the film's side.
        stride: step from one hidden square to the next, likewise; also the side of a cell.
    """

    window: float
    stride: float


def class_maps(net: nets.DenseNet121, films: np.ndarray) -> np.ndarray:
    """Compute the class activation maps of every finding, of films as the network learnt them.

    Args:
        net: in evaluation mode, on the CPU.
        films: uint8 [n, size, size], from a shard.

    Returns:
        float32 [n, findings, h, w] in logits; the sum over h and w is logit minus bias.
    """
    with torch.inference_mode():
        features = net.maps(nets.normalise(torch.from_numpy(films)))
        cells = features.shape[2] * features.shape[3]
        maps = torch.einsum("nkhw,ck->nchw", features, net.classifier.weight) / cells
    return maps.numpy()


def explain(
    net: nets.DenseNet121,
    films: np.ndarray,
    findings: np.ndarray,
    method: str,
    layer: str,
    occlusion: Occlusion,
) -> np.ndarray:
    """Compute one map a film, each of its own finding; on one thread, the same bytes each time.

    Args:
        net: in evaluation mode, on the CPU.
        films: uint8 [n, size, size], one at least, from a shard; all are held at once, so that who
            asks for many asks in parts, as `explainer` does.
        findings: int [n], the index of the finding that is asked of each film.
        method: one of `METHODS`.
        layer: one of `LAYERS`, for the Grad-CAM family.
        occlusion: what the method of that name hides.

    Returns:
        float32 [n, h, w], higher where more speaks for the finding. `cam`: logits, which sum to
        logit minus bias, negative where a cell speaks against it. `occlusion`: logits that are lost
        when a cell is hidden. The others: not below 0, and comparable within one map alone.

    Raises:
        ValueError: there is no such method or layer.
    """
    if method not in METHODS or layer not in LAYERS:
        raise ValueError(f"no method {method!r} at {layer!r}; there are {METHODS} at {LAYERS}")
    if method == "cam":
        return class_maps(net, films)[np.arange(len(films)), findings]
    seen = nets.normalise(torch.from_numpy(films))
    of = torch.from_numpy(np.asarray(findings, np.int64))
    if method == "occlusion":
        maps = occluded(net, seen, of, occlusion)
    elif method == "guided_grad_cam":
        maps = guided_grad_cam(net, seen, of, layer)
    else:
        maps = GRADIENT_METHODS[method](*activations(net, seen, of, layer))
    return maps.numpy()


def _asked(logits: torch.Tensor, findings: torch.Tensor) -> torch.Tensor:
    """The logit [n] that is asked of each film.

    In evaluation mode no film touches another: one gradient of their sum is that of each film.
    """
    return logits.gather(1, findings[:, None])[:, 0]


def _split(
    net: nets.DenseNet121, layer: str
) -> tuple[nn.Sequential, Callable[[torch.Tensor], torch.Tensor]]:
    """Cut a network behind the rectified maps of a layer: up to them, and from them to logits.

    A dense block's own output is not rectified, while the methods take a map for the presence of
    something. What follows the block normalises and rectifies it first: those maps are taken
    (measured: 68 % of peaks in boxes at denseblock2, instead of 65 %).
    """
    parts = dict(net.features.named_children())
    after = list(parts)[list(parts).index(layer) + 1 :]
    below = [part for name, part in parts.items() if name not in after]
    first, *rest = (parts[name] for name in after)
    if layer == LAYERS[-1]:
        return nn.Sequential(*below, first, nn.ReLU()), lambda maps: net.classifier(
            maps.mean(dim=(2, 3))
        )
    above = nn.Sequential(first.conv, first.pool, *rest, nn.ReLU())
    return nn.Sequential(*below, first.norm, nn.ReLU()), lambda maps: net.classifier(
        above(maps).mean(dim=(2, 3))
    )


def activations(
    net: nets.DenseNet121, seen: torch.Tensor, findings: torch.Tensor, layer: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's rectified maps of each film, and the gradient of its finding's logit there.

    Args:
        net: in evaluation mode.
        seen: normalised films [n, 1, size, size].
        findings: int64 [n].
        layer: one of `LAYERS`.

    Returns:
        Both [n, channels, h, w].
    """
    below, above = _split(net, layer)
    with torch.no_grad():  # what lies below the layer needs no graph, and no memory for one
        maps = below(seen)
    maps.requires_grad_()
    (slopes,) = torch.autograd.grad(_asked(above(maps), findings).sum(), maps)
    return maps.detach(), slopes


def grad_cam(maps: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Weigh each channel by its mean gradient, and keep what speaks for the finding.

    Selvaraju et al., Grad-CAM, ICCV 2017. At denseblock4 it is the positive part of `cam`.
    """
    weights = slopes.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(dim=1))


def grad_cam_pp(maps: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Weigh each channel by its positive gradients, each the more the rarer its channel is active.

    Chattopadhay et al., Grad-CAM++, WACV 2018, with their closed form for the exponential of the
    logit, g^2 / (2 g^2 + g^3 sum(f)) a cell. Only positive gradients g count, for which that is
    1 / (2 + g sum(f)), never a division by 0. The exponential itself would scale a map as a whole
    and is left out.
    """
    towards = torch.relu(slopes)
    active = maps.sum(dim=(2, 3), keepdim=True)
    weights = (towards / (2 + towards * active)).sum(dim=(2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(dim=1))


def layer_cam(maps: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Weigh each cell of each channel by its own positive gradient.

    Jiang et al., LayerCAM, IEEE Transactions on Image Processing 2021.
    """
    return (torch.relu(slopes) * maps).sum(dim=1)


GRADIENT_METHODS = {"grad_cam": grad_cam, "grad_cam_pp": grad_cam_pp, "layer_cam": layer_cam}


class _GuidedReLU(torch.autograd.Function):
    """ReLU that lets only positive gradients back through what was positive."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        ctx.save_for_backward(given)
        return given.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        (given,) = ctx.saved_tensors
        return slope.clamp(min=0) * (given > 0)


class Guided(TorchFunctionMode):
    """Guides every ReLU that is called inside, in place or not, a module's or a function's."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func in (torch.relu, nn.functional.relu):
            return _GuidedReLU.apply(args[0])
        return func(*args, **(kwargs or {}))


def guided_gradients(
    net: nets.DenseNet121, seen: torch.Tensor, findings: torch.Tensor
) -> torch.Tensor:
    """Guided backpropagation to the film's pixels, [n, 1, size, size].

    Springenberg et al., Striving for Simplicity, ICLR 2015. Positive where a brighter pixel, and
    negative where a darker one, would speak for the finding.
    """
    seen = seen.clone().requires_grad_()
    with Guided():
        asked = _asked(net(seen), findings).sum()
    (slopes,) = torch.autograd.grad(asked, seen)
    return slopes


def guided_grad_cam(
    net: nets.DenseNet121, seen: torch.Tensor, findings: torch.Tensor, layer: str
) -> torch.Tensor:
    """Guided backpropagation where Grad-CAM lets it through, [n, size / 4, size / 4].

    Selvaraju et al., Grad-CAM, ICCV 2017. Of the pixels' values the magnitude counts, since dark
    evidence is evidence as well, and its mean over 4 x 4 px: the first layers step by 4 px, which
    leaves a checkerboard of that size in the gradient.
    """
    pixels = guided_gradients(net, seen, findings).abs()
    coarse = grad_cam(*activations(net, seen, findings, layer))[:, None]
    size = pixels.shape[-1]
    through = nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    grid = max(size // FINEST_PX, 1)
    return nn.functional.adaptive_avg_pool2d(pixels * through, grid)[:, 0]


def occluded(
    net: nets.DenseNet121, seen: torch.Tensor, findings: torch.Tensor, occlusion: Occlusion
) -> torch.Tensor:
    """Hide one square after the other, and see how much of the logit goes with it.

    Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014. Hidden is
    painted in 0, the film's own mean, after the film was normalised: normalised again, every other
    pixel would change as well, and the logits lost would be theirs too.

    Args:
        net: in evaluation mode.
        seen: normalised films [n, 1, size, size].
        findings: int64 [n].
        occlusion: the hidden square is as many whole cells as come nearest to its window.

    Returns:
        [n, h, w], h = w = 1 / stride to the nearest cell: of each cell, the mean of the logits that
        are lost over the hidden squares that hold it.
    """
    size = seen.shape[-1]
    cells = min(max(round(1 / occlusion.stride), 1), size)
    span = min(max(round(occlusion.window * cells), 1), cells)
    edges = [round(cell * size / cells) for cell in range(cells + 1)]
    lost, times = torch.zeros(len(seen), cells, cells), torch.zeros(cells, cells)
    with torch.inference_mode():
        before = _asked(net(seen), findings)
        for row, column in np.ndindex(cells - span + 1, cells - span + 1):
            hidden = seen.clone()
            down, along = edges[row], edges[column]
            hidden[:, :, down : edges[row + span], along : edges[column + span]] = 0
            gone = before - _asked(net(hidden), findings)
            lost[:, row : row + span, column : column + span] += gone[:, None, None]
            times[row : row + span, column : column + span] += 1
    return lost / times
