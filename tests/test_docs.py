"""docs/graph.svg and docs/steps.md: what the rules say now, whatever the machine that measured."""

import re
import sys
from pathlib import Path

import networkx
import pytest

import draw_docs
from conftest import ROOT
from ribcage import diagram
from ribcage.engine.jobs import Job
from ribcage.report import resources
from shell import clone, sh

HEAD = "s\th:m:s\tmax_rss\tmax_vms\n"


def rows(page):
    """The table without its measured columns."""
    return [line.split(" | ")[:-2] for line in page.splitlines() if line.startswith("|")]


def test_the_committed_files_are_what_the_rules_give_now(zygote, tmp_path):
    folder = clone(tmp_path)
    command = [sys.executable, "scripts/draw_docs.py"]
    refused = sh(command, folder, check=False)
    assert refused.returncode == 1 and "run make first" in refused.stdout.splitlines()[-1]
    assert "Traceback" not in refused.stdout
    (folder / "benchmarks").mkdir(exist_ok=True)
    (folder / "benchmarks/split_patients.tsv").write_text(f"{HEAD}12.6\t0:00:12\t1234.5\t2000\n")
    sh(command, folder)
    page = (folder / "docs/steps.md").read_text()
    told = "is not what the rules say now: run make, then make docs"
    assert rows(page) == rows((ROOT / "docs/steps.md").read_text()), f"docs/steps.md {told}"
    drawn = (folder / "docs/graph.svg").read_bytes()
    assert drawn == (ROOT / "docs/graph.svg").read_bytes(), f"docs/graph.svg {told}"
    (split,) = [line for line in page.splitlines() if line.startswith("| [split_patients]")]
    assert split.endswith("| 1 | 13 | 1,234 |")
    assert page.count("| not measured |") == len(rows(page)) - 3


def test_figures_are_the_median_of_jobs_that_really_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("benchmarks", "logs"):
        Path(name).mkdir()
    jobs = [Job(f"s@{n}", (), f"provenance/made/{n}.json", "", (), {}) for n in "abcde"]
    for job, figures in zip(
        jobs, ["2\t-\t10", "4\t-\t30", "0.1\t-\t900", "3\t-\tNA"], strict=False
    ):
        Path(f"benchmarks/{job.name}.tsv").write_text(f"{HEAD}{figures}\t1\n")
    Path("logs/c.log").write_text("taken from DVC's cache: made before from the same code\n")
    assert [draw_docs.measured(job) for job in jobs] == [(2, 10), (4, 30), None, None, None]
    assert draw_docs.figures_of(jobs) == ("3.0", "20")
    assert draw_docs.figures_of(jobs[2:]) == ("not measured", "–")


def test_the_runner_says_the_words_that_a_benchmark_is_judged_by():
    runner = (ROOT / "scripts/ribcage/engine/step.py").read_text()
    assert all(words in runner for words in resources.NOT_RUN)


def test_a_rule_without_a_purpose_is_refused_by_name(tmp_path):
    (tmp_path / "odd.smk").write_text('"""Odd: things."""\n\n\nrule nameless:\n    output:\n')
    with pytest.raises(draw_docs.InputError, match=r"odd\.smk: rule nameless needs a docstring"):
        draw_docs.read_rules(tmp_path)


@pytest.fixture
def drawn():
    """A graph whose arrow a-e has to pass the boxes b, c and d, and its drawing."""
    graph = networkx.DiGraph([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")])
    graph.add_edges_from([("a", "e"), ("f", "c")])
    boxes = [diagram.Box(name, f"<{name}>", "", 0, stacked=name == "b") for name in "abcdef"]
    return boxes, graph, diagram.draw(boxes, graph, ["Letters"], "many")


def test_boxes_stand_apart_below_all_that_lead_to_them(drawn):
    boxes, graph, svg = drawn
    sizes = f'width="{diagram.BOX_PX[0]}" height="{diagram.BOX_PX[1]}"'
    corners = re.findall(rf'</title>\n<rect x="(\d+)" y="(\d+)" {sizes}', svg)
    places = {box.name: (int(x), int(y)) for box, (x, y) in zip(boxes, corners, strict=True)}
    assert all(places[start][1] < places[end][1] for start, end in graph.edges)
    for x, y in places.values():
        beside = [other for other, row in places.values() if row == y and other != x]
        assert all(abs(other - x) > diagram.BOX_PX[0] for other in beside)
        assert 0 <= x <= diagram.WIDTH_PX - diagram.BOX_PX[0]
    assert "&lt;a&gt;" in svg and svg.count("marker-end") == len(graph.edges)


def test_the_drawing_does_not_depend_on_the_order_of_the_arrows(drawn):
    boxes, graph, svg = drawn
    turned = networkx.DiGraph(list(graph.edges)[::-1])
    assert diagram.draw(boxes, turned, ["Letters"], "many") == svg


def test_crossings_are_sorted_out():
    graph = networkx.DiGraph([("a", "d"), ("b", "c")])
    bent, layers = diagram.layered(list("abcd"), graph)
    assert diagram.crossings(bent, layers) == 1
    assert diagram.crossings(bent, diagram.ordered(bent, layers)) == 0
