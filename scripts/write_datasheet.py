"""Render the page on the data and its datasheet, before any training and without any film."""

import json
from pathlib import Path

from ribcage.engine import step
from ribcage.progress import say
from ribcage.report import data, leaks
from ribcage.report.datasheet import datasheet, markdown
from ribcage.report.provenance import commit, sources
from ribcage.report.render import render

CONTENTS = (
    (
        "",
        (
            ("data", "Films and patients"),
            ("curation", "Dropped"),
            ("leaks", "Proof of the split"),
            ("audit", "Lists and rules"),
            ("baseline", "Without looking"),
            ("datasheet", "Datasheet"),
            ("sources", "Sources"),
        ),
    ),
)
"""As of write_report: the parts of the page, here one without a name, and their sections."""


def main(tables: Path, description: Path, page: Path, sheet: Path, title: str) -> None:
    """Write `reports/data.html` and `reports/datasheet.md`.

    Args:
        tables: the folder that fetch_tables made.
        description: the folder of describe_data.
        page: the page to write.
        sheet: the datasheet to write, in Markdown.
        title: of both.
    """
    facts = json.loads((description / "facts.json").read_text(encoding="utf-8"))
    parts = datasheet(facts)
    sheet.write_text(markdown(parts, title), encoding="utf-8")
    text = render(
        "data.html",
        title=f"{title}: the data",
        contents=CONTENTS,
        data=data.data(facts, description),
        curation=leaks.curation(facts),
        leaks=leaks.leaks(facts["certificate"], facts["duplicates"], []),
        baseline=leaks.baseline(facts["baseline"]),
        datasheet=parts,
        sources=sources(tables),
        commit=commit(),
        facts=facts,
    )
    page.write_text(text, encoding="utf-8")
    say(f"the page has {len(text.encode()) / 1e6:.1f} MB")


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
