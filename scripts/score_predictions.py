"""Score an experiment against the labels, with intervals over patients."""

import json
from pathlib import Path
from typing import Any

from ribcage.engine import step
from ribcage.evaluation.evaluate import evaluate
from ribcage.findings import FINDINGS
from ribcage.tables import read_meta, read_table, write_numbers, write_table

PLOTS = {
    "roc": ("macro", "false_positive_rate", "true_positive_rate"),
    "pr": ("macro", "recall", "precision"),
    "reliability": ("micro", "mean_probability", "share_of_positives"),
}
"""The curves of the test films that DVC plots: class, and names of the axes."""


def headline_of(splits: dict[str, Any]) -> dict[str, Any]:
    """What `dvc metrics diff` shows: the few numbers of each split that a change is judged by."""
    short: dict[str, Any] = {}
    for split, scores in splits.items():
        macro = {name: scores["macro"][name]["value"] for name in ("auroc", "ap", "brier", "ece")}
        ends = {f"auroc_{end}": scores["macro"]["auroc"][end] for end in ("low", "high")}
        areas = {finding: scores[finding]["auroc"]["value"] for finding in FINDINGS}
        short[split] = {"macro": {**macro, **ends}, "auroc": areas}
    return short


def main(
    predictions: list[Path],
    curated: Path,
    tables: Path,
    metrics_file: Path,
    curves: Path,
    strata: Path,
    mean: Path,
    headline: Path,
    roc: Path,
    pr: Path,
    reliability: Path,
    experiment: str,
    settings: dict[str, Any],
) -> None:
    """Write what `evaluation.evaluate` finds to `reports/<experiment>/`, and extracts for DVC.

    Args:
        predictions: the folders of predict_findings, one a seed.
        curated: the kept images with their labels.
        tables: the folder that fetch_tables made, for its marks and experts' labels.
        metrics_file: the JSON to write; docs/evaluation.md says what each entry is.
        curves: the CSV to write: split, class, curve, x, y, low, high, threshold, films.
        strata: the CSV to write, see `strata.score`.
        mean: the predictions to write, the mean of the seeds.
        headline: a few numbers of each split, for `dvc metrics diff`.
        roc: the macro ROC curve of the test films, for `dvc plots diff`.
        pr: their macro curve of precision and recall, for the same.
        reliability: their reliability over all findings, for the same.
        experiment: the experiment's name.
        settings: the params block `score_predictions`.
    """
    seeds = sorted(int(folder.name) for folder in predictions)
    given = [read_table(folder / "predictions.parquet") for folder in predictions]
    found = evaluate(experiment, seeds, given, read_table(curated), tables, settings)
    write_table(found.rows, mean, read_meta(curated))
    metrics_file.write_text(json.dumps(found.metrics, indent=1) + "\n", encoding="utf-8")
    write_numbers(found.curves, curves)
    write_numbers(found.strata, strata)
    short = headline_of(found.metrics["splits"])
    headline.write_text(json.dumps(short, indent=1) + "\n", encoding="utf-8")
    test = found.curves[found.curves["split"] == "test"]
    for path, (kind, (name, x, y)) in zip((roc, pr, reliability), PLOTS.items(), strict=True):
        chosen = test[(test["curve"] == kind) & (test["class"] == name)]
        write_numbers(chosen[["x", "y"]].rename(columns={"x": x, "y": y}), path)


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
