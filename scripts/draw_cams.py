"""Draw the class activation maps of one model, and judge where they point."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from ribcage import cams as cam
from ribcage import nets
from ribcage.answers import answers_on
from ribcage.boxes import BoxesOf, read_boxes
from ribcage.cams import Pointed
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.films import decode, read_batch
from ribcage.findings import FINDINGS
from ribcage.gallery import gallery
from ribcage.progress import Progress, say
from ribcage.shards import Shards
from ribcage.tables import labels_by_image, read_meta, read_table, write_numbers, write_table

FILMS_A_STEP = 16
SAME_PROBABILITY = 0.1
"""bfloat16 moves a probability by at most 0.011 (measured); a wrong film or model by far more."""
WEBP: dict[str, Any] = {"format": "WEBP", "quality": 85, "method": 4}


def compute_maps(
    net: nets.DenseNet121, shards: Shards, images: list[str], where: str
) -> dict[str, np.ndarray]:
    """Compute the maps of some films, float32 [14, h, w] each."""
    positions = shards.rows(images, where)
    maps: dict[str, np.ndarray] = {}
    progress = Progress(len(images), "films")
    for start in range(0, len(images), FILMS_A_STEP):
        part = positions[start : start + FILMS_A_STEP]
        maps |= zip(images[start:], cam.class_maps(net, shards.take(part)), strict=False)
        progress.add(len(part), "mapped")
    return maps


def check_same_model(
    net: nets.DenseNet121, maps: dict[str, np.ndarray], test: pd.DataFrame, where: Path
) -> None:
    """Refuse maps that do not add up to the probabilities beside which they are shown."""
    bias = net.classifier.bias.detach().numpy()
    given = test.set_index("image").loc[list(maps), list(FINDINGS)].to_numpy()
    logits = np.array([one.sum(axis=(1, 2)) for one in maps.values()]).reshape(given.shape) + bias
    gap = np.abs(1 / (1 + np.exp(-logits)) - given).max(initial=0)
    if not gap < SAME_PROBABILITY:
        raise InputError(
            f"{where}: its probabilities are up to {gap:.2f} off what the model says of the same "
            "films; predict again"
        )


def describe(
    shown: pd.DataFrame, maps: dict[str, np.ndarray], boxes: BoxesOf, shards: Shards
) -> pd.DataFrame:
    """Add to each shown map where it peaks, whether that is right, and what its cells span."""
    rows = []
    for image, finding in zip(shown["image"], shown["finding"], strict=True):
        one, square = maps[image][FINDINGS.index(finding)], shards.square(image)
        drawn = boxes.get((image, finding), [])
        width, height = film_px(shards, image)
        x, y = cam.peak(one, square)
        heat = cam.on_film(one, square, (width, height), (height, width))
        rows.append(
            {
                "peak_x_px": x,
                "peak_y_px": y,
                "hit": any(box.holds(x, y) for box in drawn) if drawn else None,
                "n_boxes": len(drawn),
                "iou": cam.iou(heat, drawn),
                "scale": float(one.max()),
                "grid": one.shape[0],
                "cell_px": square.side_px / one.shape[0],
            }
        )
    columns = ["peak_x_px", "peak_y_px", "hit", "n_boxes", "iou", "scale", "grid", "cell_px"]
    found = pd.DataFrame(rows, columns=columns).astype({"hit": "boolean"})
    return pd.concat([shown, found], axis=1)


def film_px(shards: Shards, image: str) -> tuple[int, int]:
    """Width and height of a film as it is stored."""
    at = shards.geometry.loc[image]
    return int(at["width_px"]), int(at["height_px"])


def localise(maps: dict[str, np.ndarray], boxes: BoxesOf, shards: Shards) -> pd.DataFrame:
    """Play the pointing game on every boxed test film."""
    films = []
    for (image, finding), drawn in sorted(boxes.items()):
        at = cam.peak(maps[image][FINDINGS.index(finding)], shards.square(image))
        films.append(Pointed(finding, film_px(shards, image), at, tuple(drawn)))
    return cam.pointing_game(films, FINDINGS)


def draw(
    data: bytes,
    rows: pd.DataFrame,
    maps: np.ndarray,
    boxes: BoxesOf,
    shards: Shards,
    folder: Path,
    display_px: int,
) -> None:
    """Write one film, its overlays, and the maps behind them."""
    image = rows["image"].iloc[0]
    stem, size, square = Path(image).stem, film_px(shards, image), shards.square(image)
    film = decode(data, image)
    if film.shape[::-1] != size:
        raise InputError(f"{image}: has no longer {size[0]} x {size[1]} px; index the films again")
    small = cam.shown(film, display_px)
    Image.fromarray(small).save(folder / "films" / f"{stem}.webp", **WEBP)
    for finding in rows["finding"]:
        one = maps[FINDINGS.index(finding)]
        heat = cam.on_film(one, square, size, small.shape)
        picture = cam.overlay(small, heat, square, size, boxes.get((image, finding), []))
        picture.save(folder / "overlays" / f"{stem}-{finding}.webp", **WEBP)
        np.save(folder / "maps" / f"{stem}-{finding}.npy", one)


def draw_all(
    shown: pd.DataFrame,
    maps: dict[str, np.ndarray],
    boxes: BoxesOf,
    shards: Shards,
    films: list[Path],
    folder: Path,
    display_px: int,
) -> None:
    """Stream each batch that has a shown film once, up to its last one; hold one film at a time."""
    of_film = dict(list(shown.groupby("image")))
    stems = {Path(image).stem for image in of_film}
    if len(stems) < len(of_film):
        raise InputError("draw_cams: two films differ in nothing but their suffix; rename one")
    batch_of = shards.geometry["batch_number"].loc[list(of_film)]
    progress = Progress(len(of_film), "films")
    for number, batch in enumerate(films):
        wanted = set(batch_of.index[batch_of == number])
        for image, data in islice(read_batch(batch, wanted), len(wanted)):
            draw(data, of_film[image], maps[image], boxes, shards, folder, display_px)
            wanted.remove(image)
            progress.add(note="drawn")
        if wanted:
            raise InputError(f"{batch}: no longer holds {min(wanted)}; index the films again")


def main(
    model: Path,
    predictions: Path,
    curated: Path,
    tables: Path,
    shards: list[Path],
    films: list[Path],
    cams: Path,
    per_finding: int,
    display_px: int,
    seed: int,
) -> None:
    """Write `reports/<experiment>/cams/`.

    `cams.parquet` has a row a shown map: what `gallery.gallery` gives, and peak_x_px, peak_y_px
    (film pixels), hit (null without boxes), n_boxes, iou (of what reaches half of the map's
    maximum), scale (that maximum, in logits: the brightest colour), grid (cells a side) and cell_px
    (film pixels a cell).
    `films/<stem>.webp`, `overlays/<stem>-<finding>.webp` and `maps/<stem>-<finding>.npy`, float32
    [grid, grid], go with it. `localisation.csv` is the pointing game on all boxed test films.

    Args:
        model: the folder of train_classifier.
        predictions: the folder of predict_findings for the same model.
        curated: the kept images with their labels.
        tables: the folder of fetch_tables, with `boxes.csv`, and what experts said if they did.
        shards: the batches' shard folders.
        films: the batches' archives or folders, in the order of `shards`.
        cams: the folder to write.
        per_finding: maps of a finding at the most, besides those of films on which experts and
            labels disagree.
        display_px: the longer side of a shown film.
        seed: of the random choices.
    """
    # A few hundred films: on one thread of the CPU, in float32, the bytes are the same whatever
    # else the machine has (measured: two threads change the last bits).
    torch.set_num_threads(1)
    net, config = nets.load(model)
    table = read_table(predictions / "predictions.parquet")
    test = table[table["split"] == "test"].sort_values("image", ignore_index=True)
    labels = labels_by_image(read_table(curated), test["image"].tolist(), str(predictions))
    thresholds = json.loads((predictions / "thresholds.json").read_text(encoding="utf-8"))
    boxes = read_boxes(tables / "boxes.csv", set(test["image"]))
    answers = answers_on(tables, test["image"].tolist())
    shown = gallery(test, labels, answers, thresholds, boxes, per_finding, seed)
    shard = Shards(shards, config["view"], config["size_px"])
    images = sorted({*shown["image"], *(image for image, _ in boxes)})
    maps = compute_maps(net, shard, images, str(predictions))
    check_same_model(net, maps, test, predictions)
    for folder in (cams, cams / "films", cams / "overlays", cams / "maps"):
        folder.mkdir()
    write_table(describe(shown, maps, boxes, shard), cams / "cams.parquet", read_meta(curated))
    pointing = localise(maps, boxes, shard)
    write_numbers(pointing, cams / "localisation.csv")
    draw_all(shown, maps, boxes, shard, films, cams, display_px)
    last = pointing.iloc[-1]
    if last["films"]:
        say(
            f"{last['hits']} of {last['films']} peaks lie in a box ({last['pointing']:.0%}); "
            f"the best fixed place of each finding hits {last['best_place']:.0%}"
        )


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
