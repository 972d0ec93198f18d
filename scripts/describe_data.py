"""Count, audit and picture the data: every figure on it that page, report and datasheet show."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from ribcage.description import Facts, describe
from ribcage.duplicates import read_duplicates
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.lists import official_lists, read_list
from ribcage.measures import RULES
from ribcage.progress import say
from ribcage.tables import read_meta, read_table

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
        for image, data in read_batch(batch, set(left)):
            picture = Image.fromarray(decode(data, image))
            picture.thumbnail((side_px, side_px), Image.Resampling.BOX)
            picture.save(folder / left.pop(image), **WEBP)
            if not left:
                return
    if left:
        raise InputError(f"describe_data: no batch holds {min(left)} any more; index them again")


def ranking_of(scores: dict[str, Any]) -> dict[str, Any]:
    """What the pages say of the baseline: AUROC and average precision of each class."""
    kept = {
        split: {
            name: {metric: of[metric] for metric in ("auroc", "ap")}
            for name, of in classes.items()
            if "auroc" in of
        }
        for split, classes in scores["splits"].items()
    }
    return {**scores, "splits": kept}


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
    thresholds: dict[str, Any],
    extreme_films: int,
    picture_px: int,
) -> None:
    """Write `reports/data/`.

    `facts.json` has every figure that the page on the data, the datasheet and the report's section
    on data show; `*.webp` are the films nearest to a rule of quality.

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
        thresholds: of curate_images.quality.
        extreme_films: films of each rule that are shown.
        picture_px: the longer side of their pictures.
    """
    indexed, sides, measured = (read_table(path) for path in (images, split, measures))
    found = json.loads(certificate.read_text(encoding="utf-8"))
    of_patient = sides.drop_duplicates("patient").set_index("patient")["split"]
    indexed["list"] = indexed["image"].map(official_lists(tables))
    # Drawn by image, a patient has no side.
    indexed["split"] = None if found["leaky"] else indexed["patient"].map(of_patient)
    facts = describe(
        indexed,
        read_table(curated).merge(sides[["image", "split"]], on="image"),
        measured,
        read_duplicates(duplicates),
        pd.read_csv(dropped),
        pd.read_csv(spared),
        {path.stem: set(read_list(path)) for path in sorted((tables / "blacklists").glob("*.csv"))},
        read_meta(curated),
    )
    facts["certificate"] = found
    facts["baseline"] = ranking_of(json.loads((baseline / "metrics.json").read_text("utf-8")))
    facts["extremes"] = extremes(measured, thresholds, extreme_films)
    description.mkdir()
    wanted = {film["image"]: film["picture"] for s in facts["extremes"] for film in s["films"]}
    draw(wanted, films, description, picture_px)
    text = json.dumps(facts, indent=1, allow_nan=False)
    (description / "facts.json").write_text(text + "\n", encoding="utf-8")
    say(facts["certificate"]["verdict"])


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
