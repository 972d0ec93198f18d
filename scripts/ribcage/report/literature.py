"""What the section on the literature says: published AUROCs, official and random splits apart."""

from collections.abc import Sequence
from typing import Any

from ribcage.findings import FINDINGS
from ribcage.report.cells import NONE, scored, span
from ribcage.report.outcome import Experiment, tested
from ribcage.report.sections import Table

Published = dict[str, Any]
"""A row of ribcage.literature.published."""

TITLES = {"official": "On NIH's official test set", "random": "On random splits by patient"}
NOT_WHOLE = ("part of", "other")
"""How the version of a table begins that is not the whole of NIH's."""
COMPUTED, SECOND_HAND = "†", "*"
MARKS = {
    SECOND_HAND: f"{SECOND_HAND} Second hand.",
    COMPUTED: f"{COMPUTED} The mean is computed from its rows.",
}


def section(
    experiments: list[Experiment],
    published: Sequence[Published],
    split_kind: str,
    source_kind: str,
    whole_test: bool,
    labels_version: str,
) -> dict[str, Any]:
    """Two tables that are never mixed, and this run's experiments where they belong.

    Args:
        experiments: in the order of params.yaml.
        published: of literature.py, both splits.
        split_kind: of split_patients: official, random, kfold or leaky_by_image.
        source_kind: phantom, local or nih; phantoms stand beside nobody.
        whole_test: whether the test side is NIH's official test list, all of it.
        labels_version: of the data table; NIH's whole table is none that is `part of` a version.
    """
    fits, why = _fits(split_kind, source_kind, whole_test, labels_version)
    tables = []
    for split, title in TITLES.items():
        held = [row for row in published if row["split"] == split]
        own = experiments if fits == split else []
        if held:
            whole, means = _apart(held)
            tables.append(
                {
                    "title": title,
                    "table": _table(whole, own, FINDINGS),
                    "means": _table(means, [], ()),
                    "sources": _sources(held),
                }
            )
    start = (
        "AUROCs that others published. The official test set holds other patients, filmed otherwise, and is harder: the same network scores "
        "about 0.03 less on it than on a random split, so that the two tables must not be mixed."
    )
    return {"sentence": f"{start} {why}", "tables": tables}


def _fits(
    split_kind: str, source_kind: str, whole_test: bool, labels_version: str
) -> tuple[str | None, str]:
    """The table in which this run may stand, None where it compares with nobody; and a sentence."""
    if source_kind == "phantom":
        return None, "This run is on phantoms, and stands in neither."
    if source_kind != "nih":
        return (
            None,
            "This run's films come from a local folder, not as NIH's whole set, and stand in neither.",
        )
    if labels_version.startswith(NOT_WHOLE):
        return None, "This run is on a part of NIH's films, and stands in neither."
    if split_kind == "leaky_by_image":
        return None, "This run's split has films of one patient on two sides, so that its scores are too high to stand in either."  # fmt: skip
    if split_kind == "official" and not whole_test:
        return None, "This run's test films are not the whole official test set, and it stands in neither."  # fmt: skip
    fits = "official" if split_kind == "official" else "random"
    title = TITLES[fits][0].lower() + TITLES[fits][1:]
    return fits, f"This run stands in the first rows of the table {title}."


def _apart(held: list[Published]) -> tuple[list[Published], list[Published]]:
    """The rows of models with any finding of their own, and of those that print a mean alone."""
    told = {(row["study"], row["model"]) for row in held if row["class"] in FINDINGS}
    whole = [row for row in held if (row["study"], row["model"]) in told]
    return whole, [row for row in held if (row["study"], row["model"]) not in told]


def _table(held: list[Published], own: list[Experiment], findings: Sequence[str]) -> Table:
    studies: dict[tuple[str, str], dict[str, Published]] = {}
    for row in held:
        key = (f"{row['study']} ({row['year']})", row["model"])
        studies.setdefault(key, {})[row["class"]] = row
    rows = [
        [f"this run: {e['name']}", "", span(tested(e)["macro"]["auroc"])]
        + [scored(tested(e)[finding]["auroc"], finding) for finding in findings]
        for e in own
    ]
    names = tuple(row[0] for row in rows)
    for (study, model), classes in studies.items():
        means = [row for name, row in classes.items() if name not in FINDINGS]
        mark = f" {SECOND_HAND}" if any(row["second_hand"] for row in classes.values()) else ""
        cells = [_cell(classes.get(finding)) for finding in findings]
        rows.append([f"{study}{mark}", model, _cell(means[0] if means else None), *cells])
    return Table(["study", "model", "mean", *findings], rows, text=(0, 1), sums=names)


def _cell(row: Published | None) -> str:
    if row is None:
        return NONE
    return row["printed"] + (f" {COMPUTED}" if row["computed"] else "")


def _sources(held: list[Published]) -> Table:
    found: dict[tuple[str, str], list[Published]] = {}
    for row in held:
        name = f"{row['study']} ({row['year']})"
        known = f", {row['identifier']}" if row["identifier"] else ""
        found.setdefault((f"{name}{known}", row["model"]), []).append(row)
    rows = []
    for (study, model), own in found.items():
        where = "; ".join(dict.fromkeys(row["source"] for row in own))
        marks = [MARKS[SECOND_HAND]] if any(row["second_hand"] for row in own) else []
        marks += [MARKS[COMPUTED]] if any(row["computed"] for row in own) else []
        notes = dict.fromkeys([*marks, *(row["note"] for row in own if row["note"])])
        rows.append([study, model, where, " ".join(notes)])
    header = ["study", "model", "where the figures were found", "notes"]
    return Table(header, rows, text=(0, 1, 2, 3))
