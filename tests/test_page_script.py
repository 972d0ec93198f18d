"""The page's script in a real browser: a small page of charts, a table and a made-up gallery."""

import base64
import csv
import hashlib
import html
import io

import pytest
from playwright.sync_api import expect

import made_up_scores as made
from ribcage.report import curves, results
from ribcage.report.render import SCRIPTS, TEMPLATES, joined

HOSTILE = "<img src=x onerror=\"alert('1')\">"
NAMES = ("plain", "heavy", HOSTILE)
FINDINGS = ("Mass", "Effusion")
OUTCOMES = ("TP", "FP", "FN", "TN")
LAYERS = ("heat", "boxes", "lungs", "crop", "peak")
LOOK = """
.no-heat .heat, .no-boxes .boxes { display: none; }
.heat { opacity: var(--opacity, 1); }
.maps { display: grid; }
svg { width: 300px; }
"""
SKELETON = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{style}</style></head>
<body><button class="theme" type="button" hidden></button><div class="chooser" hidden></div>
<main><section id="results"><div class="legend">{legend}</div>{figures}
<details id="outer"><summary>outer</summary>
<details><summary>inner</summary><p id="deep">deep</p></details></details>
<div class="scroll"><table>{rows}</table></div></section>
<section id="explanation">{gallery}</section></main>
<script>{script}</script></body></html>"""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
    "form-action 'none'; base-uri 'none'"
)
KEEPS_COPIES = """Object.defineProperty(navigator, "clipboard", {
    value: { writeText: async (text) => { window.copied = text; } },
});"""
REFUSES_COPIES = """Object.defineProperty(navigator, "clipboard", { value: undefined });
document.execCommand = () => false;"""
CELLS = [
    ["finding", "value, with interval", "note"],
    ['A "quoted" one', "0.812 (0.700–0.900)", "two\nlines"],
    ['=HYPERLINK("http://x")', "-0.012", "-0.012 (-0.030–0.010)"],
    ["@SUM(A1)", "+12.5 %", "+cmd|' /C calc'!A0"],
    ["", "1,234", "–"],
    ["+0.012 (−0.003 to +0.027)", "−5 (−12 to +2)", "-1+cmd"],
    ["\t=1+1", "+1 %", "-x"],
]
COPIED = [
    ["finding", "value, with interval", "note"],
    ['A "quoted" one', "0.812 (0.700–0.900)", "two lines"],
    ['\'=HYPERLINK("http://x")', "-0.012", "-0.012 (-0.030–0.010)"],
    ["'@SUM(A1)", "+12.5 %", "'+cmd|' /C calc'!A0"],
    ["", "1,234", "–"],
    ["+0.012 (−0.003 to +0.027)", "−5 (−12 to +2)", "'-1+cmd"],
    ["'=1+1", "+1 %", "'-x"],
]


def card(number, name, finding, outcome):
    """A map: its probability falls as the numbers rise, its age rises; the first has none."""
    data = {"experiment": name, "finding": finding, "outcome": outcome, "view": "PA", "sex": "F"}
    data |= {"kind": "right" if outcome[0] == "T" else "wrong", "why": "random", "order": number}
    data |= {"probability": 0.9 - 0.05 * number, "age": "" if number == 0 else 20 + number}
    told = " ".join(f'data-{key}="{html.escape(str(value))}"' for key, value in data.items())
    layers = "".join(f'<g class="layer {kind}"><rect width="9" height="9"/></g>' for kind in LAYERS)
    over = f'<svg class="panel over" viewBox="0 0 9 9">{layers}</svg>'
    return f'<figure class="card" id="map-{number}" {told}>{over}</figure>'


def gallery():
    """Eight maps of two experiments, those of the second in a closed fold."""
    sheets, number = [], 0
    for name in NAMES[:2]:
        cards = []
        for finding in FINDINGS:
            for outcome in OUTCOMES[:2] if name == "plain" else OUTCOMES[2:]:
                cards.append(card(number, name, finding, outcome))
                number += 1
        sheets.append(
            f'<details class="sheet" data-experiment="{name}"{" open" if name == "plain" else ""}>'
            f'<summary>{name}</summary><div class="maps">{"".join(cards)}</div></details>'
        )
    values = {"experiment": NAMES[:2], "finding": FINDINGS, "outcome": OUTCOMES}
    values |= {"kind": ("right", "wrong"), "why": ("random",), "view": ("PA", "AP")}
    selects = {name: ("", *each) for name, each in values.items()}
    selects["sort"] = ("order", "probability", "age")
    form = ""
    for name, each in selects.items():
        options = "".join(f'<option value="{one}">{one or "all"}</option>' for one in each)
        form += f'<select name="{name}">{options}</select>'
    form += "".join(f'<input type="checkbox" name="{layer}" checked>' for layer in LAYERS)
    form += '<input type="range" name="opacity" min="0" max="100" value="100">'
    form += '<output class="count"></output><button type="reset" name="reset">Reset</button>'
    return (
        f'<div class="gallery"><form class="controls" hidden>{form}</form>{"".join(sheets)}</div>'
    )


def figures(three):
    found = [*curves.figures(three, "all"), *curves.small(three, "roc", three[:1])]
    found += curves.small(three, "pr", three[:1])
    found += results.results(three, made.baseline(), {"pairs": []})["areas"]
    return "".join(f'<figure class="figure" id="{f.name}">{f.chart}</figure>' for f in found)


def legend(three):
    names = [(html.escape(one["name"]), one["style"]) for one in three]
    return "".join(
        f'<span data-experiment="{name}"><span class="key {style}"></span>{name}</span>'
        for name, style in names
    )


def script():
    return joined(SCRIPTS)


@pytest.fixture(scope="module")
def three():
    return made.experiments(NAMES)


@pytest.fixture(scope="module")
def address(three, tmp_path_factory):
    """A page under the policy that the reports have: no network, no script but this one."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in CELLS
    )
    page = tmp_path_factory.mktemp("script") / "page.html"
    shown = SKELETON.format(
        policy=POLICY.format(digest=digest),
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8") + LOOK,
        legend=legend(three),
        figures=figures(three),
        rows=rows,
        gallery=gallery(),
        script=script(),
    )
    page.write_text(shown, encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def page(chromium, address):
    """The page, opened; whatever the console says against it fails the test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(5000)
    said = []
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(address)
    yield opened
    context.close()
    assert said == []


def tip(page):
    """The heading and the terms of the tip, or None."""
    shown = page.locator(".tip")
    if "away" in shown.get_attribute("class").split():
        assert shown.is_visible()  # to what reads aloud: it must be there before it is filled
        return None
    names, values = (shown.locator(tag).all_inner_texts() for tag in ("dt", "dd"))
    return shown.locator("b").inner_text(), dict(zip(names, values, strict=True))


def counted(page):
    return page.locator("output.count").inner_text()


def seen(page):
    """The numbers of the cards that are to be seen, from above to below."""
    cards = page.locator(".card").all()
    return [int(c.get_attribute("data-order")) for c in cards if c.is_visible()]


def test_without_the_script_nothing_dead_is_seen(chromium, address):
    context = chromium.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(address)
    for control in (".theme", ".chooser", ".controls"):
        assert plain.locator(control).is_hidden()
    assert plain.locator(".card").count() == 8 and plain.locator("button.copy").count() == 0
    shown = plain.locator("#roc-mass .line:visible")
    assert [one.get_attribute("data-experiment") for one in shown.all()] == [None, "plain"]
    context.close()


def test_the_theme_goes_round(page):
    button, root = page.locator("button.theme"), page.locator("html")
    told = [("Theme: auto", None), ("Theme: light", "light"), ("Theme: dark", "dark")]
    for text, theme in [*told, told[0]]:
        assert (button.inner_text(), root.get_attribute("data-theme")) == (text, theme)
        button.click()


def test_hovering_a_mark_shows_the_numbers_of_metrics_json(page, three):
    held = three[0]["metrics"]["splits"]["test"]["Mass"]["at"]["youden"]
    for kind in ("roc", "pr"):
        mark = page.locator(f'#{kind}-mass circle.point[data-kind="youden"]').last
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        name, terms = tip(page)
        assert name.startswith("plain: Mass, threshold for")
        assert terms["threshold"] == f"{held['threshold']:.4g}"
        for term, metric in (("sensitivity",) * 2, ("specificity",) * 2, ("PPV", "ppv")):
            assert float(terms[term]) == pytest.approx(held[metric]["value"], rel=1e-3)
        page.mouse.move(2, 2)
        assert tip(page) is None


@pytest.mark.parametrize("kind", ["roc", "pr"])
def test_a_curve_is_walked_along_with_the_keys(page, three, kind):
    """Each stop tells what follows from sensitivity, specificity and prevalence."""
    share = three[0]["metrics"]["splits"]["test"]["Effusion"]["ap"]["prevalence"]
    chart = page.locator(f"#{kind}-effusion svg.chart")
    chart.focus()
    page.keyboard.press("Home")
    assert tip(page)[1]["threshold"] == "above all: nothing is called"
    thresholds = []
    for _ in range(25):
        page.keyboard.press("ArrowRight")
        name, terms = tip(page)
        told = {key: float(value) for key, value in terms.items()}
        thresholds.append(told["threshold"])
        if "threshold for" in name:
            continue  # a mark tells metrics.json's numbers, which are made up here
        found = told["sensitivity"] * share
        alarms = (1 - told["specificity"]) * (1 - share)
        assert told["PPV"] == pytest.approx(found / (found + alarms), rel=2e-2, abs=2e-3)
    assert thresholds == sorted(thresholds, reverse=True)
    page.keyboard.press("End")
    at_end = tip(page)
    page.keyboard.press("ArrowRight")
    assert tip(page) == at_end and float(at_end[1]["sensitivity"]) == 1
    page.keyboard.press("Escape")
    assert tip(page) is None


def test_up_and_down_change_the_line(page):
    chart = page.locator("#roc-all svg.chart")
    chart.focus()
    page.keyboard.press("ArrowRight")
    names = set()
    for _ in range(6):
        page.keyboard.press("ArrowUp")
        names.add(tip(page)[0].split(":")[0])
    assert names == set(NAMES)
    page.evaluate("scrollTo({ top: 5000, behavior: 'instant' })")
    expect(page.locator(".tip")).to_contain_class("away")  # its chart has left the window
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    expect(page.locator(".tip")).not_to_contain_class("away")
    assert set(tip(page)[1]) >= {"sensitivity", "specificity"}
    page.locator("button.theme").focus()
    assert tip(page) is None


def test_a_touch_shows_and_another_hides(chromium, address):
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    chart = page.locator("#reliability-all svg.chart")
    chart.scroll_into_view_if_needed()
    chart.tap()
    name, terms = tip(page)
    assert "micro" in name and terms["films"] == "200" and "share with the label" in terms
    box = page.locator(".tip").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.locator("button.theme").tap()
    assert tip(page) is None
    context.close()


def test_chosen_experiments_are_shown_in_all_charts(page):
    boxes = page.locator(".chooser input")
    assert [box.get_attribute("value") for box in boxes.all()] == list(NAMES)
    half = [box.evaluate("box => box.indeterminate") for box in boxes.all()]
    assert half == [False, True, True]

    def owners(selector):
        found = page.locator(f"{selector} [data-experiment]:visible").all()
        return {one.get_attribute("data-experiment") for one in found}

    assert owners("#roc-mass") == {"plain"} and owners("#roc-all") == set(NAMES)
    boxes.nth(1).check()
    assert owners("#roc-mass") == {"plain", "heavy"} and owners("#roc-all") == set(NAMES)
    boxes.nth(0).uncheck()
    assert owners("#roc-mass") == owners("#pr-mass") == {"heavy"}
    assert owners("#roc-all") == owners(".legend") == {"heavy", HOSTILE}
    assert not owners("#auroc-of-each-finding")  # the best alone, beside the baseline
    vacant = page.locator(".vacant .nobody")
    assert set(vacant.all_inner_texts()) == {"None of the chosen experiments is in this figure."}
    assert page.locator("#auroc-of-each-finding.vacant").count() == 1
    assert page.locator("#roc-mass.vacant").count() == 0
    boxes.nth(2).check()
    boxes.nth(2).uncheck()
    assert owners("#roc-all") == {"heavy"} and boxes.nth(1).is_disabled()  # one stays
    page.locator(".chooser .every").click()
    assert owners("#roc-mass") == owners(".legend") == set(NAMES) and vacant.count() == 0
    assert not boxes.nth(1).is_disabled() and page.locator("img").count() == 0


def test_a_table_is_copied_as_csv(chromium, address):
    context = chromium.new_context()
    context.add_init_script(KEEPS_COPIES)
    page = context.new_page()
    page.goto(address)
    page.locator("button.copy").click()
    expect(page.locator("button.copy")).to_have_text("Copied")
    text = page.evaluate("window.copied")
    assert list(csv.reader(io.StringIO(text, newline=""))) == COPIED
    assert text.count("\r\n") == len(CELLS) and text.endswith("\r\n")
    context.close()


def test_a_refused_clipboard_leaves_the_text_selected(chromium, address):
    context = chromium.new_context()
    context.add_init_script(REFUSES_COPIES)
    page = context.new_page()
    page.goto(address)
    page.locator("button.copy").click()
    box = page.locator("textarea.copied")
    expect(box).to_be_visible()
    text = box.input_value()
    assert list(csv.reader(io.StringIO(text, newline=""))) == COPIED
    length = box.evaluate("box => box.selectionEnd - box.selectionStart")
    assert length == len(text.replace("\r\n", "\n"))
    expect(page.locator("button.copy")).to_have_text("Press Ctrl+C to copy")
    box.blur()
    expect(box).to_have_count(0)
    context.close()


def test_the_gallery_is_filtered(page):
    assert counted(page) == "8 of 8 maps" and seen(page) == [0, 1, 2, 3]  # the second is folded
    page.locator("[name=finding]").select_option("Mass")
    assert counted(page) == "4 of 8 maps" and seen(page) == [0, 1, 4, 5]
    page.locator("[name=outcome]").select_option("FN")
    assert counted(page) == "1 of 8 maps" and seen(page) == [4]
    assert page.locator("details.sheet").first.is_hidden()
    page.locator("[name=view]").select_option("AP")
    assert counted(page) == "0 of 8 maps" and not seen(page)
    page.locator("[name=reset]").click()
    expect(page.locator("output.count")).to_have_text("8 of 8 maps")
    assert seen(page) == [0, 1, 2, 3]


def test_the_gallery_is_sorted(page):
    page.locator("[name=sort]").select_option("age")
    assert seen(page) == [1, 2, 3, 4, 5, 6, 7, 0]  # an unknown age comes last
    page.locator("[name=sort]").select_option("probability")
    assert seen(page) == [0, 1, 2, 3, 4, 5, 6, 7]
    page.locator("[name=kind]").select_option("wrong")
    assert seen(page) == [1, 3, 4, 6]
    page.locator("[name=sort]").select_option("order")
    assert seen(page) == [1, 3, 4, 6]
    assert page.locator("details.sheet").nth(1).locator(".card:visible").count() == 2


def test_layers_come_and_go(page):
    heat, boxes = (page.locator(f"#map-0 .{layer}") for layer in ("heat", "boxes"))
    page.locator("[name=boxes]").uncheck()
    assert page.locator("details.sheet").nth(1).get_attribute("open") is None
    assert boxes.is_hidden() and heat.is_visible()
    page.locator("[name=opacity]").fill("40")
    assert heat.evaluate("layer => getComputedStyle(layer).opacity") == "0.4"
    page.locator("[name=heat]").uncheck()
    assert heat.is_hidden()
    found = page.locator(".gallery").get_attribute("class")
    assert set(found.split()) == {"gallery", "no-heat", "no-boxes"}
    page.locator("[name=reset]").click()
    expect(page.locator(".gallery")).to_have_class("gallery")
    assert heat.is_visible() and boxes.is_visible()


def test_an_address_opens_what_hides_its_target(page, address):
    assert page.locator("#deep").is_hidden()
    page.evaluate("location.hash = '#deep'")
    page.locator("#deep").wait_for()
    page.locator("[name=finding]").select_option("Mass")
    assert page.locator("#map-7").is_hidden()
    page.evaluate("location.hash = '#map-7'")
    page.locator("#map-7").wait_for()
    assert page.locator("[name=finding]").input_value() == ""
    page.goto("about:blank")
    page.goto(f"{address}#map-6")
    page.locator("#map-6").wait_for()
    page.evaluate(
        "const link = document.body.appendChild(document.createElement('a'));"
        "Object.assign(link, { href: '#map-6', textContent: 'go' });"
    )
    for name in ("outcome", "view"):
        page.locator("[name=experiment]").select_option("heavy")
        page.locator(f"[name={name}]").select_option({"outcome": "FP", "view": "AP"}[name])
        assert page.locator("#map-6").is_hidden()
        page.get_by_text("go", exact=True).click()  # the address is the same each time
        expect(page.locator("#map-6")).to_be_in_viewport()
        assert page.locator("[name=experiment]").input_value() == "heavy"  # it hid nothing
    page.goto(f"{address}#%22%3E%3Cimg%20src=x%3E")
    assert page.locator("img").count() == 0


def test_all_is_open_on_paper_and_closed_after(page):
    folds = page.locator("details")
    before = folds.evaluate_all("all => all.map((fold) => fold.open)")
    assert before == [False, False, True, False]
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    asked = "all => all.every((fold) => fold.open || fold.matches('.sheet'))"
    assert folds.evaluate_all(asked)
    assert folds.evaluate_all("all => all.map((fold) => fold.open)") != before
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert folds.evaluate_all("all => all.map((fold) => fold.open)") == before
