"""Figures: a drawing with the numbers behind it, a name that links to it, and what to see in it."""

import re
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup


@dataclass(frozen=True)
class Drawing:
    """A picture as inline SVG, coloured by the page's style sheet.

    Attributes:
        svg: the picture.
        data: what it shows, a row a point, bar or dot.
    """

    svg: Markup
    data: pd.DataFrame

    def __html__(self) -> Markup:
        """The picture: Jinja2 and Markup ask for it by this name."""
        return self.svg

    def __str__(self) -> str:
        """The picture as text."""
        return str(self.svg)


@dataclass(frozen=True)
class Figure:
    """A drawing as it stands on a page.

    Attributes:
        name: what links to it and what its files are called; of `slug`, once on a page.
        chart: the drawing.
        caption: what it shows, and what is to be seen in it.
    """

    name: str
    chart: Drawing
    caption: str


def slug(words: str) -> str:
    """Turn words into a name for links and files: small letters, digits and single hyphens.

    Args:
        words: whatever names the figure; names from outside among them.
    """
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
