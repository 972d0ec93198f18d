"""What may speak against a run's results: one line a check, each with the section that shows it."""

from statistics import mean
from typing import Any

from ribcage.description import Facts
from ribcage.findings import FINDINGS
from ribcage.report.cells import TOO_FEW, is_sure, span, withheld
from ribcage.report.experts import SOURCES
from ribcage.report.groups import gap_of, gaps, rows_of
from ribcage.report.leaks import audited
from ribcage.report.outcome import Experiment, best_of, can_tell, few, tested
from ribcage.report.strata import CHANCE
from ribcage.words import plural


def section(experiments: list[Experiment], facts: Facts, leaning: str) -> dict[str, Any]:
    """Each check in one line: what it asks, and what was found.

    Args:
        experiments: in the order of params.yaml.
        facts: of describe_data.
        leaning: the sentence of the section on shortcuts.
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    named = [found for found in facts["audits"] if found["named"]]
    checks = [
        (
            "leaks",
            "Proof of the split",
            "Does a patient or a film stand on two sides?",
            facts["certificate"]["verdict"],
        ),
        (
            "audit",
            "Lists and rules",
            "Does dropping films take some patients more than others?",
            audited(named),
        ),
        (
            "strata",
            "For whom it works",
            "Do some groups of patients fare worse?",
            _groups(best),
        ),
        (
            "baseline",
            "Without looking",
            "How far does one come who never sees the film?",
            _blind(facts["baseline"]["splits"]["test"]),
        ),
        (
            "views",
            "Without lungs",
            "How far does a network come that sees no lungs?",
            _without_lungs(experiments),
        ),
        (
            "shortcuts",
            "Shortcuts",
            "Does a network read drains and tokens in place of the finding?",
            leaning,
        ),
        (
            "experts",
            "Radiologists",
            "Does the score hold against those who read the films?",
            _readers(best),
        ),
    ]
    return {
        "sentence": f"{len(checks)} checks, each with what it found; the sections below show them whole.",
        "checks": [
            dict(zip(("anchor", "title", "question", "found"), check, strict=True))
            for check in checks
        ],
    }


def _groups(best: Experiment) -> str:
    macro = [r for r in gaps(rows_of(best["strata"], "auroc")) if r["class"] == "macro"]
    if not macro:
        return "No group of films has enough patients to be held against the others."
    sure = sum(is_sure(gap_of(row)) for row in macro)
    return (
        f"{sure} of {plural(len(macro), 'gap')} in macro AUROC between a group and the others "
        f"{'is' if sure == 1 else 'are'} larger than chance; chance alone would make about "
        f"{CHANCE * len(macro):.1f} seem so."
    )


def _blind(scores: dict[str, Any]) -> str:
    if len(few(scores)) == len(FINDINGS):
        return f"There are {TOO_FEW}."
    return (
        f"To a macro AUROC of {span(scores['macro']['auroc'])} on the test films; 0.5 is guessing."
    )


def _without_lungs(experiments: list[Experiment]) -> str:
    blank = [e for e in experiments if e["settings"]["view"] == "no_lungs"]
    if not blank:
        return "Not known: no experiment of this run sees films without lungs."
    if not can_tell(tested(blank[0])):
        return f"There are {TOO_FEW}."
    return (
        f"{blank[0]['name']} comes to a macro AUROC of {span(tested(blank[0])['macro']['auroc'])}."
    )


def _readers(best: Experiment) -> str:
    own = best["metrics"]["experts"]
    found = [_against_readers(own[kind], words) for kind, words in SOURCES.items() if kind in own]
    return " ".join(found) or "Not known: this run has no radiologists' readings."


def _against_readers(scores: dict[str, Any], source: str) -> str:
    """The mean AUROC over the findings that can be judged by both, beside that by the labels."""
    pairs = [(row["model_on_experts"], row["model_on_labels"]) for row in scores.values()]
    pairs = [pair for pair in pairs if not any(withheld(score) for score in pair)]
    if not pairs:
        return f"{source}: {TOO_FEW}."
    seen, labelled = (mean(score["value"] for score in side) for side in zip(*pairs, strict=True))
    return (
        f"{source}: macro AUROC {seen:.3f} against the radiologists, {labelled:.3f} against the labels "
        f"of the same films, over {plural(len(pairs), 'finding')}."
    )
