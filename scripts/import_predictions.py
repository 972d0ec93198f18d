"""Score the predictions of models that were trained elsewhere, as if they were experiments."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage import contamination
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.evaluation.evaluate import Evaluation, evaluate
from ribcage.findings import FINDINGS
from ribcage.lists import SPLITS
from ribcage.predictions import Predictions, read_predictions, refuse_strangers
from ribcage.progress import say
from ribcage.report import imports
from ribcage.tables import read_meta, read_table, write_numbers, write_table

OWN_TEST = "own_test"


def films_of(
    found: Predictions, kept: pd.DataFrame, split: pd.DataFrame, of: str, path: Path
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Put together the films to score, in the order of the kept ones, whatever the file's.

    Args:
        found: what the file says, of films that the data table names.
        kept: the curated images: image, patient.
        split: image, split, official.
        of: `own_test` (all its films are test) or `this_split` (the run's val and test films).
        path: of the file, for errors.

    Returns:
        Rows image, patient, split, official and a probability a finding; and counts: `left_out`
        (films of the file that curation dropped), `learnt_here` (train films of this_split),
        `lacking` (val and test films of this_split that the file does not have).

    Raises:
        InputError: there is no test film to score.
    """
    given = found.given.assign(image=found.images)
    sides = split[["image", "split", "official"]]
    rows = kept[["image", "patient"]].merge(sides, on="image", validate="1:1")
    judged = rows["split"].isin(("val", "test"))
    rows = rows.merge(given, on="image", validate="1:1")
    counted = {"left_out": len(given) - len(rows), "learnt_here": 0, "lacking": 0}
    if of == OWN_TEST:
        rows = rows.assign(split="test")
    else:
        learnt = rows["split"] == "train"
        counted["learnt_here"] = int(learnt.sum())
        rows = rows[~learnt].reset_index(drop=True)
        counted["lacking"] = int(judged.sum()) - len(rows)
    if not (rows["split"] == "test").any():
        raise InputError(
            f"{path}: scores no test film that is left after curation; take a file that does, or "
            f"set of to {OWN_TEST}"
        )
    return rows, counted


def seen_films(
    name: str, about: dict[str, str], rows: pd.DataFrame, phantoms: bool
) -> dict[str, Any]:
    """Count the films to score that the model had learnt from, as `contamination.ledger` does.

    Args:
        name: of the model.
        about: its entry in `import_predictions`.
        rows: the films to score: image, split, official.
        phantoms: whether they are phantoms.

    Returns:
        The ledger, and `taken_on_trust`: whether these films are no more than said to be its own
        test set, because the split that it learnt from is known by its size alone.
    """
    seen = contamination.told(about["learnt_from"], f"import_predictions.{name}.learnt_from")
    found = contamination.ledger(seen, name, rows, phantoms)
    few = len(rows) <= contamination.NOT_SEEN and not found["at_least"]["test"]
    trust = bool(found["likely"] and few and about["of"] == OWN_TEST)
    if trust:
        found["sentence"] = (
            f"{name} has learnt from most films of NIH; that these {len(rows):,} are its own test "
            "set is taken on trust."
        )
    return {**found, "taken_on_trust": trust}


def write(folder: Path, scored: Evaluation, meta: dict[str, str]) -> None:
    """Write one model's scores in the forms of score_predictions."""
    folder.mkdir()
    write_table(scored.rows, folder / "predictions.parquet", meta)
    text = json.dumps(scored.metrics, indent=1)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    for name, table in (("curves", scored.curves), ("strata", scored.strata)):
        write_numbers(table, folder / f"{name}.csv")


def main(
    curated: Path,
    images: Path,
    split: Path,
    tables: Path,
    baseline: Path,
    imported: Path,
    page: Path,
    files: dict[str, dict[str, str]],
    settings: dict[str, Any],
) -> None:
    """Write `reports/imported/`: imports.json and, by name, a folder as of an experiment; a page.

    Args:
        curated: the kept images with their labels.
        images: all images of the data table.
        split: image, patient, split, official.
        tables: the folder that fetch_tables made.
        baseline: the folder of score_metadata_baseline, which the page shows beside each model.
        imported: the folder to write. imports.json: by file name, file, sha256, of, films,
            same_films (whether its test films are this run's), left_out, learnt_here, lacking (see
            `films_of`), missing_findings, and seen (see
            `seen_films`); a folder a name holds predictions.parquet, metrics.json, curves.csv and
            strata.csv.
        page: the page to write, `reports/imported.html`.
        files: by name, file, of (own_test or this_split), learnt_from.
        settings: of score_predictions.

    Raises:
        InputError: a file cannot be read, or does not fit the data table.
    """
    known, kept, sides = read_table(images, ["image"]), read_table(curated), read_table(split)
    meta = read_meta(curated)
    imported.mkdir()
    own = set(sides["image"][sides["split"] == "test"])
    entries = []
    for name, about in files.items():
        path = Path(about["file"])
        found = read_predictions(path)
        refuse_strangers(found.images, known["image"], path)
        rows, counted = films_of(found, kept, sides, about["of"], path)
        seen = seen_films(name, about, rows, meta["labels_version"] == "phantom")
        rows = rows[["image", "patient", "split", *FINDINGS]]
        write(imported / name, evaluate(name, [], [rows], kept, tables, settings), meta)
        entries.append(
            {
                "name": name,
                **about,
                "sha256": found.sha256,
                "films": len(rows),
                "same_films": set(rows["image"][rows["split"] == "test"]) == own,
                **counted,
                "missing_findings": found.missing,
                "seen": seen,
            }
        )
        sizes = (f"{n:,} {side}" for side in SPLITS if (n := int((rows["split"] == side).sum())))
        lost = f"; without {', '.join(found.missing)}" if found.missing else ""
        say(f"{name}: {' and '.join(sizes)} films scored{lost}. {seen['sentence']}")
    text = json.dumps(entries, indent=1)
    (imported / "imports.json").write_text(text + "\n", encoding="utf-8")
    blind = json.loads((baseline / "metrics.json").read_text(encoding="utf-8"))["splits"]["test"]
    page.write_text(imports.page(imports.read(imported), blind), encoding="utf-8")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
