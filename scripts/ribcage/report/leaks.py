"""The sections on what was dropped, on the proof that the split does not leak, and on the baseline."""

from typing import Any

from ribcage.audit import outstanding
from ribcage.description import SPLITS, Facts
from ribcage.findings import FINDINGS
from ribcage.report.sections import FEW_PATIENTS, Table, percent, plural

CALLED = {"age in years": "ages {}", "view": "{} films", "side": "{} films"}
"""How a group is called in a sentence, by its kind; others by their own names."""
MOST_GROUPS = 2
"""Groups of one kind (age, sex, ...) that a sentence names."""
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
        "audits": [_audit(found) for found in facts["audits"] if found["named"]],
    }


def _audit(found: Facts) -> dict[str, Any]:
    by_kind: dict[str, list[Facts]] = {}
    for row in outstanding(found):
        by_kind.setdefault(row["kind"], []).append(row)
    loud = [row for rows in by_kind.values() for row in rows[:MOST_GROUPS]]
    adults = [
        r for r in found["groups"] if r["kind"] == "age in years" and r["group"].startswith("40")
    ]
    sentence = (
        f"{plural(found['named'], 'film')} of {plural(found['patients_named'], 'patient')}, "
        f"{percent(found['named'], found['films'])} of all"
        f"; {plural(found['patients_whole'], 'patient')} would vanish whole. "
    )
    if loud:
        parts = [
            f"{CALLED.get(row['kind'], '{}').format(row['group'])} "
            f"{percent(row['named'], row['films'])} ({row['named']:,} of {row['films']:,})"
            for row in loud
        ]
        sentence += f"It takes some groups far more than others: {'; '.join(parts)}"
        sentence += (
            f". Of films at ages {adults[0]['group']} it takes "
            f"{percent(adults[0]['named'], adults[0]['films'])}."
            if adults and adults[0] not in loud
            else "."
        )
    else:
        sentence += "No group stands out."
    rows = [
        [
            f"{row['kind']}: {row['group']}",
            f"{row['films']:,}",
            f"{row['named']:,}",
            percent(row["named"], row["films"]),
            percent(row["others"], 1),
            "–" if row["ratio"] is None else f"{row['ratio']:.1f}",
            f"{row['patients_whole']:,}",
            "stands out" if row["stands_out"] else "",
        ]
        for row in found["groups"]
    ]
    header = ["group", "films", "named", "share", "of all others", "times as many", "patients that vanish", ""]  # fmt: skip
    return {
        "name": found["name"],
        "sentence": sentence,
        "table": Table(header, rows, (0, 7)),
    }


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
           for k in ("same_pixels", "near_duplicates")]
        for row in certificate["pairs"]
    ]  # fmt: skip
    header = ["sides", "shared patients", "shared films", "pairs with the same pixels", "near-duplicate pairs"]  # fmt: skip
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
        "ledger": Table(
            ["model", "starts from", *(f"{name} films seen before" for name in SPLITS), ""],
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
    ends = (
        "the test set is the official one"
        if found["test"] == found["listed"]
        else "scores do not compare with published ones on the official test set"
    )
    return f"Of {plural(found['listed'], 'film')} on the official test list, {where}: {ends}."


def baseline(metrics: Facts) -> dict[str, Any]:
    """What view, age, sex and follow-up give without looking at the film."""
    test = metrics["splits"]["test"]
    values = {
        f: test[f]["auroc"]["value"]
        for f in FINDINGS
        if test[f]["auroc"]["value"] is not None and test[f]["auroc"]["patients"] >= FEW_PATIENTS
    }
    macro = test["macro"]["auroc"]
    mean = "undefined" if macro["value"] is None else f"{macro['value']:.3f}"
    best = max(values, key=lambda f: values[f], default=None)
    more = f"; {best} is told best ({values[best]:.3f})" if best else ""
    rows = [
        [
            name,
            f"{test[name]['auroc']['positives']:,}",
            "undefined" if test[name]["auroc"]["value"] is None else f"{test[name]['auroc']['value']:.3f}",
            "undefined" if test[name]["ap"]["value"] is None else f"{test[name]['ap']['value']:.3f}",
        ]
        for name in (*FINDINGS, "macro", "micro")
    ]  # fmt: skip
    return {
        "sentence": f"A {metrics['model']} model that never looks at a film and knows only "
        f"view position, sex, age and follow-up number reaches a macro AUROC of {mean} on the test films{more}. "
        "A network must be judged by what it adds to that.",
        "table": Table(
            ["finding", "positives", "AUROC", "average precision"], rows, sums=("macro", "micro")
        ),
    }
