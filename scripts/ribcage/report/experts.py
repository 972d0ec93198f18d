"""What the section on experts says: the networks, and the labels themselves, against radiologists."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ribcage.literature import Bound
from ribcage.report.cells import (
    FEW_PATIENTS,
    NONE,
    TOO_FEW,
    change,
    scored,
    span,
    tells,
    why_not,
    withheld,
)
from ribcage.report.dots import Group, dots
from ribcage.report.figures import Figure, slug
from ribcage.report.outcome import Experiment, Import, best_of
from ribcage.report.results import dot_of
from ribcage.report.sections import Table
from ribcage.words import plural

SOURCES = {
    "four": "Four findings, radiologists' agreement",
    "all": "All findings, by the majority of readers",
}
LABELS = {
    "phantom": "the labels that the phantoms were drawn with",
    "local": "the labels that came with the films",
    "nih": "NIH's labels",
}
"""What scores agree with, by the kind of source."""
Bounds = Mapping[str, Bound]
"""By finding: what is known of readers and labels where a run has no expert files."""
YARDSTICK = (
    "a yardstick, not a limit: a vote of four has five values alone, so that its ties cost AUROC, and "
    "it is held against one reader, with that reader's slips"
)


def section(
    experiments: list[Experiment],
    films: list[dict[str, Any]],
    bounds: Bounds,
    source_kind: str,
    imports: Sequence[Import] = (),
) -> dict[str, Any]:
    """Scores against radiologists, the labels as a reader, readers against readers.

    Args:
        experiments: in the order of params.yaml.
        films: those on which radiologists and labels differ: `explanation.disagreements`.
        bounds: what is known of these readers and labels where a run has no expert files.
        source_kind: phantom, local or nih.
        imports: predictions from elsewhere.
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    own = best["metrics"]["experts"]
    sources = [
        _source(own, kind, best, [e for e in (*experiments, *imports) if kind in e["metrics"]["experts"]])
        for kind in SOURCES
        if kind in own
    ]  # fmt: skip
    return {
        "sentence": "Radiologists read some of NIH's films anew. Where their reading and NIH's label differ, a network that learnt the labels is judged by "
        "whether it sides with the readers."
        if own
        else f"This run has no radiologists' readings (fetch_tables.expert_labels), so that its scores are agreement with {LABELS[source_kind]} and no more. "
        "What others found of NIH's labels stands below.",
        "sources": sources,
        "readers": _readers(own, best),
        "bounds": _bounds(bounds) if "readers" not in own else None,
        "films": films,
        "films_sentence": f"{plural(len(films), 'map')} of films on which the readers and NIH's label differ, chosen by rule: "
        "for each finding the film on which the network sides most strongly with the readers, and the one on which it sides most strongly with the label.",
    }


def _source(
    own: dict[str, Any], kind: str, best: Experiment, judged: Sequence[Any]
) -> dict[str, Any]:
    found, counted = own[kind], own["films"][kind]
    return {
        "title": SOURCES[kind],
        "sentence": f"{counted['scored']:,} of {plural(counted['listed'], 'film')} are test films of this run and are scored; {counted['val']:,} are validation films, "
        f"and {counted['left_out']:,} were learnt from or are not in the run. {_labels(found)}"
        + (" Fracture has no counterpart among NIH's findings. The score of several findings is the largest of theirs." if kind == "four" else ""),
        "figure": _figure(found, best, f"experts {kind}"),
        "table": _models(judged, kind),
        "labels": _as_reader(found),
    }  # fmt: skip


def _labels(found: dict[str, Any]) -> str:
    """How good the labels are as a reader, over the questions that can be judged."""
    rows = [q["labels_as_reader"] for q in found.values() if not withheld(q["model_on_experts"])]
    ppv = [r["ppv"]["value"] for r in rows if r["ppv"]["value"] is not None]
    seen = [r["sensitivity"]["value"] for r in rows if r["sensitivity"]["value"] is not None]
    if not ppv or not seen:
        return "Too few patients have any finding to judge the labels."
    return (
        f"Taken as a reader, NIH's labels find {100 * np.mean(seen):.0f} % of what the radiologists see (mean of {plural(len(seen), 'finding')}), "
        f"and {100 * np.mean(ppv):.0f} % of what they name is seen (mean of {len(ppv)})."
    )


def _figure(found: dict[str, Any], best: Experiment, title: str) -> Figure:
    groups, higher, judged = [], 0, 0
    for question, scores in found.items():
        seen, labelled = scores["model_on_experts"], scores["model_on_labels"]
        if withheld(seen):
            groups.append(Group(question, [], why_not(seen)))
            continue
        pair = (
            ("against radiologists", seen, best["style"], best["name"]),
            ("against labels", labelled, "plain", best["name"]),
        )
        groups.append(
            Group(question, [dot_of(*one) for one in pair if one[1]["value"] is not None])
        )
        if labelled["value"] is not None:
            judged += 1
            higher += seen["value"] > labelled["value"]
    caption = f"AUROC of {best['name']} on the same films, with 95 % intervals: coloured against the radiologists, grey against NIH's labels. To the right is good, the dotted line is guessing."
    if judged:
        caption += f" It agrees better with the radiologists than with NIH's labels for {higher} of {plural(judged, 'finding')}."
    alt = f"AUROC of {best['name']} against radiologists and against NIH's labels"
    return Figure(slug(title), dots(groups, "AUROC", alt, 0.5), caption)


def _models(judged: Sequence[Any], kind: str) -> Table:
    rows = []
    for question, scores in judged[0]["metrics"]["experts"][kind].items():
        seen = scores["model_on_experts"]
        row = [question, f"{scores['films']:,}", f"{seen['positives']:,}", f"{seen['patients']:,}"]
        for one in judged:
            held = one["metrics"]["experts"][kind][question]
            seen = held["model_on_experts"]
            row.append(scored(seen, question))
            row.append(NONE if withheld(seen) else change(held["difference"]))
        rows.append(row)
    header = ["finding", "films", "seen by the radiologists", "patients"]
    for one in judged:
        header += [f"{one['name']}: AUROC", "less that against the labels"]
    return Table(header, rows)


def _as_reader(found: dict[str, Any]) -> Table:
    measures = ("sensitivity", "specificity", "ppv", "npv", "kappa")
    rows = [
        [question, *(scored(scores["labels_as_reader"][m], question) for m in measures)]
        for question, scores in found.items()
    ]
    return Table(["finding", "sensitivity", "specificity", "PPV", "NPV", "kappa"], rows)


def _readers(own: dict[str, Any], best: Experiment) -> dict[str, Any] | None:
    if "readers" not in own:
        return None
    columns = ("others_auroc", "model_auroc", "majority_auroc", "kappa")
    rows = [[f, *(scored(row[c], f) for c in columns)] for f, row in own["readers"].items()]
    mean = own["readers_mean"]
    judged = tells({finding: row["model_auroc"] for finding, row in own["readers"].items()})
    reached = (
        f"{best['name']} reaches {span(mean['model_auroc'])}."
        if judged
        else f"There are {TOO_FEW} how {best['name']} does."
    )
    rows.append(["mean", *(span(mean[c]) if c in mean else NONE for c in columns)])
    return {
        "sentence": "Radiologists do not agree either. Each reader is taken in turn as the truth, and the vote of the others as a score: "
        f"that reaches a mean AUROC of {span(mean['others_auroc'])}. It is {YARDSTICK}. "
        f"{reached} Kappa says how much two readers agree beyond chance: 1 is always, 0 is chance alone.",
        "table": Table(
            ["finding", "other readers, AUROC", f"{best['name']} against each reader", "against their majority", "kappa of two readers"],
            rows,
            sums=("mean",),
        ),
    }  # fmt: skip


def _bounds(bounds: Bounds) -> dict[str, Any]:
    """Readers against readers as others measured it; what is on too few films is no number."""
    held = {finding: bound for finding, bound in bounds.items() if bound.positives >= FEW_PATIENTS}
    rows = []
    for finding, bound in bounds.items():
        cells = [f"{value:.3f}" for value in bound[:3]]
        if finding not in held:
            cells = [f"too few: {plural(bound.positives, 'film')}"] * 3
        rows.append([finding, f"{bound.positives:,}", *cells])
    means = [float(np.mean(column)) for column in list(zip(*held.values(), strict=True))[:3]]
    over_all = float(np.mean([bound.readers_auroc for bound in bounds.values()]))
    rows.append(["mean", NONE, *(f"{value:.3f}" for value in means)])
    header = ["finding", "films with it", "other readers against one, AUROC", "labels: PPV", "labels: sensitivity"]  # fmt: skip
    return {
        "sentence": f"On 810 of NIH's test films that five radiologists read (Nabulsi et al., Scientific Reports 2021), the vote of four readers reaches a mean AUROC of {means[0]:.2f} against the fifth, "
        f"over the {plural(len(held), 'finding')} that at least {FEW_PATIENTS} films have ({over_all:.2f} over all {len(bounds)}). It is {YARDSTICK}. NIH's labels find {100 * means[2]:.0f} % of what the majority sees, and "
        f"{100 * means[1]:.0f} % of what they name is seen. These are no scores of this run.",
        "table": Table(header, rows, sums=("mean",)),
    }
