"""Train one experiment's network with one seed, and keep its best epoch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torchvision

from ribcage import contamination, losses, nets, training
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.progress import say
from ribcage.shards import Shards
from ribcage.tables import read_meta, read_table


def describe(
    experiment: str,
    settings: dict[str, Any],
    seed: int,
    on: nets.Machine,
    counted: dict[str, Any],
) -> dict[str, Any]:
    """What a model's config.json says of it; no time, path or host, which would differ each run."""
    return {
        "experiment": experiment,
        "seed": seed,
        "architecture": settings["architecture"],
        "task": "multi-label: one independent probability a finding",
        "classes": FINDINGS,
        "size_px": settings["size_px"],
        "view": settings["view"],
        "normalisation": nets.NORMALISATION,
        "settings": settings,
        "device": on.device.type,
        "precision": "bfloat16 autocast" if on.bf16 else "float32",
        "versions": {
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
        },
        **counted,
    }


def count(rows: pd.DataFrame, train: training.Data, settings: dict[str, Any]) -> dict[str, Any]:
    """Films, patients and positives that the model has learnt from and was chosen on."""
    counted: dict[str, Any] = {}
    for split in ("train", "val"):
        part = rows[rows["split"] == split]
        counted[f"n_{split}_films"] = len(part)
        counted[f"n_{split}_patients"] = int(part["patient"].nunique())
    positives = train.labels.sum(axis=0)
    weights = losses.positive_weights(train.labels, settings["weighting"])
    counted["train_positives"] = {f: int(n) for f, n in zip(FINDINGS, positives, strict=True)}
    counted["positive_weight"] = {
        f: round(float(w), 4) for f, w in zip(FINDINGS, weights, strict=True)
    }
    return counted


def look_up(
    rows: pd.DataFrame, settings: dict[str, Any], phantoms: bool
) -> tuple[contamination.Seen, dict[str, Any]]:
    """Say which of these films the weights of `init` have seen, and stop if that spoils scores.

    Args:
        rows: image, split, official.
        settings: init, init_seen, contaminated of an experiment.
        phantoms: whether the films are phantoms.

    Returns:
        What the new weights will have seen, and the ledger of the old ones.
    """
    seen = contamination.seen_by(settings["init"], settings["init_seen"])
    found = contamination.ledger(seen, settings["init"], rows, phantoms)
    if settings["contaminated"] == "refuse":
        contamination.refuse(found)
    say(found["sentence"])
    learnt = rows["image"][rows["split"].isin(("train", "val"))]
    return seen.joined(contamination.Seen(contamination.films_of(learnt, phantoms))), found


def sides(
    rows: pd.DataFrame,
    labels: pd.DataFrame,
    shards: list[Path],
    settings: dict[str, Any],
    where: str,
) -> tuple[training.Data, training.Data]:
    """Find the films of train and val at the size of these settings.

    Args:
        rows: image, split.
        labels: the kept images with their labels.
        shards: the batches' shard folders.
        settings: view, size_px.
        where: the table that names the images, for errors.

    Raises:
        InputError: a side has no film, or a film is in no shard of this size.
    """
    films = Shards(shards, settings["view"], settings["size_px"])
    found = []
    for name in ("train", "val"):
        images = rows["image"][rows["split"] == name].tolist()
        if not images:
            raise InputError(f"{where}: has no {name} film, without which nothing can be trained")
        found.append(training.data_of(images, labels, films, where))
    train, val = found
    return train, val


def main(
    curated: Path,
    split: Path,
    shards: list[Path],
    model: Path,
    experiment: str,
    settings: dict[str, Any],
    seed: int,
    threads: int = 1,
) -> None:
    """Write `models/<experiment>/<seed>/`: weights, config, history, metrics, and what it has seen.

    Args:
        curated: the kept images with their labels.
        split: image, patient, split, official.
        shards: the batches' shard folders.
        model: the folder to write.
        experiment: the experiment's name.
        settings: the experiment's, over the defaults of train_classifier.
        seed: of weights, order and augmentation.
        threads: of the CPU.
    """
    on = nets.machine(threads)
    torch.manual_seed(seed)
    rows, labels = read_table(split), read_table(curated)
    seen, found = look_up(rows, settings, read_meta(curated)["labels_version"] == "phantom")
    phases = training.phases(settings)
    parts = [(phase, *sides(rows, labels, shards, phase, str(split))) for phase in phases]
    _, train, val = parts[-1]
    weights = losses.positive_weights(train.labels, settings["weighting"])
    never = [f for f, n in zip(FINDINGS, train.labels.sum(axis=0), strict=True) if n == 0]
    if never:
        say(f"no training film has {', '.join(never)}: nothing is learnt of them")
    net = nets.build(settings["init"], losses.starting_log_odds(train.labels, weights))
    say(
        f"{len(train.positions):,} films to learn from, {len(val.positions):,} to validate, "
        f"on {on.device.type} in {'bfloat16' if on.bf16 else 'float32'}"
    )
    fitted, history = training.fit_phases(net, parts, seed, on)
    model.mkdir()
    best = training.best_of(history)
    counted = {"best_epoch": best["epoch"], **count(rows, train, settings), **read_meta(curated)}
    config = describe(experiment, settings, seed, on, {**counted, "seen": found})
    nets.save(fitted, config, model, contamination.write_record(seen, model))
    table = pd.DataFrame(history)
    table.to_csv(model / "history.csv", index=False, float_format="%.6g", lineterminator="\n")
    scores = {n: None if np.isnan(value) else float(f"{value:.6g}") for n, value in best.items()}
    (model / "metrics.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
