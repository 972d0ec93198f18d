"""What a network knows of a finding beyond a mark that goes with it, such as a chest tube."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage import metrics
from ribcage.evaluation import paired
from ribcage.evaluation.bootstrap import Resamples
from ribcage.findings import FINDINGS

Pair = dict[str, Any]


def read_marks(path: Path, images: list[str]) -> dict[str, np.ndarray]:
    """Say which films bear each mark; a film that the list does not name bears none.

    Args:
        path: marks.csv of fetch_tables: image, mark.
        images: the n films that are scored, by name.

    Returns:
        By mark, bool [n]; empty where the source has no list.
    """
    listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    films = pd.Index(images)
    return {str(mark): films.isin(rows["image"]) for mark, rows in listed.groupby("mark")}


def score_marks(
    truth: pd.DataFrame, rows: pd.DataFrame, marks: dict[str, np.ndarray], resamples: Resamples
) -> dict[str, dict[str, Pair]]:
    """Score each finding on the films with and without each mark.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films: a probability a finding.
        marks: by mark, bool [n].
        resamples: of these films' patients.

    Returns:
        By mark and finding, for the pairs with at least `metrics.LEAST` positives, negatives, films
        with the mark and films without it: `share_of_positives` and `share_of_negatives` (that bear
        the mark), and rows {value, low, high, positives, negatives, patients} of AUROC: `all`
        films, films `with_mark`, `without_mark`; `mark_alone` (the mark as a prediction);
        `broken`: only the positives and the negatives of which the mark says the opposite; and
        `drop`, the AUROC of all films less that of the broken ones. A value is null where fewer
        than `metrics.LEAST` positives or negatives stand behind it.
    """
    found: dict[str, dict[str, Pair]] = {mark: {} for mark in marks}
    blocks = list(resamples.blocks()) if marks else []
    for mark, borne in marks.items():
        for finding in FINDINGS:
            known = truth[finding].to_numpy()
            given = rows[finding].to_numpy(np.float64)
            if np.isnan(given).any():
                continue  # the model does not know the finding
            if min(known.sum(), (~known).sum(), borne.sum(), (~borne).sum()) >= metrics.LEAST:
                found[mark][finding] = _pair(known, given, borne, resamples, blocks)
    return found


def _pair(
    known: np.ndarray,
    given: np.ndarray,
    borne: np.ndarray,
    resamples: Resamples,
    blocks: list[np.ndarray],
) -> Pair:
    of_positives, of_negatives = float(borne[known].mean()), float(borne[~known].mean())
    speaks_for = borne if of_positives >= of_negatives else ~borne
    alone = borne.astype(np.float64)
    everywhere, broken = np.ones(len(known), bool), known != speaks_for
    asked = {
        "all": (given, everywhere),
        "with_mark": (given, borne),
        "without_mark": (given, ~borne),
        "mark_alone": (alone, everywhere),
        "broken": (given, broken),
    }
    areas = {}
    for name, (score, chosen) in asked.items():
        codes = resamples.codes[chosen]
        counted = metrics.counts(known[chosen], codes)
        if min(counted["positives"], counted["negatives"]) < metrics.LEAST:
            areas[name] = paired.undefined(counted, resamples.count)
            continue
        films = known[chosen], score[chosen], codes
        areas[name] = paired.area(*films, resamples.patients, blocks)
    drop = paired.difference(areas["all"], areas["broken"])
    areas["drop"] = drop._replace(counted=areas["broken"].counted)
    return {
        "share_of_positives": metrics.number(of_positives),
        "share_of_negatives": metrics.number(of_negatives),
        **{name: paired.row(measured) for name, measured in areas.items()},
    }
