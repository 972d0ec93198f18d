"""The report in a real browser: nothing fails or leaks out, and controls do what they say."""

import io
import json
import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from made_up import HOSTILE
from ribcage.findings import FINDINGS
from test_write_report import write, write_inputs
from write_report import CONTENTS

WIDTHS = (1440, 768, 390)
GRAVE = ("serious", "critical")
SECTIONS = [anchor for _, sections in CONTENTS for anchor, _ in sections]
GALLERY = "#explanation .gallery"


class Opened:
    """A page in the browser, with everything that it asked for and complained of."""

    def __init__(self, page, path):
        self.page, self.asked, self.said = page, [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.goto(path.as_uri())


@pytest.fixture
def opened(chromium):
    """Open a file in a context of its own; the second argument are the context's settings."""
    contexts = []

    def open_page(path, **settings):
        contexts.append(chromium.new_context(**settings))
        return Opened(contexts[-1].new_page(), path)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def report(finished):
    """The page of a smoke run: every step really ran, and most findings have too few patients."""
    return finished / "reports/index.html"


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """A page on enough patients to judge each finding, whose names would run in a careless page.

    Returns:
        The page, and metrics.json by experiment.
    """
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "page" / "index.html"
    page.parent.mkdir()
    inputs = write_inputs(folder, 400)
    write(inputs, page, title=f"\u202e{HOSTILE}")
    of = {name: folder / "reports" / name / "metrics.json" for name in inputs[1]["experiments"]}
    return page, {name: json.loads(path.read_text()) for name, path in of.items()}


@pytest.fixture(scope="session")
def pages(finished):
    return [finished / "reports" / name for name in ("index.html", "data.html", "imported.html")]


def test_nothing_is_asked_of_a_network_and_nothing_fails(opened, pages):
    for path in pages:
        shown = opened(path)
        shown.page.wait_for_load_state("networkidle")
        assert shown.said == []
        assert [url for url in shown.asked if not url.startswith(("file:", "data:"))] == []
        assert shown.page.locator("h1").count() == 1


def test_every_section_is_there_and_the_contents_lead_to_it(opened, report):
    page = opened(report).page
    for name in SECTIONS:
        assert page.locator(f"section#{name}").count() == 1, name
    linked = page.locator("nav.contents a").evaluate_all("a => a.map(one => one.hash.slice(1))")
    assert linked == SECTIONS


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen(opened, pages, width):
    for path in pages:
        page = opened(path, viewport={"width": width, "height": 900}).page
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, path.name
        picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
        assert np.ptp(picture) > 100, "an empty page"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened, pages, scheme):
    for path in pages:
        page = opened(path, color_scheme=scheme, bypass_csp=True).page
        page.evaluate(
            "document.querySelectorAll('details:not(.sheet)').forEach(one => one.open = true)"
        )
        found = Axe().run(page).response["violations"]
        told = [
            (fault["id"], fault["nodes"][0]["html"][:200])
            for fault in found
            if fault["impact"] in GRAVE
        ]
        assert told == [], path.name


def test_it_reads_without_javascript(opened, report):
    page = opened(report, java_script_enabled=False).page
    for name in SECTIONS:
        assert page.locator(f"section#{name} :is(p, h2)").first.is_visible(), name
    assert page.locator(f"{GALLERY} .card").first.is_visible()
    dead = page.locator("form.controls, .chooser, button")
    assert dead.count() > 2 and not [one for one in dead.all() if one.is_visible()]


def test_the_gallery_filters_sorts_and_counts(opened, report):
    page = opened(report).page
    cards, form = page.locator(f"{GALLERY} .card"), page.locator("form.controls")
    form.locator("[name=experiment]").select_option(value="")
    whole = cards.count()
    form.locator("[name=outcome]").select_option("FN")
    seen = page.locator(f"{GALLERY} .card:visible")
    assert {card.get_attribute("data-outcome") for card in seen.all()} == {"FN"}
    assert 0 < seen.count() < whole
    assert re.match(rf"{seen.count()} of {whole}\b", form.locator("output").inner_text())
    form.locator("[name=outcome]").select_option("")
    form.locator("[name=sort]").select_option("probability")
    given = [float(card.get_attribute("data-probability")) for card in seen.all()]
    assert len(given) == whole and given == sorted(given, reverse=True)
    form.locator("button.reset").click()
    assert form.locator("[name=sort]").input_value() == "order"


@pytest.mark.parametrize("name", ["heat", "boxes", "lungs", "crop", "peak"])
def test_a_layer_goes_and_comes(opened, report, name):
    page = opened(report).page
    form = page.locator("form.controls")
    form.locator("[name=sort]").select_option("probability")  # which opens every card
    layer = page.locator(f"{GALLERY} .card:visible .layer.{name}")
    assert layer.count() > 0
    for shown in (False, True):
        form.locator(f"[name={name}]").set_checked(shown)
        display = layer.first.evaluate("one => getComputedStyle(one).display")
        assert (display != "none") is shown


def test_the_strength_of_the_maps_is_what_the_slider_says(opened, report):
    page = opened(report).page
    page.locator("form.controls [name=opacity]").fill("30")
    heat = page.locator(f"{GALLERY} .card:visible .layer.heat").first
    assert float(heat.evaluate("one => getComputedStyle(one).opacity")) == pytest.approx(0.3)


def test_a_point_of_a_curve_tells_the_numbers_of_metrics_json(opened, made_up):
    path, metrics = made_up
    page = opened(path).page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    names = {finding.lower().replace("_", "-"): finding for finding in FINDINGS}
    told = 0
    for point in page.locator("figure[id^=roc-] circle.point[data-kind=youden]:visible").all():
        figure = point.evaluate("one => one.closest('figure').id").removeprefix("roc-")
        name = point.get_attribute("data-experiment")
        at = metrics[name]["splits"]["test"][names[figure]]["at"]["youden"]
        point.scroll_into_view_if_needed()
        point.hover(force=True)
        tip = page.locator(".tip").inner_text()
        for key, said in (
            ("sensitivity", "sensitivity"),
            ("specificity", "specificity"),
            ("ppv", "PPV"),
        ):
            value = at[key]["value"]
            if value is not None:
                assert re.search(rf"{said}\s+{re.escape(f'{value:.4g}')}\b", tip), (value, tip)
                told += 1
        assert name in tip
    assert told > 10


def test_experiments_are_chosen_for_every_chart_at_once(opened, made_up):
    path, metrics = made_up
    page = opened(path).page
    for name in sorted(metrics):
        drawn = page.locator(f"svg.chart [data-experiment='{name}']:visible")
        box = page.locator(".chooser").get_by_label(name, exact=True).first
        if not box.is_checked():
            box.click()
        assert box.is_checked() and drawn.count() > 0
        box.click()
        assert not box.is_checked() and drawn.count() == 0
        box.click()
        assert drawn.count() > 0


def test_a_page_of_hostile_names_runs_none_of_them(opened, made_up):
    shown = opened(made_up[0], bypass_csp=True)
    shown.page.on("dialog", lambda dialog: shown.said.append(dialog.message))
    shown.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    shown.page.wait_for_timeout(300)
    assert shown.said == []
    assert shown.page.locator("[onerror], img[src=x]").count() == 0
    assert shown.page.locator("script").count() == 1
    assert "\u202e" not in shown.page.locator("h1").inner_text()
    assert HOSTILE in shown.page.locator("body").inner_text()
