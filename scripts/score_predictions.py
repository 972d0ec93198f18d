"""Score an experiment: AUROC and average precision of each finding, macro and micro."""

import json
from pathlib import Path

import pandas as pd

from ribcage import shortcuts
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.progress import say
from ribcage.scoring import Scores, score_split
from ribcage.tables import labels_by_image, read_table


def seed_mean(predictions: list[Path]) -> pd.DataFrame:
    """Mean the probabilities of an experiment's seeds; all must have scored the same films."""
    first, *others = (read_table(folder / "predictions.parquet") for folder in predictions)
    for folder, other in zip(predictions[1:], others, strict=True):
        if not first[["image", "split"]].equals(other[["image", "split"]]):
            raise InputError(f"{folder}: scored other films than {predictions[0]}")
    total = sum((other[list(FINDINGS)] for other in others), first[list(FINDINGS)])
    first[list(FINDINGS)] = total / len(predictions)
    return first


def main(
    predictions: list[Path],
    curated: Path,
    tables: Path,
    metrics_file: Path,
    curves: Path,
    headline: Path,
    roc: Path,
    experiment: str,
) -> None:
    """Write `reports/<experiment>/metrics.json`, `curves.csv`, and two extracts for DVC's tables.

    Args:
        predictions: the folders of predict_findings, one a seed.
        curated: the kept images with their labels.
        tables: the folder that fetch_tables made, for its marks.csv.
        metrics_file: the JSON to write, by split, class and metric; and by split, `marks`, mark and
            finding: see `shortcuts.score_marks`.
        curves: the CSV to write: split, class, curve, x, y, threshold.
        headline: macro AUROC and average precision of each split, for `dvc metrics diff`.
        roc: the macro ROC curve of the test films, for `dvc plots diff`.
        experiment: the experiment's name.
    """
    rows = seed_mean(predictions)
    truth = labels_by_image(read_table(curated), rows["image"].tolist(), str(predictions[0]))
    marks = shortcuts.read_marks(tables / "marks.csv", rows["image"].tolist())
    splits: dict[str, Scores] = {}
    drawn = []
    for split in ("val", "test"):
        chosen = (rows["split"] == split).to_numpy()
        splits[split], part = score_split(truth[chosen], rows[chosen])
        borne = {mark: films[chosen] for mark, films in marks.items()}
        splits[split]["marks"] = shortcuts.score_marks(truth[chosen], rows[chosen], borne)
        drawn.append(part.assign(split=split))
        area = splits[split]["macro"]["auroc"]
        say(f"{split}: macro AUROC {area['value']} over {area['findings']} findings")
    seeds = sorted(int(folder.name) for folder in predictions)
    report = {"experiment": experiment, "seeds": seeds, "splits": splits}
    metrics_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    columns = ["split", "class", "curve", "x", "y", "threshold"]
    table = pd.concat(drawn, ignore_index=True).reindex(columns=columns)
    table.to_csv(curves, index=False, float_format="%.6g", lineterminator="\n")
    short = {
        split: {name: scores["macro"][name]["value"] for name in ("auroc", "ap")}
        for split, scores in splits.items()
    }
    headline.write_text(json.dumps(short, indent=1) + "\n", encoding="utf-8")
    macro = (table["split"] == "test") & (table["class"] == "macro") & (table["curve"] == "roc")
    axes = {"x": "false_positive_rate", "y": "true_positive_rate"}
    table.loc[macro, ["x", "y"]].rename(columns=axes).to_csv(
        roc, index=False, float_format="%.6g", lineterminator="\n"
    )


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
