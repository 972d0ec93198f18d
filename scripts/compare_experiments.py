"""Set experiments side by side, and subtract them on the same films and resamples."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ribcage import metrics
from ribcage.engine import step
from ribcage.evaluation import paired
from ribcage.evaluation.bootstrap import Resamples, draw_areas
from ribcage.evaluation.intervals import effective_of_area
from ribcage.evaluation.paired import Measured
from ribcage.findings import FINDINGS
from ribcage.progress import say
from ribcage.tables import labels_by_image, read_table, write_numbers
from ribcage.words import plural

SHOWN = ("architecture", "size_px", "view", "weighting")

Areas = dict[str, dict[str, Measured]]
"""By metric (auroc, ap) and finding."""


class Scored(NamedTuple):
    """What stands in one row of experiments.csv.

    Attributes:
        name: of the experiment, or of the import.
        kind: trained, without looking (the metadata baseline), or imported.
        settings: the experiment's own over the defaults; empty where it was not trained here.
        metrics: its metrics.json.
        test: its predictions of test films, by image.
        seen: how many films of val and test its weights had learnt from; None: not known.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    metrics: dict[str, Any]
    test: pd.DataFrame
    seen: dict[str, int | None]


NOTHING_SEEN: dict[str, int | None] = {"val": 0, "test": 0}


def seen_by(models: list[Path], name: str) -> dict[str, int | None]:
    """What the networks of an experiment had seen: the most of any seed, None where not known."""
    folders = [folder for folder in models if folder.parent.name == name]
    seen = [
        json.loads((one / "config.json").read_text(encoding="utf-8"))["seen"] for one in folders
    ]
    return {
        side: None if any(one[side] is None for one in seen) else max(one[side] for one in seen)
        for side in NOTHING_SEEN
    }


def read_scored(
    folder: Path,
    kind: str,
    settings: dict[str, Any],
    seen: dict[str, int | None],
) -> Scored:
    """Read predictions.parquet and metrics.json of one folder, whose name is the experiment's."""
    table = read_table(folder / "predictions.parquet", ["image", "patient", "split", *FINDINGS])
    test = table[table["split"] == "test"].set_index("image")
    scores = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return Scored(folder.name, kind, settings, scores, test, seen)


def read_imports(imported: Path) -> list[Scored]:
    """Read what import_predictions wrote, in its order."""
    listed = json.loads((imported / "imports.json").read_text(encoding="utf-8"))
    return [
        read_scored(
            imported / entry["name"],
            "imported",
            {},
            {side: entry["seen"].get(side) for side in NOTHING_SEEN},
        )
        for entry in listed
    ]


def table_of(scored: list[Scored]) -> pd.DataFrame:
    """One row an experiment: what it is, and its macro scores on validation and test films.

    `val_seen` and `test_seen` count the films that its weights had learnt from; empty: not known.
    """
    rows = []
    for one in scored:
        row: dict[str, Any] = {"experiment": one.name, "kind": one.kind}
        row |= {name: one.settings.get(name) for name in SHOWN}
        row |= {"seeds": len(one.metrics.get("seeds") or []) or None, "films": len(one.test)}
        for split in ("val", "test"):
            row |= _macro_cells(one.metrics["splits"].get(split), split)
            row[f"{split}_seen"] = one.seen[split]
        rows.append(row)
    whole = ["size_px", "seeds", *(f"{s}_{n}" for s in NOTHING_SEEN for n in ("findings", "seen"))]
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def _macro_cells(scores: dict[str, Any] | None, split: str) -> dict[str, float | int | None]:
    """The cells of a split; empty where it was not scored, as validation is not of an import."""
    macro = (scores or {}).get("macro", {})
    area = macro.get("auroc", {})
    cells = {
        "auroc": area.get("value"),
        "auroc_low": area.get("low"),
        "auroc_high": area.get("high"),
        **{name: macro.get(name, {}).get("value") for name in ("ap", "brier", "ece")},
        "findings": area.get("findings"),
    }
    return {f"{split}_{name}": cell for name, cell in cells.items()}


def areas_of(truth: pd.DataFrame, rows: pd.DataFrame, resamples: Resamples) -> Areas:
    """AUROC and average precision of each finding, with their values in every resample.

    Args:
        truth: bool [n, 14].
        rows: the predictions of the same films.
        resamples: of their patients.
    """
    found: Areas = {"auroc": {}, "ap": {}}
    patients = rows["patient"].to_numpy()
    for finding in FINDINGS:
        known, given = truth[finding].to_numpy(), rows[finding].to_numpy(np.float64)
        counted = metrics.counts(known, patients)
        if np.isnan(given).any() or not metrics.defined(known):
            found["auroc"][finding] = paired.undefined(counted, resamples.count)
            found["ap"][finding] = found["auroc"][finding]
            continue
        draws = draw_areas(known, given, resamples)
        effective = effective_of_area(known, patients)
        for metric, value, drawn in (
            ("auroc", metrics.auroc(known, given), draws.auroc),
            ("ap", metrics.average_precision(known, given), draws.ap),
        ):
            found[metric][finding] = Measured(value, drawn, counted, effective)
    return found


def differences(
    one: dict[str, Measured], other: dict[str, Measured], counted: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """One minus the other, by class: a metric's row, and `better_share`.

    Args:
        one: a metric by finding.
        other: the same metric of the same films, with the same resamples.
        counted: what stands behind the macro mean.

    Returns:
        By finding and `macro`, {value, low, high, positives, negatives, patients, better_share}:
        the last is the share of resamples in which one is better (a tie counts a half). Macro is
        the mean over the findings that are defined for both; its `findings` says how many.
    """
    parts = {f: paired.difference(one[f], other[f]) for f in FINDINGS}
    macro = paired.mean_of(parts.values(), counted, len(parts[FINDINGS[0]].draws))
    found = {f: _difference_row(part) for f, part in parts.items()}
    defined = sum(bool(np.isfinite(part.value)) for part in parts.values())
    return found | {"macro": _difference_row(macro) | {"findings": defined}}


def _difference_row(measured: Measured) -> dict[str, Any]:
    row = paired.row(measured)
    known = measured.draws[np.isfinite(measured.draws)]
    better = float((known > 0).mean() + (known == 0).mean() / 2) if len(known) else float("nan")
    return row | {"better_share": None if row["low"] is None else round(better, 6)}


def on_the_same_films(scored: list[Scored]) -> tuple[list[Scored], list[str]]:
    """Keep who scored the run's test films: those of the baseline and of every experiment.

    Returns:
        Those who are compared, and these films in order; an import of other films is left out.
    """
    own = [one for one in scored if one.kind != "imported"]
    films = sorted(set.intersection(*(set(one.test.index) for one in own)))
    held = [one for one in scored if one.kind == "imported" and sorted(one.test.index) == films]
    return own + held, films


def compare(
    scored: list[Scored], films: list[str], truth: pd.DataFrame, settings: dict[str, Any]
) -> dict[str, Any]:
    """Subtract experiments from each other, in the same resamples of patients.

    Args:
        scored: who scored these films, the baseline first.
        films: names, in any order.
        truth: bool [n, 14], of the films.
        settings: `resamples` and `seed`.

    Returns:
        What is written to comparison.json: `pairs`, each with `one`, `other`, `differs` (settings
        of the two that differ; empty where one of them is imported, as its settings are not known),
        and by metric (`auroc`, `ap`) the `differences` one - other; and `against_baseline`, by
        experiment the same of AUROC against the metadata baseline.
    """
    patients = scored[0].test.loc[films, "patient"].to_numpy()
    resamples = Resamples(patients, settings["resamples"], settings["seed"])
    counted = metrics.counts(truth.to_numpy().any(axis=1), patients)
    areas = {one.name: areas_of(truth, one.test.loc[films], resamples) for one in scored}
    baseline, *others = scored
    pairs = [
        {
            "one": one.name,
            "other": other.name,
            "differs": differing(one.settings, other.settings),
            **{
                metric: differences(areas[one.name][metric], areas[other.name][metric], counted)
                for metric in ("auroc", "ap")
            },
        }
        for one, other in combinations(others, 2)
    ]
    against = {
        one.name: differences(areas[one.name]["auroc"], areas[baseline.name]["auroc"], counted)
        for one in others
    }
    return {"pairs": pairs, "against_baseline": against}


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name the settings that differ; none are known of what was not trained here."""
    return [name for name in one if name in other and one[name] != other[name]]


def main(
    predictions: list[Path],
    scores: list[Path],
    models: list[Path],
    baseline: Path,
    imported: Path,
    curated: Path,
    experiments: Path,
    comparison: Path,
    settings: dict[str, Any],
    trained: dict[str, dict[str, Any]],
) -> None:
    """Write `reports/experiments.csv` and `reports/comparison.json`.

    Args:
        predictions: `reports/<experiment>/predictions.parquet` of each experiment.
        scores: the metrics.json beside each.
        models: the folders of train_classifier, for what they had seen.
        baseline: the folder of score_metadata_baseline.
        imported: the folder of import_predictions.
        curated: the kept images with their labels.
        experiments: the CSV to write, a row an experiment: see `table_of`. The baseline is first,
            then the experiments as params.yaml has them, then what was imported.
        comparison: the JSON to write: see `compare`. An import of other films than the run's test
            films is not in it.
        settings: `resamples` and `seed`.
        trained: each experiment's settings, over the defaults.
    """
    folders = {path.parent.name: path.parent for path in [*predictions, *scores]}
    scored = [read_scored(baseline, "without looking", {}, NOTHING_SEEN)]
    for name, own in trained.items():
        scored.append(read_scored(folders[name], "trained", own, seen_by(models, name)))
    scored += read_imports(imported)
    write_numbers(table_of(scored), experiments)
    held, films = on_the_same_films(scored)
    truth = labels_by_image(read_table(curated), films, str(baseline / "predictions.parquet"))
    found = compare(held, films, truth, settings)
    comparison.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    say(f"compared {plural(len(held) - 1, 'experiment')} on {plural(len(films), 'test film')}")
    for one in scored:
        if all(one.name != other.name for other in held):
            say(f"{one.name}: scored other films, so it is only among the experiments")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
