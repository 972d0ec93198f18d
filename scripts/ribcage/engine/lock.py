"""What dvc.lock says that DVC holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Held:
    """A stage as dvc.lock has it.

    Attributes:
        deps, outs: MD5 by path.
        params: values by dotted key of params.yaml.
    """

    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]


def read(*, with_params: bool = False) -> dict[str, Held]:
    """Read dvc.lock: stage address to what is held of it.

    Args:
        with_params: read parameters too, as YAML 1.2, which takes ten times as long. Hashes are
            the same in 1.1: those that could be read as numbers are quoted.
    """
    if not LOCK.exists():
        return {}
    text = LOCK.read_text(encoding="utf-8")
    if with_params:
        from ruamel.yaml import YAML

        entries = YAML(typ="safe", pure=True).load(text)
    else:
        entries = yaml.load(text, yaml.CSafeLoader)
    held = {}
    for stage, entry in (entries or {}).get("stages", {}).items():
        deps, outs = (
            {row["path"]: row.get("md5", "") for row in entry.get(kind, [])}
            for kind in ("deps", "outs")
        )
        params = entry.get("params", {}).get("params.yaml", {}) if with_params else {}
        held[stage] = Held(deps, outs, params)
    return held
