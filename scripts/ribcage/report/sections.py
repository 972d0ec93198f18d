"""What the sections on data, curation, lungs and training say: numbers, tables, sentences."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage.findings import FINDINGS, NO_FINDING
from ribcage.report import pictures
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


def lungs(
    found: pd.DataFrame, segmenter: Path, dice: dict[str, Any], drawn: Path
) -> dict[str, Any]:
    """How well lungs are found, and sheets of random, worst and whole films.

    Args:
        found: the rows of data/lungs, of all batches.
        segmenter: the folder of train_segmenter.
        dice: its metrics.json.
        drawn: the folder of draw_lungs.
    """
    history = pd.read_csv(segmenter / "history.csv")
    samples, overlap = history["samples"].to_numpy(float), history["dice"].to_numpy(float)
    lowest = max(0.0, float(np.floor(overlap.min() * 10) / 10))
    line = Line("held-out phantoms", samples, overlap, "e0", mark=len(samples) - 1)
    reach = (0.0, float(samples.max()))
    methods = found["method"].value_counts()
    whole = found[found["method"] == "whole_film"]
    boxed = found[found["method"] != "whole_film"]
    shown = pd.read_csv(drawn / "sheets.csv", dtype={"image": str, "picture": str})
    worst = shown[shown["sheet"] == "worst"]
    sheets = [
        _sheet(
            "Random films",
            "Drawn at random: green the lungs, amber the box that a film is cut to.",
            shown[shown["sheet"] == "random"],
            drawn,
        ),
        _sheet("The least plausible lungs", _worst_sentence(worst), worst, drawn),
        _sheet(
            "Films taken whole",
            f"On {plural(len(whole), 'film')} no plausible lungs were found; all of the film is used.",
            shown[shown["sheet"] == "whole"],
            drawn,
        ),
    ]
    return {
        "sentence": f"A U-Net that has seen no real film finds the lungs: Dice {dice['dice_mean']:.3f} on "
        f"{plural(dice['films'], 'held-out phantom')} (the worst {dice['dice_min']:.3f}). "
        f"It gave {plural(len(boxed), 'film')} a box; {plural(len(whole), 'film')} "
        f"{'is' if len(whole) == 1 else 'are'} taken whole.",
        "chart": chart(
            [line], "training films seen", "Dice", "Dice of the segmenter", reach, (lowest, 1.0)
        ),
        "methods": Table(
            ["method", "films", "share"],
            [[method, f"{n:,}", percent(n, len(found))] for method, n in methods.items()],
        ),
        "sheets": [sheet for sheet in sheets if sheet["films"]],
    }


def _worst_sentence(worst: pd.DataFrame) -> str:
    low = worst["quality"].min() if len(worst) else float("nan")
    return f"The boxes of the lowest quality (from {low:.2f}; 1 is an ordinary pair of lungs)."


def _sheet(title: str, sentence: str, rows: pd.DataFrame, drawn: Path) -> dict[str, Any]:
    shown = []
    for _, row in rows.iterrows():
        picture = pictures.file_uri(drawn / row["picture"])
        caption = f"{row['image']} · quality {row['quality']:.2f}"
        alt = f"Film {row['image']} with the outline of its lungs and their box"
        shown.append({"src": picture, "alt": alt, "caption": caption})
    return {"title": title, "sentence": sentence, "films": shown}


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
