"""What curves tell the page's script: numbers of curves.csv and metrics.json, safely written."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import made_up_scores as made
from ribcage.report import curves, hover
from ribcage.report.charts import CUT, Band, Line, chart
from ribcage.report.dots import Dot, Group, dots
from ribcage.report.hover import Point, Trail

HOSTILE = "<img src=x onerror=\"alert('1')\">\u202e&quot;"


@pytest.fixture(scope="module")
def three():
    return made.experiments()


def drawn_of(figure):
    """All elements of a drawing, which must be sound XML."""
    return list(ElementTree.fromstring(str(figure.chart)).iter())


def mine(elements, kind, name):
    """Elements of a class that belong to an experiment."""
    return [
        e
        for e in elements
        if kind in e.get("class", "").split() and e.get("data-experiment") == name
    ]


def picture(group, kind, finding, shown=()):
    found = curves.small(group, kind, shown)
    return next(f for f in found if f.caption.startswith(f"{finding}:"))


def list_of(text):
    return np.array([float(one) for one in text.split()])


@pytest.mark.parametrize("kind", ["roc", "pr"])
def test_a_curve_tells_points_of_curves_csv(three, kind):
    elements = drawn_of(picture(three, kind, "Mass"))
    for one in three:
        (line,) = mine(elements, "line", one["name"])
        held = one["curves"]
        held = held[(held["class"] == "Mass") & (held["curve"] == kind)]
        x, y, at = (list_of(line.get(f"data-{name}")) for name in "xyt")
        assert len(x) == len(y) == len(at) == hover.TRAIL_POINTS == line.get("d").count("L") + 1
        rows = held[["x", "y", "threshold"]].to_numpy()
        for point in zip(x, y, at, strict=True):
            assert np.isclose(rows, point, rtol=6e-4).all(axis=1).any()
        assert np.isinf(at[0]) and [x[0], x[-1]] == pytest.approx(held["x"].iloc[[0, -1]], rel=1e-3)
        prevalence = one["metrics"]["splits"]["test"]["Mass"]["ap"]["prevalence"]
        assert float(line.get("data-prevalence")) == pytest.approx(prevalence, rel=1e-3)
        assert line.get("data-curve") == kind


def test_reliability_tells_how_many_films(three):
    elements = drawn_of(picture(three, "reliability", "Mass"))
    (line,) = mine(elements, "line", "plain")
    assert line.get("data-n").split() == ["200"] * 10 and line.get("data-t") is None
    assert len(mine(elements, "dot", "plain")) == 10


def test_marks_are_the_fitted_thresholds_of_metrics_json(three):
    at = three[0]["metrics"]["splits"]["test"]["Mass"]["at"]
    for kind in ("roc", "pr"):
        elements = drawn_of(picture(three, kind, "Mass"))
        points = mine(elements, "point", "plain")
        assert [point.get("data-kind") for point in points] == list(at)
        for point, held in zip(points, at.values(), strict=True):
            assert point.get("data-threshold") == f"{held['threshold']:.4g}"
            for name in ("sensitivity", "specificity", "ppv"):
                assert point.get(f"data-{name}") == f"{held[name]['value']:.4g}"
            assert "plain: Mass, threshold for" in point[0].text
    assert not mine(drawn_of(picture(three, "reliability", "Mass")), "point", "plain")


def test_what_is_undefined_is_not_marked():
    group = made.experiments()
    at = group[0]["metrics"]["splits"]["test"]["Mass"]["at"]
    at["f1"]["ppv"]["value"] = None  # nothing was called
    roc = mine(drawn_of(picture(group, "roc", "Mass")), "point", "plain")
    pr = mine(drawn_of(picture(group, "pr", "Mass")), "point", "plain")
    assert (len(roc), len(pr)) == (4, 3)
    (lost,) = (point for point in roc if point.get("data-kind") == "f1")
    assert lost.get("data-ppv") is None and lost.get("data-sensitivity")
    group[0]["metrics"]["splits"]["test"]["Mass"]["at"] = {}
    assert not mine(drawn_of(picture(group, "roc", "Mass")), "point", "plain")


def test_others_wait_to_be_chosen(three):
    _, heavy, _ = three
    figure = picture(three, "roc", "Mass", [heavy])
    area = heavy["metrics"]["splits"]["test"]["Mass"]["auroc"]["value"]
    assert figure.caption.startswith(f"Mass: {area:.3f}") and ";" not in figure.caption
    elements = drawn_of(figure)
    for one in three:
        own = [e for e in elements if e.get("data-experiment") == one["name"]]
        hidden = one is not heavy
        assert len(own) == 6  # a line, a band, four points
        for element in own:
            assert ("other" in element.get("class").split()) == hidden
            assert (element.get("display") == "none") == hidden
    lines = [e.get("data-experiment") for e in elements if "line" in e.get("class", "").split()]
    assert lines == [None, "plain", "whole", "heavy"]
    assert "heavy" in elements[0].get("aria-label") and "plain" not in elements[0].get("aria-label")
    assert {"plain: Mass", "whole: Mass, 95 % band"} <= set(figure.chart.data["series"])


def test_axes_are_those_of_who_is_seen(three):
    """Who is overconfident runs out of the picture of one who is not, and does not squeeze it."""
    plain, heavy = three[0], three[1]
    alone = picture([plain], "reliability", "Mass")
    both = picture([plain, heavy], "reliability", "Mass", [plain])
    axes = [drawn_of(figure)[0].get("data-axes") for figure in (alone, both)]
    assert axes[0] == axes[1] and float(axes[0].split()[1]) < 1
    assert CUT in str(both.chart) and CUT not in str(alone.chart)
    assert drawn_of(alone)[0].get("data-frame") == "46 12 348 260"


def test_means_tell_neither_thresholds_nor_prevalence(three):
    (figure, *_) = curves.figures(three, "64 px")
    elements = drawn_of(figure)
    (macro,) = (e for e in mine(elements, "line", "plain") if "dashed" not in e.get("class"))
    (micro,) = (e for e in mine(elements, "line", "plain") if "dashed" in e.get("class"))
    assert macro.get("data-t") is macro.get("data-prevalence") is None
    assert len(macro.get("data-x").split()) == 60 and macro.get("d").count("L") == 199
    assert micro.get("data-t") and micro.get("data-prevalence")
    assert macro[0].text.startswith("plain: macro, AUROC 0.")


def test_names_from_outside_stay_text():
    one = made.judged(HOSTILE, "e0")
    figure = picture([one], "roc", "Mass")
    text = str(figure.chart)
    assert "<img" not in text
    assert len(mine(drawn_of(figure), "line", HOSTILE)) == 1
    assert len(mine(drawn_of(figure), "point", HOSTILE)) == 4
    rows = [Group(HOSTILE, [Dot(HOSTILE, 0.8, 0.7, 0.9, "e0", HOSTILE)], experiment=HOSTILE)]
    drawn = str(dots(rows, "AUROC", HOSTILE))
    assert "<img" not in drawn
    owned = [e for e in ElementTree.fromstring(drawn).iter() if e.get("data-experiment") == HOSTILE]
    assert [e.tag for e in owned] == ["text", "g"]


def test_a_chart_without_trails_tells_nothing():
    x = np.array([0.0, 1.0])
    drawn = str(chart([Line("a", x, x, "e0")], "x", "y", "t", bands=[Band("b", x, x, x, "e0")]))
    assert "data-" not in drawn and "display" not in drawn
    half = Line("a", x, np.array([0, np.nan]), "e0", trail=Trail("roc", x, 0.25))
    told = str(chart([half], "x", "y", "t"))
    assert 'data-x="0" data-y="0" data-t="0" data-prevalence="0.25"' in told
    point = Point("p", 0.5, 0.5, "f1", {"threshold": 0.0653322, "ppv": None})
    marked = str(chart([Line("a", x, x, "e0", points=[point])], "x", "y", "t"))
    (attributes,) = re.findall(r'<circle class="point e0"(.*?) cx', marked)
    assert attributes == ' data-kind="f1" data-threshold="0.06533"'


def test_what_is_thinned_keeps_its_ends():
    rows = np.arange(7, 1000)
    thin = hover.spread(rows, 60)
    assert len(thin) == 60 and (thin[0], thin[-1]) == (7, 999) and (np.diff(thin) > 0).all()
    assert hover.spread(rows[:5], 60).tolist() == rows[:5].tolist()
