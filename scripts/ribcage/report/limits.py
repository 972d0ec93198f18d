"""The box of limits: what this page cannot say, with this run's own numbers where there are some."""

from typing import Any

import numpy as np

from ribcage.findings import FINDINGS
from ribcage.report.cells import FEW_PATIENTS, withheld
from ribcage.report.outcome import Experiment, few, tested
from ribcage.words import percent, plural

RESEARCH = "For research and teaching only; not for clinical use."
LABELS = (
    "The labels of ChestX-ray14 were mined from reports by software and are often wrong; "
    "“No Finding” means that none of the 14 was found, not that the film is normal."
)


def limits(best: Experiment, facts: dict[str, Any], kind: str) -> list[str]:
    """What to keep in mind, one sentence or two each.

    Args:
        best: the experiment that the page leads with.
        facts: of describe_data.
        kind: of the source: phantom, local or nih.
    """
    said = [RESEARCH]
    if kind == "phantom":
        said.append("Phantoms are drawings. They test the pipeline, not the medicine; what follows on labels, views and hospitals holds for NIH's films, after which they are drawn.")  # fmt: skip
    said += [
        LABELS + _measured_noise(best),
        "There are no lateral films, no earlier films and no clinical history beside a film.",
        HOSPITAL[kind],
        _people(facts),
        _lacking(best),
        _intervals(len(best["metrics"]["seeds"])),
    ]
    return [sentence for sentence in said if sentence]


HOSPITAL = {
    "phantom": "ChestX-ray14 comes from one hospital; what a model learns there may not hold elsewhere.",
    "nih": "All films are frontal films of one hospital, the NIH Clinical Center; what a model learns there may not hold elsewhere.",
    "local": "What a model learns from the films of one hospital may not hold elsewhere; ChestX-ray14 comes from one, the NIH Clinical Center.",
}


def _measured_noise(best: Experiment) -> str:
    """How good the labels were as a reader, where radiologists' readings and patients suffice."""
    experts = best["metrics"]["experts"]
    asked = [
        scores["labels_as_reader"]
        for kind in ("four", "all")
        for scores in experts.get(kind, {}).values()
        if not withheld(scores["model_on_experts"])
    ]
    parts = []
    for measure, words in (
        ("sensitivity", "found {:.0f} % of what the radiologists saw"),
        ("ppv", "and {:.0f} % of what they named was seen"),
    ):
        held = [row[measure]["value"] for row in asked if row[measure]["value"] is not None]
        if not held:
            return ""
        parts.append(words.format(100 * np.mean(held)))
    return (
        f" On this run's test films that radiologists read, they {' '.join(parts)} "
        f"(mean of {plural(len(asked), 'question')})."
    )


def _people(facts: dict[str, Any]) -> str:
    test = facts["sides"]["test"]
    if not test["films"]:
        return ""
    ages = ""
    if test["ages"]:
        low, middle, high = test["ages"]
        ages = f"; their median age is {middle:.0f} years, and nine in ten lie between {low:.0f} and {high:.0f}"
    return (
        f"The test films show {plural(test['patients'], 'patient')} with a mix of their own: {percent(test['ap'], test['films'])} of the films are "
        f"AP, most often taken at the bedside, and {percent(test['women'], test['films'])} show women{ages}. With another mix the scores are others."
    )


def _lacking(best: Experiment) -> str:
    lacking = few(tested(best))
    if not lacking:
        return ""
    which = (
        "No finding is"
        if len(lacking) == len(FINDINGS)
        else f"{plural(len(lacking), 'finding')} ({', '.join(lacking)}) {'is' if len(lacking) == 1 else 'are'} not"
    )
    return f"{which} on the films of {FEW_PATIENTS} test patients or more: scores there are mostly chance and are withheld."


def _intervals(count: int) -> str:
    trainings = (
        "one seed was trained, so that the luck of a training is in no interval"
        if count == 1
        else f"the {count} seeds of an experiment are averaged"
    )
    return (
        "Intervals say what other patients of the same kind would change; they know nothing of another "
        f"hospital or of wrong labels, and {trainings}."
    )
