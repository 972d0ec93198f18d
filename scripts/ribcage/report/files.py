"""The page's figures as files: SVG that stands alone, the numbers as CSV, sheets of maps as PNG."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ribcage.report.figures import Figure, slug
from ribcage.report.render import TEMPLATES, visible
from ribcage.tables import read_table

SCALE = 2
"""Width of a file's picture in pixels over that of the page's drawing, whose letters are small."""
PAINT = re.compile(
    r"(fill|stroke|opacity|paint-order|text-anchor|font|dominant-baseline)(-[a-z]+)*"
)
"""Declarations that say how a mark looks; where a chart stands on the page is no concern of a file."""
COLOUR = re.compile(r"e\d+|again|f\d+|plain")
KEY_HEIGHT, KEY_WIDTH = 16, 18
TILE_PX, COLUMNS, CAPTION_PX, LETTERS_PX = 256, 4, 36, 12
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Letters that no XML may hold, and that names from outside might."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for a formula at the start of a cell."""


def figures_in(parts: Any) -> Iterator[Figure]:  # noqa: ANN401 - whatever a template is given
    """Find the figures among what a template is given, in its order.

    Args:
        parts: figures, or lists, tables by name and dataclasses that hold some somewhere.
    """
    if isinstance(parts, Figure):
        yield parts
    elif isinstance(parts, dict):
        for part in parts.values():
            yield from figures_in(part)
    elif isinstance(parts, (list, tuple)):
        for part in parts:
            yield from figures_in(part)
    elif is_dataclass(parts):
        for field in fields(parts):
            yield from figures_in(getattr(parts, field.name))


def write(parts: Any, folder: Path) -> None:  # noqa: ANN401 - whatever a template is given
    """Write `<name>.svg` and `<name>.csv` of every figure of a page.

    Args:
        parts: what the page's template is given.
        folder: exists.

    Raises:
        ValueError: two figures have one name, which the page could not link to either.
    """
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    written: dict[str, Figure] = {}
    for figure in figures_in(parts):
        if written.setdefault(figure.name, figure) is not figure:
            raise ValueError(f"two figures of the page are called {figure.name}")
        (folder / f"{figure.name}.svg").write_text(standalone(figure, css), encoding="utf-8")
        write_csv(figure.chart.data, folder / f"{figure.name}.csv")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whose text no spreadsheet takes for a formula: names come from outside.

    Args:
        table: of any columns.
        path: of the file.
    """
    safe = table.rename(columns=_harmless)
    for name in safe.columns:
        safe[name] = safe[name].map(_harmless)
    safe.to_csv(path, index=False, lineterminator="\n")


def _harmless(cell: Any) -> Any:  # noqa: ANN401 - any cell
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def standalone(figure: Figure, css: str) -> str:
    """A figure's drawing as a file of its own, as the page shows it at first, in light colours.

    Args:
        figure: its caption becomes the description.
        css: the page's style sheet, of which it takes what concerns its marks.
    """
    root = ElementTree.fromstring(NOT_XML.sub("", str(figure.chart)))
    for element in list(root.iter()):
        for child in [child for child in element if child.get("display") == "none"]:
            element.remove(child)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    keys = _keys(root, figure.chart.data)
    _draw_keys(root, keys, height)
    tall = height + KEY_HEIGHT * len(keys) + (6 if keys else 0)
    used = {word for element in root.iter() for word in element.get("class", "").split()}
    tags = {element.tag for element in root.iter()}
    for element in root.iter():
        for name in [
            name for name in element.attrib if name.startswith("data-") or name == "tabindex"
        ]:
            del element.attrib[name]
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width:g} {tall:g}",
        "width": f"{SCALE * width:g}",
        "height": f"{SCALE * tall:g}",
    }
    paper = ElementTree.Element("rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    heads = [("title", root.get("aria-label", figure.name)), ("desc", figure.caption), ("style", painted(css, used, tags))]  # fmt: skip
    for place, (tag, text) in enumerate(heads):
        element = ElementTree.Element(tag)
        element.text = text
        root.insert(place, element)
    root.insert(len(heads), paper)
    return visible(NOT_XML.sub("", ElementTree.tostring(root, encoding="unicode"))) + "\n"


def _keys(root: ElementTree.Element, data: pd.DataFrame) -> dict[str, str]:
    """What the colours mean, which the page says beside the drawing: name to classes.

    Bars and dots are drawn in the order of their table; of lines the marks tell the experiment.
    """
    marked: dict[str, str] = {}
    colours: list[str] = []
    lines = False
    for element in root.iter():
        words = element.get("class", "").split()
        colour = " ".join(filter(COLOUR.fullmatch, words))
        lines = lines or ("line" in words and "guide" not in words)
        if colour and (name := element.get("data-experiment")):
            marked.setdefault(name, colour)
        if colour and colour not in colours:
            colours.append(colour)
    series = list(dict.fromkeys(data["series"])) if "series" in data else []
    if not lines and 1 < len(colours) == len(series):
        return dict(zip(series, colours, strict=True))
    return marked


def _draw_keys(root: ElementTree.Element, keys: dict[str, str], top: float) -> None:
    for number, (name, colours) in enumerate(keys.items()):
        middle = top + KEY_HEIGHT * (number + 0.5)
        if colours.startswith("f"):
            box = {"x": "8", "y": f"{middle - 5:g}", "width": f"{KEY_WIDTH}", "height": "10"}
            ElementTree.SubElement(root, "rect", {"class": colours, **box})
        else:
            line = {"class": f"whisker {colours}", "d": f"M8 {middle:g}h{KEY_WIDTH}"}
            ElementTree.SubElement(root, "path", line)
        at = {"x": f"{KEY_WIDTH + 14}", "y": f"{middle + 4:g}"}
        ElementTree.SubElement(root, "text", at).text = name


def painted(css: str, classes: set[str], tags: set[str]) -> str:
    """The rules of a style sheet that say how a drawing's marks look, in its light colours.

    Args:
        css: a style sheet without nested rules; what depends on the reader's screen is left out.
        classes: that the drawing has.
        tags: of its elements.
    """
    plain = re.sub(r"/\*.*?\*/|@[^{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", css, flags=re.S)
    rules = [
        ([selector.strip() for selector in selectors.split(",")], _declarations(body))
        for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", plain)
    ]
    palette = {n: v for names, body in rules if ":root" in names for n, v in body.items()}
    lines = ["svg { font-family: Helvetica, Arial, sans-serif; }"]
    for selectors, body in rules:
        fitting = [selector for selector in selectors if _fits(selector, classes, tags)]
        paint = {n: _resolved(v, palette) for n, v in body.items() if PAINT.fullmatch(n)}
        if fitting and paint:
            said = " ".join(f"{name}: {value};" for name, value in paint.items())
            lines.append(f"{', '.join(fitting)} {{ {said} }}")
    return "\n".join(lines)


def _declarations(body: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in body.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def _fits(selector: str, classes: set[str], tags: set[str]) -> bool:
    """Whether all that a selector names is in the drawing: elements and classes alone."""
    for part in re.split(r"[\s>]+", selector):
        found = re.fullmatch(r"([a-z]*)((?:\.[\w-]+)*)", part)
        if not found or not part or (found[1] and found[1] not in tags):
            return False
        if not set(found[2].split(".")[1:]) <= classes:
            return False
    return True


def _resolved(value: str, palette: dict[str, str]) -> str:
    """A value with its custom properties filled in: few image viewers know them."""
    for _ in range(4):  # a property may name another
        value = re.sub(r"var\((--[\w-]+)\)", lambda m: palette.get(m[1], "none"), value)
    return value


def write_gallery(cams: Path, folder: Path) -> None:
    """Write `gallery-<finding>.png`, the shown maps of a finding, and the rows behind it as CSV.

    Args:
        cams: the folder of draw_cams of an experiment.
        folder: exists.
    """
    for finding, rows in read_table(cams / "cams.parquet").groupby("finding", sort=False):
        name = f"gallery-{slug(str(finding))}"
        tiles = [
            (
                cams / "overlays" / f"{Path(row['image']).stem}-{finding}.webp",
                [
                    f"{row['outcome']}  {row['probability']:.3f}, threshold {row['threshold']:.3f}",
                    f"{row['why']}, {row['image']}",
                ],
            )
            for _, row in rows.iterrows()
        ]
        contact_sheet(tiles).save(folder / f"{name}.png")
        write_csv(rows, folder / f"{name}.csv")


def write_lungs(sheets: Path, folder: Path) -> None:
    """Write `lungs-<sheet>.png`, the films of each sheet of lungs, and the rows behind it as CSV.

    Args:
        sheets: the folder of draw_lungs.
        folder: exists.
    """
    for sheet, rows in pd.read_csv(sheets / "sheets.csv").groupby("sheet", sort=False):
        name = f"lungs-{slug(str(sheet))}"
        tiles = [
            (
                sheets / row["picture"],
                [row["image"], f"{row['method']}, quality {row['quality']:.2f}"],
            )
            for _, row in rows.sort_values("order").iterrows()
        ]
        contact_sheet(tiles).save(folder / f"{name}.png")
        write_csv(rows, folder / f"{name}.csv")


def contact_sheet(tiles: list[tuple[Path, list[str]]]) -> Image.Image:
    """Set pictures beside each other on black, each over its lines of text.

    Args:
        tiles: picture and lines, from left to right and from above to below; one at least.
    """
    font = ImageFont.load_default(LETTERS_PX)
    columns, tall = min(COLUMNS, len(tiles)), TILE_PX + CAPTION_PX
    size = (columns * TILE_PX, -(-len(tiles) // columns) * tall)
    sheet = Image.new("RGB", size, "black")
    pen = ImageDraw.Draw(sheet)
    for number, (path, lines) in enumerate(tiles):
        x, y = number % columns * TILE_PX, number // columns * tall
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((TILE_PX - 4, TILE_PX - 4))
        sheet.paste(small, (x + (TILE_PX - small.width) // 2, y + (TILE_PX - small.height) // 2))
        for place, line in enumerate(lines):
            while font.getlength(line) > TILE_PX - 8:
                line = f"{line[:-2]}…"
            pen.text((x + 4, y + TILE_PX + 15 * place), line, (220, 226, 232), font)
    return sheet
