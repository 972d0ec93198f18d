"""Render everything into one page that a reviewer can read without asking us anything."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.literature import PUBLISHED_BOUNDS, published
from ribcage.progress import say
from ribcage.report import (
    calibration,
    comparison,
    data,
    evidence,
    experts,
    imports,
    leaks,
    literature,
    outcome,
    results,
    sections,
    shortcuts,
    strata,
)
from ribcage.report import lungs as lung_section
from ribcage.report.charts import style_of
from ribcage.report.datasheet import datasheet
from ribcage.report.render import render
from ribcage.tables import read_meta, read_table

CONTENTS = (
    ("data", "Data"),
    ("curation", "Dropped"),
    ("leaks", "Proof of the split"),
    ("baseline", "Without looking"),
    ("lungs", "Lungs"),
    ("training", "Training"),
    ("results", "Results"),
    ("calibration", "Calibration"),
    ("strata", "For whom it works"),
    ("experts", "Radiologists"),
    ("comparison", "What looking is worth"),
    ("literature", "Literature"),
    ("shortcuts", "Shortcuts"),
    ("explanation", "Where the networks look"),
    ("provenance", "Provenance"),
    ("limits", "Limits"),
    ("datasheet", "Datasheet"),
)
LIMITS = (
    "For research and teaching only; not for clinical use.",
    "The labels of ChestX-ray14 were mined from reports by software and are often wrong; "
    "“No Finding” means that none of the 14 was found, not that the film is normal.",
    "There are no lateral films, no earlier films and no clinical history beside a film.",
    "ChestX-ray14 comes from one hospital; what a model learns there may not hold elsewhere.",
    "Phantoms are drawings. They test the pipeline, not the medicine.",
    "Intervals say what other patients of the same kind would change; they know nothing of another "
    "hospital, of wrong labels, or of another training.",
)


def gather(
    models: list[Path], metrics: list[Path], cams: list[Path], settings: dict[str, Any]
) -> list[outcome.Experiment]:
    """Put together what belongs to each experiment, in the order of params.yaml."""
    experiments = []
    for number, name in enumerate(settings["experiments"]):
        own = [folder for folder in models if folder.parent.name == name]
        experiments.append(
            {
                "name": name,
                "style": style_of(number),
                "settings": {**settings["train_classifier"], **settings["experiments"][name]},
                **imports.scores_of(_of(metrics, name).parent),
                "cams": _of(cams, name),
                "models": [_model(folder, name, style_of(number), len(own)) for folder in own],
            }
        )
    return experiments


def _of(paths: list[Path], name: str) -> Path:
    (path,) = (path for path in paths if path.parent.name == name)
    return path


def _model(folder: Path, name: str, style: str, seeds: int) -> dict[str, Any]:
    return {
        "folder": folder,
        "name": name if seeds == 1 else f"{name}, seed {folder.name}",
        "style": style,
        "config": json.loads((folder / "config.json").read_text(encoding="utf-8")),
        "history": pd.read_csv(folder / "history.csv"),
    }


def main(
    tables: Path,
    description: Path,
    curated: Path,
    segmenter: Path,
    lungs: list[Path],
    sheets: Path,
    models: list[Path],
    metrics: list[Path],
    cams: list[Path],
    comparison_file: Path,
    imported: Path,
    on_real_films: Path,
    report: Path,
    title: str,
    max_mb: float,
    settings: dict[str, Any],
) -> None:
    """Write `reports/index.html`, which needs no network.

    Args:
        tables: the folder that fetch_tables made.
        description: the folder of describe_data.
        curated: the kept images.
        segmenter: the folder of train_segmenter.
        lungs: the batches' lung tables.
        sheets: the folder of draw_lungs.
        models: the folders of train_classifier.
        metrics: a metrics.json an experiment, with curves.csv and strata.csv beside it.
        cams: a folder of draw_cams an experiment.
        comparison_file: comparison.json of compare_experiments.
        imported: the folder of import_predictions.
        on_real_films: what benchmarks/lungs_on_real_films.py measured, if it ever did.
        report: the page to write.
        title: its title.
        max_mb: the page may not be larger.
        settings: the whole of params.yaml.
    """
    kept = read_table(curated)
    facts = json.loads((description / "facts.json").read_text(encoding="utf-8"))
    found = pd.concat([read_table(path) for path in lungs], ignore_index=True)
    dice = json.loads((segmenter / "metrics.json").read_text(encoding="utf-8"))
    experiments = gather(models, metrics, cams, settings)
    foreign = imports.read(imported, len(experiments))
    beside = imports.beside(foreign)
    compared = json.loads(comparison_file.read_text(encoding="utf-8"))
    meta = read_meta(curated)
    blind = facts["baseline"]["splits"]["test"]
    seen = [{"name": m["name"], **m["config"]["seen"]} for e in experiments for m in e["models"]]
    page = render(
        "page.html",
        title=title,
        contents=CONTENTS,
        limits=LIMITS,
        head=outcome.head(
            experiments,
            blind,
            len(kept),
            kept["patient"].nunique(),
            settings["source"]["kind"],
        ),
        data=data.data(facts, description),
        curation=leaks.curation(facts),
        leaks=leaks.leaks(facts["certificate"], facts["duplicates"], seen),
        baseline=leaks.baseline(facts["baseline"]),
        lungs=lung_section.lungs(found, segmenter, dice, sheets, on_real_films),
        training=sections.training([model for e in experiments for model in e["models"]]),
        results=results.results(experiments, blind, compared, beside),
        imports=imports.section(foreign),
        calibration=calibration.section(experiments, beside),
        strata=strata.section(experiments),
        comparison=comparison.section(experiments, compared, blind),
        experts=experts.section(
            experiments, evidence.disagreements(experiments, kept), PUBLISHED_BOUNDS, beside
        ),
        literature=literature.section(
            experiments,
            published(),
            settings["split_patients"]["kind"],
            settings["source"]["kind"],
            bool((facts["certificate"]["official_test"] or {}).get("whole")),
            meta["labels_version"],
        ),
        shortcuts=shortcuts.section(experiments),
        explanation=evidence.explanation(experiments, kept),
        provenance=evidence.provenance(experiments, meta, tables, settings),
        datasheet=datasheet(facts),
    )
    size = len(page.encode()) / 1e6
    if size > max_mb:
        raise InputError(
            f"write_report.max_mb: the page has {size:.1f} MB, over {max_mb:g}; lower "
            "draw_cams.per_finding, draw_cams.display_px, draw_lungs.random or "
            "describe_data.extreme_films, or raise the limit"
        )
    report.write_text(page, encoding="utf-8")
    say(f"the page has {size:.1f} MB")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
