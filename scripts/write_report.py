"""Render everything into one page that a reviewer can read without asking us anything."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.literature import PUBLISHED_BOUNDS, published, published_boxes
from ribcage.progress import say
from ribcage.report import (
    calibration,
    comparison,
    data,
    experts,
    explanation,
    files,
    imports,
    leaks,
    limits,
    literature,
    outcome,
    provenance,
    resources,
    results,
    sections,
    shortcuts,
    strata,
    validity,
)
from ribcage.report import lungs as lung_section
from ribcage.report.cams import Cams, read
from ribcage.report.cards import Pool
from ribcage.report.charts import style_of
from ribcage.report.datasheet import datasheet
from ribcage.report.render import render
from ribcage.tables import read_meta, read_table

CONTENTS = (
    ("Data", (("data", "Films and patients"), ("curation", "Dropped"))),
    ("Making", (("lungs", "Lungs"), ("training", "Training"))),
    ("Results", (("results", "On the test films"), ("calibration", "Calibration"))),
    ("Comparison", (("comparison", "What looking is worth"), ("literature", "Literature"))),
    ("Explanation", (("explanation", "Where the networks look"),)),
    (
        "Validity",
        (
            ("validity", "All checks"),
            ("leaks", "Proof of the split"),
            ("audit", "Lists and rules"),
            ("strata", "For whom it works"),
            ("baseline", "Without looking"),
            ("views", "Without lungs"),
            ("shortcuts", "Shortcuts"),
            ("experts", "Radiologists"),
        ),
    ),
    (
        "This run",
        (
            ("resources", "Speed and resources"),
            ("provenance", "Provenance"),
            ("limits", "Limits"),
            ("datasheet", "Datasheet"),
        ),
    ),
)
"""The parts of the page, their sections, and what the contents call them."""


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
        "experiment": name,
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
    figures: Path,
    title: str,
    max_mb: float,
    settings: dict[str, Any],
) -> None:
    """Write `reports/index.html`, which needs no network, and `reports/figures`.

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
        figures: the folder to write its figures into, as files.
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
    best = outcome.best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    leaning = shortcuts.section(experiments)
    parts: dict[str, Any] = dict(
        title=title,
        contents=CONTENTS,
        limits=limits.limits(best, facts, settings["source"]["kind"]),
        head=outcome.head(
            experiments,
            blind,
            compared["against_baseline"],
            facts["sides"],
            settings["split_patients"]["kind"],
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
        literature=literature.section(
            experiments,
            published(),
            settings["split_patients"]["kind"],
            settings["source"]["kind"],
            bool((facts["certificate"]["official_test"] or {}).get("whole")),
            meta["labels_version"],
        ),
        shortcuts=leaning,
        validity=validity.section(experiments, facts, leaning["sentence"]),
        resources=resources.section(experiments),
        provenance=provenance.section(experiments, meta, tables, settings),
        datasheet=datasheet(facts),
    )
    every = [read(experiment) for experiment in experiments]
    for others in range(len(experiments) - 1, -1, -1):
        parts |= with_films(experiments, every, kept, settings["source"]["kind"], beside, others)
        page = render("page.html", **parts)
        size = len(page.encode()) / 1e6
        if size <= max_mb:
            break
    else:
        raise InputError(
            f"write_report.max_mb: the page has {size:.1f} MB, over {max_mb:g}; lower "
            "draw_cams.per_finding, draw_cams.display_px, draw_lungs.random or "
            "describe_data.extreme_films, or raise the limit"
        )
    report.write_text(page, encoding="utf-8")
    figures.mkdir()
    files.write(parts, figures)
    files.write_gallery(best["cams"], figures)
    files.write_lungs(sheets, figures)
    say(f"the page has {size:.1f} MB")


def with_films(
    experiments: list[outcome.Experiment],
    every: Sequence[Cams],
    kept: pd.DataFrame,
    source_kind: str,
    beside: Sequence[outcome.Import],
    others: int,
) -> dict[str, Any]:
    """The sections that show maps over films, and the films, which are embedded once for both.

    Args:
        experiments: in the order of params.yaml.
        every: their maps, in the same order.
        kept: the kept images.
        source_kind: phantom, local or nih.
        beside: the imports that stand beside the experiments.
        others: of so many experiments besides the best the gallery is shown; the page's limit
            leaves room for no more.
    """
    pool = Pool()
    films = explanation.disagreements(experiments, every, kept, pool)
    return {
        "experts": experts.section(experiments, films, PUBLISHED_BOUNDS, source_kind, beside),
        "explanation": explanation.section(
            experiments, every, kept, published_boxes(), source_kind, pool, others
        ),
        "pool": pool.films.values(),
    }


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
