"""One model, asked about films: the maps of a film's findings, by any method."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ribcage import nets
from ribcage.errors import InputError
from ribcage.explanation.methods import Occlusion, class_maps, explain
from ribcage.findings import FINDINGS
from ribcage.progress import Progress
from ribcage.shards import Shards

FILMS_A_STEP = 16
SAME_PROBABILITY = 0.1
"""bfloat16 moves a probability by at most 0.011 (measured); a wrong film or model by far more."""

Asked = Sequence[tuple[str, str]]
"""Films and the finding that is asked of each."""
Maps = dict[tuple[str, str], np.ndarray]
"""The cells [h, w] of each."""


class Explainer(NamedTuple):
    """A model with what it is asked about, and how.

    Attributes:
        net: in evaluation mode, on the CPU.
        shards: its films.
        every: the class activation maps of all findings, float32 [14, h, w], of each film that is
            asked about.
        layer: for the Grad-CAM family.
        occlusion: what the method of that name hides.
    """

    net: nets.DenseNet121
    shards: Shards
    every: dict[str, np.ndarray]
    layer: str
    occlusion: Occlusion

    def films(self, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
        """The films that are asked about, uint8 [n, size, size], and their findings, int [n]."""
        at = self.shards.rows([image for image, _ in asked], "cams")
        return self.shards.take(at), np.array([FINDINGS.index(finding) for _, finding in asked])

    def maps(self, asked: Asked, method: str) -> Maps:
        """One map a film, of the finding that is asked."""
        if method == "cam":
            return {pair: self.every[pair[0]][FINDINGS.index(pair[1])] for pair in asked}
        made: Maps = {}
        progress = Progress(len(asked), "films")
        for start in range(0, len(asked), FILMS_A_STEP):
            part = asked[start : start + FILMS_A_STEP]
            films, findings = self.films(part)
            cells = explain(self.net, films, findings, method, self.layer, self.occlusion)
            made |= zip(part, cells, strict=True)
            progress.add(len(part), method)
        return made


def compute_maps(
    net: nets.DenseNet121, shards: Shards, images: list[str], where: str
) -> dict[str, np.ndarray]:
    """Compute the class activation maps of some films, float32 [14, h, w] each."""
    positions = shards.rows(images, where)
    maps: dict[str, np.ndarray] = {}
    progress = Progress(len(images), "films")
    for start in range(0, len(images), FILMS_A_STEP):
        part = positions[start : start + FILMS_A_STEP]
        maps |= zip(images[start:], class_maps(net, shards.take(part)), strict=False)
        progress.add(len(part), "cam")
    return maps


def check_same_model(
    net: nets.DenseNet121, maps: dict[str, np.ndarray], test: pd.DataFrame, where: Path
) -> None:
    """Refuse maps that do not add up to the probabilities beside which they are shown."""
    bias = net.classifier.bias.detach().numpy()
    given = test.set_index("image").loc[list(maps), list(FINDINGS)].to_numpy()
    logits = np.array([one.sum(axis=(1, 2)) for one in maps.values()]).reshape(given.shape) + bias
    gap = np.abs(1 / (1 + np.exp(-logits)) - given).max(initial=0)
    if not gap < SAME_PROBABILITY:
        raise InputError(
            f"{where}: its probabilities are up to {gap:.2f} off what the model says of the same "
            "films; predict again"
        )
