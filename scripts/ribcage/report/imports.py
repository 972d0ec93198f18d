"""What the pages say of predictions that were made elsewhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage.literature import PUBLISHED_BOUNDS
from ribcage.report import calibration, experts, results, strata
from ribcage.report.charts import style_of
from ribcage.report.outcome import Import
from ribcage.report.render import render
from ribcage.report.sections import Table
from ribcage.words import plural

CONTENTS = (
    ("results", "Results"),
    ("calibration", "Calibration"),
    ("strata", "For whom it works"),
    ("experts", "Radiologists"),
)
JUDGED_ON = {
    "own_test": "all films of the file",
    "this_split": "this run's validation and test films",
}


def beside(imports: Sequence[Import]) -> list[Import]:
    """Those that may stand in this run's tables and pictures: scored on its test films, all of them."""
    return [one for one in imports if one["about"]["same_films"]]


def section(imports: Sequence[Import]) -> dict[str, Any]:
    """What the page of the run says: who stands beside its experiments, and who elsewhere.

    Args:
        imports: with their entries of imports.json as `about`.
    """
    here = beside(imports)
    away = [one["name"] for one in imports if one not in here]
    were = "was" if len(away) == 1 else "were"
    return {
        **files(here),
        "sentence": f"{plural(len(here), 'file')} of predictions made elsewhere stand{'s' if len(here) == 1 else ''} beside this "
        "run's experiments: scored on the same test films, under the same evaluation."
        if here
        else "",
        "away": f"{', '.join(away)} {were} judged on other films, so {'it stands' if len(away) == 1 else 'they stand'} on a page of "
        f"{'its' if len(away) == 1 else 'their'} own:"
        if away
        else "",
    }


def files(imports: Sequence[Import]) -> dict[str, Any]:
    """Where each file came from, what it lacks, and whether its model knew the films."""
    rows: list[list[str]] = []
    warnings: list[str] = []
    notes: list[str] = []
    for one in imports:
        about = one["about"]
        seen = about["seen"]
        lacking = ", ".join(about["missing_findings"]) or "none"
        cells = [one["name"], about["file"], about["sha256"][:12], JUDGED_ON[about["of"]]]
        counts = [f"{about[name]:,}" for name in ("films", "left_out")]
        rows.append([*cells, *counts, lacking])
        doubtful = not seen["known"] or seen.get("val") or seen.get("test")
        (warnings if doubtful else notes).append(f"{one['name']}: {seen['sentence']}")
    header = ["name", "file", "sha256 begins", "judged on", "films", "left out", "findings it lacks"]  # fmt: skip
    return {"warnings": warnings, "notes": notes, "table": Table(header, rows, text=(0, 1, 2, 3, 6))}  # fmt: skip


def scores_of(folder: Path) -> dict[str, Any]:
    """Read what `evaluation` left of an experiment or an import: metrics, curves, strata."""
    return {
        "metrics": json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        "curves": pd.read_csv(folder / "curves.csv", dtype={"class": str}),
        "strata": pd.read_csv(folder / "strata.csv", dtype={"group": str}),
    }


def read(folder: Path, before: int = 0) -> list[Import]:
    """Read the imports of a folder of import_predictions.

    Args:
        folder: with imports.json and a folder a name.
        before: how many experiments have taken their colours.
    """
    entries = json.loads((folder / "imports.json").read_text(encoding="utf-8"))
    return [
        {
            "name": about["name"],
            "style": style_of(before + number),
            "about": about,
            **scores_of(folder / about["name"]),
        }
        for number, about in enumerate(entries)
    ]


def page(imported: Sequence[Import], baseline: dict[str, Any]) -> str:
    """Render the page of the imports alone, which needs neither films nor training.

    Each is judged by itself: two files may hold other films, and their values then do not compare.

    Args:
        imported: of `read`.
        baseline: scores of score_metadata_baseline on this run's test films; shown beside an import
            of the same films alone.
    """
    several = len(imported) > 1
    parts = [_part(one, baseline, f"-{n}" if several else "") for n, one in enumerate(imported, 1)]
    if several:
        contents = [(f"results{part['suffix']}", part["name"]) for part in parts]
    else:
        contents = list(CONTENTS) if parts else []
    sentence = (
        f"{plural(len(imported), 'file')} of predictions made elsewhere {'are' if several else 'is'} scored here as this project scores its own."
        + (" Each is judged by itself: on other films, values do not compare." if several else "")
    )
    return render(
        "imported.html",
        title="Imported predictions",
        contents=[("", contents)],
        parts=parts,
        about={"sentence": sentence, "away": "", **files(imported)},
    )


def _part(one: Import, baseline: dict[str, Any], suffix: str) -> dict[str, Any]:
    blind = baseline if one["about"]["same_films"] else None
    return {
        "name": one["name"],
        "suffix": suffix,
        "results": results.results([one], blind, {"pairs": []}),
        "calibration": calibration.section([one]),
        "strata": strata.section([one]),
        "experts": experts.section(
            [one], [], PUBLISHED_BOUNDS, "local"
        ),  # true of any films: their labels came with them
    }
