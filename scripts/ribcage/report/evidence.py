"""What the sections on explanation and provenance say: why to believe the results, or not."""

import hashlib
import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from ribcage.findings import FINDINGS
from ribcage.report import pictures
from ribcage.report.outcome import Experiment, best_of
from ribcage.report.sections import Table
from ribcage.tables import read_table

LIBRARIES = (
    "torch", "torchvision", "segmentation-models-pytorch", "snakemake", "dvc", "numpy", "pandas",
    "scikit-learn", "pillow",
)  # fmt: skip


DISAGREE = "experts disagree"
"""Why a film was chosen on which radiologists and labels differ; the section on experts shows it."""


def explanation(experiments: list[Experiment], curated: pd.DataFrame) -> dict[str, Any]:
    """The gallery of maps and how often they point at the boxes."""
    people = curated.set_index("image")
    best = best_of(experiments)
    shown = [_explained(e, people, e is best) for e in experiments]
    return {
        "how": "Class activation maps, exact for these networks: the cells of a map add up to the "
        "finding's logit without its bias. Warm colours mark cells that speak for the finding, scaled "
        "for each map by itself; blue are the readers' boxes, thin white the part of the film that "
        "the network saw. Films were chosen by rule, never by hand.",
        "experiments": shown,
    }


def _explained(experiment: Experiment, people: pd.DataFrame, is_best: bool) -> dict[str, Any]:
    folder: Path = experiment["cams"]
    pointing = pd.read_csv(folder / "localisation.csv")
    rows = read_table(folder / "cams.parquet")
    shown = rows[rows["why"] != DISAGREE]
    films = [_film(row, people.loc[row["image"]], folder) for _, row in shown.iterrows()]
    return {
        "name": experiment["name"],
        "style": experiment["style"],
        "sentence": _pointing_sentence(pointing, rows),
        "localisation": _pointing_table(pointing),
        "films": films if is_best else [],
        "open": is_best,
    }


def disagreements(experiments: list[Experiment], curated: pd.DataFrame) -> list[dict[str, Any]]:
    """The films of the best experiment's gallery on which radiologists and labels differ."""
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    people = curated.set_index("image")
    rows = read_table(best["cams"] / "cams.parquet")
    shown = rows[rows["why"] == DISAGREE]
    return [_film(row, people.loc[row["image"]], best["cams"]) for _, row in shown.iterrows()]


def _pointing_sentence(pointing: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Say whether maps point better than a pointer that sees no film."""
    total = pointing.iloc[-1]
    if not total["films"]:
        return "No test film has a box, so where the maps point cannot be judged."
    blind = max(float(total[name]) for name in ("centre", "mean_place", "best_place"))
    grid = f" The maps have {int(rows['grid'].iloc[0])} cells a side." if len(rows) else ""
    start = (
        f"The hottest cell lies in a box in {100 * total['pointing']:.0f} % of {int(total['films']):,} "
        f"cases (95 % interval {100 * total['low']:.0f} to {100 * total['high']:.0f}); always "
        f"pointing at one fixed place reaches {100 * blind:.0f} %."
    )
    verdict = (
        " The maps point better than that."
        if total["low"] > blind
        else " So the maps do not show that the network finds the place: read them with doubt."
    )
    return start + verdict + grid


def _pointing_table(pointing: pd.DataFrame) -> Table:
    def share(value: float) -> str:
        return "–" if pd.isna(value) else f"{100 * value:.0f} %"

    rows = [
        [row["finding"], int(row["films"]), int(row["boxes"]), int(row["hits"])]
        + [share(row[name]) for name in ("pointing", "centre", "mean_place", "best_place")]
        for _, row in pointing[pointing["films"] > 0].iterrows()
    ]
    header = [
        "finding",
        "films",
        "boxes",
        "hits",
        "the map",
        "film's centre",
        "mean place",
        "best place",
    ]
    return Table(header, rows, sums=("All",))


def _film(row: pd.Series, person: pd.Series, folder: Path) -> dict[str, Any]:
    stem = Path(row["image"]).stem
    age = "age unknown" if pd.isna(person["age_years"]) else f"{person['age_years']:.0f} years"
    labels = ", ".join(f for f in FINDINGS if person[f]) or "No Finding"
    box = (
        ""
        if pd.isna(row["hit"])
        else (" · points into its box" if row["hit"] else " · points beside its box")
    )
    experts = ""
    if not pd.isna(row["expert"]):
        asked = "" if row["expert_question"] == row["finding"] else f"{row['expert_question']} "
        experts = f" · experts: {asked}{'seen' if row['expert'] else 'not seen'}"
    strength = (
        f"up to {row['scale']:.2f} logits a cell" if row["scale"] > 0 else "no cell speaks for it"
    )
    return {
        "image": row["image"],
        "finding": row["finding"],
        "outcome": row["outcome"],
        "wrong": row["outcome"] in ("FP", "FN"),
        "plain": pictures.file_uri(folder / "films" / f"{stem}.webp"),
        "overlay": pictures.file_uri(folder / "overlays" / f"{stem}-{row['finding']}.webp"),
        "alt": f"Map of {row['finding']} over film {row['image']}",
        "caption": f"probability {row['probability']:.3f} against a threshold of {row['threshold']:.3f}, "
        f"{strength}{box} · chosen as {row['why']}{experts} · labels: {labels} · {person['sex']}, {age}, "
        f"{person['view_position']} · {row['image']}",
    }


def sha256_of(path: Path) -> str:
    """A file's sha256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def commit() -> str:
    """The commit that is checked out, and whether files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "HEAD")
    if not head:
        return "unknown (not a git checkout)"
    # What the run itself writes (dvc.lock) and the preset in params.yaml are shown elsewhere.
    changed = git(
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "scripts",
        "rules",
        "Snakefile",
        "dvc.yaml",
    )
    return f"{head}{', with uncommitted changes of code' if changed else ''}"


def sources(tables: Path) -> Table:
    """Where each table came from, as fetch_tables wrote it down."""
    found = pd.read_csv(tables / "sources.csv")
    rows = [[str(cell) for cell in row] for row in found.to_numpy().tolist()]
    return Table([str(name) for name in found.columns], rows, (0, 1, 3))


def provenance(
    experiments: list[Experiment],
    meta: dict[str, str],
    tables: Path,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Commit, hashes of data and models, versions, sources, parameters."""
    params = json.dumps(settings, indent=1, sort_keys=True)
    facts = [
        ["commit", commit()],
        ["data table (sha256)", meta["source_sha256"]],
        ["version of the labels", meta["labels_version"]],
        ["parameters (sha256)", hashlib.sha256(params.encode()).hexdigest()],
    ]
    for experiment in experiments:
        for model in experiment["models"]:
            digest = sha256_of(model["folder"] / "weights.safetensors")
            facts.append([f"weights of {model['name']} (sha256)", digest])
    config = experiments[0]["models"][0]["config"]
    versions = [[name, metadata.version(name)] for name in LIBRARIES]
    versions.append(["device and precision", f"{config['device']}, {config['precision']}"])
    return {
        "sentence": "What made this page. The records of every step lie in provenance/; the same commit, "
        "parameters and data give the same results on the same machine.",
        "facts": Table(["what", "value"], facts, (0, 1)),
        "versions": Table(["library", "version"], versions, (0, 1)),
        "sources": sources(tables),
        "params": params,
    }
