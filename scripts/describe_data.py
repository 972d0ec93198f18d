"""Count, audit and picture the data, and write its page and its datasheet before any training."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from ribcage.measures import RULES

from ribcage.description import Facts, describe, official_side, read_list
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.progress import say
from ribcage.report import data, leaks
from ribcage.report.datasheet import datasheet, markdown
from ribcage.report.evidence import commit, sources
from ribcage.report.render import render
from ribcage.tables import read_meta, read_table

CONTENTS = (
    ("data", "Data"),
    ("curation", "Dropped"),
    ("leaks", "Proof of the split"),
    ("baseline", "Without looking"),
    ("datasheet", "Datasheet"),
    ("sources", "Sources"),
)
WEBP: dict[str, Any] = {"format": "WEBP", "quality": 78, "method": 4}


def extremes(measures: pd.DataFrame, thresholds: dict[str, Any], count: int) -> list[Facts]:
    """Choose, for each rule of quality, the films that are nearest to breaking it.

    Args:
        measures: a row a decoded film.
        thresholds: of curate_images.quality; `none` where a rule is off.
        count: films of a rule.

    Returns:
        rule, measure, is_spoilt (below or above), threshold (None if off), suggested (a
        threshold) and films: image, value and picture (a file's name).
    """
    sheets = []
    for name, rule in RULES.items():
        upwards = rule.is_spoilt == "below"
        ordered = measures.sort_values([rule.column, "image"], ascending=[upwards, True])
        films = [
            {"image": image, "value": float(f"{value:.6g}"), "picture": f"{image}.webp"}
            for image, value in ordered[["image", rule.column]].head(count).itertuples(index=False)
        ]
        told = None if thresholds[name] == "none" else thresholds[name]
        sheets.append(
            {
                "rule": name,
                "measure": rule.column,
                "is_spoilt": rule.is_spoilt,
                "threshold": told,
                "suggested": rule.suggested,
                "films": films,
            }
        )
    return [sheet for sheet in sheets if sheet["films"]]


def draw(wanted: dict[str, str], films: Iterable[Path], folder: Path, side_px: int) -> None:
    """Draw small copies of films, streaming each batch that has one.

    Args:
        wanted: the picture's file name by image.
        films: the batches' archives or folders.
        folder: where the pictures go.
        side_px: the longer side of a picture.
    """
    left = dict(wanted)
    for batch in films:
        for image, data_ in read_batch(batch, set(left)):
            picture = Image.fromarray(decode(data_, image))
            picture.thumbnail((side_px, side_px), Image.Resampling.BOX)
            picture.save(folder / left.pop(image), **WEBP)
            if not left:
                return
    if left:
        raise InputError(f"describe_data: no batch holds {min(left)} any more; index them again")


def main(
    tables: Path,
    images: Path,
    measures: Path,
    duplicates: Path,
    curated: Path,
    dropped: Path,
    spared: Path,
    split: Path,
    certificate: Path,
    baseline: Path,
    films: list[Path],
    description: Path,
    sheet: Path,
    kind: str,
    title: str,
    thresholds: dict[str, Any],
    extreme_films: int,
    picture_px: int,
) -> None:
    """Write `reports/data/` and `reports/datasheet.md`.

    `facts.json` has every figure that the page, the datasheet and the report's section on data
    show; `index.html` is the page on the data alone, `*.webp` the films nearest to a rule.

    Args:
        tables: the folder that fetch_tables made.
        images: all indexed images.
        measures: of every decoded film.
        duplicates: pairs of films.
        curated: the kept images.
        dropped: the others, with reasons.
        spared: kept although a list or rule names them, with reasons.
        split: who is on which side.
        certificate: the leakage certificate of the split.
        baseline: the folder of score_metadata_baseline.
        films: the batches' archives or folders.
        description: the folder to write.
        sheet: the datasheet to write.
        kind: of the source: phantom, local or nih.
        title: of the pages.
        thresholds: of curate_images.quality.
        extreme_films: films of each rule that are shown.
        picture_px: the longer side of their pictures.
    """
    indexed = read_table(images)
    indexed["side"] = official_side(indexed["image"], tables)
    used = read_table(curated).merge(read_table(split)[["image", "split"]], on="image")
    measured = read_table(measures)
    lists = {p.stem: read_list(p) for p in sorted((tables / "blacklists").glob("*.csv"))}
    meta = read_meta(curated)
    facts: Facts = describe(
        indexed,
        used,
        measured,
        pd.read_csv(duplicates),
        pd.read_csv(dropped),
        pd.read_csv(spared),
        lists,
        meta,
    )
    facts |= {
        "kind": kind,
        "certificate": json.loads(certificate.read_text(encoding="utf-8")),
        "baseline": json.loads((baseline / "metrics.json").read_text(encoding="utf-8")),
        "extremes": extremes(measured, thresholds, extreme_films),
    }
    description.mkdir()
    wanted = {film["image"]: film["picture"] for s in facts["extremes"] for film in s["films"]}
    draw(wanted, films, description, picture_px)
    (description / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    parts = datasheet(facts)
    sheet.write_text(markdown(parts, title), encoding="utf-8")
    page = render(
        "data.html",
        title=f"{title}: the data",
        contents=CONTENTS,
        data=data.data(facts, description),
        curation=leaks.curation(facts),
        leaks=leaks.leaks(facts["certificate"], facts["duplicates"], []),
        baseline=leaks.baseline(facts["baseline"]),
        datasheet=parts,
        sources=sources(tables),
        commit=commit(),
        meta=meta,
    )
    (description / "index.html").write_text(page, encoding="utf-8")
    say(f"{facts['certificate']['verdict']} The page: reports/data/index.html")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
