"""Resampling patients: films of one patient are alike, so they are drawn together.

A resample draws as many patients as there are, with replacement, and takes all films of each as
often as the patient was drawn. Scores keep their order in every resample, so they are sorted once:
what a resample changes are only the sums of weights between one positive score and the next, and
all sums of many resamples are one product of a sparse matrix with the patients' counts.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

BLOCK = 250
"""Resamples that are drawn at once."""
CELLS = 2_000_000
"""Numbers in a work array: a few such arrays of 16 MB are alive at a time."""
SLACK = 1e-12
"""A rate that is a whole number of films may come out this much beside it."""


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; NaN where the whole is zero."""
    whole = np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)


class Resamples:
    """Draws of patients with replacement, the same ones whenever they are asked for.

    Two sets of predictions of the same patients with the same seed meet the same draws, whatever
    the order of their films: differences are paired.

    Attributes:
        patients: how many there are.
        codes: int [n], each film's patient in 0 to patients - 1.
        count: of resamples.
        seed: of the draws.
    """

    def __init__(self, patients: np.ndarray, count: int, seed: int) -> None:
        """Number the patients of n films.

        Args:
            patients: [n], in any order.
            count: of resamples.
            seed: of the draws.
        """
        names, self.codes = np.unique(patients, return_inverse=True)
        self.patients, self.count, self.seed = len(names), count, seed

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield how often each patient was drawn, float64 [patients, at most BLOCK], in C order."""
        for start in range(0, self.count, BLOCK):
            size = min(BLOCK, self.count - start)
            rng = np.random.default_rng([self.seed, start])
            drawn = rng.integers(0, max(self.patients, 1), (size, self.patients))
            cells = drawn.ravel("F") * size + np.tile(np.arange(size), self.patients)
            counts = np.bincount(cells, minlength=self.patients * size)
            yield counts.reshape(self.patients, size).astype(np.float64)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum films' values in each resample, float64 [count, m].

        Args:
            values: [n, m], of the films whose patients were given.
        """
        films = np.arange(len(self.codes))
        shape = (self.patients, len(films))
        member = sparse.csr_array((np.ones(len(films)), (self.codes, films)), shape=shape)
        of_patient = np.asarray(member @ np.asarray(values, np.float64))
        return np.concatenate([block.T @ of_patient for block in self.blocks()])


class Areas(NamedTuple):
    """Areas of each resample, float64 [resamples] each; NaN where a class is absent."""

    auroc: np.ndarray
    ap: np.ndarray


class Ranked:
    """Films sorted by score once, to be ranked again with any counts of their patients.

    Levels are the distinct scores that a positive has, the highest first. Negatives are summed at
    each level (ties) and strictly between levels.
    """

    def __init__(
        self,
        known: np.ndarray,
        given: np.ndarray,
        codes: np.ndarray,
        patients: int,
        weights: np.ndarray | None = None,
    ) -> None:
        """Sort.

        Args:
            known: bool [n].
            given: float [n], higher for the finding. Where one is NaN there is no order, and all
                that is asked of it is NaN.
            codes: int [n], each film's patient, as in `Resamples`.
            patients: how many the codes name.
            weights: float [n], what a film counts; 1 where None.
        """
        levels = given[:0] if np.isnan(given).any() else -np.unique(-given[known])
        self.levels = len(levels)
        weights = np.ones(len(known)) if weights is None else np.asarray(weights, np.float64)
        above = np.searchsorted(-levels, -given, side="left")  # levels strictly above a score
        tied = np.zeros(len(given), bool)
        inside = above < self.levels
        tied[inside] = levels[above[inside]] == given[inside]
        # Rows: positives of a level; negatives of a level; negatives above a level, and below all.
        row = np.where(known, above, np.where(tied, self.levels + above, 2 * self.levels + above))
        shape = (3 * self.levels + 1, patients)
        self._member = sparse.csr_array((weights, (row, codes)), shape=shape)

    def _chunks(self, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Positives of each level, negatives tied with it, negatives above it: [levels, chunk]."""
        wide = max(1, CELLS // self._member.shape[0])
        for start in range(0, counts.shape[1], wide):
            sums = self._member @ np.ascontiguousarray(counts[:, start : start + wide])
            positives, tied, gaps = np.split(sums, [self.levels, 2 * self.levels])
            above = np.cumsum(gaps, axis=0)
            above[1:] += np.cumsum(tied, axis=0)
            yield positives, tied, above

    def pairs(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a positive and a negative that are in order (ties count a half), and all pairs.

        Args:
            counts: float [patients, resamples].

        Returns:
            Two float64 [resamples].
        """
        right, total = [], []
        for positives, tied, above in self._chunks(counts):
            all_pairs = positives.sum(axis=0) * above[-1]
            wrong = np.einsum("lb,lb->b", positives, above[:-1] + tied / 2)
            right.append(all_pairs - wrong)
            total.append(all_pairs)
        return np.concatenate(right), np.concatenate(total)

    def areas(self, counts: np.ndarray) -> Areas:
        """AUROC and average precision of each resample, as scikit-learn defines them."""
        area, precision = [], []
        for positives, tied, above in self._chunks(counts):
            total, negatives = positives.sum(axis=0), above[-1]
            false = above[:-1] + tied
            wrong = np.einsum("lb,lb->b", positives, false - tied / 2)
            true = np.cumsum(positives, axis=0)
            share = np.divide(true, true + false, out=np.zeros_like(true), where=positives > 0)
            reached = np.einsum("lb,lb->b", positives, share)
            both = (total > 0) & (negatives > 0)
            nothing = np.full(len(total), np.nan)
            pairs = total * negatives
            area.append(1 - np.divide(wrong, pairs, out=nothing.copy(), where=both))
            precision.append(np.divide(reached, total, out=nothing, where=both))
        return Areas(np.concatenate(area), np.concatenate(precision))

    def curves(self, counts: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sensitivity at each 1 - specificity of the grid, and precision at each recall of it.

        Args:
            counts: float [patients, resamples].
            grid: float [g], rising from 0 to 1.

        Returns:
            Two float64 [resamples, g]; NaN rows where a class is absent. Sensitivity by linear
            interpolation, the upper end where the curve is vertical; precision as the step function
            that average precision sums.
        """
        roc, pr = [], []
        for positives, tied, above in self._chunks(counts):
            both = (positives.sum(axis=0) > 0) & (above[-1] > 0)
            for column in range(len(both)):
                if not both[column]:
                    roc.append(np.full(len(grid), np.nan))
                    pr.append(np.full(len(grid), np.nan))
                    continue
                found, ties, before = positives[:, column], tied[:, column], above[:, column]
                roc.append(_sensitivities(found, ties, before, grid))
                pr.append(_precisions(found, before[:-1] + ties, grid))
        return np.array(roc), np.array(pr)

    def partial(self, counts: np.ndarray, most: float) -> np.ndarray:
        """AUROC up to a false positive rate, standardised as scikit-learn's `max_fpr` does.

        Args:
            counts: float [patients, resamples].
            most: the false positive rate, above 0 and below 1.

        Returns:
            float64 [resamples]; NaN where a class is absent.
        """
        found = []
        for positives, tied, above in self._chunks(counts):
            total, negatives = positives.sum(axis=0), above[-1]
            # A positive adds one row of the area, from its place to the limit. One tied with
            # negatives lifts the curve evenly over them, so that it adds half a row there.
            right = (most * negatives - above[:-1]).clip(min=0)
            slope = np.minimum(right, tied)
            half = np.divide(slope**2, 2 * tied, out=np.zeros_like(tied), where=tied > 0)
            area = np.einsum("lb,lb->b", positives, right - slope + half)
            pairs, nothing = total * negatives, np.full(len(total), np.nan)
            area = np.divide(area, pairs, out=nothing, where=pairs > 0)
            chance = most**2 / 2
            found.append((1 + (area - chance) / (most - chance)) / 2)
        return np.concatenate(found)

    def balanced(self, counts: np.ndarray) -> np.ndarray:
        """Average precision where positives and negatives of each resample weigh the same in sum.

        Args:
            counts: float [patients, resamples].

        Returns:
            float64 [resamples]; NaN where a class is absent.
        """
        found = []
        for positives, tied, above in self._chunks(counts):
            total, negatives = positives.sum(axis=0), above[-1]
            true = np.cumsum(positives, axis=0) * negatives
            false = (above[:-1] + tied) * total
            share = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
            reached = np.einsum("lb,lb->b", positives, share)
            both, nothing = (total > 0) & (negatives > 0), np.full(len(total), np.nan)
            found.append(np.divide(reached, total, out=nothing, where=both))
        return np.concatenate(found)


def _sensitivities(
    positives: np.ndarray, tied: np.ndarray, above: np.ndarray, rates: np.ndarray
) -> np.ndarray:
    """Sensitivity at each 1 - specificity: the upper end where the curve is vertical.

    Args:
        positives: float [levels], at each level.
        tied: float [levels], negatives at it.
        above: float [levels + 1], negatives above it; the last are all.
        rates: float [g].
    """
    true = np.concatenate([[0], np.cumsum(positives)])
    reach = rates * above[-1] * (1 + SLACK)
    whole = np.searchsorted(above[:-1] + tied, reach, side="right")  # levels that are passed
    sloped = whole[whole < len(tied)]
    into = (reach[: len(sloped)] - above[sloped]).clip(min=0)
    share = np.divide(into, tied[sloped], out=np.zeros_like(into), where=tied[sloped] > 0)
    found = true[whole]
    found[: len(sloped)] += positives[sloped] * share
    return found / true[-1]


def _precisions(positives: np.ndarray, false: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Precision at the first level that reaches each recall: the steps of average precision.

    Args:
        positives: float [levels], at each level.
        false: float [levels], negatives at it and above.
        recalls: float [g].
    """
    held = positives > 0
    true = np.cumsum(positives[held])
    at = np.searchsorted(true, recalls * true[-1] * (1 - SLACK)).clip(max=len(true) - 1)
    return true[at] / (true[at] + false[held][at])


def draw_areas(
    known: np.ndarray, given: np.ndarray, resamples: Resamples, weights: np.ndarray | None = None
) -> Areas:
    """AUROC and average precision of every resample of patients.

    Args:
        known: bool [n].
        given: float [n].
        resamples: of these n films' patients.
        weights: float [n], what a film counts; 1 where None.
    """
    ranked = Ranked(known, given, resamples.codes, resamples.patients, weights)
    parts = [ranked.areas(block) for block in resamples.blocks()]
    return Areas(*(np.concatenate(part) for part in zip(*parts, strict=True)))
