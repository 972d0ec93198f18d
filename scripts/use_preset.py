"""Apply a preset to params.yaml, the one file that both engines read.

    python scripts/use_preset.py presets/local.yaml source.origin=/data/films

`key=value` settles single keys on top, values in YAML. Blocks are merged key by key; lists and the
table of experiments are replaced whole. For a first taste of NIH's films, `batches=[1,2]` names two
archives by their numbers, and only these are fetched. To go back: `git checkout params.yaml`.
"""

import copy
import io
import json
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ribcage import settings
from ribcage.engine.jobs import write_whole
from ribcage.errors import InputError

WHOLE = ("experiments", "import_predictions")
"""Blocks that a preset replaces: it would otherwise train the default's experiments too. Their keys
are names that the user takes."""
NIH_FILES = Path(__file__).resolve().parent / "ribcage" / "nih_files.json"


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
        if key not in base and dotted.split(".")[0] not in WHOLE:
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


def settle_batches(base: dict[str, Any], given: list[dict[str, Any]]) -> list[str]:
    """Let what depends on the batches follow them, in place.

    Numbers become the names of NIH's archives; what is fetched is what is asked for; and films of
    a part of NIH's archives go without the rest of its table.

    Args:
        base: the settings, with all that was given laid over them.
        given: the preset, then the single settings, in the order in which they were laid over.

    Returns:
        Sentences that say what follows.

    Raises:
        InputError: NIH has no such archive.
    """
    if isinstance(base["batches"], list):
        for at, number in enumerate(base["batches"]):
            if type(number) is int and number > 0:
                base["batches"][at] = f"images_{number:03d}"
    named = [key for preset in given for key in _keys(preset)]
    own = [key for key in named if key in ("batches", "fetch_images.archives")]
    if base["source"]["kind"] != "local" and own[-1:] == ["batches"]:
        base["fetch_images"]["archives"] = copy.deepcopy(base["batches"])
    # A preset's word on absent films is about the preset's own batches.
    singles = [key for preset in given[1:] for key in _keys(preset)]
    heard = singles if "batches" in singles else named
    settle = "batches" in named and "index_images.absent" not in heard
    return _settle_nih(base, settle) if base["source"]["kind"] == "nih" else []


def _settle_nih(base: dict[str, Any], settle_absent: bool) -> list[str]:
    listed = json.loads(NIH_FILES.read_text(encoding="utf-8"))["archives"]
    known = {entry["file"].removesuffix(".tar.gz"): entry for entry in listed}
    asked = base["fetch_images"]["archives"]
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
        return []  # the schema will say so
    for name in asked:
        if name not in known:
            raise InputError(f"batches: NIH has no archive {name}; it has {', '.join(known)}")
    if not asked:
        return ["fetches NIH's tables alone, no archive"]
    size, films = (sum(known[name][key] for name in asked) for key in ("bytes", "images"))
    said = [
        f"fetches {len(asked)} of NIH's {len(known)} archives: {films:,} films, {size / 1e9:.1f} GB"
    ]
    indexed = base["index_images"]
    if settle_absent and len(asked) < len(known) and indexed["absent"] != "drop":
        indexed["absent"] = "drop"
        said.append("index_images.absent is now drop: NIH's table names the other films too")
    return said


def _keys(preset: dict[str, Any], where: str = "") -> list[str]:
    """The dotted keys that a preset settles."""
    keys = []
    for key, value in preset.items():
        keys += _keys(value, f"{where}{key}.") if isinstance(value, dict) else [f"{where}{key}"]
    return keys


def main(preset: Path, assignments: list[str], params: Path = settings.PARAMS) -> None:
    """Rewrite params.yaml, comments kept; refuse before writing what the schema would refuse."""
    editor = YAML()
    editor.width = 100
    editor.indent(mapping=2, sequence=4, offset=2)
    settings.load_yaml(params)  # says in a sentence that it is no YAML
    base = editor.load(params.read_text(encoding="utf-8"))
    given = [settings.load_yaml(preset), *map(single, assignments)]
    for number, one in enumerate(given):
        merge(base, one, WHOLE if number == 0 else ())
    said = settle_batches(base, given)
    text = io.StringIO()
    editor.dump(base, text)
    settings.check(YAML(typ="safe", pure=True).load(text.getvalue()), str(preset))
    write_whole(params, text.getvalue())
    print(f"{params} now holds {preset}; see the difference with: git diff {params}")
    for sentence in said:
        print(sentence)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except InputError as error:
        sys.exit(f"Error: {error}")
