"""Draw where one model finds its evidence on films, and judge whether it is the right place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from threadpoolctl import threadpool_limits

from ribcage import nets
from ribcage.answers import answers_on
from ribcage.boxes import BoxesOf, read_boxes
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.explanation import localisation, overlay, sanity
from ribcage.explanation.explainer import Explainer, Maps, check_same_model, compute_maps
from ribcage.explanation.localisation import Groups, Pair, detected
from ribcage.explanation.methods import Occlusion
from ribcage.explanation.overlap import accuracies
from ribcage.explanation.placement import on_film, peak
from ribcage.explanation.shown import Where, described, lungs_by_image, outlined
from ribcage.explanation.terms import ALL
from ribcage.films import Film, decode_some
from ribcage.findings import FINDINGS
from ribcage.gallery import gallery
from ribcage.progress import Progress, say
from ribcage.shards import Shards
from ribcage.tables import labels_by_image, read_meta, read_table, write_numbers, write_table

MEAN_MAP_FILMS = 32
"""Mean maps are of so many test films at the most, drawn at random: each is asked for 14 maps."""
MEAN_CAM_FILMS = 256
"""The same of `cam`, of which one look at a film gives all 14."""
RANDOMISED_MAPS = 24
"""Maps that are drawn anew with random weights, at the most: each of them ten times."""
WEBP: dict[str, Any] = {"format": "WEBP", "quality": 85, "method": 4}
HEAT_PX = 128
"""Longer side of a map's picture: a map is smooth, and a browser enlarges it as smoothly."""
DIGITS = 6


def judge(
    maps: dict[str, Maps],
    boxes: BoxesOf,
    patients: dict[str, int],
    where: Where,
    resamples: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge every method on every boxed test film: `localisation.csv` and `overlap.csv`.

    Args:
        maps: of each method, those of `boxes` at least.
        boxes: of the test films.
        patients: by image.
        where: the films.
        resamples: of patients.
        seed: of their draws.
    """
    asked = sorted(boxes)
    pairs = [
        Pair(finding, patients[image], where.film_px(image), tuple(boxes[image, finding]))
        for image, finding in asked
    ]
    groups, blind = Groups(pairs, FINDINGS, resamples, seed), localisation.guesses(pairs)
    pointing, overlapping = [], []
    for method, of in maps.items():
        peaks = np.array([peak(of[one], where.square(one[0])) for one in asked]).reshape(-1, 2)
        pointing.append(localisation.pointing_game(method, pairs, peaks, groups, blind))
        found = [detected(where.heat(image, of[image, finding])) for image, finding in asked]
        overlapping.append(accuracies(method, pairs, found, groups, blind))
    return pd.concat(pointing), pd.concat(overlapping)


def doubt(
    explainer: Explainer, shown: pd.DataFrame, sample: list[str], method: str, seed: int
) -> dict[str, Any]:
    """What `sanity.json` says: do maps change with the weights, and with the class?

    Args:
        explainer: of the model.
        shown: the gallery, some of whose maps are drawn anew with random weights.
        sample: the films of the mean maps, one at least.
        method: of the gallery and the mean maps.
        seed: of the random weights.
    """
    found: dict[str, Any] = {"method": method, "layer": explainer.layer, "randomised": None}
    if len(shown):
        some = shown.iloc[np.random.default_rng(seed).permutation(len(shown))[:RANDOMISED_MAPS]]
        films, findings = explainer.films(list(zip(some["image"], some["finding"], strict=True)))
        found["randomised"] = sanity.randomised(
            explainer.net, films, findings, method, explainer.layer, explainer.occlusion, seed
        )
    maps = explainer.maps([(image, finding) for image in sample for finding in FINDINGS], method)
    of_films = [np.stack([maps[image, finding] for finding in FINDINGS]) for image in sample]
    means = sanity.mean_maps(np.stack(of_films))
    by_finding = {name: _short(one) for name, one in zip(FINDINGS, means, strict=True)}
    return {
        **found,
        "corners": sanity.corners(means),
        "mean_maps": {"films": len(sample), **by_finding},
    }


def _short(numbers: np.ndarray) -> list[list[float]]:
    """Numbers with six digits, for JSON."""
    return [[float(f"{number:.{DIGITS}g}") for number in row] for row in numbers.tolist()]


def draw(
    film: Film,
    image: str,
    findings: Sequence[str],
    maps: Maps,
    boxes: BoxesOf,
    where: Where,
    folder: Path,
    display_px: int,
) -> None:
    """Write one film, its maps as pictures, its overlays, and the maps behind them."""
    stem, size = Path(image).stem, where.film_px(image)
    if film.shape[::-1] != size:
        raise InputError(f"{image}: has no longer {size[0]} x {size[1]} px; index the films again")
    small = overlay.shown(film, display_px)
    Image.fromarray(small).save(folder / "films" / f"{stem}.webp", **WEBP)
    lungs, square = where.outlines(image), where.square(image)
    shape = overlay.sized(size, min(HEAT_PX, display_px))[::-1]
    for finding in findings:
        cells = maps[image, finding]
        name, heat = f"{stem}-{finding}.webp", on_film(cells, square, size, small.shape)
        picture = overlay.overlay(small, heat, square, size, boxes.get((image, finding), []), lungs)
        picture.save(folder / "overlays" / name, **WEBP)
        alone = overlay.coloured(on_film(cells, square, size, shape))
        Image.fromarray(alone).save(folder / "heats" / name, **WEBP)
        np.save(folder / "maps" / f"{stem}-{finding}.npy", cells)


def draw_all(
    shown: pd.DataFrame,
    maps: Maps,
    boxes: BoxesOf,
    where: Where,
    films: list[Path],
    folder: Path,
    display_px: int,
) -> None:
    """Stream each batch that has a shown film once; hold one film at a time."""
    findings = {image: part["finding"].tolist() for image, part in shown.groupby("image")}
    if len({Path(image).stem for image in findings}) < len(findings):
        raise InputError("draw_cams: two films differ in nothing but their suffix; rename one")
    batch_of = where.shards.geometry["batch_number"].loc[list(findings)]
    wanted = [set(batch_of.index[batch_of == number]) for number in range(len(films))]
    progress = Progress(len(findings), "films")
    for image, film in decode_some(films, wanted):
        draw(film, image, findings[image], maps, boxes, where, folder, display_px)
        progress.add(note="drawn")


def main(
    model: Path,
    predictions: Path,
    curated: Path,
    tables: Path,
    lungs: list[Path],
    shards: list[Path],
    films: list[Path],
    cams: Path,
    method: str,
    layer: str,
    compared: list[str],
    occlusion: dict[str, float],
    per_finding: int,
    display_px: int,
    resamples: int,
    seed: int,
) -> None:
    """Write `reports/<experiment>/cams/`.

    `cams.parquet` has a row a shown map, `described` and `gallery` say which columns. With it go
    `films/<stem>.webp`; `heats/`, `overlays/<stem>-<finding>.webp`, maps alone (clear where they
    are low, over the whole film) and drawn with boxes and lungs on the film;
    `maps/<stem>-<finding>.npy`, float32 [h, w], their cells; and `outlines.json`, of `outlined`.
    `localisation.csv` and `overlap.csv` judge all methods on all boxed test films; `sanity.json`
    says whether maps follow the weights and the class.

    Args:
        model: the folder of train_classifier.
        predictions: the folder of predict_findings for the same model.
        curated: the kept images with their labels.
        tables: the folder of fetch_tables, with `boxes.csv`, and what experts said if they did.
        lungs: the batches' lung tables.
        shards: the batches' shard folders.
        films: the batches' archives or folders, in the order of `shards`.
        cams: the folder to write.
        method: of the gallery's maps.
        layer: at which the Grad-CAM family looks.
        compared: methods that are judged beside it.
        occlusion: window and stride of the method of that name, as shares of the film's side.
        per_finding: maps of a finding at the most, besides those of films on which experts and
            labels disagree.
        display_px: the longer side of a shown film.
        resamples: of patients, behind each interval.
        seed: of the random choices.
    """
    # A few hundred films: on one thread of the CPU, in float32, the bytes are the same whatever
    # else the machine has (measured: two threads change the last bits). And NumPy's products are
    # small: on a busy machine they took six times as long on two threads (8.8 s against 1.4).
    torch.set_num_threads(1)
    threadpool_limits(1)
    net, config = nets.load(model)
    table = read_table(predictions / "predictions.parquet")
    test = table[table["split"] == "test"].sort_values("image", ignore_index=True)
    names = test["image"].tolist()
    labels = labels_by_image(read_table(curated), names, str(predictions))
    thresholds = json.loads((predictions / "thresholds.json").read_text(encoding="utf-8"))
    boxes = read_boxes(tables / "boxes.csv", set(names))
    shown = gallery(test, labels, answers_on(tables, names), thresholds, boxes, per_finding, seed)
    sampled = MEAN_CAM_FILMS if method == "cam" else MEAN_MAP_FILMS
    drawn = np.random.default_rng(seed).permutation(names).tolist()[:sampled]
    shard = Shards(shards, config["view"], config["size_px"])
    pairs = set(zip(shown["image"], shown["finding"], strict=True))
    images = sorted({*drawn, *(image for image, _ in pairs | set(boxes))})
    every = compute_maps(net, shard, images, str(predictions))
    check_same_model(net, every, test, predictions)
    explainer = Explainer(net, shard, every, layer, Occlusion(**occlusion))
    maps = {
        name: explainer.maps(sorted({*boxes, *(pairs if name == method else ())}), name)
        for name in dict.fromkeys([method, *compared])
    }
    where = Where(shard, lungs_by_image(lungs, shown["image"].unique().tolist()))
    for folder in (cams, *(cams / part for part in ("films", "heats", "overlays", "maps"))):
        folder.mkdir()
    rows = described(shown, method, maps[method], boxes, where)
    write_table(rows, cams / "cams.parquet", read_meta(curated))
    _write_json(outlined(shown, boxes, where), cams / "outlines.json")
    _write_json(doubt(explainer, shown, sorted(drawn), method, seed), cams / "sanity.json")
    whose = dict(zip(names, test["patient"], strict=True))
    pointing, overlapping = judge(maps, boxes, whose, where, resamples, seed)
    write_numbers(pointing, cams / "localisation.csv")
    write_numbers(overlapping, cams / "overlap.csv")
    draw_all(shown, maps[method], boxes, where, films, cams, display_px)
    _tell(pointing)


def _write_json(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def _tell(pointing: pd.DataFrame) -> None:
    """Say of each method where it points."""
    for row in pointing[(pointing["finding"] == ALL) & (pointing["films"] > 0)].itertuples():
        mean = "none" if pd.isna(row.mean_place) else f"{row.mean_place:.0%}"
        say(
            f"{row.method}: {row.hits} of {row.films} peaks lie in a box ({row.pointing:.0%}); by "
            f"each finding's mean place {mean}, by its best {row.best_place:.0%}"
        )


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
