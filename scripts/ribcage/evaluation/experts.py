"""A model, and NIH's own labels, against radiologists; and radiologists against each other.

Two sources (expert_labels.py): four findings that three radiologists agreed upon, and all findings
on 810 films by the majority of three of five readers, with what each of the five said. Only test
films are scored. All intervals resample patients.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage import metrics
from ribcage.answers import OURS, WITHOUT, given_to, known_to, read_answers, read_readers
from ribcage.evaluation import confusion, paired, trails
from ribcage.evaluation.bootstrap import Resamples
from ribcage.evaluation.intervals import effective_patients
from ribcage.evaluation.readers import score_readers

Row = dict[str, Any]


def score(
    truth: pd.DataFrame, rows: pd.DataFrame, tables: Path, settings: dict[str, Any]
) -> dict[str, Any]:
    """Score a model and NIH's labels against each source of expert labels.

    Args:
        truth: bool [n, 14], NIH's labels.
        rows: the predictions of the same films: image, patient, split, and a probability a finding.
        tables: the folder of fetch_tables.
        settings: `resamples` and `seed`.

    Returns:
        Empty where the tables hold no expert labels. Else `films`, by source: `listed` in its file,
        `scored` (test films), `val` (this run's, not scored), `left_out` (the model did not score
        them: it has learnt from them, or the run has not got them). `four` and `all`, by question:
        `films`, `ours` (its findings), `model_on_experts` and `model_on_labels` (AUROC on the same
        films), `difference` (the first minus the second, paired), and `labels_as_reader`:
        sensitivity, specificity, ppv, npv, kappa of NIH's labels. `readers` and `readers_mean`: see
        `readers.score_readers`. All are rows {value, low, high, positives, negatives, patients},
        which count what the experts say (`model_on_labels`: what the labels say). `without`: by
        source, what the experts were asked and no finding answers.
    """
    test = (rows["split"] == "test").to_numpy()
    found: dict[str, Any] = {}
    films: dict[str, dict[str, int]] = {}
    for kind in OURS:
        said = read_answers(tables, kind)
        if said is not None:
            films[kind] = count_films(said.index, rows)
            chosen = test & rows["image"].isin(said.index).to_numpy()
            found[kind] = score_answers(said, kind, truth[chosen], rows[chosen], settings)
    votes = read_readers(tables)
    if votes is not None:
        read = votes.index.get_level_values("image")
        films["readers"] = count_films(read.unique(), rows)
        chosen = test & rows["image"].isin(read).to_numpy()
        found |= score_readers(votes, rows[chosen], settings)
    without = {kind: WITHOUT[kind] for kind in OURS if kind in found}
    return {"films": films, "without": without, **found} if found else {}


def count_films(listed: pd.Index, rows: pd.DataFrame) -> dict[str, int]:
    """Count what becomes of the films that a source lists."""
    splits = rows.loc[rows["image"].isin(listed).to_numpy(), "split"]
    scored, val = int((splits == "test").sum()), int((splits == "val").sum())
    counted = {"listed": len(listed), "scored": scored, "val": val}
    return {**counted, "left_out": len(listed) - scored - val}


def score_answers(
    said: pd.DataFrame,
    kind: str,
    truth: pd.DataFrame,
    rows: pd.DataFrame,
    settings: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Score a model and NIH's labels against what the experts agreed upon, by question.

    Args:
        said: bool [films, questions] by image, with all of these films.
        kind: a key of OURS.
        truth: bool [n, 14].
        rows: image, patient and probabilities of the same films.
        settings: `resamples` and `seed`.
    """
    patients = rows["patient"].to_numpy()
    resamples = Resamples(patients, settings["resamples"], settings["seed"])
    said = said.loc[rows["image"]]
    found = {}
    for question, ours in OURS[kind].items():
        experts = said[question].to_numpy()
        labels = known_to(truth, ours).to_numpy()
        given = given_to(rows, ours).to_numpy(np.float64)
        blocks = list(resamples.blocks())
        on_experts, on_labels = (
            paired.area(known, given, resamples.codes, resamples.patients, blocks)
            for known in (experts, labels)
        )
        found[question] = {
            "films": len(rows),
            "ours": list(ours),
            "model_on_experts": paired.row(on_experts),
            "model_on_labels": paired.row(on_labels),
            "difference": paired.row(paired.difference(on_experts, on_labels)),
            "labels_as_reader": _as_reader(experts, labels, resamples),
        }
    return found


def _as_reader(known: np.ndarray, called: np.ndarray, resamples: Resamples) -> dict[str, Row]:
    table = confusion.tabulate(known[:, None], called[:, None], resamples)
    counted = metrics.counts(known, resamples.codes)
    among = confusion.among(known, called)
    rows = {
        name: trails.row(rate[:, 0], counted, effective_patients(among[name], resamples.codes))
        for name, rate in table.rates().items()
        if name != "f1"
    }
    return {**rows, "kappa": trails.row(table.kappa()[:, 0], counted)}
