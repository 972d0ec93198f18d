"""Whether maps may be believed at all, before anyone asks whether they are right.

A map that stays when the network forgets what it learnt shows edges of the film, not evidence. And
a network whose maps of most findings peak in the same corner of the film has found a mark there, or
the padding of its own convolutions, not fourteen findings.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr, t
from torch import nn

from ribcage import nets
from ribcage.explanation import methods
from ribcage.explanation.terms import SURVIVES
from ribcage.findings import FINDINGS

DRAWS = 5
"""Networks drawn anew, of each kind: one alone may by chance agree or disagree."""
SMALLEST_GRID = 3
"""With 2 cells a side every cell is a corner."""

Score = dict[str, float | int | None]
Draw = Callable[[nets.DenseNet121], nets.DenseNet121]


def new_head(net: nets.DenseNet121) -> nets.DenseNet121:
    """Copy a network, its head alone drawn anew by torch's own generator."""
    drawn = copy.deepcopy(net)
    drawn.classifier.reset_parameters()
    return drawn


def new_weights(net: nets.DenseNet121) -> nets.DenseNet121:
    """Copy a network as it was before it had learnt anything, by torch's own generator."""
    drawn = copy.deepcopy(net)
    for part in drawn.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
        elif isinstance(part, nn.BatchNorm2d | nn.Linear):
            part.reset_parameters()
    return drawn


def randomised(
    net: nets.DenseNet121,
    films: np.ndarray,
    findings: np.ndarray,
    method: str,
    layer: str,
    occlusion: methods.Occlusion,
    seed: int,
) -> dict[str, Any]:
    """Compare each film's map with those of the same network with weights drawn anew.

    Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018: Spearman's correlation of the
    cells. Maps of `cam` and `occlusion` are compared with their signs; those of the others are not
    below 0 and have none. A map that is equal in all its cells, as a rectified one is where nothing
    speaks for the finding, has no correlation and is left out.

    Args:
        net: in evaluation mode, on the CPU.
        films: uint8 [n, size, size], from a shard, a few dozen at the most.
        findings: int [n], the finding that is asked of each film.
        method: one of `methods.METHODS`.
        layer: one of `methods.LAYERS`.
        occlusion: of `methods.occluded`.
        seed: of the weights. Torch's own generator is left as it was.

    Returns:
        films, draws, and of `head` (its weights alone drawn anew) and `all` (every weight): maps
        (the correlations that could be computed),
        mean, and its 95 % interval low and high, by Student's t over the draws; None where
        undefined. `alarm`: whether the maps survive either, with all of the interval at `SURVIVES`
        or above; None where neither has an interval.
    """
    given = methods.explain(net, films, findings, method, layer, occlusion)
    found: dict[str, Any] = {"films": len(films), "draws": DRAWS}
    kinds: dict[str, Draw] = {"head": new_head, "all": new_weights}
    with torch.random.fork_rng(devices=[]):
        for kind, draw in kinds.items():
            torch.manual_seed(seed)
            rows = []
            for _ in range(DRAWS):
                drawn = methods.explain(draw(net), films, findings, method, layer, occlusion)
                rows.append([spearman(a, b) for a, b in zip(given, drawn, strict=True)])
            found[kind] = _score(np.array(rows))
    lows = [found[kind]["low"] for kind in kinds if found[kind]["low"] is not None]
    found["alarm"] = max(lows) >= SURVIVES if lows else None
    return found


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two maps' cells; NaN where a map is equal in all of them."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other, axis=None).statistic)


def _score(correlations: np.ndarray) -> Score:
    """The mean of [draws, films] with its interval; each draw's mean is one observation."""
    known = np.isfinite(correlations)
    score: Score = {"maps": int(known.sum()), "mean": None, "low": None, "high": None}
    means = np.array(
        [row[of].mean() for row, of in zip(correlations, known, strict=True) if any(of)]
    )
    if len(means):
        score["mean"] = float(means.mean())
    if len(means) > 1:
        half = float(t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5)
        score["low"] = max(float(means.mean()) - half, -1.0)
        score["high"] = min(float(means.mean()) + half, 1.0)
    return score


def mean_maps(maps: np.ndarray) -> np.ndarray:
    """Average the maps of every finding over films, [n, 14, h, w] to float32 [14, h, w].

    Each film counts the same and keeps its units, so that films of which a network is sure weigh
    more. Over cells of the shown square, not of the film: crops are aligned by the lungs.
    """
    return maps.mean(axis=0, dtype=np.float64).astype(np.float32)


def corners(mean: np.ndarray) -> dict[str, Any]:
    """Raise the alarm where the mean maps of most findings are hot in the same corner.

    A mean map is hot in a corner if its highest cell is one of the grid's four corner cells, and
    alone highest; whether it exceeds 0 does not matter, as the mean over all films speaks against
    most findings everywhere. The alarm is raised where more than half of the findings are hot in
    one and the same corner. Were peaks scattered at random over the 9 cells of the smallest grid
    that is judged, 3 x 3, that would happen once in 6,700 networks. Of 2 x 2 cells each is a corner
    and holds a quarter of the film: such a grid is not judged.

    Args:
        mean: float [14, h, w], of `mean_maps`.

    Returns:
        alarm (None where the grid is not judged); cell, [row, column] of the corner in which the
        most findings are hot, and findings, which these are (None and [] where there are none);
        agreement, the mean of Pearson's correlation over all pairs of findings' mean maps (None
        where no two of them vary).
    """
    hot: dict[tuple[int, int], list[str]] = {}
    height, width = mean.shape[1:]
    judged = min(height, width) >= SMALLEST_GRID
    for finding, one in zip(FINDINGS, mean, strict=True):
        row, column = (int(at) for at in np.unravel_index(int(one.argmax()), one.shape))
        corner = row in (0, height - 1) and column in (0, width - 1)
        alone = np.count_nonzero(one == one.max()) == 1
        if judged and corner and alone:
            hot.setdefault((row, column), []).append(finding)
    cell = max(hot, key=lambda at: len(hot[at]), default=None)
    shared = hot[cell] if cell is not None else []
    return {
        "alarm": len(shared) > len(FINDINGS) / 2 if judged else None,
        "cell": list(cell) if cell is not None else None,
        "findings": shared,
        "agreement": _agreement(mean),
    }


def _agreement(mean: np.ndarray) -> float | None:
    varied = [one.ravel() for one in mean.astype(np.float64) if np.ptp(one) > 0]
    if len(varied) < 2:
        return None
    pairs = np.triu_indices(len(varied), k=1)
    return float(np.corrcoef(varied)[pairs].mean())
