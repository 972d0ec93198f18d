"""A network whose evidence is known: bright speaks for one finding, dark for another."""

import numpy as np
import torch
from torch import nn
from torchvision.models import DenseNet

from ribcage import nets

SIZE = 128
BRIGHT, DARK, NEITHER, AGAINST = 4, 5, 6, 7
"""The findings that read bright, dark, nothing at all, and bright with the opposite sign."""


def wired() -> nets.DenseNet121:
    """A DenseNet that hands two channels, what is bright and what is dark, to its head.

    Of one layer a block instead of 58 in all, since they add nothing here but time.
    """
    net = nets.DenseNet121()
    shallow = DenseNet(block_config=(1, 1, 1, 1), num_classes=14)
    shallow.features.conv0 = net.features.conv0
    net.features, net.classifier = shallow.features, shallow.classifier
    net.eval()
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.zero_()
            if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1):
                # The two channels lead through each transition; a dense layer's second convolution
                # stays zero, so that the layers add nothing to them.
                part.weight[0, 0] = part.weight[1, 1] = 1
        net.features.conv0.weight[0, 0] = 1 / 49
        net.features.conv0.weight[1, 0] = -1 / 49
        net.classifier.weight.zero_()
        net.classifier.bias.fill_(-1)
        net.classifier.weight[BRIGHT, 0] = net.classifier.weight[DARK, 1] = 16
        net.classifier.weight[AGAINST, 0] = -16
    return net


def planted(bright: tuple[int, int], dark: tuple[int, int]) -> np.ndarray:
    """A grey film with a bright and a dark square, of 4 x 4 cells each [row, column]."""
    film = np.random.default_rng(0).integers(118, 123, (SIZE, SIZE)).astype(np.uint8)
    for (row, column), grey in ((bright, 200), (dark, 40)):
        film[32 * row + 4 : 32 * row + 28, 32 * column + 4 : 32 * column + 28] = grey
    return film


PLACES = [((0, 0), (2, 3)), ((1, 2), (3, 0)), ((3, 3), (1, 1)), ((2, 0), (0, 2))]


def films() -> np.ndarray:
    """Four films, uint8 [4, SIZE, SIZE], with the squares of `PLACES`."""
    return np.stack([planted(*places) for places in PLACES])


def random_net():
    """An untrained network whose logits differ between films, and whose norms are not neutral."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = nets.build("none", np.linspace(-3, 1, 14).astype(np.float32))
    with torch.no_grad():
        made.classifier.weight.mul_(20)
        made.train()(torch.randn(8, 1, 64, 64))
    return made.eval()
