"""Which films' maps are shown: chosen by rule, so that nobody picks the pretty ones."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ribcage.answers import QUESTIONS, known_to
from ribcage.boxes import BoxesOf
from ribcage.findings import FINDINGS
from ribcage.progress import say

OUTCOMES = ("TP", "FP", "FN", "TN")
BY_RULE = 5
"""How many rows of a finding come before more of those with a box."""
DISAGREE = "experts disagree"
SMALLEST = 1e-7
"""Probabilities this near to 0 and 1 have logits without end."""
COLUMNS = [
    "image",
    "finding",
    "outcome",
    "why",
    "probability",
    "threshold",
    "expert",
    "expert_question",
]


def outcomes(truth: np.ndarray, called: np.ndarray) -> np.ndarray:
    """TP, FP, FN or TN of each film, taking its label as the truth."""
    return np.where(truth, np.where(called, "TP", "FN"), np.where(called, "FP", "TN"))


def choose(
    rows: pd.DataFrame, boxed: set[str], per_finding: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Choose the films of one finding by rule: nobody picks the pretty ones.

    In this order, each the first that is not chosen yet: a random film with a box; the most
    confident true positive; the most confident false positive; the lowest false negative; a random
    true negative; more films with a box, up to half of what is left; and random films of each
    outcome in turn, so that all four are shown where they exist.

    Args:
        rows: image, probability, outcome.
        boxed: positive films that have a box of this finding.
        per_finding: how many at the most.
        rng: the source of the random draws.

    Returns:
        (image, why) in this order; why is boxed, most confident, most wrong or random.
    """
    ranked = rows.sort_values(["probability", "image"], ascending=[False, True])
    of = {kind: ranked.loc[ranked["outcome"] == kind, "image"].tolist() for kind in OUTCOMES}
    drawn = {kind: rng.permutation(sorted(images)).tolist() for kind, images in of.items()}
    with_box = rng.permutation(sorted(boxed)).tolist()
    more_boxed = max(0, (per_finding - BY_RULE) // 2)
    candidates = [
        (with_box, "boxed"),
        (of["TP"], "most confident"),
        (of["FP"], "most wrong"),
        (of["FN"][::-1], "most wrong"),
        (drawn["TN"], "random"),
        *[(with_box, "boxed")] * more_boxed,
        *[(drawn[kind], "random") for kind in OUTCOMES] * per_finding,
    ]
    chosen: dict[str, str] = {}
    for images, why in candidates:
        fresh = next((image for image in images if image not in chosen), None)
        if fresh is not None:
            chosen[fresh] = why
    return list(chosen.items())[:per_finding]


class Disagreement(NamedTuple):
    """A film on which experts and NIH's labels differ.

    Attributes:
        image: its name.
        finding: of those that answer the question, the one that the model thinks most likely.
        question: what the experts were asked.
    """

    image: str
    finding: str
    question: str


def disagreements(
    test: pd.DataFrame,
    labels: pd.DataFrame,
    answers: pd.DataFrame,
    thresholds: dict[str, float],
) -> list[Disagreement]:
    """Choose up to two films a question on which experts and labels differ.

    One is the film on which the model sides most strongly with the experts, one that on which it
    sides most strongly with the label. It sides with whoever says what it calls at its threshold;
    how strongly is the distance of the logits. Films of the same distance go by name.

    Args:
        test: predictions of n films.
        labels: bool [n, 14] of the same films.
        answers: of `answers_on`, the same films.
        thresholds: by finding; a question of a finding without one is left out.
    """
    chosen: dict[tuple[str, str], Disagreement] = {}
    for question, ours in QUESTIONS.items():
        said = answers[question].to_numpy()
        asked = answers[question].notna().to_numpy()
        if not asked.any() or not all(finding in thresholds for finding in ours):
            continue
        given = test[list(ours)].to_numpy(np.float64)
        best = given.argmax(axis=1)
        at = np.array([thresholds[finding] for finding in ours])[best]
        top = given.max(axis=1)
        experts = np.where(asked, said, False).astype(bool)
        differ = asked & (experts != known_to(labels, ours).to_numpy())
        with_experts = (top >= at) == experts
        strength = np.abs(_logit(top) - _logit(at))
        order = np.lexsort([test["image"].to_numpy(), -strength])
        for side in (differ & with_experts, differ & ~with_experts):
            for film in order[side[order]][:1]:
                one = Disagreement(test["image"].iloc[film], ours[best[film]], question)
                chosen.setdefault((one.image, one.finding), one)
    return list(chosen.values())


def _logit(probability: np.ndarray) -> np.ndarray:
    inside = probability.clip(SMALLEST, 1 - SMALLEST)
    return np.log(inside / (1 - inside))


def gallery(
    test: pd.DataFrame,
    labels: pd.DataFrame,
    answers: pd.DataFrame,
    thresholds: dict[str, Any],
    boxes: BoxesOf,
    per_finding: int,
    seed: int,
) -> pd.DataFrame:
    """Choose what is shown.

    Args:
        test: predictions of the test films.
        labels: bool [n, 14] of the same films.
        answers: of `answers_on`, the same films.
        thresholds: of thresholds.json.
        boxes: of the test films.
        per_finding: rows a finding at the most, besides those on which experts disagree.
        seed: of the random draws.

    Returns:
        Rows by finding: image, finding, outcome (of OUTCOMES, by NIH's label), why (boxed, most
        confident, most wrong, random, experts disagree), probability, threshold, expert (what the
        experts said, null where they were not asked) and expert_question (what of: the finding, or
        one that takes several together, as Nodule or mass).
    """
    at = {
        finding: float(fitted["threshold"])
        for finding, fitted in thresholds.items()
        if fitted and fitted.get("threshold") is not None
    }
    disputed = disagreements(test, labels, answers, at)
    parts = []
    for number, finding in enumerate(FINDINGS):
        known = labels[finding].to_numpy()
        if finding not in at:
            say(f"{finding}: not shown; no threshold")
            continue
        rows = test[["image"]].assign(probability=test[finding], threshold=at[finding])
        rows["outcome"] = outcomes(known, test[finding].to_numpy() >= at[finding])
        questions = {one.image: one.question for one in disputed if one.finding == finding}
        boxed = {image for image in test["image"][known] if (image, finding) in boxes}
        rest = rows[~rows["image"].isin(questions)]
        rng = np.random.default_rng([seed, number])
        why = dict(choose(rest, boxed - set(questions), per_finding, rng))
        why |= dict.fromkeys(questions, DISAGREE)
        part = rows.set_index("image").loc[list(why)].reset_index()
        part = part.assign(finding=finding, why=list(why.values()))
        parts.append(_with_experts(part, answers, questions))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    return found[COLUMNS].astype({"expert": "boolean"})


def _with_experts(
    part: pd.DataFrame, answers: pd.DataFrame, questions: dict[str, str]
) -> pd.DataFrame:
    """Add what the experts said of each row: of the finding, else of what takes it together."""
    asked = []
    for image, finding in zip(part["image"], part["finding"], strict=True):
        told = [
            q for q, ours in QUESTIONS.items() if finding in ours and pd.notna(answers.at[image, q])
        ]
        asked.append(questions.get(image, told[0] if told else None))
    said = [
        pd.NA if question is None else answers.at[image, question]
        for image, question in zip(part["image"], asked, strict=True)
    ]
    expert = pd.array(said, dtype="boolean")
    return part.assign(expert=expert, expert_question=pd.array(asked, dtype="string"))
