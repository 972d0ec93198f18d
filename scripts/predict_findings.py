"""Score the validation and test films, and fit each finding's threshold on validation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ribcage import nets, thresholds
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.progress import say, track
from ribcage.shards import Shards
from ribcage.tables import labels_by_image, read_meta, read_table, write_table


def fit_thresholds(truth: pd.DataFrame, given: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Youden's threshold of each finding; null where validation lacks positives or negatives.

    Args:
        truth: bool [n, 14] of the validation films.
        given: their probabilities, [n, 14].
    """
    fitted: dict[str, dict[str, Any]] = {}
    for finding in FINDINGS:
        known, score = truth[finding].to_numpy(), given[finding].to_numpy()
        cut = thresholds.youden(known, score)
        row: dict[str, Any] = {"threshold": None, "sensitivity": None, "specificity": None}
        if not np.isnan(cut):
            called = score >= cut
            row = {
                "threshold": cut,
                "sensitivity": round(float(called[known].mean()), 6),
                "specificity": round(float((~called[~known]).mean()), 6),
            }
        row |= {"positives": int(known.sum()), "negatives": int((~known).sum())}
        fitted[finding] = row
    return fitted


def main(
    model: Path,
    curated: Path,
    split: Path,
    shards: list[Path],
    predictions: Path,
    batch_size: int,
    threads: int = 1,
) -> None:
    """Write `reports/<experiment>/<seed>/`: predictions.parquet and thresholds.json.

    Args:
        model: the folder of train_classifier.
        curated: the kept images with their labels.
        split: image, patient, split.
        shards: the batches' shard folders.
        predictions: the folder to write.
        batch_size: films a step.
        threads: of the CPU.
    """
    on = nets.machine(threads)
    net, config = nets.load(model)
    rows = read_table(split)
    rows = rows[rows["split"].isin(("val", "test"))].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{split}: has neither validation nor test films to score")
    films = Shards(shards, config["view"], config["size_px"])
    at = films.rows(rows["image"].tolist(), str(split))
    progress = track(range(0, len(at), batch_size), -(-len(at) // batch_size), "batches")
    batches = (films.take(at[start : start + batch_size]) for start in progress)
    logits = nets.infer(on.place(net), batches, on)
    if not np.isfinite(logits).all():
        raise InputError(f"{model}: gives values that are no numbers; train it again")
    given = pd.DataFrame(torch.sigmoid(torch.from_numpy(logits)).numpy(), columns=FINDINGS)
    predictions.mkdir()
    table = pd.concat([rows[["image", "patient", "split"]], given], axis=1)
    write_table(table, predictions / "predictions.parquet", read_meta(curated))
    val = rows["split"] == "val"
    truth = labels_by_image(read_table(curated), rows["image"][val].tolist(), str(split))
    text = json.dumps(fit_thresholds(truth, given[val]), indent=1)
    (predictions / "thresholds.json").write_text(text + "\n", encoding="utf-8")
    say(f"{int(val.sum()):,} validation and {int((~val).sum()):,} test films scored")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
