"""What the section on results says, and the headline above all sections."""

from typing import Any

import numpy as np

from ribcage.findings import FINDINGS
from ribcage.report.charts import Line, chart
from ribcage.report.sections import FEW_PATIENTS, Table, scored
from ribcage.words import plural

Experiment = dict[str, Any]
DIAGONAL = np.array([0.0, 1.0])


def few(scores: dict[str, Any]) -> list[str]:
    """Findings that a test set holds on fewer patients than an AUROC needs."""
    return [f for f in FINDINGS if scores[f]["auroc"]["patients"] < FEW_PATIENTS]


def best_of(experiments: list[Experiment]) -> Experiment | None:
    """The experiment of the highest macro AUROC on validation: test must not choose."""

    def on_validation(experiment: Experiment) -> float:
        value = experiment["metrics"]["splits"]["val"]["macro"]["auroc"]["value"]
        return -1.0 if value is None else float(value)

    return max(experiments, key=on_validation, default=None)


def head(
    experiments: list[Experiment], baseline: dict[str, Any], films: int, patients: int, kind: str
) -> dict[str, Any]:
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
        "local": "The scores are agreement with the labels that came with the films.",
        "nih": "The labels are mined from reports and often wrong; the scores are agreement with them.",
    }[kind]
    seeds = len(best["metrics"]["seeds"])
    headline = {
        "value": value,
        "label": f"macro AUROC on test, {best['name']}, over {macro['findings']} of {len(FINDINGS)} findings",
    }
    blind = baseline["macro"]["auroc"]["value"]
    cards = [
        headline,
        {
            "value": "–" if blind is None else f"{blind:.3f}",
            "label": "the same of a model that never looks at the film",
        },
    ]
    if len(lacking) == len(FINDINGS):
        cards = [
            {
                "value": "too few",
                "label": "patients with each finding in the test films for a score to mean anything",
            }
        ]
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
            *cards,
            {"value": f"{films:,}", "label": f"films of {plural(patients, 'patient')}"},
            {"value": str(len(experiments)), "label": "experiments, weighted and unweighted loss"},
            {
                "value": str(seeds),
                "label": "seed" if seeds == 1 else "seeds, their probabilities averaged",
            },
        ],
        "sentence": f"{best['name']} was best on validation. On {scores['macro']['auroc']['positives'] + scores['macro']['auroc']['negatives']:,} "
        f"test films its macro AUROC is {value} (0.5 is chance, 1 is perfect). Intervals are not "
        "computed yet: take differences of a few hundredths as nothing.",
        "warnings": warnings,
    }


def results(experiments: list[Experiment], baseline: dict[str, Any]) -> dict[str, Any]:
    """ROC and PR side by side for each size and view, and tables by finding.

    Args:
        experiments: in the order of params.yaml.
        baseline: scores of score_metadata_baseline on the test films, beside every network's.
    """
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
        "auroc": _by_finding(experiments, baseline, "auroc"),
        "auroc_sentence": f"Withheld where fewer than {FEW_PATIENTS} patients have the finding. The macro row is the mean of all defined findings. “Without looking” is the model that knows view, age, sex and follow-up alone.",
        "ap": _by_finding(experiments, baseline, "ap"),
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


def _by_finding(experiments: list[Experiment], baseline: dict[str, Any], metric: str) -> Table:
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
        judged = [e["metrics"]["splits"]["test"] for e in experiments]
        for scores in (baseline, *judged):
            held = scores[name][metric]
            row.append(scored(held, name))
        rows.append(row)
    header = ["finding", "positives", "negatives", "patients"]
    header += ["prevalence"] if metric == "ap" else []
    names = ["without looking", *(e["name"] for e in experiments)]
    return Table([*header, *names], rows, sums=("macro", "micro"))
