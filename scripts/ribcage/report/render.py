"""The pages' templates, filled: every string is escaped, whoever wrote it."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).resolve().parent


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
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **parts)
