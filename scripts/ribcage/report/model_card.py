"""The model card: what a network is, how good it is and for whom, and what it is no good for.

Its parts are those of "Model Cards for Model Reporting" (Mitchell et al., FAT* 2019). Figures are
those of this run; strings from outside stay text.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ribcage.findings import FINDINGS
from ribcage.report.cells import (
    FEW_PATIENTS,
    NONE,
    TOO_FEW,
    UNDEFINED,
    VIEWS,
    change,
    corrected,
    is_sure,
    number,
    scored,
    span,
    withheld,
)
from ribcage.report.data import version
from ribcage.report.datasheet import escaped
from ribcage.report.groups import HOW, Row, gap_of, gaps, named, rows_of, shown
from ribcage.report.outcome import can_tell
from ribcage.words import plural

MOST_GAPS = 10
"""Gaps of single findings that a card names, the largest first."""
NOT_FOR = (
    "Not for any decision about a patient: it is no medical device, and nobody has tested it as one.",
    "Not for films unlike these: lateral films, films of other hospitals, photographs of films.",
    "Not for ruling a disease out. “No Finding” means none of the 14 findings, not a healthy chest.",
    "Not as a measure of how common a finding is.",
)
CAVEATS = (
    "A score is agreement with the labels. Those of ChestX-ray14 were mined from reports by software "
    "and are often wrong.",
    "One hospital's films and patients: what holds here may not hold elsewhere.",
    "A network may know a finding by what goes with it, such as a chest tube or a view taken in bed; the "
    "report shows where it looks.",
    "Intervals say how far chance among patients goes. They know nothing of wrong labels, nor of another "
    "hospital.",
    "Many groups and findings are compared, so that some gaps come about by chance.",
)


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        experiment: its name.
        settings: its settings, over the defaults of train_classifier.
        configs: config.json of each seed's network, by seed.
        weights: sha256 of each seed's weights, in the same order.
        sides: by side, films, patients and sha256 of the films' names.
        certificate: of the split.
        metrics: metrics.json of the experiment.
        strata: its strata.csv.
    """

    experiment: str
    settings: dict[str, Any]
    configs: list[dict[str, Any]]
    weights: list[str]
    sides: dict[str, tuple[int, int, str]]
    certificate: dict[str, Any]
    metrics: dict[str, Any]
    strata: pd.DataFrame


def model_card(of: Subject, title: str) -> str:
    """The card as Markdown.

    Args:
        of: what it is about.
        title: of the run.
    """
    head = f"# Model card: {escaped(of.experiment)}"
    parts = (_details, _uses, _data, _metrics, _results, _groups, _calibration, _caveats)
    blocks = [head, escaped(f"{title}. {_summary(of)}")]
    return "\n\n".join(blocks + [block for part in parts for block in part(of)]) + "\n"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; cells are text, whatever they hold."""
    lines = [header, ["---"] * len(header), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _bullets(sentences: tuple[str, ...]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def _summary(of: Subject) -> str:
    scores = of.metrics["splits"]["test"]
    areas = [scores[f]["auroc"] for f in FINDINGS if scores[f]["auroc"]["value"] is not None]
    few = sum(withheld(area) for area in areas)
    films = plural(of.metrics["films"]["test"], "test film")
    if not can_tell(scores):
        return f"On {films} there are {TOO_FEW} how good it is."
    return (
        f"On {films} its macro AUROC is "
        f"{span(scores['macro']['auroc'])}, over {len(areas)} of {len(FINDINGS)} findings (0.5 is chance, "
        "1 is perfect)."
        + (
            f" {few} of them {'is' if few == 1 else 'are'} on fewer than {FEW_PATIENTS} test patients: "
            "too few to judge."
            if few
            else ""
        )
    )


def _details(of: Subject) -> list[str]:
    own, first = of.settings, of.configs[0]
    loss = "binary cross-entropy of each finding"
    if own["weighting"] == "weighted":
        loss += ", a positive weighted by negatives / positives of the training films"
    start = []
    if own["start_px"] != "none":
        told = f"{own['start_px']} x {own['start_px']} px, {own['start_samples']:,} films seen, "
        start = [["first trained at", f"{told}highest learning rate {own['start_lr']:g}"]]
    versions = ", ".join(f"{name} {told}" for name, told in sorted(first["versions"].items()))
    rows = [
        ["network", f"{own['architecture']}; {first['task']}"],
        ["looks at", f"{VIEWS[own['view']]}, {own['size_px']} x {own['size_px']} px"],
        ["brightness", first["normalisation"]],
        ["loss", loss],
        ["first weights", "random" if own["init"] == "none" else own["init"]],
        *start,
        [
            "training",
            f"{own['samples']:,} films seen, {own['batch_size']} a step, {own['optimizer']}, "
            f"highest learning rate {own['lr']:g}, weight decay {own['weight_decay']:g}",
        ],
        ["computed in", f"{first['precision']}, on {first['device']}"],
        ["versions", versions],
    ]
    seeds = [
        [str(config["seed"]), str(config["best_epoch"]), digest]
        for config, digest in zip(of.configs, of.weights, strict=True)
    ]
    return [
        "## Model details",
        table(["", ""], rows),
        f"{plural(len(seeds), 'network')}, one a seed. What is scored is the mean of their probabilities.",
        table(["seed", "kept epoch", "sha256 of weights.safetensors"], seeds),
    ]


def _uses(of: Subject) -> list[str]:
    drawn = of.configs[0]["labels_version"] == "phantom"
    good = (
        "To show that the pipeline works: it has learnt from drawings, and knows nothing of patients."
        if drawn
        else "Research and teaching: how a network learns from imperfect labels, and how to judge it."
    )
    return ["## Intended use", good, "### What it must not be used for", _bullets(NOT_FOR)]


def _data(of: Subject) -> list[str]:
    config, certificate = of.configs[0], of.certificate
    rows = [
        [side, f"{films:,}", f"{patients:,}", digest]
        for side, (films, patients, digest) in of.sides.items()
    ]
    seen = " ".join(dict.fromkeys(config["seen"]["sentence"] for config in of.configs))
    blocks = [
        "## Training and evaluation data",
        escaped(
            f"{version(config)} The table's sha256 is {config['source_sha256']}. "
            f"The split is {certificate['kind']}. {certificate['verdict']}"
        ),
        table(["side", "films", "patients", "sha256 of its films"], rows),
        "A side's sha256 is that of its films' names, sorted, one a line. The network has learnt from train; "
        "its epoch, its thresholds and its calibration were chosen on val; test was only scored.",
        escaped(f"What the first weights had learnt from: {seen}"),
    ]
    if certificate["leaky"]:
        blocks.append("**Patients are on both sides of this split: its scores are too high.**")
    return blocks


def _metrics(of: Subject) -> list[str]:
    settings = of.metrics["settings"]
    return [
        "## Metrics",
        "AUROC is the chance that a film with the finding is ranked above one without. Average precision "
        "(AP) is to be compared with the prevalence, which guessing reaches. Macro is the mean over "
        "findings, micro pools all films and findings.",
        f"In brackets are 95 % intervals from {plural(settings['resamples'], 'resample')} of the test "
        "patients, all films of a patient together. What fewer than "
        f"{FEW_PATIENTS} patients with the finding stand behind is withheld.",
    ]


def _results(of: Subject) -> list[str]:
    scores, rows = of.metrics["splits"]["test"], []
    for name in (*FINDINGS, "macro", "micro"):
        area, ap = scores[name]["auroc"], scores[name]["ap"]
        share = UNDEFINED if ap["prevalence"] is None else number(ap["prevalence"])
        counts = [f"{area['positives']:,}", f"{area['patients']:,}"]
        rows.append([name, *counts, scored(area, name), scored(ap, name), share])
    header = ["finding", "films with it", "patients with it", "AUROC", "AP", "prevalence"]
    blocks = ["## Results on the test films", table(header, rows)]
    if of.metrics["case_mix"]:
        blocks.append(escaped(of.metrics["case_mix"]["sentence"]))
    return blocks


def _groups(of: Subject) -> list[str]:
    areas, misses = rows_of(of.strata, "auroc"), rows_of(of.strata, "miss_rate")
    missed = {(r["variable"], r["group"]): r for r in misses if r["class"] == "macro"}
    rows = []
    for row in areas:
        if row["class"] == "macro":
            known = missed.get((row["variable"], row["group"]))
            cells = [NONE, NONE] if known is None else [shown(known), shown(known, "gap")]
            rows.append([named(row), f"{row['films']:,}", shown(row), shown(row, "gap"), *cells])
    specificity = of.metrics["settings"]["specificity"]
    return [
        "## Groups of patients and films",
        "The macro AUROC of each group of test films, and how far it lies from that of the others. "
        f"“Missed” is the share of films with a finding that are passed over at a specificity of "
        f"{specificity:g} on validation (underdiagnosis). {' '.join(HOW)}",
        table(["group", "films", "AUROC", "gap", "missed", "gap of missed"], rows),
        *_largest(areas, misses),
    ]


def _largest(areas: list[Row], misses: list[Row]) -> list[str]:
    """The largest gaps of single findings whose interval leaves out zero, each once."""
    found = [row for row in (*gaps(areas), *gaps(misses)) if row["class"] in FINDINGS]
    if not found:
        return ["No finding is on enough patients in a group for a gap to be judged."]
    held = [row for row in found if is_sure(gap_of(row))]
    if not held:
        return ["No finding's gap between groups has an interval that leaves out zero."]
    held.sort(key=lambda row: -abs(row["gap"]))
    names = {"auroc": "AUROC", "miss_rate": "missed"}
    rows = [
        [row["class"], named(row), names[row["metric"]], span(row), change(gap_of(row))]
        for row in held[:MOST_GAPS]
    ]
    return [
        f"The largest gaps of single findings, of {len(held)} whose interval leaves out zero; of two "
        "groups that make up all films, the one that fares worse:",
        table(["finding", "group", "what", "in the group", "gap"], rows),
    ]


def _calibration(of: Subject) -> list[str]:
    scores, rows = of.metrics["splits"]["test"], []
    fitted = of.metrics["fitted"] is not None
    for name in (*FINDINGS, "macro", "micro"):
        own = scores[name]
        chance = own["ece"].get("expected")
        cells = [scored(own["ece"], name), UNDEFINED if chance is None else number(chance)]
        if fitted:
            after = (own["ece_temperature"], own["ece_prior"])
            cells += [corrected(row, own["ece"], name) for row in after]
        rows.append([name, *cells, scored(own["brier"], name)])
    header = ["finding", "ECE", "by chance"]
    header += ["after temperature", "after prior"] if fitted else []
    corrections = (
        " The corrections were fitted on validation: a temperature stretches the log-odds, a prior "
        "shifts them."
        if fitted
        else " There were no validation films to fit a correction on."
    )
    return [
        "## Calibration",
        "The expected calibration error (ECE) is how far probabilities lie from the shares that come true, "
        "over bins of as many films each; 0 is perfect. “By chance” is what a perfectly calibrated "
        f"network would show on these films.{corrections}",
        table([*header, "Brier score"], rows),
    ]


def _caveats(of: Subject) -> list[str]:
    lacking = [f for f in FINDINGS if not of.configs[0]["train_positives"][f]]
    never = (f"No training film has {', '.join(lacking)}: nothing is learnt of it.",)
    drawn = ("Phantoms are drawings: these scores test the pipeline, not the medicine.",)
    told = (*CAVEATS, *(never if lacking else ()))
    if of.configs[0]["labels_version"] == "phantom":
        told = (*drawn, *told)
    return ["## Caveats", _bullets(told)]
