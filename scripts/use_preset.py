"""Apply a preset to params.yaml, the one file that both engines read.

    python scripts/use_preset.py presets/local.yaml source.origin=/data/films

`key=value` settles single keys on top, values in YAML. Blocks are merged key by key; lists and the
table of experiments are replaced whole. To go back: `git checkout params.yaml`.
"""

import copy
import io
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ribcage import settings
from ribcage.engine.jobs import write_whole
from ribcage.errors import InputError

WHOLE = ("experiments",)
"""Blocks that a preset replaces: it would otherwise train the default's experiments too."""


def merge(
    base: dict[str, Any], preset: dict[str, Any], whole: tuple[str, ...] = (), where: str = ""
) -> None:
    """Lay a preset over settings, in place.

    Args:
        base: the settings.
        preset: what to change in them.
        whole: blocks to replace rather than merge.
        where: the dotted key of both, for errors.

    Raises:
        InputError: the preset names a key that the settings do not have.
    """
    for key, value in preset.items():
        dotted = f"{where}.{key}" if where else key
        if key not in base and not dotted.startswith("experiments."):
            raise InputError(f"{dotted}: params.yaml has no such key")
        if isinstance(base.get(key), dict) and isinstance(value, dict) and dotted not in whole:
            merge(base[key], value, whole, dotted)
        else:
            base[key] = copy.deepcopy(value)


def single(assignment: str) -> dict[str, Any]:
    """Read `a.b=value` as the preset {a: {b: value}}."""
    dotted, equals, text = assignment.partition("=")
    if not equals or not dotted:
        raise InputError(f"{assignment!r}: write a setting as key=value, such as seeds=[1,2]")
    try:
        preset: Any = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise InputError(f"{assignment!r}: the value is not YAML") from error
    for key in reversed(dotted.split(".")):
        preset = {key: preset}
    return dict(preset)


def main(preset: Path, assignments: list[str], params: Path = settings.PARAMS) -> None:
    """Rewrite params.yaml, comments kept; refuse before writing what the schema would refuse."""
    editor = YAML()
    editor.width = 100
    editor.indent(mapping=2, sequence=4, offset=2)
    base = editor.load(params.read_text(encoding="utf-8"))
    merge(base, settings.load_yaml(preset), WHOLE)
    for assignment in assignments:
        merge(base, single(assignment))
    text = io.StringIO()
    editor.dump(base, text)
    settings.check(YAML(typ="safe", pure=True).load(text.getvalue()), str(preset))
    write_whole(params, text.getvalue())
    print(f"{params} now holds {preset}; see the difference with: git diff {params}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except InputError as error:
        sys.exit(f"Error: {error}")
