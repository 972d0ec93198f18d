"""Draw chest films with known lungs, findings and labels, as a share in NIH's layout."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ribcage.archives import archive, png, put
from ribcage.engine import step
from ribcage.errors import InputError
from ribcage.findings import BOXED, NO_FINDING, canonical
from ribcage.phantoms.exposure import draw_film
from ribcage.phantoms.population import (
    FAULTS,
    MARKS,
    Cohort,
    Film,
    Shortcut,
    on_test_list,
    population,
)
from ribcage.progress import Progress

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],Phantom"
)
"""NIH's header, and a column of our own: nothing else in the table tells it from a laboratory's."""
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
NAMES_FOR_BOXES = {"Infiltration": "Infiltrate"}
"""NIH's box file has its own spelling."""
FILM_SIDE_CM = 42.0

Boxes = dict[str, tuple[float, float, float, float]]


class Files(NamedTuple):
    """What is stored of one film: PNG files, and its boxes."""

    film: bytes
    lungs: bytes
    parts: dict[str, bytes]
    boxes: Boxes


def draw(task: tuple[Film, int, int]) -> Files:
    """Draw one film and encode it, with the masks of lungs, heart and findings."""
    film, size_px, seed = task
    drawn = draw_film(film, size_px, seed)
    pixels = drawn.pixels
    if film.rgba:  # as 519 of NIH's films are stored
        pixels = np.dstack([pixels, pixels, pixels, np.full_like(pixels, 255)])
    parts = {"Heart": drawn.heart, **drawn.lesions}
    masks = {name: _mask(mask) for name, mask in parts.items()}
    return Files(png(pixels), _mask(drawn.lungs), masks, drawn.boxes)


def _mask(mask: np.ndarray) -> bytes:
    return png(np.where(mask, np.uint8(255), np.uint8(0)))


def _start_worker() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the runner's handler, which raises


@contextmanager
def drawing(tasks: list[tuple[Film, int, int]], threads: int) -> Iterator[Iterator[Files]]:
    """Give the drawn films in the order of the tasks, whoever drew them."""
    if threads == 1:
        cv2.setNumThreads(1)
        yield map(draw, tasks)
        return
    # An executor, not a Pool: it raises when a worker is killed, where a Pool waits for ever.
    context = multiprocessing.get_context("fork")
    workers = ProcessPoolExecutor(threads, context, initializer=_start_worker)
    try:
        yield workers.map(draw, tasks, chunksize=8)
    finally:
        workers.shutdown(cancel_futures=True)


def entry(film: Film, size_px: int) -> str:
    """A row of the table."""
    spacing = round(FILM_SIDE_CM * 10 / size_px, 6)
    labels = "|".join(film.listed) or NO_FINDING
    person = f"{film.patient},{film.age_years},{film.sex},{film.view}"
    geometry = f"{size_px},{size_px},{spacing},{spacing}"
    return f"{film.name},{labels},{film.follow_up},{person},{geometry},yes"


def box_row(film: Film, finding: str, box: tuple[float, float, float, float]) -> str:
    """A row of NIH's box file."""
    return ",".join([film.name, NAMES_FOR_BOXES.get(finding, finding), *(f"{v:g}" for v in box)])


def write_lists(share: Path, films: list[Film], test_share: float, seed: int) -> set[str]:
    """Write the official lists and the blacklists; return the names on the test list."""
    test = {film.name for film in films if on_test_list(film.patient, test_share, seed)}
    others = {film.name for film in films} - test
    (share / "test_list.txt").write_text("\n".join(sorted(test)), encoding="utf-8")
    (share / "train_val_list.txt").write_text("\n".join(sorted(others)), encoding="utf-8")
    folder = share / "blacklists"
    folder.mkdir()
    for fault in ("non_PA_AP_view", *FAULTS):
        named = "".join(f"{film.name}\n" for film in films if film.fault == fault)
        (folder / f"blacklist_{fault}.csv").write_text(named, encoding="utf-8")
    return test


def check(key: str, value: float, least: float, most: float) -> None:
    """Refuse a param outside its range."""
    if not least <= value <= most:
        raise InputError(f"draw_phantoms.{key} must be {least:,} to {most:,}, got {value}")


def cohort_of(
    no_finding_share: float,
    rare_boost: float,
    label_noise: dict[str, float],
    shortcuts: list[dict[str, Any]],
) -> Cohort:
    """Read what is wanted of the population; refuse what cannot be drawn, by name."""
    check("no_finding_share", no_finding_share, 0.05, 0.95)
    check("rare_boost", rare_boost, 0, 1)
    for key in ("missed", "invented"):
        check(f"label_noise.{key}", label_noise[key], 0, 1)
    planted: list[Shortcut] = []
    for number, wanted in enumerate(shortcuts):
        where = f"draw_phantoms.shortcuts: entry {number + 1}"
        for key in ("with", "without"):
            check(f"shortcuts: entry {number + 1}: {key}", wanted[key], 0, 1)
        mark = wanted["mark"]
        if mark not in MARKS or mark in {other.mark for other in planted}:
            raise InputError(f"{where}: mark {mark!r} must be one of {', '.join(MARKS)}, each once")
        finding = canonical(wanted["finding"], where)
        planted.append(Shortcut(finding, mark, wanted["with"], wanted["without"]))
    noise = label_noise["missed"], label_noise["invented"]
    return Cohort(no_finding_share, rare_boost, *noise, tuple(planted))


def write_truth(share: Path, films: list[Film]) -> None:
    """Write what is really drawn, and the marks: a row a finding and a row a mark."""
    found = [f"{film.name},{finding}\n" for film in films for finding in film.findings]
    borne = [f"{film.name},{mark}\n" for film in films for mark in film.marks]
    (share / "truth.csv").write_text("".join(["image,finding\n", *found]), encoding="utf-8")
    (share / "marks.csv").write_text("".join(["image,mark\n", *borne]), encoding="utf-8")


def main(
    share: Path,
    films: int,
    films_per_batch: int,
    size_px: int,
    quality_faults: float,
    test_share: float,
    seed: int,
    no_finding_share: float = 0.4,
    rare_boost: float = 0.85,
    label_noise: dict[str, float] | None = None,
    shortcuts: list[dict[str, Any]] | None = None,
    threads: int = 1,
) -> None:
    """Write a folder as NIH shares its data, and the lungs' masks beside it.

    Args:
        share: the folder to write: `Data_Entry_2017_v2020.csv`, `BBox_List_2017.csv`,
            `train_val_list.txt`, `test_list.txt`, `blacklists/`, `images/<batch>.tar.gz`,
            `lung_masks/<batch>.tar.gz`; `part_masks/<batch>.tar.gz` with masks of the heart and of
            each finding, as `<film>_Heart.png` and `<film>_Mass.png`; `truth.csv` (image, finding:
            what is drawn, which is what the table says where labels have no noise) and `marks.csv`
            (image, mark).
        films: how many to draw.
        films_per_batch: films an archive, the last one fewer.
        size_px: side of a film.
        quality_faults: share of films that lie on their side or are far too dark, and that a
            blacklist names.
        test_share: share of patients on the test list.
        seed: of everything.
        no_finding_share: share of films on which nothing is drawn.
        rare_boost: in [0, 1]: 0 for NIH's shares of findings, 1 for findings equally common.
        label_noise: `missed`, the share of drawn findings that the table does not name, and
            `invented`, the share of films of which it names one that is not there; None for none.
        shortcuts: each a `finding`, a `mark`, and the shares of films `with` and `without` the
            finding that bear the mark; a mark is planted once.
        threads: worker processes; their count changes nothing.

    Raises:
        InputError: a param is out of its range; nothing is written.
    """
    check("films", films, 10, 1_000_000)
    check("films_per_batch", films_per_batch, 1, 1_000_000)
    check("size_px", size_px, 64, 2048)
    check("quality_faults", quality_faults, 0, 1)
    check("test_share", test_share, 0, 1)
    noise = label_noise or {"missed": 0.0, "invented": 0.0}
    cohort = cohort_of(no_finding_share, rare_boost, noise, shortcuts or [])
    planned = population(films, quality_faults, seed, cohort)
    share.mkdir()
    write_truth(share, planned)
    test = write_lists(share, planned, test_share, seed)
    progress = Progress(len(planned), "films")
    boxes: list[str] = []
    tasks = [(film, size_px, seed) for film in planned]
    with drawing(tasks, min(threads, os.cpu_count() or 1)) as drawn:
        for first in range(0, len(planned), films_per_batch):
            part = planned[first : first + films_per_batch]
            name = f"images_{first // films_per_batch + 1:03d}.tar.gz"
            with (
                archive(share / "images" / name) as images,
                archive(share / "lung_masks" / name) as lungs,
                archive(share / "part_masks" / name) as parts,
            ):
                for film, files in zip(part, islice(drawn, len(part)), strict=True):
                    put(images, f"images/{film.name}", files.film)
                    put(lungs, f"lung_masks/{film.name}", files.lungs)
                    for of, mask in files.parts.items():
                        put(parts, f"part_masks/{Path(film.name).stem}_{of}.png", mask)
                    if film.name in test:  # as in NIH's set, only test films have boxes
                        listed = [f for f in files.boxes if f in BOXED and f in film.listed]
                        boxes += [box_row(film, f, files.boxes[f]) for f in listed]
                    progress.add()
    rows = [entry(film, size_px) for film in planned]
    table = "\n".join([HEADER, *rows]) + "\n"
    (share / "Data_Entry_2017_v2020.csv").write_text(table, encoding="utf-8")
    (share / "BBox_List_2017.csv").write_text(
        "\n".join([BOX_HEADER, *boxes]) + "\n", encoding="utf-8"
    )


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
