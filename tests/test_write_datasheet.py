import html
import json
import re

import numpy as np
import pytest

from made_up import HOSTILE
from ribcage.audit import audit
from ribcage.findings import FINDINGS
from ribcage.report import data, leaks
from ribcage.report.bars import Bars, bars, pyramid
from ribcage.report.datasheet import datasheet, escaped, markdown
from test_audit import population


def test_the_page_shows_every_section_and_loads_nothing(described):
    page = (described / "data.html").read_text()
    for anchor in ("data", "curation", "leaks", "baseline", "datasheet", "sources"):
        assert f'<section id="{anchor}">' in page and f'href="#{anchor}"' in page
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", page)
    assert "<img src=x" not in page and "<b>broken" not in page
    assert html.escape(HOSTILE) in page or "&lt;img src=x onerror" in page


def test_the_numbers_are_those_of_the_files(described, facts):
    page = html.unescape((described / "data.html").read_text())
    assert "88 films of 88 patients are used, of 90 films of 90 patients in the table." in page
    assert "1 film that a list or rule names is kept" in page
    verdict = facts["certificate"]["verdict"]
    assert verdict in page and "No patient and no film is on two sides" in verdict
    assert facts["certificate"]["pairs"][1]["near_duplicates"] == 1
    metrics = json.loads((described / "baseline" / "metrics.json").read_text())
    value = metrics["splits"]["test"]["macro"]["auroc"]["value"]
    assert f"reaches a macro AUROC of {value:.3f}" in page


def test_the_audit_names_whom_a_list_takes(facts):
    table, child = population()
    named = np.where(child, np.arange(len(table)) % 2 == 0, np.arange(len(table)) % 400 == 1)
    found = {"name": "a list", "listed": 5, "done": False, **audit(table, named)}
    shown = leaks.curation({**facts, "audits": [found]})["audits"][0]
    words = f"ages 0–1 {100 * named[child].mean():.1f} % ({(named & child).sum()} of {child.sum()})"
    assert f"Some groups are taken far more than others: {words}." in shown["sentence"]
    assert "Of the films of adults, it is" in shown["sentence"]
    assert "patients would vanish whole" in shown["sentence"]
    done = leaks.curation({**facts, "audits": [{**found, "done": True}]})["audits"][0]
    assert "would" not in done["sentence"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "has no official test list"),
        ({"listed": 25_596, "whole": True}, "test is NIH's official test set, whole"),
        ({"listed": 25_596, "whole": False}, "test is not NIH's official test set"),
        ({"listed": 31, "whole": False}, "it is not NIH's list of 25,596 films"),
    ],
)
def test_the_page_says_whether_test_is_the_official_one(facts, found, words):
    sides = {"train": 0, "val": 0, "test": 31}
    certificate = facts["certificate"] | {"official_test": found and {**sides, **found}}
    assert words in leaks.leaks(certificate, facts["duplicates"], [])["official"]


def test_a_baseline_on_few_patients_is_withheld(facts):
    test = facts["baseline"]["splits"]["test"]
    few = {f: {**test[f], "auroc": test[f]["auroc"] | {"patients": 3}} for f in FINDINGS}
    metrics = facts["baseline"] | {"splits": {"test": {**test, **few}}, "not_fitted": ["Hernia"]}
    shown = leaks.baseline(metrics)
    assert "cannot be judged" in shown["sentence"] and "not learnt: Hernia" in shown["sentence"]
    assert shown["table"].rows[0][2] == "too few: 3 patients"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("v2020", "The table is NIH's version of 2020."),
        ("part of v2020", "The table is a part of NIH's version of 2020."),
        ("part of 2017-09-26", "a part of NIH's first release of September 2017. It lacks 188"),
        ("part of 2017-11-22 or v2020", "those of 2020 or version of 2020."),
        ("phantom", "The films are phantoms"),
    ],
)
def test_the_version_is_told_in_a_sentence(facts, version, words):
    assert words in data.version({**facts, "labels_version": version})


PARTS = [
    "Motivation",
    "Composition",
    "Collection",
    "Cleaning and labelling",
    "Uses",
    "Distribution",
    "Maintenance",
]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("v2020", "The NIH Clinical Center released ChestX-ray14 in 2017"),
        ("phantom", "Ribcage drew these films"),
        ("other", "Not known to the pipeline"),
        ("2017-09-26", "lacks 188 labels"),
        ("part of 2017-09-26", "lacks 188 labels"),
    ],
)
def test_the_datasheet_answers_for_whose_films_they_are(facts, version, words):
    text = markdown(datasheet({**facts, "labels_version": version}), "A <b>title</b>")
    assert re.findall("^## (.*)$", text, re.M) == PARTS
    assert words in text and "88 of 88 are used" in text
    assert "\\<b\\>title" in text
    assert not re.search(r"\b(None|nan)\b", text)


def test_markup_in_answers_stays_text():
    assert escaped("<a>*b*|`c`[d]") == "\\<a\\>\\*b\\*\\|\\`c\\`\\[d\\]"
    assert escaped("_a_ &lt;\n# b") == "\\_a\\_ \\&lt; \\# b"


def test_bars_have_the_heights_of_their_values():
    drawn = str(bars(["a<b", "c"], [Bars("n", [10, 5], "f0")], "x", "y", "t"))
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"><title>', drawn)]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.1) and "a&lt;b" in drawn
    both = str(pyramid(["0", "1"], Bars("w", [4, 2], "f0"), Bars("m", [1, 0], "f1"), "x", "t"))
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" y', both)]
    assert widths[0] == pytest.approx(4 * widths[1], abs=0.2) and widths[3] == 0
    assert "NaN" not in str(bars(["a"], [Bars("n", [0], "f0")], "x", "y", "t"))
