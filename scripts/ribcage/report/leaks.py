"""The sections on what was dropped, and whom it takes; on the proof of the split; on the baseline."""

from typing import Any

from ribcage.audit import ADULTS, outstanding
from ribcage.description import Facts
from ribcage.findings import FINDINGS
from ribcage.lists import OFFICIAL_TEST, SPLITS
from ribcage.report.cells import FEW_PATIENTS, NONE, scored, withheld
from ribcage.report.sections import Table
from ribcage.words import percent, plural

CALLED = {
    "age in years": "ages {}",
    "view": "{} films",
    "official list": "the list {}",
    "side of the split": "{} patients",
}
"""How a group is called in a sentence, by its kind; others by their own names."""
MOST_GROUPS = 2
"""Groups of one kind that a sentence names; of ages it names all."""
BREAK = 0.2
"""A prevalence in test that differs from train's by this share and more is said."""


def curation(facts: Facts) -> dict[str, Any]:
    """How many were dropped for each reason, who was spared, and whom the lists name."""
    films, dropped = facts["indexed"]["films"], sum(facts["dropped"].values())
    spared = sum(facts["spared"].values())
    if dropped:
        sentence = (
            f"{dropped:,} of {films:,} indexed images ({percent(dropped, films)}) were dropped."
        )
    else:
        sentence = f"None of the {films:,} indexed images was dropped."
    if spared:
        sentence += (
            f" {plural(spared, 'film')} that a list or rule names "
            f"{'is' if spared == 1 else 'are'} kept, because the official test set stays whole."
        )
    rows = [
        [reason, f"{n:,}", percent(n, films), "dropped"] for reason, n in facts["dropped"].items()
    ]
    rows += [[reason, f"{n:,}", percent(n, films), "kept"] for reason, n in facts["spared"].items()]
    return {
        "sentence": sentence,
        "reasons": Table(["reason", "images", "of all", "what became of them"], rows, (0, 3)),
        "audit_sentence": audited([found for found in facts["audits"] if found["named"]]),
        "audits": [_audit(found) for found in facts["audits"] if found["named"]],
    }


def audited(audits: list[Facts]) -> str:
    """Whether the lists and rules that name films take some groups of patients more than others.

    Args:
        audits: of describe_data, those that name a film.
    """
    if not audits:
        return "No list and no rule names a film of this run, so that none takes some patients more than others."
    loud = [found["name"] for found in audits if outstanding(found)]
    if not loud:
        return (
            f"{plural(len(audits), 'audit')} of what lists and rules name: no group of patients stands "
            "out in any."
            if len(audits) > 1
            else "In the one audit of what lists and rules name no group of patients stands out."
        )
    return (
        f"Lists and rules take some groups of patients far more than others: groups stand out in "
        f"{len(loud)} of {plural(len(audits), 'audit')} ({'; '.join(loud)})."
    )


def _audit(found: Facts) -> dict[str, Any]:
    rows = [
        [
            f"{row['kind']}: {row['group']}",
            f"{row['films']:,}",
            f"{row['named']:,}",
            percent(row["named"], row["films"]),
            percent(row["others"], 1),
            *("–" if row[name] is None else f"{row[name]:.1f}" for name in ("ratio", "same_view")),
            f"{row['patients_whole']:,}",
            "stands out" if row["stands_out"] else "",
        ]
        for row in found["groups"]
    ]
    header = [
        "group",
        "films",
        "named",
        "share",
        "of all others",
        "times as many",
        "the same, among films of the same views",
        "patients that vanish",
        "verdict",
    ]
    return {
        "name": found["name"],
        "sentence": " ".join(_whom(found)),
        "table": Table(header, rows, (0, 8)),
    }


def _whom(found: Facts) -> list[str]:
    """Sentences on how many films and patients are named, and which groups far more than others."""
    vanish = "vanished" if found["done"] else "would vanish"
    told = [
        f"{plural(found['named'], 'film')} of {plural(found['patients_named'], 'patient')}, "
        f"{percent(found['named'], found['films'])} of all; "
        f"{plural(found['patients_whole'], 'patient')} {vanish} whole."
    ]
    loud: dict[str, list[Facts]] = {}
    for row in outstanding(found):
        loud.setdefault(row["kind"], []).append(row)
    if not loud:
        return [*told, "No group stands out."]
    parts = []
    for kind, rows in loud.items():
        shown = rows if kind == "age in years" else rows[:MOST_GROUPS]
        parts += [
            f"{CALLED.get(kind, '{}').format(row['group'])} {percent(row['named'], row['films'])} "
            f"({row['named']:,} of {row['films']:,})"
            for row in shown
        ]
        if len(rows) > len(shown):
            parts.append(f"and {len(rows) - len(shown)} more of that kind")
    told.append(f"Some groups are taken far more than others: {'; '.join(parts)}.")
    told += [
        f"Of the films of adults, it is {percent(row['named'], row['films'])}."
        for row in found["groups"]
        if row["group"] == ADULTS and "age in years" in loud
    ]
    return told


def leaks(certificate: Facts, duplicates: Facts, seen: list[Facts]) -> dict[str, Any]:
    """The leakage certificate, and the ledger of what imported weights had seen.

    Args:
        certificate: of split_patients.
        duplicates: pairs by kind, of describe_data.
        seen: of each model: `name`, and config.json's `seen`.
    """
    pairs = [
        [f"{row['one']} and {row['other']}", *(f"{row[k]:,}" for k in ("patients", "films"))]
        + [f"{row[k]:,}" if certificate["films_compared"] else "not looked at"
           for k in ("same_pixels", "near_duplicates", "films_with_twin")]
        for row in certificate["pairs"]
    ]  # fmt: skip
    header = ["sides", "shared patients", "shared films", "pairs with the same pixels", "near-duplicate pairs", "films with a twin on the other side"]  # fmt: skip
    return {
        "sentence": certificate["verdict"],
        "leaky": certificate["leaky"],
        "pairs": Table(header, pairs),
        "duplicates": _duplicates(certificate, duplicates),
        **_prevalence(certificate),
        "views": Table(
            ["side", "PA", "AP"],
            [
                [
                    name,
                    *(f"{100 * certificate['views'][name].get(v, 0):.1f} %" for v in ("PA", "AP")),
                ]
                for name in SPLITS
                if name in certificate["views"]
            ],
        ),
        "official": _official(certificate["official_test"]),
        "warnings": [
            f"{row['name']}: {row['sentence']}"
            for row in seen
            if not row["known"] or row["val"] or row["test"]
        ],
        "ledger": Table(
            [
                "model",
                "starts from",
                *(f"{name} films seen before" for name in SPLITS),
                "what is known",
            ],
            [
                [
                    row["name"],
                    row["weights"],
                    *("unknown" if row[name] is None else f"{row[name]:,}" for name in SPLITS),
                    row["sentence"],
                ]
                for row in seen
            ],
            (0, 1, 5),
        ),
    }


def _duplicates(certificate: Facts, found: Facts) -> str:
    compared = certificate["films_compared"]
    if not compared:
        return "No film was decoded, so none was compared with another: this run is on the tables alone."
    return (
        f"{compared:,} films were compared with each other. Of one patient, "
        f"{plural(found['same_within'], 'pair')} have the same pixels and "
        f"{found['near_within']:,} are near duplicates; of two patients, "
        f"{found['same_across']:,} and {found['near_across']:,}."
    )


def _prevalence(certificate: Facts) -> dict[str, Any]:
    rows, far = [], []
    for finding in FINDINGS:
        row = certificate["prevalence"][finding]
        shares = ["–" if row[s] is None else f"{100 * row[s]:.2f} %" for s in SPLITS]
        rows.append([finding, *shares, "–" if row["ratio"] is None else f"{row['ratio']:.2f}"])
        if row["ratio"] is not None and abs(row["ratio"] - 1) >= BREAK:
            far.append((abs(row["ratio"] - 1), finding, row["ratio"]))
    sentence = (
        f"{plural(len(far), 'finding')} of 14 {'is' if len(far) == 1 else 'are'} at least "
        f"{100 * BREAK:.0f} % rarer or commoner in test than in train, "
        f"{max(far)[1]} most ({max(far)[2]:.2f} times): thresholds and PPV fitted on one side do not "
        "carry over to the other."
        if far
        else f"No finding's prevalence differs by {100 * BREAK:.0f} % between train and test."
    )
    return {
        "prevalence": Table(["finding", *SPLITS, "test / train"], rows),
        "prevalence_sentence": sentence,
    }


def _official(found: Facts | None) -> str:
    if found is None:
        return "The source has no official test list."
    where = ", ".join(f"{found[name]:,} in {name}" for name in SPLITS)
    if found["whole"]:
        ends = "test is NIH's official test set, whole"
    elif found["listed"] == OFFICIAL_TEST:
        ends = "test is not NIH's official test set, and scores do not compare with those on it"
    else:
        ends = (
            f"it is not NIH's list of {OFFICIAL_TEST:,} films, and scores do not compare with "
            "those on that"
        )
    return f"Of {plural(found['listed'], 'film')} on the source's test list, {where}: {ends}."


def baseline(metrics: Facts) -> dict[str, Any]:
    """What view, age, sex and follow-up give without looking at the film."""
    test = metrics["splits"]["test"]
    judged = {f: test[f]["auroc"]["value"] for f in FINDINGS if not withheld(test[f]["auroc"])}
    macro = test["macro"]["auroc"]
    who = (
        f"A {metrics['model']} model that never looks at a film and knows only view position, sex, "
        "age and follow-up number"
    )
    if judged:
        best = max(judged, key=lambda f: judged[f])
        sentence = (
            f"{who} reaches a macro AUROC of {macro['value']:.3f} on the test films, over "
            f"{macro['findings']} of {len(FINDINGS)} findings (0.5 is chance); it tells {best} "
            f"best ({judged[best]:.3f}). A network must be judged by what it adds to that."
        )
    else:
        sentence = f"{who} cannot be judged: each finding is on fewer than {FEW_PATIENTS} patients in test."
    if metrics["not_fitted"]:
        sentence += f" Never or always there in train, and so not learnt: {', '.join(metrics['not_fitted'])}."
    rows = [
        [
            name,
            NONE if name == "macro" else f"{test[name]['auroc']['positives']:,}",
            *(scored(test[name][metric], name) for metric in ("auroc", "ap")),
        ]
        for name in (*FINDINGS, "macro", "micro")
    ]
    header = ["finding", "positives", "AUROC", "average precision"]
    return {"sentence": sentence, "table": Table(header, rows, sums=("macro", "micro"))}
