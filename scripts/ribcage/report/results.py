"""What the section on results says: curves, areas by finding, and what stands behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ribcage.findings import FINDINGS
from ribcage.report import curves, operating, weighting
from ribcage.report.cells import (
    FEW_PATIENTS,
    NONE,
    VIEWS,
    mean,
    number,
    scored,
    span,
    why_not,
    withheld,
)
from ribcage.report.charts import COLOURS
from ribcage.report.dots import Dot, Group, dots
from ribcage.report.figures import Figure
from ribcage.report.outcome import Experiment, Import, best_of, few, tested
from ribcage.report.sections import Table
from ribcage.words import plural

Z = 1.959964
"""A 95 % interval of a normal spread reaches so many standard errors to each side."""
IMPORTED = "Imported predictions"
WORDS = (
    ("AUROC", "Take a film with the finding and one without: how often the first gets the higher score. 0.5 is guessing, 1 is perfect. It judges the ranking alone."),
    ("average precision", "Go down the films from the highest score: how pure the list of called films is, on average. Guessing reaches the prevalence."),
    ("95 % interval", "In brackets. Had chance put other patients into the test films, the value would be another; 95 of 100 such intervals hold the true one. Patients are drawn, with all their films: films of one patient are alike."),
    ("macro, micro", "Macro: the mean over the findings, each counting the same. Micro: all findings thrown together, so that the common ones count most."),
    ("sensitivity, specificity", "Of the films with the finding, the share that is called; of those without, the share that is not."),
    ("PPV, NPV", "Of the called films, the share that has the label; of the others, the share that has not. Both depend on how common the finding is. PPV is also called precision, and sensitivity recall."),
    ("F1", "One number for both, their harmonic mean: high only if sensitivity and PPV are."),
    ("calibration error (ECE)", "How far a given probability is, on average, from the share of such films that have the label. 0 is perfect."),
    ("Brier score", "The mean squared distance of the probability from the label (1 or 0). Low is good."),
)  # fmt: skip


def results(
    experiments: list[Experiment],
    baseline: dict[str, Any] | None,
    comparison: dict[str, Any],
    imports: Sequence[Import] = (),
) -> dict[str, Any]:
    """Curves side by side for each size and view, and tables by finding.

    Args:
        experiments: in the order of params.yaml; or imports alone.
        baseline: scores of score_metadata_baseline on the same test films, beside every network's;
            None where it was scored on others.
        comparison: comparison.json, for what weighting the loss does; its `pairs` are empty for
            imports alone.
        imports: predictions from elsewhere of the same test films, as further columns.
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    judged = [*experiments, *imports]
    groups = _groups(experiments)
    first = next(group for _, group in groups if best in group)
    pairs = [
        {
            "title": title,
            "sentence": weighting.sentence(group, comparison["pairs"]),
            "figures": curves.figures(group, title),
        }
        for title, group in sorted(groups, key=lambda one: best not in one[1])
    ]
    if imports:
        pairs.append({"title": IMPORTED, "sentence": "", "figures": curves.figures(list(imports), IMPORTED)})  # fmt: skip
    return {
        "words": WORDS,
        "sentence": _sentence(best),
        "legend": [{"name": e["name"], "style": e["style"]} for e in judged],
        "legend_note": f"After {COLOURS} experiments the colours come again, as broken lines."
        if len(judged) > COLOURS
        else "",
        "how": [(curves.NAMES[kind], said) for kind, said in curves.HOW.items()],
        "pairs": pairs,
        "small": [
            {
                "title": f"{curves.NAMES[kind]} of each finding: {', '.join(e['name'] for e in first)}",
                "sentence": _small_sentence(first),
                "figures": curves.small(judged, kind, first),
            }
            for kind in ("roc", "pr")
        ],
        "areas": [_areas(best, baseline, metric) for metric in ("auroc", "ap")],
        "auroc": _by_finding(judged, baseline, "auroc"),
        "auroc_sentence": f"Withheld where fewer than {FEW_PATIENTS} patients have the finding. The macro row is the mean of all defined findings. {_blind_sentence(baseline)}",
        "ap": _by_finding(judged, baseline, "ap"),
        "ap_sentence": "To be compared with the prevalence, which guessing reaches: a rare finding has a low one, however well it is ranked.",
        "weights": _weights(judged),
        "operating": operating.section(best, judged),
        "seeds": _seeds(experiments),
        "check": _check(best),
    }


def _groups(experiments: list[Experiment]) -> list[tuple[str, list[Experiment]]]:
    found: dict[tuple[int, str], list[Experiment]] = {}
    for experiment in experiments:
        if "settings" not in experiment:
            return [(IMPORTED, experiments)]
        settings = experiment["settings"]
        found.setdefault((settings["size_px"], settings["view"]), []).append(experiment)
    return [(f"{size} px, {VIEWS.get(view, view)}", found[size, view]) for size, view in found]  # fmt: skip


def _small_sentence(shown: list[Experiment]) -> str:
    fitted = any(tested(e)[finding]["at"] for e in shown for finding in FINDINGS)
    return (
        f"One picture a finding, with 95 % bands; the values are those of {' and '.join(e['name'] for e in shown)}{', in this order' if len(shown) > 1 else ''}."
        + (" The rings are what the thresholds that were fitted on validation reach on these films." if fitted else "")
    )  # fmt: skip


def _sentence(best: Experiment) -> str:
    scores = tested(best)
    lacking = few(scores)
    held = {
        finding: scores[finding]["auroc"]
        for finding in FINDINGS
        if scores[finding]["auroc"]["value"] is not None and finding not in lacking
    }
    if not held:
        return f"No finding is on enough test films to be judged: all have too few patients (under {FEW_PATIENTS})."
    high, low = (take(held, key=lambda f: held[f]["value"]) for take in (max, min))
    if len(held) == 1:
        return (
            f"{high} alone is on enough patients to be judged: the AUROC of {best['name']} is "
            f"{span(held[high])}."
        )
    return (
        f"{best['name']} ranks {high} best (AUROC {span(held[high])}) and {low} worst ({span(held[low])})."
    )  # fmt: skip


def _blind_sentence(baseline: dict[str, Any] | None) -> str:
    if baseline is None:
        return (
            "The model that never looks at a film was scored on this run's test films, which are "
            "others, so that it is not set beside this one."
        )
    return "“Without looking” is the model that knows view, age, sex and follow-up alone."


def _areas(best: Experiment, baseline: dict[str, Any] | None, metric: str) -> Figure:
    """A dot a finding: the best experiment, above the model that never looks."""
    groups, clear, judged = [], 0, 0
    for name in (*FINDINGS, "macro"):
        seen = tested(best)[name][metric]
        if seen["value"] is None or (name in FINDINGS and withheld(seen)):
            groups.append(Group(name, [], why_not(seen)))
            continue
        if name == "macro" and len(few(tested(best))) == len(FINDINGS):
            groups.append(Group(name, [], "too few patients"))
            continue
        found = [dot_of(best["name"], seen, best["style"], best["name"])]
        blind = None if baseline is None else baseline[name][metric]
        if blind is not None and blind["value"] is not None:
            found.append(dot_of("without looking", blind, "plain"))
            if name in FINDINGS and None not in (seen["low"], blind["high"]):
                judged += 1
                clear += seen["low"] > blind["high"]
        groups.append(Group(name, found))
    what = "AUROC" if metric == "auroc" else "Average precision"
    caption = f"{what} of each finding with its 95 % interval; far to the right is good{', the dotted line is guessing' if metric == 'auroc' else ''}."
    title = f"{what} of each finding, {best['name']}"
    if baseline is not None:
        caption += " Grey is the model that never looks at a film."
        title += " and the model that never looks"
    if judged:
        caption += f" {best['name']} lies clear of it, interval beside interval, for {clear} of {plural(judged, 'finding')}."
    drawn = dots(groups, what, title, 0.5 if metric == "auroc" else None)
    return Figure(f"{metric}-of-each-finding", drawn, caption)


def dot_of(name: str, row: Mapping[str, Any], style: str, experiment: str = "") -> Dot:
    """A metric's row as a dot with its interval.

    Args:
        name: for the hover text.
        row: value, low, high.
        style: class of the style sheet.
        experiment: whose value it is; empty for what experiments are held against.
    """
    ends = (np.nan if row[end] is None else float(row[end]) for end in ("low", "high"))
    low, high = ends
    return Dot(name, float(row["value"]), low, high, style, experiment)


def _by_finding(
    judged: Sequence[Experiment | Import], baseline: dict[str, Any] | None, metric: str
) -> Table:
    """The values of all who were scored on the same films, whose counts stand once."""
    first = tested(judged[0])
    columns = [*([] if baseline is None else [baseline]), *map(tested, judged)]
    most = max(scores["macro"][metric]["findings"] for scores in columns)
    rows = []
    for name in (*FINDINGS, "macro", "micro"):
        counted = first[name][metric]
        counts = ("positives", "negatives", "patients")
        row = [name, *(NONE if name == "macro" else f"{counted[k]:,}" for k in counts)]
        if metric == "ap":
            row.append(number(counted["prevalence"]))
        cells = [scores[name][metric] for scores in columns]
        row += [mean(c, most) if name == "macro" else scored(c, name) for c in cells]
        rows.append(row)
    header = ["finding", "positives", "negatives", "patients"]
    header += ["prevalence"] if metric == "ap" else []
    names = [*([] if baseline is None else ["without looking"]), *(e["name"] for e in judged)]
    return Table([*header, *names], rows, sums=("macro", "micro"))


def _weights(judged: Sequence[Experiment | Import]) -> dict[str, Any]:
    columns = {
        "AUROC, plain": "auroc",
        "AUROC, each patient counted once": "auroc_patient_weighted",
        "AUROC, up to 10 % false alarms": "auroc_partial",
        "average precision, plain": "ap",
        "precision, each patient counted once": "ap_patient_weighted",
        "precision, classes balanced": "ap_balanced",
    }
    most = max(tested(e)["macro"]["auroc"]["findings"] for e in judged)
    rows = [
        [e["name"], *(mean(tested(e)["macro"][m], most) for m in columns.values())] for e in judged
    ]
    return {
        "sentence": "Macro means of the test films under other weights. “Each patient counted once”: patients with many films, who are the very ill, "
        "count no more than others. “Classes balanced”: as if half of the films had the finding; the AUROC does not depend on that, average precision does. "
        "“Up to 10 % false alarms” is the part of the ROC curve that a reader would use, scaled so that 0.5 is guessing.",
        "table": Table(["experiment", *columns], rows),
    }


def _seeds(experiments: list[Experiment]) -> dict[str, Any]:
    rows = []
    for experiment in experiments:
        for name, metrics in experiment["metrics"]["spread"].items():
            if name == "macro":
                cells = [
                    number(metrics[m][k]) for m in ("auroc", "ap") for k in ("mean", "sd", "least", "most")
                ]  # fmt: skip
                rows.append([experiment["name"], len(experiment["metrics"]["seeds"]), *cells])
    if not any(e["metrics"]["seeds"] for e in experiments):
        return {"sentence": "The files do not tell seeds apart.", "table": Table([], [])}
    header = ["experiment", "seeds", *(f"{m}: {k}" for m in ("AUROC", "average precision") for k in ("mean", "sd", "least", "most"))]  # fmt: skip
    return {
        "sentence": (
            "Each seed is a training of its own from another start. How far the seeds lie apart is what chance in training does; "
            "the scores above are of the mean of their probabilities."
            if rows
            else "There is one seed, so that what chance in training does cannot be seen: the intervals know of chance among patients alone. List more under seeds in params.yaml to see it."
        ),
        "table": Table(header, rows),
    }


def _check(best: Experiment) -> dict[str, Any]:
    """Standard errors of the AUROCs, computed in three ways."""
    rows, ratios, beside = [], [], []
    for finding in FINDINGS:
        row = tested(best)[finding]["auroc"]
        if withheld(row) or row["low"] is None or not row["se_delong"] or not row["se_clustered"]:
            continue
        drawn = (row["high"] - row["low"]) / (2 * Z)
        rows.append(
            [finding, *(f"{v:.4f}" for v in (drawn, row["se_clustered"], row["se_delong"]))]
        )
        ratios.append(drawn / row["se_delong"])
        beside.append(drawn / row["se_clustered"])
    sentence = (
        f"Standard errors of the AUROCs of {best['name']}, checked by formula. Resampled by patient they are on average "
        f"{np.mean(beside):.2f} times those of Obuchowski's formula for clustered data, which should be near 1, and "
        f"{np.mean(ratios):.2f} times those of DeLong's, which takes the films of one patient as strangers."
        if rows
        else "No finding has enough patients for standard errors to be compared."
    )
    header = ["finding", "resampled patients", "Obuchowski, by patient", "DeLong, by film"]
    return {"sentence": sentence, "table": Table(header, rows)}
