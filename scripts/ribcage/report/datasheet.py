"""The datasheet: what a data set is, where it comes from, and what it is no good for.

Its seven parts are those of "Datasheets for Datasets" (Gebru et al., Communications of the ACM,
2021); the questions are put in our own words. Figures are those of this run.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ribcage.description import Facts
from ribcage.findings import FINDINGS, NO_FINDING
from ribcage.lists import SPLITS
from ribcage.report.data import version
from ribcage.words import percent, plural

Answers = list[tuple[str, str]]
UNKNOWN = "Not known to the pipeline; whoever brought the films should answer here."


@dataclass(frozen=True)
class Part:
    """One part of a datasheet: its heading, and questions with their answers."""

    heading: str
    answers: Answers


def datasheet(facts: Facts) -> list[Part]:
    """Answer every question from the facts of this run.

    Args:
        facts: of describe_data; `labels_version` says whose films these are.
    """
    answers: tuple[tuple[str, Callable[[Facts], Answers]], ...] = (
        ("Motivation", _motivation),
        ("Composition", _composition),
        ("Collection", _collection),
        ("Cleaning and labelling", _cleaning),
        ("Uses", _uses),
        ("Distribution", _distribution),
        ("Maintenance", _maintenance),
    )
    return [Part(heading, answer(facts)) for heading, answer in answers]


def of_nih(facts: Facts) -> bool:
    """Whether films and labels are NIH's, all or a part of them."""
    return facts["labels_version"] not in ("phantom", "other")


def _by_origin(facts: Facts, nih: str, phantom: str) -> str:
    if of_nih(facts):
        return nih
    return phantom if facts["labels_version"] == "phantom" else UNKNOWN


def _motivation(facts: Facts) -> Answers:
    return [
        (
            "Why was it made, and by whom?",
            _by_origin(
                facts,
                "The NIH Clinical Center released ChestX-ray14 in 2017 so that computers could learn to "
                "detect and locate common findings on chest films (Wang et al., CVPR 2017, pp. 3462-3471).",
                "Ribcage drew these films so that its own steps can be tried and tested without data "
                "of patients.",
            ),
        ),
    ]


def _composition(facts: Facts) -> Answers:
    indexed, sides, people = facts["indexed"], facts["sides"], facts["people"]
    findings = "; ".join(
        f"{finding} {sum(facts['findings'][finding][s] for s in SPLITS):,}"
        for finding in (*FINDINGS, NO_FINDING)
    )
    split = "; ".join(
        f"{s}: {sides[s]['films']:,} films of {plural(sides[s]['patients'], 'patient')}"
        for s in SPLITS
    )
    several = sum(row[s] for row in facts["findings_a_film"][2:] for s in SPLITS)
    return [
        (
            "What is one row, and how many are there?",
            f"A frontal chest film. The table names {plural(indexed['films'], 'film')} of "
            f"{plural(indexed['patients'], 'patient')}; {sides['all']['films']:,} of "
            f"{sides['all']['patients']:,} are used. {version(facts)}",
        ),
        (
            "What belongs to a film?",
            "Its pixels (8-bit grey), patient number, follow-up number, age, sex, view position (PA or "
            "AP), original size and pixel spacing, and for each of 14 findings whether it is named.",
        ),
        (
            "How often is each finding?",
            f"On the films used: {findings}. {several:,} films have several.",
        ),
        (
            "Who are the patients?",
            f"{people['women']:,} women and {people['men']:,} men"
            + (
                f"; median age at a film {sides['all']['ages'][1]:.0f} years."
                if sides["all"]["ages"]
                else "; ages are unknown."
            ),
        ),
        (
            "Is it a sample?",
            _by_origin(
                facts,
                "Of one hospital's films, a referral centre for research: patients are sicker, and seen "
                f"more often, than elsewhere (up to {people['most_films']} films of one patient). "
                f"{percent(sides['all']['ap'], sides['all']['films'])} of the films are AP, mostly taken "
                "in bed.",
                "Of a made-up population whose findings come together as NIH's table says.",
            ),
        ),
        (
            "How is it split?",
            f"{facts['certificate']['kind'].capitalize()}: {split}. {facts['certificate']['verdict']}",
        ),
        *_flaws(facts),
    ]


def _flaws(facts: Facts) -> Answers:
    twins = facts["duplicates"]
    return [
        (
            "What is missing or wrong?",
            _by_origin(
                facts,
                "Lateral and earlier films, reports and history are missing. The labels were mined from "
                "reports by software: radiologists who read 810 of the films again agreed with a named "
                "finding in about a third of the cases, averaged over findings. “No Finding” means "
                "none of the 14, not a healthy chest; uncertain mentions count as “No Finding”.",
                "Everything that a drawing leaves out; the labels are what was drawn, unless "
                "draw_phantoms.label_noise says otherwise.",
            ),
        ),
        (
            "Are there films twice?",
            f"{twins['same_within'] + twins['same_across']:,} pairs with the same pixels, "
            f"{twins['near_within'] + twins['near_across']:,} further pairs of near duplicates, among "
            f"{facts['decoded']:,} decoded films."
            if facts["decoded"]
            else "Not looked at: this run is on the tables alone.",
        ),
        (
            "Can a person be identified?",
            _by_origin(
                facts,
                "NIH removed names and dates, and numbered the patients anew. Films show anatomy, and "
                "sometimes implants; nobody may try to tell whose they are.",
                "No: there are no persons.",
            ),
        ),
    ]  # fmt: skip


def _collection(facts: Facts) -> Answers:
    return [
        (
            "How was it collected?",
            _by_origin(
                facts,
                "From the hospital's picture archive, frontal films with their reports; findings were "
                "mined from the reports by software, and boxes drawn by hand on 880 films of the test set.",
                "By a generator: anatomy, findings, devices and exposure from seeds in params.yaml.",
            ),
        ),
        (
            "Were patients asked?",
            _by_origin(
                facts,
                "The films are from routine care; NIH released them without names. What patients were "
                "told is not stated with the data.",
                "There are none.",
            ),
        ),
    ]


def _cleaning(facts: Facts) -> Answers:
    dropped, spared = sum(facts["dropped"].values()), sum(facts["spared"].values())
    reasons = "; ".join(f"{reason}: {n:,}" for reason, n in facts["dropped"].items()) or "none"
    return [
        (
            "What was done to the films?",
            (
                "NIH shrank the original films to 1024 x 1024 px and 8 bits of grey. "
                if of_nih(facts)
                else ""
            )
            + (
                "Ribcage decodes and measures them and, before training, finds the lungs, cuts and "
                "shrinks copies; the films themselves stay as they are."
                if facts["decoded"]
                else "In this run nothing: it is on the tables alone."
            ),
        ),
        (
            "What was left out?",
            f"{plural(dropped, 'film')} ({reasons}). "
            + (
                f"{plural(spared, 'film')} that a list or rule names stay in the official test set. "
                if spared
                else ""
            )
            + "data/interim/dropped.csv and spared.csv name each of them.",
        ),
        (
            "Whom does that concern?",
            "The audit in the report gives the share of every group of age, sex, view and finding.",
        ),
    ]


def _uses(facts: Facts) -> Answers:
    return [
        (
            "What is it good for?",
            "Research and teaching: methods that learn from imperfect labels.",
        ),
        (
            "What is it no good for?",
            "Clinical use, and any claim about a finding's true frequency. A score on these labels is "
            "agreement with the labels.",
        ),
        (
            "What may mislead?",
            "View, age and sex alone tell much: see the metadata baseline. Chest tubes, leads and tokens "
            "go with findings. Scores on a random split and on the official one do not compare.",
        ),
        (
            "How does test differ from train?",
            _ratios(facts["certificate"]["prevalence"]),
        ),
    ]


def _ratios(prevalence: Facts) -> str:
    known = {f: row["ratio"] for f, row in prevalence.items() if row["ratio"] is not None}
    if not known:
        return "Unknown: no finding is on both sides."
    high, low = max(known, key=lambda f: known[f]), min(known, key=lambda f: known[f])
    return (
        f"Test has between {known[low]:.2f} ({low}) and {known[high]:.2f} ({high}) times train's share "
        "of a finding."
    )


def _distribution(facts: Facts) -> Answers:
    return [
        (
            "Where is it from, and under which terms?",
            _by_origin(
                facts,
                "https://nihcc.app.box.com/v/ChestXray-NIHCC. Use is not restricted; NIH asks for a link "
                "to that site, credit to the NIH Clinical Center as provider, and a citation of Wang et "
                "al., CVPR 2017. data/raw/tables/LICENCES.md has the terms of each source.",
                "They are drawn anew by whoever runs Ribcage; there are no terms.",
            ),
        ),
    ]


def _maintenance(facts: Facts) -> Answers:
    return [
        (
            "Who keeps it, and does it change?",
            _by_origin(
                facts,
                "The NIH Clinical Center. Labels changed once, in November 2017 (188 labels added on 181 "
                "films, all in the test set); the table of 2020 corrected ages and follow-up numbers.",
                "It changes with the code and the seeds; the same code and parameters draw the same films.",
            ),
        ),
        (
            "How can this very version be told?",
            f"The table's sha256 is {facts['source_sha256']}; its version is {facts['labels_version']}.",
        ),
    ]


def markdown(parts: list[Part], title: str) -> str:
    """The datasheet as Markdown, in which strings from outside stay text."""
    lines = [f"# Datasheet: {escaped(title)}", ""]
    for part in parts:
        lines += [f"## {part.heading}", ""]
        for question, answer in part.answers:
            lines += [f"**{question}** {escaped(answer)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text on one line in which Markdown finds no markup, entity or heading."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|&#])", r"\\\1", line)
