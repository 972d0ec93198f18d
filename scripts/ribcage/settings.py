"""The settings of params.yaml: read as DVC reads them, and refused before anything runs."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import best_match
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ribcage.errors import InputError
from ribcage.findings import FINDINGS

PARAMS = Path("params.yaml")
SCHEMA = Path(__file__).resolve().parents[2] / "params.schema.yaml"

Settings = dict[str, Any]


def load_yaml(path: Path) -> Any:  # noqa: ANN401 - YAML
    """Read YAML 1.2, as DVC does; Snakemake's own reader follows 1.1 and takes 1e-4 for text."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error


def read(path: Path = PARAMS) -> Settings:
    """Read the settings and check them against the schema and each other.

    Raises:
        InputError: one sentence that names the key and says what it may be.
    """
    settings = load_yaml(path)
    check(settings, str(path))
    return dict(settings)


def check(settings: Any, where: str) -> None:  # noqa: ANN401 - whatever the YAML held
    """Refuse settings that the schema refuses, or that contradict each other."""
    validator = jsonschema.Draft202012Validator(load_yaml(SCHEMA))
    error = best_match(validator.iter_errors(settings))
    if error is not None:
        key = ".".join(str(part) for part in error.absolute_path)
        about = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
        hint = f" ({about})" if about and error.validator != "additionalProperties" else ""
        raise InputError(f"{where}: {key or 'top level'}: {error.message}{hint}")
    for problem in _contradictions(settings):
        raise InputError(f"{where}: {problem}")


def _contradictions(settings: Settings) -> Iterable[str]:
    source, batches = settings["source"], settings["batches"]
    archives = settings["fetch_images"]["archives"]
    if source["kind"] == "local":
        if archives:
            yield "fetch_images.archives: a local source is read in place; write []"
    elif archives != batches:
        yield f"fetch_images.archives: {source['kind']} fetches every batch; write {batches}"
    elif batches and (source["images"], source["suffix"]) != ("data/raw/images", ".tar.gz"):
        yield "source: archives are fetched to images data/raw/images with suffix .tar.gz"
    if source["kind"] != "nih" and source["mirror"] != "none":
        yield f"source.mirror: a {source['kind']} source reads nothing official; write none"
    drawn = settings["draw_phantoms"]
    count = -(-drawn["films"] // drawn["films_per_batch"])
    names = [f"images_{number:03d}" for number in range(1, count + 1)]
    if source["kind"] == "phantom" and batches != names:
        yield (
            f"batches: {drawn['films']} phantoms in batches of {drawn['films_per_batch']} "
            f"make {names}"
        )
    if not batches and settings["index_images"]["absent"] != "keep":
        yield "batches: [] leaves the tables alone; set index_images.absent to keep as well"
    if batches and settings["index_images"]["absent"] == "keep":
        yield "index_images.absent: keep is for a run on the tables alone; write refuse or drop"
    yield from _wrong_shortcuts(drawn["shortcuts"])
    yield from _contradictions_of_lungs(settings)
    shares = settings["split_patients"]["shares"]
    if abs(sum(shares.values()) - 1) > 1e-9:
        yield f"split_patients.shares: must sum to 1, not {sum(shares.values()):g}"
    fold, folds = settings["split_patients"]["fold"], settings["split_patients"]["folds"]
    if fold >= folds:
        yield f"split_patients.fold: {fold} is none of {folds} folds, 0 to {folds - 1}"
    for name in settings["import_predictions"]:
        if name in settings["experiments"]:
            yield f"import_predictions.{name}: an experiment has this name; take another"
    yield from _contradictions_of_experiments(settings)


def _contradictions_of_experiments(settings: Settings) -> Iterable[str]:
    written = settings["write_shards"]["shards"]
    for name in settings["experiments"]:
        own = of_experiment(settings, name)
        small, size = own["start_px"], own["size_px"]
        sizes = [size] if small == "none" else [small, size]
        for wanted in (f"{own['view']}-{px}" for px in sizes):
            if wanted not in written:
                yield (
                    f"experiments.{name}: trains on {wanted}, which write_shards.shards "
                    f"does not list ({', '.join(written)}); add it there"
                )
        if small != "none" and small >= size:
            yield (
                f"experiments.{name}: start_px is {small}, which is not below size_px, {size}; "
                "write a smaller one, or none"
            )


def _wrong_shortcuts(shortcuts: list[Settings]) -> Iterable[str]:
    marks = [planted["mark"] for planted in shortcuts]
    for planted in shortcuts:
        if planted["finding"] not in FINDINGS:
            yield (
                f"draw_phantoms.shortcuts: {planted['finding']!r} is no finding; known are "
                f"{', '.join(FINDINGS)}"
            )
        if marks.count(planted["mark"]) > 1:
            yield f"draw_phantoms.shortcuts: {planted['mark']} is planted twice; plant a mark once"


def _contradictions_of_lungs(settings: Settings) -> Iterable[str]:
    sources, trained = settings["fetch_lung_masks"]["sources"], settings["train_segmenter"]
    kinds = [source["kind"] for source in sources]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield f"fetch_lung_masks.sources: {kind} is there {kinds.count(kind)} times; name it once"
    if trained["real_share"] and not sources:
        yield (
            f"train_segmenter.real_share: {trained['real_share']:g} of the films are real, but "
            "fetch_lung_masks.sources is empty; add a source, or write 0"
        )
    if not trained["samples"] and trained["init"] == "none":
        yield "train_segmenter.samples: 0 takes weights as they are; name them in init"


def of_experiment(settings: Settings, experiment: str) -> Settings:
    """An experiment's settings: what it names, over the defaults of train_classifier."""
    return {**settings["train_classifier"], **settings["experiments"][experiment]}


def shards(settings: Settings) -> list[tuple[str, int]]:
    """View and size in pixels of every shard to write."""
    pairs = (name.rsplit("-", 1) for name in settings["write_shards"]["shards"])
    return [(view, int(size)) for view, size in pairs]


def any_of(names: Iterable[object]) -> str:
    """A pattern that matches exactly these names, for a wildcard; nothing where there are none."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def of_command_line(config: Settings) -> bool:
    """Whether Snakemake was told `--config allow_missing=true`; refuse any other such setting.

    Raises:
        InputError: a setting that DVC would never know of.
    """
    others = sorted(set(config) - {"allow_missing"})
    if others:
        raise InputError(
            f"{', '.join(others)}: settings on Snakemake's command line are unknown to DVC; "
            "change params.yaml, or run: python scripts/use_preset.py presets/<name>.yaml"
        )
    told = str(config.get("allow_missing", False)).lower()
    if told not in ("true", "false"):
        raise InputError(f"allow_missing: true or false, not {told!r}")
    return told == "true"
