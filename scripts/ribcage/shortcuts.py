"""What a network knows of a finding beyond a mark that goes with it, such as a chest tube."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage import metrics
from ribcage.errors import InputError
from ribcage.findings import FINDINGS

LEAST = 5
"""No AUROC of fewer positives or fewer negatives: one film would move it by tenths."""

Pair = dict[str, Any]


def read_marks(path: Path, images: list[str]) -> dict[str, np.ndarray]:
    """Say which films bear each mark; a film that the list does not name bears none.

    Args:
        path: marks.csv of fetch_tables: image, mark.
        images: the n films that are scored, by name.

    Returns:
        By mark, bool [n]; empty where the source has no list.

    Raises:
        InputError: the list names none of the films.
    """
    listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    if len(listed) and not listed["image"].isin(images).any():
        raise InputError(
            f"{path}: names no film that is scored, as {images[0]}; mend the source's list"
        )
    films = pd.Index(images)
    return {str(mark): films.isin(rows["image"]) for mark, rows in listed.groupby("mark")}


def score_marks(
    truth: pd.DataFrame, rows: pd.DataFrame, marks: dict[str, np.ndarray]
) -> dict[str, dict[str, Pair]]:
    """Score each finding on the films with and without each mark.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films: patient, and a probability a finding.
        marks: by mark, bool [n].

    Returns:
        By mark and finding, for the pairs with at least `LEAST` positives, negatives, films with
        the mark and films without it: `share_of_positives` and `share_of_negatives` (that bear the
        mark), and rows {value, low, high, positives, negatives, patients} of AUROC: `all` films,
        films `with_mark`, `without_mark`; `mark_alone` (the mark as if it were a prediction);
        `broken`: only the positives and the negatives of which the mark says the opposite. A value
        is null where fewer than `LEAST` positives or negatives stand behind it.
    """
    patients = rows["patient"].to_numpy()
    found: dict[str, dict[str, Pair]] = {mark: {} for mark in marks}
    for mark, borne in marks.items():
        for finding in FINDINGS:
            known = truth[finding].to_numpy()
            if min(known.sum(), (~known).sum(), borne.sum(), (~borne).sum()) >= LEAST:
                given = rows[finding].to_numpy(np.float64)
                found[mark][finding] = _pair(known, given, borne, patients)
    return found


def _pair(known: np.ndarray, given: np.ndarray, borne: np.ndarray, patients: np.ndarray) -> Pair:
    def area(score: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
        counted = metrics.counts(known[chosen], patients[chosen])
        enough = min(counted["positives"], counted["negatives"]) >= LEAST
        value = metrics.auroc(known[chosen], score[chosen]) if enough else float("nan")
        return metrics.row(value, counted)

    everywhere = np.ones(len(known), bool)
    of_positives, of_negatives = float(borne[known].mean()), float(borne[~known].mean())
    speaks_for = borne if of_positives >= of_negatives else ~borne
    return {
        "share_of_positives": metrics.number(of_positives),
        "share_of_negatives": metrics.number(of_negatives),
        "all": area(given, everywhere),
        "with_mark": area(given, borne),
        "without_mark": area(given, ~borne),
        "mark_alone": area(borne.astype(np.float64), everywhere),
        "broken": area(given, known != speaks_for),
    }
