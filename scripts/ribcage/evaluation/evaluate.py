"""Everything that is said of one set of predictions: scores, curves, strata, experts, case mix."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ribcage import metrics
from ribcage.errors import InputError
from ribcage.evaluation import case_mix, curves, experts, scoring, shortcuts, strata
from ribcage.evaluation.bootstrap import Resamples
from ribcage.findings import FINDINGS
from ribcage.progress import say
from ribcage.tables import labels_of, rows_by_image


class Evaluation(NamedTuple):
    """What evaluating leaves.

    Attributes:
        rows: the predictions that were scored, the mean of the seeds: image, patient, split, and a
            probability a finding.
        metrics: for metrics.json; docs/evaluation.md says what each entry is.
        curves: split, class, curve, x, y, low, high, threshold, films.
        strata: of the test films; see `strata.score`.
    """

    rows: pd.DataFrame
    metrics: dict[str, Any]
    curves: pd.DataFrame
    strata: pd.DataFrame


class Side(NamedTuple):
    """One split's films: labels bool [n, 14], predictions, and curated rows, in one order."""

    truth: pd.DataFrame
    rows: pd.DataFrame
    people: pd.DataFrame


def seed_mean(predictions: list[pd.DataFrame], where: str) -> pd.DataFrame:
    """Mean the probabilities of an experiment's seeds; all must have scored the same films."""
    first, *others = predictions
    for other in others:
        if not first[["image", "split"]].equals(other[["image", "split"]]):
            raise InputError(f"{where}: its seeds scored different films; predict again")
    total = sum((other[list(FINDINGS)] for other in others), first[list(FINDINGS)])
    return first.assign(**(total / len(predictions)))


def side_of(rows: pd.DataFrame, curated: pd.DataFrame, split: str, where: str) -> Side:
    """Put the labels and the curated rows of a split's films beside their predictions."""
    chosen = rows[rows["split"] == split].reset_index(drop=True)
    people = rows_by_image(curated, chosen["image"].tolist(), where)
    return Side(labels_of(people, where), chosen, people)


def evaluate(
    name: str,
    seeds: list[int],
    predictions: list[pd.DataFrame],
    curated: pd.DataFrame,
    tables: Path,
    settings: dict[str, Any],
) -> Evaluation:
    """Score predictions against the labels, with intervals over patients.

    Args:
        name: of the experiment or import, for messages.
        seeds: of the training, or [] where none is known.
        predictions: one a seed: image, patient, split (val, test), and a probability a finding.
            Films of val fit thresholds and calibration; without any, what needs them is left out.
        curated: the kept images with their labels.
        tables: the folder that fetch_tables made, for its marks and experts' labels.
        settings: the params block `score_predictions`.

    Raises:
        InputError: the seeds scored different films, or one that is not curated.
    """
    rows = seed_mean(predictions, name)
    val, test = (side_of(rows, curated, split, name) for split in ("val", "test"))
    fitted = scoring.fit_on(val.truth, val.rows, settings) if len(val.rows) else None
    judged = {"val": val, "test": test} if fitted else {"test": test}
    draws = {
        split: Resamples(side.rows["patient"].to_numpy(), settings["resamples"], settings["seed"])
        for split, side in judged.items()
    }
    scores: dict[str, scoring.Scores] = {}
    drawn = []
    for split, side in judged.items():
        given = side.truth, side.rows, draws[split]
        scores[split] = scoring.score_split(*given, fitted, settings)
        drawn.append(curves.of_split(*given, settings["bins"]).assign(split=split))
        area = scores[split]["macro"]["auroc"]
        say(f"{split}: macro AUROC {metrics.told(area)} over {area['findings']} findings")
    marks = shortcuts.read_marks(tables / "marks.csv", test.rows["image"].tolist())
    scores["test"] |= {
        "view_matched": strata.view_matched(test.truth, test.rows, test.people, draws["test"]),
        "marks": shortcuts.score_marks(test.truth, test.rows, marks, draws["test"]),
    }
    by_seed = [one[one["split"] == "test"] for one in predictions]
    found = {
        "experiment": name,
        "seeds": seeds,
        "settings": settings,
        "films": {"val": len(val.rows), "test": len(test.rows)},
        "fitted": fitted,
        "splits": scores,
        "spread": scoring.spread(test.truth, by_seed),
        "experts": experts.score(
            pd.concat([val.truth, test.truth], ignore_index=True),
            pd.concat([val.rows, test.rows], ignore_index=True),
            tables,
            settings,
        ),
        "case_mix": case_mix.compare(val, test, settings) if len(val.rows) else None,
    }
    groups = strata.score(test.truth, test.rows, test.people, marks, fitted, settings)
    columns = ["split", *curves.COLUMNS]
    return Evaluation(rows, found, pd.concat(drawn, ignore_index=True)[columns], groups)
