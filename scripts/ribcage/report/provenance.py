"""What the section on provenance says: what made this page, and how to make it again."""

import hashlib
import json
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ribcage.report.outcome import Experiment
from ribcage.report.sections import Table
from ribcage.words import plural

LIBRARIES = (
    "torch", "torchvision", "segmentation-models-pytorch", "snakemake", "dvc", "numpy", "scipy",
    "pandas", "pyarrow", "scikit-learn", "pillow", "opencv-python-headless", "threadpoolctl",
)  # fmt: skip
CODE = ("scripts", "rules", "Snakefile", "dvc.yaml")
"""What a change of makes other results; what the run itself writes and params.yaml are shown elsewhere."""
MADE = Path("provenance/made")
BESIDE = ("write_report", "write_datasheet", "write_model_card")
"""Steps that render pages beside this one: whether they ran before it, is chance."""
ABSENT = "–"


@dataclass(frozen=True)
class Checkout:
    """What git says of the code that made the page.

    Attributes:
        sha: the commit that is checked out; empty where git knows none.
        changed: files of code that are not as the commit has them, in git's words.
        params: params.yaml as the commit has it; None where that cannot be told.
        pulls: whether the commit holds dvc.lock and names a remote to pull from.
    """

    sha: str
    changed: tuple[str, ...]
    params: dict[str, Any] | None
    pulls: bool


def _git(*arguments: str) -> str:
    """What git answers; empty where there is no git, no repository, or no such thing in it."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False
        )  # fmt: skip
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def checkout() -> Checkout:
    """Ask git about the working folder."""
    sha = _git("rev-parse", "HEAD").strip()
    changed = _git("status", "--porcelain", "--untracked-files=all", "--", *CODE) if sha else ""
    pulls = "remote = " in _git("show", "HEAD:./.dvc/config") and bool(
        _git("ls-tree", "HEAD", "dvc.lock")
    )
    names = tuple(line[3:] for line in changed.splitlines())
    return Checkout(sha, names, _params(_git("show", "HEAD:./params.yaml")), bool(sha) and pulls)


def _params(text: str) -> dict[str, Any] | None:
    """Parameters as YAML 1.2, which both engines read."""
    try:
        read = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return None
    return dict(read) if isinstance(read, dict) else None


def commit() -> str:
    """The commit that is checked out, and whether files of code differ from it."""
    return _named(checkout())


def _named(at: Checkout) -> str:
    if not at.sha:
        return "unknown (not a git checkout)"
    return f"{at.sha}{', with uncommitted changes of code' if at.changed else ''}"


def sha256_of(path: Path) -> str:
    """A file's sha256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sources(tables: Path) -> Table:
    """Where each table came from, as fetch_tables wrote it down."""
    found = pd.read_csv(tables / "sources.csv")
    rows = [[str(cell) for cell in row] for row in found.to_numpy().tolist()]
    return Table([str(name) for name in found.columns], rows, (0, 1, 3))


def records(root: Path = Path()) -> dict[str, Any]:
    """Read what made each job before this page: by its name, as `find_lungs/images_001`.

    Args:
        root: the repository.
    """
    folder = root / MADE
    found = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.json"))
    }
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in found.items()
        if name.split("/")[0] not in BESIDE
    }


def section(
    experiments: list[Experiment],
    meta: dict[str, str],
    tables: Path,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Commit, hashes of data, code and models, versions, parameters, and how to make it again.

    Args:
        experiments: in the order of params.yaml.
        meta: of the curated table: `source_sha256`, `labels_version`.
        tables: the folder of fetch_tables.
        settings: the whole of params.yaml.
    """
    at = checkout()
    # Shown in the file's order, which is that of rows and colours, for whoever pastes it; the hash
    # is of what was set, in whatever order.
    params = json.dumps(settings, indent=1, ensure_ascii=False)
    ordered = json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False)
    facts = [
        ["commit", _named(at)],
        ["data table (sha256)", meta["source_sha256"]],
        ["version of the labels", meta["labels_version"]],
        ["parameters (sha256)", hashlib.sha256(ordered.encode()).hexdigest()],
        ["seeds", "; ".join(seeds(settings))],
    ]
    for experiment in experiments:
        for model in experiment["models"]:
            digest = sha256_of(model["folder"] / "weights.safetensors")
            facts.append([f"weights of {model['name']} (sha256)", digest])
    changed = [] if at.params is None else list(differences(at.params, settings))
    return {
        "sentence": "What made this page. The records of every step lie in provenance/; the same commit, "
        "parameters and data give the same results on the same machine. Times differ from run to run.",
        "facts": Table(["what", "value"], facts, (0, 1)),
        "changes_sentence": _changes_sentence(at, changed),
        "changes": Table(["key", "in the commit", "in this run"], changed, (0, 1, 2)),
        "code": code(records()),
        "versions": Table(["library", "version"], [[n, metadata.version(n)] for n in LIBRARIES], (0, 1)),
        "sources": sources(tables),
        "params": params,
        "again": again(at, settings, bool(changed) or at.params is None),
    }  # fmt: skip


def seeds(settings: Any, key: str = "") -> Iterator[str]:  # noqa: ANN401 - YAML
    """Every seed among the parameters: `draw_cams.seed = 1`."""
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if name in ("seed", "seeds") and not isinstance(value, dict):
            yield f"{key}{name} = {_text(value)}"
        else:
            yield from seeds(value, f"{key}{name}.")


def differences(default: dict[str, Any], own: dict[str, Any], key: str = "") -> Iterator[list[str]]:
    """What parameters differ: dotted key, the default's value, the run's.

    Args:
        default: of the commit.
        own: of this run.
        key: what the keys start with.

    Yields:
        Rows, in the order of the default; a value that the other does not have is a dash.
    """
    for name in dict.fromkeys([*default, *own]):
        before, now = default.get(name), own.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from differences(before, now, f"{key}{name}.")
        elif name not in own or name not in default or not _same(before, now):
            cells = (_text(side[name]) if name in side else ABSENT for side in (default, own))
            yield [f"{key}{name}", *cells]


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - YAML
    return bool(one == other and isinstance(one, bool) == isinstance(other, bool))


def _text(value: Any) -> str:  # noqa: ANN401 - YAML
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _changes_sentence(at: Checkout, changed: list[list[str]]) -> str:
    if at.params is None:
        return "What the default parameters are is unknown: git has no params.yaml to hold these against."
    if not changed:
        return (
            f"The parameters are those of params.yaml in commit {at.sha[:10]}, the default there."
        )
    are = "is" if len(changed) == 1 else "are"
    return (
        f"{plural(len(changed), 'parameter')} {are} not as in params.yaml of commit {at.sha[:10]}, "
        "which is the default there. A table that only one side has is one row."
    )


def code(made: dict[str, Any]) -> Table:
    """The code of each step as one hash: sha256 over the lines `path md5` of its files, sorted.

    Args:
        made: of `records`; jobs of one step have the same code, or the step has several rows.
    """
    jobs: dict[tuple[str, str, int], int] = defaultdict(int)
    for name, record in made.items():
        files = {path: md5 for path, md5 in record["deps"].items() if path.startswith("scripts/")}
        lines = "".join(f"{path} {md5}\n" for path, md5 in sorted(files.items()))
        jobs[name.split("/")[0], hashlib.sha256(lines.encode()).hexdigest(), len(files)] += 1
    rows = [[step, count, files, digest] for (step, digest, files), count in sorted(jobs.items())]
    return Table(["step", "jobs", "files of code", "their sha256"], rows, (0, 3))


def given(settings: dict[str, Any]) -> list[str]:
    """What a run reads beside its source: keys of params.yaml with the files they name.

    Args:
        settings: the whole of params.yaml.
    """
    named = {
        "fetch_tables.expert_labels": settings["fetch_tables"]["expert_labels"],
        "train_segmenter.init": settings["train_segmenter"]["init"],
        "train_classifier.init": settings["train_classifier"]["init"],
    }
    for name, own in settings["experiments"].items():
        named[f"experiments.{name}.init"] = own.get("init", "none")
    for name, entry in settings["import_predictions"].items():
        named[f"import_predictions.{name}"] = entry["file"]
    if settings["fetch_lung_masks"]["sources"]:
        named["fetch_lung_masks.sources"] = _text(settings["fetch_lung_masks"]["sources"])
    return [f"{key} ({value})" for key, value in named.items() if value != "none"]


def again(at: Checkout, settings: dict[str, Any], params_differ: bool) -> dict[str, Any]:
    """How to make the report again, by commands that are true of this run alone.

    Args:
        at: what git says.
        settings: the whole of params.yaml.
        params_differ: whether the commit does not hold the run's parameters.

    Returns:
        `sentences`, what stands in the way and where the data come from; `commands`, in a shell.
    """
    sentences = []
    if not at.sha:
        sentences.append("This run is of no git checkout, so that its code cannot be named; take a copy of the whole folder.")  # fmt: skip
    if at.changed:
        shown = ", ".join(at.changed[:5]) + (" and more" if len(at.changed) > 5 else "")
        sentences.append(
            f"Code was changed and not committed ({shown}). The commands give the commit's code, "
            "which is not quite what made this page."
        )
    source = settings["source"]
    sentences.append(DATA[source["kind"]].format(**source))
    if beside := given(settings):
        sentences.append(f"Besides, the run reads what these parameters name: {', '.join(beside)}.")
    clone = [
        "git clone <this repository> ribcage",
        "cd ribcage",
        f"git checkout {at.sha}",
    ]
    commands = [
        *(clone if at.sha else []),
        "make setup",
        'export PATH="$PWD/.venv/bin:$PATH"',
        *(
            ["# write “All parameters” of this page into params.yaml: JSON is YAML"]
            if params_differ
            else []
        ),
        "snakemake --cores all    # or: dvc repro",
    ]
    if at.pulls:
        sentences.append("Where this run's dvc.lock was committed and its outputs were pushed, `dvc pull` in place of the last line fetches them.")  # fmt: skip
    return {"sentences": sentences, "commands": "\n".join(commands)}


DATA = {
    "phantom": "The films are phantoms, which are drawn anew, the same to the byte.",
    "nih": "The tables and films are fetched from NIH's server, or from source.mirror (here: {mirror}).",
    "local": "The films must lie in {origin}, laid out as NIH's.",
}
"""Where a new run takes its films from, by the kind of source."""
