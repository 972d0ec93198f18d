"""The section on data: who and what is in it, counted by description.py."""

from pathlib import Path
from typing import Any

import numpy as np

from ribcage.description import Facts
from ribcage.findings import FINDINGS, NO_FINDING
from ribcage.lists import SPLITS
from ribcage.report import quality
from ribcage.report.bars import Bars, bars, pyramid
from ribcage.report.figures import Figure
from ribcage.report.sections import Table
from ribcage.words import percent, plural

VERSIONS = {
    "2017-09-26": "first release of September 2017",
    "2017-11-22": "update of November 2017, whose labels are those of 2020",
    "v2020": "version of 2020",
}
FOREIGN = {
    "phantom": "The films are phantoms, drawn by the pipeline.",
    "other": "The table is none of NIH's.",
}


def data(facts: Facts, folder: Path) -> dict[str, Any]:
    """Everything that the section on data shows.

    Args:
        facts: of describe_data.
        folder: that they lie in, with the pictures of extreme films.
    """
    sides, people = facts["sides"], facts["people"]
    found = {finding: facts["findings"][finding] for finding in FINDINGS}
    total = {finding: sum(row[name] for name in SPLITS) for finding, row in found.items()}
    commonest, rarest = max(total, key=lambda f: total[f]), min(total, key=lambda f: total[f])
    return {
        "sentence": f"{plural(sides['all']['films'], 'film')} of "
        f"{plural(sides['all']['patients'], 'patient')} are used, of "
        f"{plural(facts['indexed']['films'], 'film')} of "
        f"{plural(facts['indexed']['patients'], 'patient')} in the table. {version(facts)}",
        "splits": _splits(sides),
        "published": _published(facts),
        "findings": _findings(facts, total),
        "findings_sentence": f"{commonest} is the commonest, on {plural(total[commonest], 'film')}; "
        f"{rarest} the rarest, on {total[rarest]:,}. A film may have several.",
        "charts": _charts(facts),
        "people_sentence": f"{people['women']:,} patients are women and {people['men']:,} men; nobody has more than "
        f"{plural(people['most_films'], 'film')}. Each is counted once, at the age of the first film"
        + (
            f"; {people['age_unknown']:,} of unknown age are left out."
            if people["age_unknown"]
            else "."
        ),
        **_together(facts),
        "sizes": _sizes(facts),
        "measures": quality.measures(facts),
        "extremes": [quality.sheet(sheet, folder) for sheet in facts["extremes"]],
    }


def version(facts: Facts) -> str:
    """Which version of NIH's table this is, in a sentence."""
    told = facts["labels_version"]
    if told in FOREIGN:
        return FOREIGN[told]
    part = told.startswith("part of ")
    whose = "The table is a part of" if part else "The table is"
    names = told.removeprefix("part of ").split(" or ")
    sentence = f"{whose} NIH's {' or '.join(VERSIONS[name] for name in names)}."
    if names == ["2017-09-26"]:
        sentence += (
            " It lacks 188 labels on 181 test films that were added in November 2017, 78 of them "
            "Pneumonia: scores do not compare with later ones."
        )
    return sentence


def _splits(sides: Facts) -> Table:
    rows = []
    for name in (*SPLITS, "all"):
        side = sides[name]
        ages = side["ages"]
        rows.append(
            [
                name,
                f"{side['films']:,}",
                f"{side['patients']:,}",
                percent(side["ap"], side["films"]),
                percent(side["women"], side["films"]),
                "–" if ages is None else f"{ages[1]:.0f} ({ages[0]:.0f}–{ages[2]:.0f})",
                percent(side["no_finding"], side["films"]),
            ]
        )
    header = [
        "split",
        "films",
        "patients",
        "AP, % of films",
        "women, % of films",
        "age at a film: median (5–95 %)",
        f"{NO_FINDING}, % of films",
    ]
    return Table(header, rows, sums=("all",))


def _published(facts: Facts) -> dict[str, Any]:
    rows = [
        [row["what"], f"{row['published']:,}", f"{row['here']:,}",
         "yes" if row["published"] == row["here"] else "NO"]
        for row in facts["published"]
    ]  # fmt: skip
    wrong = sum(row[-1] == "NO" for row in rows)
    sentence = (
        f"All {len(rows)} figures that are published of this table were counted anew, and agree."
        if not wrong
        else f"{wrong} of {len(rows)} published figures are not what was counted here."
    )
    return {
        "sentence": sentence,
        "table": Table(["what", "published", "counted here", "agrees"], rows),
    }


def _findings(facts: Facts, total: dict[str, int]) -> Table:
    sides, rows = facts["sides"], []
    for finding in (*FINDINGS, NO_FINDING):
        held = facts["findings"][finding]
        row = [finding, f"{held['indexed']:,}"]
        for name in SPLITS:
            row += [f"{held[name]:,}", percent(held[name], sides[name]["films"])]
        rows.append([*row, f"{held['patients']:,}", f"{held['test_patients']:,}"])
    header = ["finding", "in the table"]
    for name in SPLITS:
        header += [name, f"% of {name}"]
    return Table([*header, "patients", "test patients"], rows)


def _charts(facts: Facts) -> list[Figure]:
    many, people = facts["findings_a_film"], facts["people"]
    shares = [
        Bars(
            name,
            [round(100 * row[name] / max(facts["sides"][name]["films"], 1), 2) for row in many],
            f"f{number}",
        )
        for number, name in enumerate(SPLITS)
    ]
    counts = [_span(row["from"], row["to"]) for row in people["films"]]
    decades = [f"{row['from']}–{row['from'] + 9}" for row in people["ages"][:-1]]
    decades.append(f"{people['ages'][-1]['from']}+")
    women, men = (Bars(n, [row[s] for row in people["ages"]], f"f{k}")
                  for k, (n, s) in enumerate((("women", "F"), ("men", "M"))))  # fmt: skip
    return [
        Figure(
            "findings-a-film",
            bars([str(row["findings"]) for row in many], shares, "findings on a film",
                 "% of the films of a side", "Findings a film"),
            f"Findings a film: blue train, orange val, green test. {_of_test(many)}",
        ),
        Figure(
            "films-a-patient",
            bars(counts, [Bars("patients", [row["patients"] for row in people["films"]], "f0")],
                 "films of a patient", "patients", "Films a patient"),
            f"Films a patient, of the films that are used. {_single(people['films'])}",
        ),
        Figure(
            "patients-by-age",
            pyramid(decades, women, men, "patients", "Patients by age and sex"),
            f"Patients by age in years at the first film: women left, men right. {_commonest(people['ages'], decades)}",
        ),
    ]  # fmt: skip


def _of_test(many: list[Facts]) -> str:
    films = sum(row["test"] for row in many)
    none, several = (sum(row["test"] for row in many if chosen(row["findings"]))
                     for chosen in (lambda n: n == 0, lambda n: n > 1))  # fmt: skip
    return f"Of the test films {percent(none, films)} have none, {percent(several, films)} several."


def _single(rows: list[Facts]) -> str:
    patients, once = sum(row["patients"] for row in rows), rows[0]["patients"]
    return f"{once:,} of {plural(patients, 'patient')} ({percent(once, patients)}) have one alone."


def _commonest(rows: list[Facts], decades: list[str]) -> str:
    most = max(range(len(rows)), key=lambda number: rows[number]["F"] + rows[number]["M"])
    return f"Most are {decades[most]}: {rows[most]['F']:,} women and {rows[most]['M']:,} men."


def _span(first: int, last: int | None) -> str:
    """`1`, `3–4`, `100+`."""
    if last is None:
        return f"{first}+"
    return f"{first}" if first == last else f"{first}–{last}"


def _together(facts: Facts) -> dict[str, Any]:
    both = np.array(facts["together"])
    pairs = np.triu(both, 1)
    one, other = np.unravel_index(int(pairs.argmax()), pairs.shape)
    own = np.maximum(both.diagonal(), 1)
    sentence = (
        f"{FINDINGS[one]} and {FINDINGS[other]} come together most often, on "
        f"{plural(int(pairs.max()), 'film')}."
        if pairs.max()
        else "No film has two findings."
    )
    most = max(int(both.max()), 1)
    return {
        "together_sentence": sentence,
        "heat": _heat(both, 70 * np.sqrt(both / most), "{:,}"),
        "heat_given": _heat(100 * both / own[:, None], 70 * both / own[:, None], "{:.0f}"),
    }


def _heat(values: np.ndarray, shares: np.ndarray, form: str) -> dict[str, Any]:
    rows = [
        {
            "name": finding,
            "cells": [
                {"text": form.format(value), "share": round(float(share))}
                for value, share in zip(values[k], shares[k], strict=True)
            ],
        }
        for k, finding in enumerate(FINDINGS)
    ]
    return {"names": FINDINGS, "rows": rows}


def _sizes(facts: Facts) -> dict[str, Any]:
    sizes = facts["sizes"]
    width, height, spacing = (
        sizes["original"][name]
        for name in ("original_width_px", "original_height_px", "spacing_mm")
    )
    rows = [
        [
            "none decoded" if not row["width"] else f"{row['width']} × {row['height']}",
            f"{row['films']:,}",
        ]
        for row in sizes["stored"]
    ]
    more = sizes["kinds"] - len(rows)
    return {
        "sentence": f"Before they were stored, {_before(width, height)}, "
        f"{_from_to([f'{mm:.3f}' for mm in spacing])} mm a pixel, as the table says."
        + (f" {plural(more, 'rarer size')} not shown." if more else ""),
        "table": Table(["size as stored, px", "films"], rows),
    }


def _before(width: list[float], height: list[float]) -> str:
    """Least, median and largest sides in px as a clause; one size where all are alike."""
    wide, tall = ([f"{side:.0f}" for side in sides] for sides in (width, height))
    if wide[0] == wide[2] and tall[0] == tall[2]:
        return f"all films were {wide[0]} × {tall[0]} px"
    return (
        f"the films were {_from_to(wide)} px wide (median {wide[1]}) "
        f"and {_from_to(tall)} px high (median {tall[1]})"
    )


def _from_to(three: list[str]) -> str:
    return three[0] if three[0] == three[2] else f"{three[0]} to {three[2]}"
