"""The headline above all sections: what this run is, and what it reached."""

from typing import Any

from ribcage.findings import FINDINGS
from ribcage.report.cells import FEW_PATIENTS, TOO_FEW, change, is_sure, signed, span, tells
from ribcage.words import plural

Experiment = dict[str, Any]
"""`name`, `style`, `settings`, `metrics`, `curves`, `strata`, `cams`, `models`."""
Import = dict[str, Any]
"""`name`, `style`, `metrics`, `curves`, `strata`, and `about`: its entry in imports.json."""

WHAT = {
    "phantom": "A run on phantoms: chest films that the pipeline drew itself.",
    "local": "A run on films of a local folder.",
    "nih": "A run on NIH ChestX-ray14.",
}
CAUTION = {
    "phantom": "Phantoms are drawings: these scores show that the pipeline works, and say nothing about patients.",
    "local": "The scores are agreement with the labels that came with the films.",
    "nih": "The labels are mined from reports and often wrong; the scores are agreement with them.",
}


SPLITS = {
    "official": "test is of the source's own list",
    "random": "patients drawn at random",
    "kfold": "test is one fold of the patients",
    "leaky_by_image": "images drawn at random, so that patients are on two sides and scores too high",
}
"""How train, validation and test were cut, by split_patients.kind."""


def few(scores: dict[str, Any]) -> list[str]:
    """Findings that a test set holds on fewer patients than an AUROC needs."""
    return [f for f in FINDINGS if scores[f]["auroc"]["patients"] < FEW_PATIENTS]


def can_tell(scores: dict[str, Any]) -> bool:
    """Whether any finding has enough patients for a verdict on the means to be spoken."""
    return tells({finding: scores[finding]["auroc"] for finding in FINDINGS})


def best_of(experiments: list[Experiment]) -> Experiment | None:
    """The experiment of the highest macro AUROC on validation: test must not choose."""

    def on_validation(experiment: Experiment) -> float:
        val = experiment["metrics"]["splits"].get("val")  # imports may have none
        value = val and val["macro"]["auroc"]["value"]
        return -1.0 if value is None else float(value)

    return max(experiments, key=on_validation, default=None)


def tested(judged: Experiment | Import) -> dict[str, Any]:
    """The scores on the test films, by class and metric."""
    scores: dict[str, Any] = judged["metrics"]["splits"]["test"]
    return scores


def head(
    experiments: list[Experiment],
    baseline: dict[str, Any],
    blind: dict[str, dict[str, Any]],
    sides: dict[str, dict[str, Any]],
    split: str,
    kind: str,
) -> dict[str, Any]:
    """What this run is, and its headline with what limits it.

    Args:
        experiments: in the order of params.yaml.
        baseline: scores of score_metadata_baseline on the test films.
        blind: by experiment and class, its AUROC less that of the baseline: `against_baseline` of
            comparison.json.
        sides: films and patients of train, val, test and all.
        split: of split_patients: official, random, kfold or leaky_by_image.
        kind: of the source: phantom, local or nih.
    """
    best = best_of(experiments)
    assert best is not None  # the schema asks for an experiment
    scores = tested(best)
    lacking = few(scores)
    warnings = []
    if lacking:
        warnings.append(
            f"The test films hold {plural(len(lacking), 'finding')} on fewer than {FEW_PATIENTS} "
            f"patients ({', '.join(lacking)}): too few to judge, and the macro mean leans on chance."
        )
    return {
        "what": WHAT[kind],
        "caution": CAUTION[kind],
        "cards": [*_scores(best, baseline), _films(sides, split), _experiments(experiments, best)],
        "sentence": _sentence(best, baseline, blind.get(best["name"], {})),
        "two_splits": two_splits(best)["sentence"],
        "warnings": warnings,
    }


def _films(sides: dict[str, dict[str, Any]], split: str) -> dict[str, str]:
    counts = [f"{sides[name]['films']:,} {name}" for name in ("train", "val", "test")]
    patients = plural(sides["all"]["patients"], "patient")
    label = f"films of {patients}: {', '.join(counts)}; {SPLITS[split]}"
    return {"value": f"{sides['all']['films']:,}", "label": label}


def _experiments(experiments: list[Experiment], best: Experiment) -> dict[str, str]:
    seeds = len(best["metrics"]["seeds"])
    label = f"{'experiments' if len(experiments) > 1 else 'experiment'}, of {plural(seeds, 'seed')}"
    if seeds > 1:
        label += ", whose probabilities are averaged"
    return {"value": str(len(experiments)), "label": label}


def _scores(best: Experiment, baseline: dict[str, Any]) -> list[dict[str, str]]:
    if len(few(tested(best))) == len(FINDINGS):
        label = "patients with each finding in the test films for a score to mean anything"
        return [{"value": "too few", "label": label}]
    macro = tested(best)["macro"]["auroc"]
    cards = [
        _card(
            macro,
            f"macro AUROC on test, {best['name']}, over {macro['findings']} of {len(FINDINGS)} findings",
        ),
        _card(baseline["macro"]["auroc"], "the same of a model that never looks at the film"),
    ]
    mix = best["metrics"]["case_mix"]
    if mix and mix["gap"]["value"] is not None and 2 * mix["findings"] > len(FINDINGS):
        label = f"gap of the macro AUROC: validation less test, over {plural(mix['findings'], 'finding')}"
        if _explains(mix):
            label += f"; {signed(mix['case_mix']['value'])} of it is who is on the films"
        gap = mix["gap"]
        ends = "" if gap["low"] is None else f"{signed(gap['low'])} to {signed(gap['high'])}"
        cards.append({"value": signed(gap["value"]), "range": ends, "label": label})
    return cards


def _explains(mix: dict[str, Any]) -> bool:
    """Whether the case mix is seen to be a part of the gap, as the sentence under it says."""
    gap, part = mix["gap"], mix["case_mix"]
    return is_sure(gap) and is_sure(part) and bool(gap["value"] * part["value"] > 0)


def _card(row: dict[str, Any], label: str) -> dict[str, str]:
    value = "–" if row["value"] is None else f"{row['value']:.3f}"
    return {"value": value, "range": _ends(row), "label": label}


def _ends(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{row['low']:.3f}–{row['high']:.3f}"


def _sentence(best: Experiment, baseline: dict[str, Any], own: dict[str, Any]) -> str:
    macro = tested(best)["macro"]["auroc"]
    films = macro["positives"] + macro["negatives"]
    start = f"{best['name']} was best on validation."
    if len(few(tested(best))) == len(FINDINGS):
        return f"{start} On {plural(films, 'test film')} there are {TOO_FEW} how good it is."
    blind = baseline["macro"]["auroc"]
    intervals = (
        " In brackets are 95 % intervals: what chance in which patients are in the test films may "
        "do to the value."
        if None not in (macro["low"], blind["low"])
        else ""
    )
    return (
        f"{start} On {plural(films, 'test film')} its macro AUROC is {span(macro)}; 0.5 is chance, "
        f"1 is perfect. That of the model that never looks is {span(blind)}. {looking(best, own)}".rstrip()
        + intervals
    )


def looking(best: Experiment, own: dict[str, Any]) -> str:
    """What looking at the film adds to what view, age, sex and follow-up tell, with a verdict.

    Args:
        best: the experiment that looks.
        own: by class, its AUROC less that of the model that never looks.

    Returns:
        Empty where the two were not compared.
    """
    row = own.get("macro")
    if row is None or row["value"] is None:
        return ""
    start = f"Looking at the film with {best['name']} adds {change(row)}"
    if not tells(own):
        return f"{start}; there are {TOO_FEW} whether that is more than chance."
    if row["value"] <= 0:
        return f"{start}: it is not seen to be worth anything."
    return f"{start}, {'more than chance may' if is_sure(row) else 'which chance alone may do'}."


def two_splits(best: Experiment) -> dict[str, Any]:
    """Validation against test, and how much of the gap is who is on the films.

    Returns:
        `sentence`, empty where there is no comparison; `rows`, the six figures by what they are.
    """
    mix = best["metrics"]["case_mix"]
    if not mix:
        return {"sentence": "", "rows": {}}
    return {
        "sentence": mix["sentence"],
        "rows": {
            "validation": mix["val"],
            "validation, weighted to the test's mix": mix["val_as_test"],
            "test": mix["test"],
            "gap: validation less test": mix["gap"],
            "of that, who is on the films": mix["case_mix"],
            "of that, the rest": mix["rest"],
        },
    }
