"""What every section is made of, and what the one on training says."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ribcage.report.charts import Line, chart
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
