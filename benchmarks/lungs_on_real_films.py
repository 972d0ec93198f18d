"""Measure on real films what find_lungs does with a segmenter, by the limits of params.yaml.

    python benchmarks/lungs_on_real_films.py NAME SEGMENTER MASKED FILMS [HAND_BOXES] [SHEETS]

NAME says whose settings they are, as `default` or `best`. SEGMENTER is a folder of train_segmenter.
MASKED has images/ and masks/ with equal names; the masks leave out the lung behind the heart. FILMS
is in NIH's layout: films, BBox_List_2017.csv. HAND_BOXES says where a person sees the lungs: image,
x0, y0, x1, y1, as shares of a film's width and height; benchmarks/nih_lung_boxes.csv does so for
100 films of ChestX-ray14, marked by eye beside a ruler, in two passes, by one reader who is no
radiologist and had seen no box of a program. SHEETS is a folder to write, of overlays to look at.

Writes what it found under NAME into benchmarks/lungs_on_real_films.json, which the report shows.
"""

import datetime
import hashlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import segmentation_models_pytorch as smp
import torch
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from draw_lungs import outlined  # noqa: E402
from fetch_tables import BOX_FILE, read_boxes  # noqa: E402
from find_lungs import Limits, See, rows_of, segmenter_of  # noqa: E402
from ribcage import lung_finder, lungs, settings  # noqa: E402
from ribcage.boxes import ENOUGH, Box, kept  # noqa: E402
from ribcage.errors import InputError  # noqa: E402
from ribcage.films import Film, decode, read_batch  # noqa: E402
from ribcage.progress import say, track  # noqa: E402
from ribcage.shards import square_around  # noqa: E402

USAGE = (
    "usage: lungs_on_real_films.py NAME SEGMENTER MASKED FILMS [HAND_BOXES] [SHEETS]; - leaves one "
    "out"
)
RESULTS = HERE / "lungs_on_real_films.json"
OVER = 0.02
"""A box cuts off a lung where it loses more than this share of the film's side."""
A_SHEET, TILE_PX = 60, 190
Rows = dict[str, dict[str, Any]]


def limits_of_params() -> Limits:
    """The limits of find_lungs in params.yaml."""
    own = settings.read(HERE.parent / "params.yaml")["find_lungs"]
    margins = lungs.Margins(own["margin_sides"], own["margin_top"], own["margin_bottom"])
    return Limits(margins, own["min_height_to_width"], own["ensemble_below"], own["min_quality"])


def spread(values: list[float]) -> dict[str, float]:
    """Mean, median, quartiles and the least of some figures."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    named = {"mean": np.mean(values), "median": middle, "min": min(values), "p25": low, "p75": high}
    return {name: round(float(value), 4) for name, value in named.items()}


def on_masked(folder: Path, see: See, size_px: int, limits: Limits) -> dict[str, Any]:
    """Dice on films whose lungs readers drew: of find_lungs, and of the finder alone."""
    films = {name: decode(data, name) for name, data in read_batch(folder / "images")}
    if not films:
        raise InputError(f"{folder}/images: holds no film")
    rows = dict(rows_of(iter(films.items()), size_px, see, limits))
    dice, alone = [], []
    for name, film in films.items():
        height, width = film.shape
        with Image.open(folder / "masks" / name) as image:
            truth = np.asarray(image.convert("L")) > 127
        if truth.shape != film.shape:
            raise InputError(f"{folder}/masks/{name}: is not as large as its film")
        mask = lungs.decode_rle(rows[name]["mask_rle"])
        dice.append(lungs.dice(lungs.over_film(mask, width, height), truth))
        small = lungs.see(film, lungs.MASK_SIDE)
        found, _ = lung_finder.find(small, lungs.on_film(width, height))
        alone.append(lungs.dice(lungs.over_film(found, width, height), truth))
    methods = pd.Series([row["method"] for row in rows.values()]).value_counts()
    return {
        "films": len(films),
        "methods": {method: int(methods[method]) for method in lungs.METHODS if method in methods},
        "dice": spread(dice),
        "finder_dice": spread(alone),
    }


def overlap(one: dict[str, Any], other: lungs.Box) -> float:
    """Intersection over union of a row's box and another."""
    first = Box(
        one["x0_px"], one["y0_px"], one["x1_px"] - one["x0_px"], one["y1_px"] - one["y0_px"]
    )
    area = (other.x1_px - other.x0_px) * (other.y1_px - other.y0_px)
    both = first.shared(*other)
    return both / (first.w_px * first.h_px + area - both)


def finder_alone(films: dict[str, Film], rows: Rows, limits: Limits) -> dict[str, Any]:
    """How the finder without a network, asked of every film, agrees with the segmenter's boxes."""
    shared = []
    sure = 0
    for name, film in track(films.items(), len(films), "films by the finder"):
        height, width = film.shape
        small = lungs.see(film, lungs.MASK_SIDE)
        mask, quality = lung_finder.find(small, lungs.on_film(width, height))
        sure += quality >= limits.min_quality
        if rows[name]["method"] == "unet" and mask.any():
            ratio = limits.min_height_to_width
            box = lungs.box_around(mask, width, height, limits.margins, ratio)
            shared.append(overlap(rows[name], box))
    return {"sure_films": sure, "box_iou": spread(shared or [float("nan")])}


def by_hand(path: Path, films: dict[str, Film], rows: Rows) -> dict[str, Any]:
    """On how many films the box cuts more than `OVER` off the lungs that a person marked."""
    marked = pd.read_csv(path, dtype={"image": str})
    marked = marked[marked["image"].isin(rows)]
    if not {"x0", "y0", "x1", "y1"} <= set(marked) or marked.empty:
        raise InputError(f"{path}: needs image, x0, y0, x1, y1 of films that are there")
    worst: dict[str, float] = {}
    by_crop = 0
    for hand in marked.itertuples():
        height, width = films[hand.image].shape
        box = lungs.Box.of(rows[hand.image])
        crop = square_around(*box, width, height)
        ends = crop.x0_px + crop.side_px, crop.y0_px + crop.side_px
        worst[hand.image] = lost(hand, width, height, box)
        by_crop += lost(hand, width, height, lungs.Box(crop.x0_px, crop.y0_px, *ends)) > OVER
    cutting = sorted(name for name, share in worst.items() if share > OVER)
    return {
        "films": len(marked),
        "over": OVER,
        "cutting": len(cutting),
        "cutting_by_crop": by_crop,
        "worst": round(max(worst.values()), 4),
        "images": cutting,
    }


def lost(hand: Any, width: int, height: int, box: lungs.Box) -> float:  # noqa: ANN401 - a row
    """The largest share of the film's side that a box loses of marked lungs, on any side."""
    return max(
        box.x0_px / width - hand.x0,
        box.y0_px / height - hand.y0,
        hand.x1 - box.x1_px / width,
        hand.y1 - box.y1_px / height,
        0.0,
    )


def of_findings(path: Path, films: dict[str, Film], rows: Rows) -> dict[str, Any] | None:
    """How much of the boxes of findings the crop and the lungs' box keep."""
    shares = []
    for image, _, *numbers in read_boxes(path) if path.is_file() else ():
        if image in rows:
            height, width = films[image].shape
            box = lungs.Box.of(rows[image])
            crop = square_around(*box, width, height)
            ends = crop.x0_px + crop.side_px, crop.y0_px + crop.side_px
            drawn = Box(*map(float, numbers))
            by_crop = kept(drawn, (width, height), crop.x0_px, crop.y0_px, *ends)
            shares.append((by_crop, kept(drawn, (width, height), *box)))
    if not shares:
        return None
    crops, boxes = zip(*shares, strict=True)
    return {
        "boxes": len(shares),
        "cut_by_crop": sum(share < ENOUGH for share in crops),
        "least_by_crop": round(min(crops), 4),
        "least_by_box": round(min(boxes), 4),
    }


def draw_sheets(folder: Path, films: dict[str, Film], rows: Rows, marked: list[str]) -> None:
    """Draw all films, the doubtful first, and those whose lungs the box cuts, to be looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    doubtful = sorted(
        rows, key=lambda n: (-lungs.METHODS.index(rows[n]["method"]), rows[n]["quality"], n)
    )
    sheets = {
        f"all-{at // A_SHEET + 1:02d}": doubtful[at : at + A_SHEET]
        for at in range(0, len(doubtful), A_SHEET)
    }
    if marked:
        sheets["cut"] = marked[:A_SHEET]
    for sheet, names in sheets.items():
        across = 10
        page = Image.new("RGB", (across * TILE_PX, -(-len(names) // across) * TILE_PX))
        for number, name in enumerate(names):
            picture = outlined(films[name], pd.Series(rows[name]), TILE_PX - 4, [])
            page.paste(picture, (number % across * TILE_PX, number // across * TILE_PX))
        page.save(folder / f"{sheet}.png")


def conditions(segmenter: Path, threads: int) -> dict[str, Any]:
    """When, on what and with which segmenter this was measured."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    config = json.loads((segmenter / "config.json").read_text(encoding="utf-8"))
    weights = (segmenter / "weights.safetensors").read_bytes()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {"cpu": names[0] if names else platform.processor(), "threads": threads},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "torch": torch.__version__,
            "segmentation_models_pytorch": smp.__version__,
        },
        "segmenter": {**config, "weights_sha256": hashlib.sha256(weights).hexdigest()},
    }


def main(arguments: list[str]) -> None:
    """Measure, print and write what was found."""
    if not 4 <= len(arguments) <= 6:
        raise InputError(USAGE)
    name, *rest = arguments
    named = [None if given == "-" else Path(given) for given in rest]
    segmenter, masked, folder, hand, sheets = (*named, None, None)[:5]
    if segmenter is None or folder is None:
        raise InputError(USAGE)
    threads = torch.get_num_threads()
    limits = limits_of_params()
    see, size_px = segmenter_of(segmenter, threads)
    started = time.monotonic()
    films = {name: decode(data, name) for name, data in read_batch(folder)}
    if not films:
        raise InputError(f"{folder}: holds no film")
    rows = dict(rows_of(iter(films.items()), size_px, see, limits))
    rate = len(films) / (time.monotonic() - started)
    counts = pd.Series([row["method"] for row in rows.values()]).value_counts()
    measured = conditions(segmenter, threads) | {
        "phantoms": json.loads((segmenter / "metrics.json").read_text(encoding="utf-8")),
        "masked": on_masked(masked, see, size_px, limits) if masked else None,
        "films": {
            "films": len(films),
            "methods": {
                method: int(counts[method]) for method in lungs.METHODS if method in counts
            },
            "films_per_s": round(rate, 1),
            "finder": finder_alone(films, rows, limits),
        },
        "hand": by_hand(hand, films, rows) if hand else None,
        "boxes": of_findings(folder / BOX_FILE, films, rows),
    }
    if sheets:
        draw_sheets(sheets, films, rows, (measured["hand"] or {}).get("images", []))
    others = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    text = json.dumps({**others, name: measured}, indent=1, ensure_ascii=False, sort_keys=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        say(str(error))
        sys.exit(2)
