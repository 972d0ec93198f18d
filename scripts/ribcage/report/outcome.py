"""What the sections on results, explanation and provenance say, and the headline above them."""

import hashlib
import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage.findings import FINDINGS
from ribcage.report import pictures
from ribcage.report.charts import Line, chart
from ribcage.report.sections import FEW_PATIENTS, Table, plural
from ribcage.tables import read_table

Experiment = dict[str, Any]
LIBRARIES = (
    "torch", "torchvision", "segmentation-models-pytorch", "snakemake", "dvc", "numpy", "pandas",
    "scikit-learn", "pillow",
)  # fmt: skip
DIAGONAL = np.array([0.0, 1.0])


def scored(row: dict[str, Any]) -> str:
    """A metric as it is to be read: withheld where too few patients stand behind it."""
    if row["value"] is None:
        return "undefined"
    if row["patients"] < FEW_PATIENTS:
        return f"too few: {row['patients']} patients"
    return f"{row['value']:.3f}"


def few(scores: dict[str, Any]) -> list[str]:
    """Findings that a test set holds on fewer patients than an AUROC needs."""
    return [f for f in FINDINGS if scores[f]["auroc"]["patients"] < FEW_PATIENTS]


def best_of(experiments: list[Experiment]) -> Experiment | None:
    """The experiment of the highest macro AUROC on validation: test must not choose."""

    def on_validation(experiment: Experiment) -> float:
        value = experiment["metrics"]["splits"]["val"]["macro"]["auroc"]["value"]
        return -1.0 if value is None else float(value)

    return max(experiments, key=on_validation, default=None)


def head(experiments: list[Experiment], films: int, patients: int, kind: str) -> dict[str, Any]:
    """What this run is, and its headline with what limits it."""
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    scores = best["metrics"]["splits"]["test"]
    macro, lacking = scores["macro"]["auroc"], few(scores)
    value = "–" if macro["value"] is None else f"{macro['value']:.3f}"
    what = {
        "phantom": "A run on phantoms: chest films that the pipeline drew itself.",
        "local": "A run on films of a local folder.",
        "nih": "A run on NIH ChestX-ray14.",
    }[kind]
    caution = {
        "phantom": "Phantoms are drawings: these scores show that the pipeline works, and say nothing about patients.",
    }.get(
        kind,
        "The labels are mined from reports and often wrong; the scores are agreement with them.",
    )
    seeds = len(best["metrics"]["seeds"])
    warnings = []
    if lacking:
        warnings.append(
            f"The test films hold {plural(len(lacking), 'finding')} on fewer than {FEW_PATIENTS} "
            f"patients ({', '.join(lacking)}): too few to judge, and the macro mean leans on chance."
        )
    return {
        "what": what,
        "caution": caution,
        "cards": [
            {
                "value": value,
                "label": f"macro AUROC on test, {best['name']}, over {macro['findings']} of {len(FINDINGS)} findings",
            },
            {"value": f"{films:,}", "label": f"films of {plural(patients, 'patient')}"},
            {"value": str(len(experiments)), "label": "experiments, weighted and unweighted loss"},
            {
                "value": str(seeds),
                "label": "seed"
                if seeds == 1
                else "seeds: the spread between them is in the tables",
            },
        ],
        "sentence": f"{best['name']} was best on validation. On {scores['macro']['auroc']['positives'] + scores['macro']['auroc']['negatives']:,} "
        f"test films its macro AUROC is {value} (0.5 is chance, 1 is perfect). Intervals are not "
        "computed yet: take differences of a few hundredths as nothing.",
        "warnings": warnings,
    }


def results(experiments: list[Experiment]) -> dict[str, Any]:
    """ROC and PR side by side for each size and view, and tables by finding."""
    groups: dict[tuple[int, str], list[Experiment]] = {}
    for experiment in experiments:
        settings = experiment["settings"]
        groups.setdefault((settings["size_px"], settings["view"]), []).append(experiment)
    pairs = [_pair(size, view, group) for (size, view), group in sorted(groups.items())]
    best = best_of(experiments)
    assert best is not None
    scores = best["metrics"]["splits"]["test"]
    lacking = few(scores)
    held = {
        finding: value
        for finding in FINDINGS
        if (value := scores[finding]["auroc"]["value"]) is not None and finding not in lacking
    }
    if held:
        high, low = max(held, key=lambda f: held[f]), min(held, key=lambda f: held[f])
        sentence = f"{best['name']} ranks {high} best (AUROC {held[high]:.3f}) and {low} worst ({held[low]:.3f})."
    else:
        sentence = f"No finding is on enough test films to be judged: all have too few patients (under {FEW_PATIENTS})."
    return {
        "sentence": sentence,
        "legend": [{"name": e["name"], "style": e["style"]} for e in experiments],
        "pairs": pairs,
        "auroc": _by_finding(experiments, "auroc"),
        "auroc_sentence": f"Withheld where fewer than {FEW_PATIENTS} patients have the finding. The macro row is the mean of all defined findings.",
        "ap": _by_finding(experiments, "ap"),
        "ap_sentence": "To be compared with the prevalence, which guessing reaches.",
    }


def _pair(size: int, view: str, group: list[Experiment]) -> dict[str, Any]:
    figures = []
    share = group[0]["metrics"]["splits"]["test"]["macro"]["ap"]["prevalence"]
    for kind, x_label, y_label in (
        ("roc", "1 - specificity", "sensitivity"),
        ("pr", "recall (sensitivity)", "precision (PPV)"),
    ):
        level = DIAGONAL if kind == "roc" else np.full(2, share if share is not None else np.nan)
        lines = [Line("guessing", DIAGONAL, level, "guide")]
        for experiment in group:
            lines += _lines(experiment, kind, FINDINGS, "thin")
        for experiment in group:
            lines += _lines(experiment, kind, ("micro",), "dashed")
            lines += _lines(experiment, kind, ("macro",), "")
        name = "ROC" if kind == "roc" else "Precision and recall"
        title = f"{name} of {', '.join(e['name'] for e in group)}"
        figures.append(
            {"chart": chart(lines, x_label, y_label, title), "caption": _caption(name, group, kind)}
        )
    if len(figures[0]["caption"]) and len(group) > 1:
        values = [
            e["metrics"]["splits"]["test"]["macro"]["auroc"]["value"] or float("nan") for e in group
        ]
        spread = f"Their macro AUROCs differ by {max(values) - min(values):.3f}."
    else:
        spread = ""
    where = "the whole film" if view == "full" else "films cut to the lungs"
    return {"title": f"{size} px, {where}", "sentence": spread, "figures": figures}


def _caption(name: str, group: list[Experiment], kind: str) -> str:
    metric = "auroc" if kind == "roc" else "ap"
    parts = []
    for experiment in group:
        value = experiment["metrics"]["splits"]["test"]["macro"][metric]["value"]
        weighting = experiment["settings"]["weighting"]
        parts.append(f"{weighting} {'–' if value is None else f'{value:.3f}'}")
    what = "AUROC" if kind == "roc" else "average precision"
    return (
        f"{name}: bold the macro mean ({what} {', '.join(parts)}), dashed micro, thin each finding."
    )


def _lines(experiment: Experiment, kind: str, names: tuple[str, ...], extra: str) -> list[Line]:
    curves = experiment["curves"]
    chosen = curves[(curves["split"] == "test") & (curves["curve"] == kind)]
    lines = []
    for name in names:
        part = chosen[chosen["class"] == name]
        if len(part):
            x, y = part["x"].to_numpy(float), part["y"].to_numpy(float)
            lines.append(
                Line(
                    f"{experiment['name']}: {name}", x, y, f"{experiment['style']} {extra}".strip()
                )
            )
    return lines


def _by_finding(experiments: list[Experiment], metric: str) -> Table:
    first = experiments[0]["metrics"]["splits"]["test"]
    rows = []
    for name in (*FINDINGS, "macro", "micro"):
        counted = first[name][metric]
        row = [
            name,
            f"{counted['positives']:,}",
            f"{counted['negatives']:,}",
            f"{counted['patients']:,}",
        ]
        if metric == "ap":
            share = counted["prevalence"]
            row.append("–" if share is None else f"{share:.3f}")
        for experiment in experiments:
            held = experiment["metrics"]["splits"]["test"][name][metric]
            value = "undefined" if held["value"] is None else f"{held['value']:.3f}"
            row.append(value if name in ("macro", "micro") else scored(held))
        rows.append(row)
    header = ["finding", "positives", "negatives", "patients"]
    header += ["prevalence"] if metric == "ap" else []
    return Table([*header, *(e["name"] for e in experiments)], rows, sums=("macro", "micro"))


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
    films = [_film(row, people.loc[row["image"]], folder) for _, row in rows.iterrows()]
    return {
        "name": experiment["name"],
        "style": experiment["style"],
        "sentence": _pointing_sentence(pointing, rows),
        "localisation": _pointing_table(pointing),
        "films": films if is_best else [],
        "open": is_best,
    }


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
        f"{strength}{box} · chosen as {row['why']} · labels: {labels} · {person['sex']}, {age}, "
        f"{person['view_position']} · {row['image']}",
    }


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


def provenance(
    experiments: list[Experiment],
    meta: dict[str, str],
    sources: pd.DataFrame,
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
            digest = hashlib.sha256(
                (model["folder"] / "weights.safetensors").read_bytes()
            ).hexdigest()
            facts.append([f"weights of {model['name']} (sha256)", digest])
    config = experiments[0]["models"][0]["config"]
    versions = [[name, metadata.version(name)] for name in LIBRARIES]
    versions.append(["device and precision", f"{config['device']}, {config['precision']}"])
    rows = [[str(cell) for cell in row] for row in sources.to_numpy().tolist()]
    return {
        "sentence": "What made this page. The records of every step lie in provenance/; the same commit, "
        "parameters and data give the same results on the same machine.",
        "facts": Table(["what", "value"], facts, (0, 1)),
        "versions": Table(["library", "version"], versions, (0, 1)),
        "sources": Table([str(name) for name in sources.columns], rows, (0, 1, 3)),
        "params": params,
    }
