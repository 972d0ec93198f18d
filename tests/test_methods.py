import copy

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from planted import AGAINST, BRIGHT, DARK, NEITHER, PLACES, films, random_net, wired
from ribcage import nets
from ribcage.explanation import methods
from ribcage.explanation.methods import LAYERS, METHODS, Occlusion, class_maps, explain

HIDE = Occlusion(window=0.25, stride=0.25)
AT_A_LAYER = ("grad_cam", "grad_cam_pp", "layer_cam", "guided_grad_cam")
ALL = [
    (name, layer) for name in METHODS for layer in (LAYERS if name in AT_A_LAYER else LAYERS[:1])
]


@pytest.fixture(scope="module")
def net():
    return random_net()


@pytest.fixture(scope="module")
def simple():
    torch.set_num_threads(1)
    return wired()


def some_films(n, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


def logits_of(net, shown):
    with torch.inference_mode():
        return net(nets.normalise(torch.from_numpy(shown))).numpy()


def peak_cell(one):
    """The cell of 4 x 4 in which a map has its peak."""
    at = np.unravel_index(one.argmax(), one.shape)
    return tuple(4 * index // side for index, side in zip(at, one.shape, strict=True))


@pytest.mark.parametrize("size", [64, 96, 160])
def test_a_class_map_sums_to_its_logit_without_the_bias(net, size):
    shown = some_films(3, size)
    maps = class_maps(net, shown)
    assert maps.shape == (3, 14, size // 32, size // 32) and maps.dtype == np.float32
    logits, bias = logits_of(net, shown), net.classifier.bias.detach().numpy()
    assert np.ptp(logits - bias) > 1
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), logits - bias, atol=1e-4)


def test_each_class_map_uses_its_own_row_of_the_weights(net):
    shown = some_films(2, 96)
    before, order = class_maps(net, shown), np.roll(np.arange(14), 3)
    swapped = copy.deepcopy(net)
    with torch.no_grad():
        swapped.classifier.weight.copy_(net.classifier.weight[order])
    np.testing.assert_allclose(class_maps(swapped, shown), before[:, order], atol=1e-5)


@pytest.mark.parametrize(("method", "layer"), ALL)
def test_every_map_peaks_at_what_its_own_finding_reads(simple, method, layer):
    shown = np.repeat(films(), 2, axis=0)
    asked = np.tile([BRIGHT, DARK], len(PLACES))
    maps = explain(simple, shown, asked, method, layer, HIDE)
    places = [place for both in PLACES for place in both]
    for one, place in zip(maps, places, strict=True):
        assert peak_cell(one) == place
        # Most evidence lies there, and next to nothing in the other finding's square.
        coarse = one.reshape(4, len(one) // 4, 4, -1).mean(axis=(1, 3)).clip(min=0)
        other = next(both[both[0] == place] for both in PLACES if place in both)
        assert coarse[place] > 0.6 * coarse.sum() and coarse[other] < 0.1 * coarse[place]


@pytest.mark.parametrize(("method", "layer"), ALL)
def test_what_a_finding_does_not_read_leaves_no_map(simple, method, layer):
    assert not explain(simple, films(), np.full(4, NEITHER), method, layer, HIDE).any()
    towards = explain(simple, films(), np.full(4, BRIGHT), method, layer, HIDE)
    against = explain(simple, films(), np.full(4, AGAINST), method, layer, HIDE)
    assert against.max() <= 0.02 * towards.max()
    if method in ("cam", "occlusion"):
        np.testing.assert_allclose(against, -towards, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_the_same_bytes_each_time_and_each_film_stands_alone(net, method):
    shown, asked = some_films(5, 64), np.array([0, 3, 3, 7, 13])
    hide = Occlusion(0.5, 0.5)
    maps = explain(net, shown, asked, method, "denseblock3", hide)
    again = explain(net, shown, asked, method, "denseblock3", hide)
    assert maps.dtype == np.float32 and maps.ndim == 3 and np.isfinite(maps).all()
    assert maps.tobytes() == again.tobytes()
    parts = [slice(0, 2), slice(2, 5)]
    steps = [explain(net, shown[of], asked[of], method, "denseblock3", hide) for of in parts]
    np.testing.assert_allclose(np.concatenate(steps), maps, atol=1e-3 * np.abs(maps).max())
    if method not in ("cam", "occlusion"):
        assert maps.min() >= 0
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_cells_side_is_that_of_its_layer(net):
    for layer, cells in zip(LAYERS, (16, 8, 4, 2), strict=True):
        maps = explain(net, some_films(1, 64), np.array([2]), "layer_cam", layer, HIDE)
        assert maps.shape == (1, cells, cells)


def test_grad_cam_at_the_last_maps_is_what_speaks_for_a_finding_in_cam(net):
    shown, asked = some_films(4, 96), np.array([1, 5, 9, 12])
    cam = explain(net, shown, asked, "cam", LAYERS[0], HIDE)
    last = explain(net, shown, asked, "grad_cam", "denseblock4", HIDE)
    assert last.any() and (cam < 0).any()
    np.testing.assert_allclose(last, np.maximum(cam, 0), atol=1e-5 * np.abs(cam).max())


class AsModules(nn.Module):
    """The same network as captum wants it: each ReLU a module of its own, none in place."""

    def __init__(self, net):
        super().__init__()
        self.features = copy.deepcopy(net.features)
        self.classifier = copy.deepcopy(net.classifier)
        self.last = nn.ReLU()
        for part in self.modules():
            if isinstance(part, nn.ReLU):
                part.inplace = False

    def forward(self, seen):
        return self.classifier(self.last(self.features(seen)).mean(dim=(2, 3)))

    def relu_behind(self, layer):
        number = int(layer[-1])
        return self.last if number == 4 else getattr(self.features, f"transition{number}").relu


@pytest.fixture(scope="module")
def asked_of_captum(net):
    shown = some_films(3, 64, seed=4)
    return AsModules(net), shown, nets.normalise(torch.from_numpy(shown)), np.array([2, 8, 11])


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_is_captums(net, asked_of_captum, layer):
    modules, shown, seen, asked = asked_of_captum
    oracle = captum.attr.LayerGradCam(modules, modules.relu_behind(layer))
    theirs = oracle.attribute(seen, torch.from_numpy(asked), relu_attributions=True)
    ours = explain(net, shown, asked, "grad_cam", layer, HIDE)
    theirs = theirs[:, 0].detach().numpy()
    assert ours.any()
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.max())


@pytest.mark.parametrize("layer", LAYERS)
def test_layer_cam_is_what_captum_sums_by_hand(net, asked_of_captum, layer):
    modules, shown, seen, asked = asked_of_captum
    oracle = captum.attr.LayerGradientXActivation(modules, modules.relu_behind(layer))
    product = oracle.attribute(seen, torch.from_numpy(asked)).detach()
    theirs = product.clamp(min=0).sum(dim=1).numpy()  # the maps are not below 0
    ours = explain(net, shown, asked, "layer_cam", layer, HIDE)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.max())


class Unseen(nn.Module):
    """A ReLU that is called as a function, as at the end of the pipeline's own network."""

    def forward(self, maps):
        return torch.relu(maps)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_guided_backpropagation_is_captums_down_to_the_last_relu(net, asked_of_captum):
    modules, _, seen, asked = asked_of_captum
    target = torch.from_numpy(asked)

    def by_captum(guided):
        return captum.attr.GuidedBackprop(guided).attribute(seen.clone().requires_grad_(), target)

    ours, theirs = methods.guided_gradients(net, seen, target), by_captum(modules).detach()
    top = float(theirs.abs().max())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * top)
    without = copy.deepcopy(modules)
    without.last = Unseen()
    assert (by_captum(without) - ours).abs().max() > 0.1 * top


@pytest.mark.parametrize("layer", LAYERS)
def test_guided_grad_cam_is_the_product_of_both(net, asked_of_captum, layer):
    modules, shown, seen, asked = asked_of_captum
    target = torch.from_numpy(asked)
    with pytest.warns(UserWarning, match="Setting backward hooks"):
        theirs = captum.attr.GuidedGradCam(modules, modules.relu_behind(layer)).attribute(
            seen.clone().requires_grad_(), target, interpolate_mode="bilinear"
        )
    pixels = theirs.detach()[:, 0].abs().numpy()
    cells = pixels.reshape(3, 16, 4, 16, 4).mean(axis=(2, 4))
    ours = explain(net, shown, asked, "guided_grad_cam", layer, HIDE)
    assert ours.any()
    np.testing.assert_allclose(ours, cells, atol=1e-4 * cells.max())


def test_guiding_leaves_the_network_as_it_was(net):
    shown = some_films(2, 64)
    before = logits_of(net, shown)
    with methods.Guided(), torch.no_grad():
        guided = net(nets.normalise(torch.from_numpy(shown))).numpy()
    np.testing.assert_allclose(guided, before, atol=1e-5)
    assert np.array_equal(logits_of(net, shown), before)


def test_grad_cam_pp_weighs_as_the_paper_does_for_the_exponential_of_a_logit():
    rng = np.random.default_rng(3)
    maps, slopes = rng.random((2, 5, 3, 3)), rng.normal(size=(2, 5, 3, 3))
    expected = np.zeros((2, 3, 3))
    for film, channel in np.ndindex(2, 5):
        f, g = maps[film, channel], slopes[film, channel]
        # Equation 19 with Y = exp(S): its derivatives are exp(S) times the powers of g.
        alpha = g**2 / (2 * g**2 + (f * g[:, :, None, None] ** 3).sum(axis=(2, 3)))
        expected[film] += (alpha * np.maximum(g, 0)).sum() * f
    ours = methods.grad_cam_pp(torch.from_numpy(maps), torch.from_numpy(slopes))
    np.testing.assert_allclose(ours.numpy(), np.maximum(expected, 0), rtol=1e-9)


@pytest.mark.parametrize(("window", "stride"), [(0.5, 0.25), (0.25, 0.25), (0.75, 0.25)])
def test_occlusion_is_captums(net, asked_of_captum, window, stride):
    modules, shown, seen, asked = asked_of_captum
    side, step = int(64 * window), int(64 * stride)
    theirs = captum.attr.Occlusion(modules).attribute(
        seen, (1, side, side), (1, step, step), target=torch.from_numpy(asked)
    )
    ours = explain(net, shown, asked, "occlusion", LAYERS[0], Occlusion(window, stride))
    theirs = theirs[:, 0, ::step, ::step].detach().numpy()
    assert ours.shape == (3, 64 // step, 64 // step)
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())


def test_what_is_hidden_does_not_change_the_rest_of_the_film(simple):
    lost = explain(simple, films(), np.full(4, BRIGHT), "occlusion", LAYERS[0], HIDE)
    logits = logits_of(simple, films())[:, BRIGHT] + 1
    for one, logit, (bright, _) in zip(lost, logits, PLACES, strict=True):
        assert one[bright] == pytest.approx(logit, rel=0.1)  # all its evidence was there
        rest = np.delete(one.ravel(), 4 * bright[0] + bright[1])
        assert np.abs(rest).max() < 0.05 * logit


@pytest.mark.parametrize(("window", "stride", "cells"), [(1, 1, 1), (0.3, 0.3, 3), (0.01, 0.2, 5)])
def test_occlusion_tiles_a_film_that_its_stride_does_not_divide(simple, window, stride, cells):
    hide = Occlusion(window, stride)
    maps = explain(simple, films(), np.full(4, BRIGHT), "occlusion", LAYERS[0], hide)
    assert maps.shape == (4, cells, cells) and np.isfinite(maps).all()


@pytest.mark.parametrize(("method", "layer"), [("gradcam", "denseblock4"), ("cam", "denseblock5")])
def test_what_does_not_exist_is_refused(simple, method, layer):
    with pytest.raises(ValueError, match="there are"):
        explain(simple, films(), np.zeros(4, int), method, layer, HIDE)
