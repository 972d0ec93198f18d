"""The figures as files: SVG that stands alone, CSV that no spreadsheet runs, sheets of pictures."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from PIL import Image

from conftest import ROOT
from made_up import HOSTILE, META
from ribcage.report import files
from ribcage.report.bars import Bars, bars, lying
from ribcage.report.charts import Band, Line, chart
from ribcage.report.dots import Dot, Group, dots
from ribcage.report.figures import Drawing, Figure
from ribcage.report.sections import Table
from ribcage.tables import write_table

SVG = "{http://www.w3.org/2000/svg}"
CSS = (ROOT / "scripts/ribcage/report/style.css").read_text()
ENDS = np.array([0.0, 1.0])


def line_chart(name="a<b"):
    band = Band(name, ENDS, ENDS - 0.1, ENDS + 0.1, "e1")
    return chart([Line(name, ENDS, ENDS, "e1 dashed")], "x", "y", "A & title", bands=[band])


def read(text):
    return ElementTree.fromstring(text)


def test_figures_are_found_wherever_a_template_has_them():
    one, two, three = (Figure(name, line_chart(), "c") for name in ("one", "two", "three"))
    table = Table(["x"], [[1]])
    parts = {"a": [one, {"b": (two, "text", 3)}], "c": table, "d": {"e": {"f": [three]}}}
    assert list(files.figures_in(parts)) == [one, two, three]


def test_a_file_looks_as_the_page_in_light_colours():
    text = files.standalone(Figure("one", line_chart(), "What <is> seen"), CSS)
    root = read(text)
    assert root.tag == f"{SVG}svg" and float(root.get("width")) > 500
    assert root.find(f"{SVG}title").text == "A & title"
    assert root.find(f"{SVG}desc").text == "What <is> seen"
    style = root.find(f"{SVG}style").text
    assert "var(" not in style and "@media" not in style and "width: 100%" not in style
    light = re.search(r"--e1: (#\w+)", CSS)[1]
    assert re.search(rf"\.e1[^{{]*\{{ stroke: {light}", style)
    assert ".e2" not in style and "body" not in style
    assert "url(" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_what_is_of_the_page_alone_is_left_out():
    drawn = str(line_chart()).replace("<path", '<path data-x="1" data-experiment="Ex" tabindex="0"')
    drawing = Drawing(Markup(drawn), pd.DataFrame({"x": [1]}))
    text = files.standalone(Figure("one", drawing, "c"), CSS)
    assert "data-" not in text and "tabindex" not in text
    assert [e.text for e in read(text).iter(f"{SVG}text")][-1] == "Ex"


def test_what_the_page_hides_at_first_is_neither_drawn_nor_named():
    hidden = '<path class="line e3 other" data-experiment="Hidden" display="none" d="M0 0"/>'
    drawn = str(line_chart()).replace("</svg>", f"{hidden}</svg>")
    drawing = Drawing(Markup(drawn), pd.DataFrame({"x": [1]}))
    text = files.standalone(Figure("one", drawing, "c"), CSS)
    assert "Hidden" not in text and "e3" not in text


def test_colours_are_named_below_the_drawing():
    rows = [Bars("train", [1, 2], "f0"), Bars("test", [2, 1], "f1")]
    drawn = [bars(["p", "q"], rows, "x", "y", "t")]
    pair = [Dot("mine", 0.5, 0.4, 0.6, "e0"), Dot("blind", 0.3, np.nan, np.nan, "plain")]
    drawn.append(dots([Group("Mass", pair), Group("All", pair)], "AUROC", "t"))
    for one, names in zip(drawn, (["train", "test"], ["mine", "blind"]), strict=True):
        root = read(files.standalone(Figure("x", one, "c"), CSS))
        assert [e.text for e in root.iter(f"{SVG}text")][-2:] == names
        before = float(re.search(r'viewBox="0 0 \S+ (\S+?)"', str(one))[1])
        assert float(root.get("viewBox").split()[3]) == before + 2 * files.KEY_HEIGHT + 6
    alone = read(files.standalone(Figure("x", lying(["s"], [1.0], ["1 s"], "s", "t"), "c"), CSS))
    assert [e.text for e in alone.iter(f"{SVG}text")] == ["s", "1 s"]


def test_hostile_names_stay_text(tmp_path):
    name = f"{HOSTILE}\x07\u202e]]>"
    figure = Figure("one", line_chart(name), f"{name} <script>")
    files.write([figure], tmp_path)
    root = read((tmp_path / "one.svg").read_text())
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "path", "text", "circle", "g")
    }
    assert root.find(f"{SVG}desc").text == f"{HOSTILE}‹U+202E›]]> <script>"


def test_every_file_has_its_numbers_beside_it(tmp_path):
    files.write({"s": [Figure("one", line_chart(), "c")]}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "one.svg"]
    held = pd.read_csv(tmp_path / "one.csv")
    assert held["series"].tolist() == ["a<b"] * 4 and held["x"].tolist() == [0, 1, 0, 1]


def test_two_figures_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two figures of the page are called one"):
        files.write([Figure("one", line_chart(), "c"), Figure("one", line_chart(), "c")], tmp_path)


def test_no_spreadsheet_takes_a_name_for_a_formula(tmp_path):
    table = pd.DataFrame({"=x": ["=1+1", "@a", "-b", "c", "\n=d"], "n": [-1.5, 2, np.nan, 4, 5]})
    files.write_csv(table, tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines == ["'=x,n", "'=1+1,-1.5", "'@a,2.0", "'-b,", "c,4.0", "\"'", '=d",5.0']
    assert table.columns[0] == "=x"


def test_colours_of_other_screens_do_not_count():
    css = (
        ":root { --a: #111; --b: var(--a); } /* .x { fill: red } */\n"
        "@media (prefers-color-scheme: dark) { :root { --a: #eee; } .x { fill: #eee; } }\n"
        "html[data-theme='dark'] .x { fill: #ddd; }\n"
        ".y, .x { fill: var(--b); width: 3px; } .x:hover { fill: blue; } .x .z { fill: green; }\n"
    )
    rules = files.painted(css, {"x"}, {"svg", "rect"}).splitlines()
    assert rules[1:] == [".x { fill: #111; }"]


def test_a_sheet_of_maps_has_a_tile_a_row(tmp_path):
    (tmp_path / "overlays").mkdir()
    rows = []
    for number in range(5):
        image = f"0000000{number}_000.png"
        Image.new("RGB", (300, 200), (200, 40 * number, 0)).save(
            tmp_path / "overlays" / f"{Path(image).stem}-Pleural_Thickening.webp"
        )
        rows.append([image, "Pleural_Thickening", "FP", "=most wrong " * 9, 0.5, 0.25])
    columns = ["image", "finding", "outcome", "why", "probability", "threshold"]
    write_table(pd.DataFrame(rows, columns=columns), tmp_path / "cams.parquet", META)
    out = tmp_path / "out"
    out.mkdir()
    files.write_gallery(tmp_path, out)
    with Image.open(out / "gallery-pleural-thickening.png") as sheet:
        assert sheet.size == (4 * files.TILE_PX, 2 * (files.TILE_PX + files.CAPTION_PX))
        tall = files.TILE_PX + files.CAPTION_PX
        assert sheet.getpixel((128, tall + 128))[0] > 150 and sheet.getpixel((384, tall + 128)) == (
            0,
            0,
            0,
        )
    held = pd.read_csv(out / "gallery-pleural-thickening.csv")
    assert len(held) == 5 and held["why"][0].startswith("'=most")
    before = (out / "gallery-pleural-thickening.png").read_bytes()
    files.write_gallery(tmp_path, out)
    assert (out / "gallery-pleural-thickening.png").read_bytes() == before


def test_sheets_of_lungs_are_files_too(tmp_path):
    Image.new("RGB", (32, 24)).save(tmp_path / "a.webp")
    rows = pd.DataFrame({"sheet": ["random", "worst"], "order": 1, "image": "a.png"})
    rows.assign(method="unet", quality=0.9, picture="a.webp").to_csv(tmp_path / "sheets.csv")
    files.write_lungs(tmp_path, tmp_path)
    assert {path.name for path in tmp_path.glob("lungs-*")} == {
        *("lungs-random.csv", "lungs-random.png", "lungs-worst.csv", "lungs-worst.png")
    }
