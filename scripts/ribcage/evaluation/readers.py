"""Radiologists against each other, and a model against each of them."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ribcage import metrics
from ribcage.evaluation import confusion, paired, trails
from ribcage.evaluation.bootstrap import Resamples
from ribcage.findings import FINDINGS

Row = dict[str, Any]


def score_readers(
    votes: pd.DataFrame, rows: pd.DataFrame, settings: dict[str, Any]
) -> dict[str, Any]:
    """Score readers against each other, and the model against them.

    A mean is over those for whom it is defined, in each resample as in the films themselves.

    Args:
        votes: bool [readings, 14] by (image, reader), with a reading of each of these films.
        rows: image, patient and probabilities of n films.
        settings: `resamples` and `seed`.

    Returns:
        `readers`: by finding, `films` and rows of `others_auroc` (the mean vote of the other
        readers as a score for the one who is left out, averaged over readers: a yardstick for
        any model against one reader), `model_auroc` (the model against each reader,
        averaged), `majority_auroc` (against what most readers say), and `kappa` (Cohen's, the mean
        of all pairs of readers). `readers` or `pairs` in a row is how many are averaged; positives
        are what most readers say. `readers_mean`: `others_auroc`, `model_auroc` and `kappa`
        averaged over `findings`; the first two over the same ones.
    """
    patients = rows["patient"].to_numpy()
    resamples = Resamples(patients, settings["resamples"], settings["seed"])
    cast = votes.astype(np.float64).unstack("reader").reindex(rows["image"])
    found: dict[str, dict[str, Any]] = {}
    drawn: dict[str, dict[str, np.ndarray]] = {}
    any_majority = np.zeros(len(rows), bool)
    for finding in FINDINGS:
        given = rows[finding].to_numpy(np.float64)
        said = cast[finding].to_numpy()  # [n, readers], NaN where a reader did not read a film
        found[finding], drawn[finding] = _score_votes(said, given, patients, resamples)
        any_majority |= majority(said)
    counted = metrics.counts(any_majority, patients)
    return {"readers": found, "readers_mean": _mean_findings(found, drawn, counted)}


def majority(said: np.ndarray) -> np.ndarray:
    """Whether more than half of a film's readers see the finding, bool [n]."""
    return np.nansum(said, axis=1) > np.isfinite(said).sum(axis=1) / 2


def _score_votes(
    said: np.ndarray, given: np.ndarray, patients: np.ndarray, resamples: Resamples
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Score one finding: its rows, and the draws behind those that are averaged over findings."""
    read = np.isfinite(said)
    most = majority(said)
    counted = metrics.counts(most, patients)
    yes, readers = np.nansum(said, axis=1), read.sum(axis=1)
    against_others, against_model = [], []
    for reader in range(said.shape[1]):
        films = read[:, reader]
        against_model.append((films, said[:, reader] == 1, given))
        films = films & (readers > 1)
        others = (yes - said[:, reader]) / np.maximum(readers - 1, 1)
        against_others.append((films, said[:, reader] == 1, others))
    drawn = {}
    row: dict[str, Any] = {"films": len(said)}
    for name, cases in (("others_auroc", against_others), ("model_auroc", against_model)):
        drawn[name], count = _mean_auroc(cases, resamples)
        row[name] = {**trails.row(drawn[name], counted), "readers": count}
    drawn["kappa"], count = _mean_kappa(said, resamples)
    row["kappa"] = {**trails.row(drawn["kappa"], counted), "pairs": count}
    on_majority = paired.area(most, given, resamples.codes, resamples.patients, resamples.blocks())
    row["majority_auroc"] = paired.row(on_majority)
    return row, drawn


def _mean_auroc(
    cases: list[tuple[np.ndarray, np.ndarray, np.ndarray]], resamples: Resamples
) -> tuple[np.ndarray, int]:
    """Mean AUROC over (films, known, given) for which it is defined, as a trail; and how many."""
    blocks = list(resamples.blocks())
    parts = [
        paired.area(known[at], given[at], resamples.codes[at], resamples.patients, blocks)
        for at, known, given in cases
    ]
    columns = np.column_stack([np.append(part.value, part.draws) for part in parts])
    return trails.mean(columns), int(np.isfinite(columns[0]).sum())


def _mean_kappa(said: np.ndarray, resamples: Resamples) -> tuple[np.ndarray, int]:
    """Cohen's kappa of all pairs of readers: their mean as a trail, and how many have one."""
    pairs = list(combinations(range(said.shape[1]), 2))
    if not pairs:
        return trails.undefined(resamples), 0
    one, other = (said[:, list(readers)] for readers in zip(*pairs, strict=True))
    read = np.isfinite(one) & np.isfinite(other)
    kappas = confusion.tabulate(one == 1, other == 1, resamples, read).kappa()
    return trails.mean(kappas), int(np.isfinite(kappas[0]).sum())


def _mean_findings(
    found: dict[str, dict[str, Any]],
    drawn: dict[str, dict[str, np.ndarray]],
    counted: dict[str, int],
) -> dict[str, Row]:
    def has(finding: str, name: str) -> bool:
        return found[finding][name]["value"] is not None

    compared = [f for f in found if has(f, "others_auroc") and has(f, "model_auroc")]
    agreed = [f for f in found if has(f, "kappa")]
    means = {}
    lacking = metrics.row(float("nan"), counted)
    for name, held in (
        ("others_auroc", compared),
        ("model_auroc", compared),
        ("kappa", agreed),
    ):
        over = [drawn[finding][name] for finding in held]
        row = trails.row(trails.mean(np.column_stack(over)), counted) if held else lacking
        means[name] = {**row, "findings": len(held)}
    return means
