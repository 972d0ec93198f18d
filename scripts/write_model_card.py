"""Write what an experiment's networks are, how good, and what they are no good for."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage.engine import step
from ribcage.lists import SPLITS
from ribcage.progress import say
from ribcage.report.model_card import Subject, model_card
from ribcage.report.provenance import sha256_of
from ribcage.tables import read_table


def sides_of(split: pd.DataFrame) -> dict[str, tuple[int, int, str]]:
    """Films, patients and the sha256 of the films' names, sorted and one a line, by side.

    Args:
        split: image, patient, split.
    """
    found = {}
    for side in SPLITS:
        part = split[split["split"] == side]
        names = "".join(f"{image}\n" for image in sorted(part["image"]))
        digest = hashlib.sha256(names.encode()).hexdigest()
        found[side] = (len(part), int(part["patient"].nunique()), digest)
    return found


def main(
    models: list[Path],
    metrics_file: Path,
    strata: Path,
    split: Path,
    certificate: Path,
    card: Path,
    experiment: str,
    settings: dict[str, Any],
    title: str,
) -> None:
    """Write `reports/<experiment>/model_card.md`.

    Args:
        models: the folders of train_classifier, one a seed.
        metrics_file: the experiment's metrics.json.
        strata: its strata.csv.
        split: image, patient, split.
        certificate: the JSON of split_patients.
        card: the Markdown to write.
        experiment: the experiment's name.
        settings: the experiment's, over the defaults of train_classifier.
        title: of the run.
    """
    folders = sorted(models, key=lambda folder: int(folder.name))
    subject = Subject(
        experiment=experiment,
        settings=settings,
        configs=[json.loads((f / "config.json").read_text(encoding="utf-8")) for f in folders],
        weights=[sha256_of(folder / "weights.safetensors") for folder in folders],
        sides=sides_of(read_table(split, ["image", "patient", "split"])),
        certificate=json.loads(certificate.read_text(encoding="utf-8")),
        metrics=json.loads(metrics_file.read_text(encoding="utf-8")),
        strata=pd.read_csv(strata, keep_default_na=False, na_values=[""]),
    )
    text = model_card(subject, title)
    card.write_text(text, encoding="utf-8")
    say(f"the card of {experiment} has {len(text.encode()) / 1e3:.0f} kB")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
