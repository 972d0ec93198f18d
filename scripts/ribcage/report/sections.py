"""What the sections on data, curation and training say: numbers, tables, sentences."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ribcage.findings import FINDINGS, NO_FINDING
from ribcage.report.charts import Line, chart

FEW_PATIENTS = 20
"""Under so many patients with a finding, its AUROC is mostly chance."""
SPLITS = ("train", "val", "test")


@dataclass
class Table:
    """A table of the page.

    Attributes:
        header: names of the columns.
        rows: cells as they are to be read.
        text: columns that hold text, set to the left.
        sums: first cells of rows that sum up.
    """

    header: list[str]
    rows: list[list[Any]]
    text: tuple[int, ...] = (0,)
    sums: tuple[str, ...] = field(default=())


def percent(part: float, whole: float) -> str:
    """A share as a percentage with one digit; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def plural(count: int, noun: str) -> str:
    """`1 film`, `2,000 films`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def data(curated: pd.DataFrame, split: pd.DataFrame) -> dict[str, Any]:
    """Counts by split, findings by split, and which findings come together."""
    table = curated.merge(split[["image", "split"]], on="image")
    rows = []
    for name in (*SPLITS, "all"):
        part = table if name == "all" else table[table["split"] == name]
        age = part["age_years"]
        rows.append(
            [
                name,
                f"{len(part):,}",
                f"{part['patient'].nunique():,}",
                percent((part["view_position"] == "AP").sum(), len(part)),
                percent((part["sex"] == "F").sum(), len(part)),
                f"{age.median():.0f} ({age.quantile(0.05):.0f}–{age.quantile(0.95):.0f})",
                percent(part[NO_FINDING].sum(), len(part)),
            ]
        )
    header = ["split", "films", "patients", "AP", "women", "age: median (5–95 %)", NO_FINDING]
    shared = table.groupby("patient")["split"].nunique().gt(1).sum()
    commonest = max(FINDINGS, key=lambda finding: table[finding].sum())
    rarest = min(FINDINGS, key=lambda finding: table[finding].sum())
    return {
        "sentence": f"{plural(len(table), 'film')} of {plural(table['patient'].nunique(), 'patient')}"
        f" are used; {plural(int(shared), 'patient')} {'is' if shared == 1 else 'are'} on more than "
        "one side of the split.",
        "splits": Table(header, rows, sums=("all",)),
        "findings": _findings(table),
        "findings_sentence": f"{commonest} is the commonest, on {plural(int(table[commonest].sum()), 'film')}; "
        f"{rarest} the rarest, on {table[rarest].sum():,}. A film may have several.",
        **_together(table),
    }


def _findings(table: pd.DataFrame) -> Table:
    rows = []
    for finding in (*FINDINGS, NO_FINDING):
        row = [finding]
        for name in SPLITS:
            part = table[table["split"] == name]
            row += [f"{part[finding].sum():,}", percent(part[finding].sum(), len(part))]
        held = table[table[finding]]
        test = held[held["split"] == "test"]
        rows.append([*row, f"{held['patient'].nunique():,}", f"{test['patient'].nunique():,}"])
    header = ["finding"]
    for name in SPLITS:
        header += [name, f"% of {name}"]
    return Table([*header, "patients", "test patients"], rows, sums=(NO_FINDING,))


def _together(table: pd.DataFrame) -> dict[str, Any]:
    labels = table[list(FINDINGS)].to_numpy(int)
    both = labels.T @ labels
    pairs = np.triu(both, 1)
    one, other = np.unravel_index(int(pairs.argmax()), pairs.shape)
    largest = max(int(both.max()), 1)
    heat = [
        {
            "name": finding,
            "cells": [
                {"count": int(n), "share": round(70 * float(np.sqrt(n / largest)))} for n in both[k]
            ],
        }
        for k, finding in enumerate(FINDINGS)
    ]
    sentence = (
        f"{FINDINGS[one]} and {FINDINGS[other]} come together most often, on "
        f"{plural(int(pairs.max()), 'film')}. The diagonal counts the films of each finding."
        if pairs.max()
        else "No film has two findings. The diagonal counts the films of each finding."
    )
    return {"heat": {"names": FINDINGS, "rows": heat}, "together_sentence": sentence}


def curation(images: pd.DataFrame, dropped: pd.DataFrame) -> dict[str, Any]:
    """How many were dropped for each reason, and every one of them."""
    counts = dropped["reason"].value_counts()
    if dropped.empty:
        sentence = f"None of the {len(images):,} indexed images was dropped."
    else:
        sentence = (
            f"{len(dropped):,} of {len(images):,} indexed images "
            f"({percent(len(dropped), len(images))}) were dropped."
        )
    return {
        "sentence": sentence,
        "count": len(dropped),
        "reasons": Table(
            ["reason", "images", "of all"],
            [[reason, f"{n:,}", percent(n, len(images))] for reason, n in counts.items()],
        ),
        "all": Table(["image", "reason"], dropped[["image", "reason"]].to_numpy().tolist(), (0, 1)),
    }


def training(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Learning curves of every model, and what each learnt from."""
    lines_loss, lines_area, rows = [], [], []
    for model in models:
        config, history, style = model["config"], model["history"], model["style"]
        seen = history["samples"].to_numpy(float)
        best = int(config["best_epoch"]) - 1
        name = model["name"]
        loss, area = (history[c].to_numpy(float) for c in ("val_loss", "val_auroc_macro"))
        lines_loss.append(
            Line(
                f"{name}, training", seen, history["train_loss"].to_numpy(float), f"{style} dashed"
            )
        )
        lines_loss.append(Line(f"{name}, validation", seen, loss, style, mark=best))
        lines_area.append(Line(name, seen, area, style, mark=best))
        rows.append(
            [
                name,
                f"{config['n_train_films']:,}",
                f"{config['n_train_patients']:,}",
                f"{config['n_val_films']:,}",
                f"{int(seen[-1]):,}",
                f"{best + 1} of {len(history)}",
                f"{loss[best]:.4f}",
                _area(area[best]),
            ]
        )
    reach = (0.0, max(float(line.x.max()) for line in lines_area))
    top = max(float(np.nanmax(line.y)) for line in lines_loss)
    known = np.concatenate([line.y[np.isfinite(line.y)] for line in lines_area] or [np.zeros(0)])
    low = min(0.5, float(known.min())) if known.size else 0.0
    groups = [
        {
            "chart": chart(
                lines_loss,
                "training films seen",
                "loss",
                "Loss of each experiment",
                reach,
                (0, top * 1.05),
            ),
            "caption": "Loss: dashed on training films, solid on validation films; the dot is the epoch that was kept. Weighted and unweighted losses are of different size.",
        },
        {
            "chart": chart(
                lines_area,
                "training films seen",
                "macro AUROC",
                "Validation macro AUROC of each experiment",
                reach,
                (low, 1.0),
            ),
            "caption": "Macro AUROC on validation films; the dot is the epoch of the least validation loss, whose weights were kept.",
        },
    ]
    header = [
        "model",
        "training films",
        "patients",
        "validation films",
        "films seen",
        "kept epoch",
        "validation loss",
        "macro AUROC",
    ]
    return {
        "sentence": f"{plural(len(models), 'model')} trained; each kept the epoch with the least validation loss.",
        "groups": groups,
        "table": Table(header, rows),
    }


def _area(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
