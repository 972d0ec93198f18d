import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import png
from describe_data import draw, extremes
from made_up import FILMS, HOSTILE, OFF, describe, write_tables
from ribcage.audit import audit
from ribcage.description import Facts
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.measures import RULES
from ribcage.report import data, leaks
from ribcage.report.bars import Bars, bars, pyramid
from ribcage.report.datasheet import datasheet, escaped, markdown
from test_audit import population


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described")
    write_tables(folder, FILMS)
    (folder / "tables" / "blacklists").mkdir()
    (folder / "tables" / "blacklists" / "rotated.csv").write_text("00000000_000.png\n")
    describe(folder)
    return folder


@pytest.fixture(scope="module")
def facts(folder) -> Facts:
    return json.loads((folder / "data" / "facts.json").read_text())


def test_the_page_shows_every_section_and_loads_nothing(folder):
    page = (folder / "data" / "index.html").read_text()
    for anchor in ("data", "curation", "leaks", "baseline", "datasheet", "sources"):
        assert f'<section id="{anchor}">' in page and f'href="#{anchor}"' in page
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", page)
    assert "<img src=x" not in page and "<b>broken" not in page
    assert html.escape(HOSTILE) in page or "&lt;img src=x onerror" in page


def test_the_numbers_are_those_of_the_files(folder, facts):
    page = html.unescape((folder / "data" / "index.html").read_text())
    assert "88 films of 88 patients are used, of 90 films of 90 patients in the table." in page
    assert "1 film that a list or rule names is kept" in page
    verdict = facts["certificate"]["verdict"]
    assert verdict in page and "No patient and no film is on two sides" in verdict
    assert facts["certificate"]["pairs"][1]["near_duplicates"] == 1
    metrics = json.loads((folder / "baseline" / "metrics.json").read_text())
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


def test_extremes_are_the_films_at_the_end_that_the_rule_names():
    measures = pd.DataFrame({"image": list("dcba")})
    for rule in RULES.values():
        measures[rule.column] = [0.0, 3.0, 1.0, 1.0]
    sheets = {s["rule"]: s for s in extremes(measures, OFF | {"too_dark": 40}, 2)}
    assert [f["image"] for f in sheets["too_dark"]["films"]] == ["d", "a"]
    assert [f["image"] for f in sheets["rotated"]["films"]] == ["c", "a"]
    assert sheets["too_dark"]["threshold"] == 40 and sheets["rotated"]["threshold"] is None
    assert extremes(measures.head(0), OFF, 2) == []


def test_the_extremes_are_drawn_small(folder, facts):
    shown = {f["picture"] for sheet in facts["extremes"] for f in sheet["films"]}
    drawn = {path.name for path in (folder / "data").glob("*.webp")}
    assert shown == drawn and len(facts["extremes"]) == len(RULES)
    for name in drawn:
        with Image.open(folder / "data" / name) as picture:
            assert picture.size == (32, 24)


def test_a_film_that_is_gone_is_one_sentence(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    with pytest.raises(InputError, match=r"no batch holds b\.png any more"):
        draw({"a.png": "a.webp", "b.png": "b.webp"}, [tmp_path / "films"], tmp_path, 32)


def test_the_same_inputs_give_the_same_bytes(folder, tmp_path):
    write_tables(tmp_path, FILMS)
    (tmp_path / "tables" / "blacklists").mkdir()
    (tmp_path / "tables" / "blacklists" / "rotated.csv").write_text("00000000_000.png\n")
    describe(tmp_path)
    for name in ("data/facts.json", "data/index.html", "datasheet.md"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


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
