"""The pages' templates, filled: every string is escaped, whoever wrote it."""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).resolve().parent
STYLES = ("style.css", "gallery.css")
"""The later ones know what the earlier ones set."""
SCRIPTS = ("dom.js", "page.js", "hover.js")
"""Joined to the one script of a page; the first holds what the others share."""
TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Letters that are not seen and turn the order of those around them, even out of their own element."""


def render(template: str, **parts: Any) -> str:  # noqa: ANN401 - whatever the template names
    """Fill a template of this folder.

    Args:
        template: its file name.
        parts: what it names.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    script = joined(SCRIPTS)
    page = environment.get_template(template).render(
        style=Markup(joined(STYLES)),
        script=Markup(script),
        policy=policy(script),
        **parts,
    )
    return visible(page)


def visible(text: str) -> str:
    """Write letters that turn the reading order as their codes, `‹U+202E›`: names come from outside.

    Args:
        text: a whole page or picture, its drawings and attributes among it.
    """
    return TURNING.sub(lambda found: f"‹U+{ord(found[0]):04X}›", text)


def joined(names: Sequence[str]) -> str:
    """The text of this folder's files of these names, in this order."""
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def policy(script: str) -> str:
    """The Content-Security-Policy of a page: it loads nothing, and runs this one script alone.

    Whatever hostile names might smuggle into the page, a browser that obeys runs none of it.

    Args:
        script: the text between the page's script tags.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            "style-src 'unsafe-inline'",
            f"script-src 'sha256-{digest}'",
            "form-action 'none'",
            "base-uri 'none'",
        )
    )
