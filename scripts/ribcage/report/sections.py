"""What every section is made of, and what the one on training says."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ribcage.report.cells import signed
from ribcage.report.charts import Line, chart
from ribcage.report.figures import Figure
from ribcage.words import plural


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


def training(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Learning curves of every model, and what each learnt from.

    Args:
        models: name, style, config (of config.json) and history (of history.csv) of each.
    """
    started = [model["name"] for model in models if len(_by_size(model)) > 1]
    lines_loss, lines_area, rows = [], [], []
    for model in models:
        losses, areas = _curves(model)
        lines_loss += losses
        lines_area += areas
        rows.append(_row(model))
    # Thin lines lie under all others: a start may be the whole of another experiment.
    for lines in (lines_loss, lines_area):
        lines.sort(key=lambda line: "thin" not in line.style)
    reach = (0.0, max(float(line.x.max()) for line in lines_area))
    top = max(float(np.nanmax(line.y)) for line in lines_loss)
    known = np.concatenate([line.y[np.isfinite(line.y)] for line in lines_area] or [np.zeros(0)])
    low = min(0.5, float(known.min())) if known.size else 0.0
    thin = " Thin lines, which lie under the others, are of the smaller films that came first; none of their epochs is kept in the end, and they are not joined to what follows."
    groups = [
        Figure(
            "loss",
            chart(
                lines_loss,
                "training films seen",
                "loss",
                "Loss of each experiment",
                reach,
                (0, top * 1.05),
            ),
            "Loss: dashed on training films, solid on validation films; the dot is the epoch that was kept. Weighted and unweighted losses are of different size."
            + _unfinished(models)
            + (thin if started else ""),
        ),
        Figure(
            "validation-auroc",
            chart(
                lines_area,
                "training films seen",
                "macro AUROC",
                "Validation macro AUROC of each experiment",
                reach,
                (low, 1.0),
            ),
            "Macro AUROC on validation films; the dot is the epoch of the least validation loss, whose weights were kept."
            + _last_step(models)
            + (thin if started else ""),
        ),
    ]
    header = [
        "model",
        "film size",
        "training films",
        "patients",
        "validation films",
        "films seen",
        "kept epoch",
        "validation loss",
        "macro AUROC",
    ]
    return {
        "sentence": f"{plural(len(models), 'model')} trained; each kept the epoch with the least validation loss{' of its last size. ' + _first(started) if started else '.'}",
        "groups": groups,
        "table": Table(header, rows),
    }


def _unfinished(models: list[dict[str, Any]]) -> str:
    """How many models kept their last epoch: more films might have served them."""
    kept = sum(m["config"]["best_epoch"] == _by_size(m)[-1]["epoch"].iloc[-1] for m in models)
    if not kept:
        return " No model kept its last epoch: all had stopped improving."
    return (
        f" {kept} of {plural(len(models), 'model')} kept {'its' if kept == 1 else 'their'} last epoch, "
        "and so still improved when training ended."
    )


def _last_step(models: list[dict[str, Any]]) -> str:
    """How much the last epoch changed the AUROC, from the least to the most of the models."""
    areas = [_by_size(model)[-1]["val_auroc_macro"].to_numpy(float) for model in models]
    steps = [area[-1] - area[-2] for area in areas if len(area) > 1]
    known = [float(step) for step in steps if np.isfinite(step)]
    if not known:
        return ""
    low, high = signed(min(known)), signed(max(known))
    return f" The last epoch changed it by {low}{'' if low == high else f' to {high}'}."


def _first(started: list[str]) -> str:
    """Say which networks learnt from smaller films first."""
    names = ", ".join(started[:-1]) + " and " + started[-1] if len(started) > 1 else started[0]
    return f"{names} learnt from smaller films first, and went on from the best epoch there."


def _by_size(model: dict[str, Any]) -> list[pd.DataFrame]:
    """A model's epochs, apart by the size of the films, the last size last."""
    return [part for _, part in model["history"].groupby("size_px", sort=True)]


def _curves(model: dict[str, Any]) -> tuple[list[Line], list[Line]]:
    """Lines of losses and of macro AUROCs, those of each size by themselves."""
    losses, areas = [], []
    *small, last = _by_size(model)
    for part in (*small, last):
        mark = int(model["config"]["best_epoch"] - part["epoch"].iloc[0]) if part is last else None
        style = model["style"] if part is last else f"{model['style']} thin"
        seen = part["samples"].to_numpy(float)
        name = model["name"] + (f" at {part['size_px'].iloc[0]} px" if small else "")
        fitted, loss, area = (
            part[column].to_numpy(float) for column in ("train_loss", "val_loss", "val_auroc_macro")
        )
        owner = model["experiment"]
        dashed = f"{style} dashed"
        losses.append(Line(f"{name}, training", seen, fitted, dashed, experiment=owner))
        losses.append(Line(f"{name}, validation", seen, loss, style, mark, experiment=owner))
        areas.append(Line(name, seen, area, style, mark, experiment=owner))
    return losses, areas


def _row(model: dict[str, Any]) -> list[str]:
    """A model's row of the table."""
    config, parts = model["config"], _by_size(model)
    ends = [0, *(int(part["samples"].iloc[-1]) for part in parts)]
    last = parts[-1].set_index("epoch")
    kept = last.loc[config["best_epoch"]]
    return [
        model["name"],
        ", then ".join(str(part["size_px"].iloc[0]) for part in parts) + " px",
        f"{config['n_train_films']:,}",
        f"{config['n_train_patients']:,}",
        f"{config['n_val_films']:,}",
        ", then ".join(f"{end - start:,}" for start, end in pairwise(ends)),
        f"{config['best_epoch'] - last.index[0] + 1} of {len(last)}",
        f"{kept['val_loss']:.4f}",
        _area(kept["val_auroc_macro"]),
    ]


def _area(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
