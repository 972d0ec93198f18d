"""Contact sheets of phantoms: one of each finding, and phantoms beside the films of a folder.

    python benchmarks/phantom_sheets.py SHEETS [FILMS]

writes findings.jpg, ages.jpg and, where a folder of films is given, beside_films.jpg to the folder
SHEETS, and prints how long a film takes on one core. Nothing is chosen by hand: patients are
numbered, films of the folder are drawn by a fixed seed.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from ribcage.films import decode
from ribcage.findings import FINDINGS
from ribcage.phantoms.exposure import draw_film
from ribcage.phantoms.population import Film, population

SEED, SIDE_PX = 1, 512


def captioned(pixels: np.ndarray, words: str, side: int) -> Image.Image:
    """A film at a side in pixels, with a line of words under it."""
    tile = Image.new("L", (side + 4, side + 20), 255)
    tile.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX), (2, 2))
    ImageDraw.Draw(tile).text((4, side + 5), words, fill=0)
    return tile


def sheet(tiles: list[Image.Image], columns: int, path: Path) -> None:
    """Lay out tiles of one size, row by row."""
    wide, high = tiles[0].size
    rows = -(-len(tiles) // columns)
    page = Image.new("L", (wide * columns, high * rows), 255)
    for k, tile in enumerate(tiles):
        page.paste(tile, (wide * (k % columns), high * (k // columns)))
    page.save(path, quality=80)


def of_each_finding(patient: int) -> list[Image.Image]:
    """A patient without a finding and with each."""
    tiles = []
    for shown in ((), *((finding,) for finding in FINDINGS)):
        film = Film(patient, 0, 52, "M", "PA", shown, None, False)
        drawn = draw_film(film, SIDE_PX, SEED)
        tiles.append(captioned(drawn.pixels, ", ".join(shown) or "No finding", 300))
    return tiles


def of_ages() -> list[Image.Image]:
    """Other patients, from the youngest to the oldest, PA and AP."""
    tiles = []
    for k, age in enumerate((1, 4, 8, 12, 18, 25, 35, 45, 55, 65, 75, 85)):
        film = Film(100 + k, 0, age, "MF"[k % 2], "AP" if k % 3 == 0 else "PA", (), None, False)
        drawn = draw_film(film, SIDE_PX, SEED)
        tiles.append(captioned(drawn.pixels, f"aged {age}, {film.sex}, {film.view}", 300))
    return tiles


def beside(folder: Path, count: int = 12) -> list[Image.Image]:
    """Phantoms of the population, each followed by a film of the folder."""
    rng = np.random.default_rng(SEED)
    paths = sorted(folder.rglob("*.png"))
    drawn = rng.permutation(len(paths))[:count]
    planned = population(3000, 0.0, SEED)
    chosen = rng.permutation(len(planned))[:count]
    tiles = []
    for k, n in zip(chosen, drawn, strict=False):
        film = planned[k]
        words = f"phantom: {', '.join(film.findings) or 'No finding'}"
        tiles.append(captioned(draw_film(film, SIDE_PX, SEED).pixels, words, 300))
        real = decode(paths[n].read_bytes(), paths[n].name)
        tiles.append(captioned(real, paths[n].name, 300))
    return tiles


def ms_a_film(size: int, films: int = 40) -> float:
    """Milliseconds of one core's time a film takes."""
    planned = population(films, 0.0, SEED)
    draw_film(planned[0], size, SEED)
    start = time.process_time()
    for film in planned:
        draw_film(film, size, SEED)
    return 1000 * (time.process_time() - start) / films


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python benchmarks/phantom_sheets.py SHEETS [FILMS]")
    cv2.setNumThreads(1)
    to = Path(sys.argv[1])
    to.mkdir(parents=True, exist_ok=True)
    sheet(of_each_finding(40), 5, to / "findings.jpg")
    sheet(of_ages(), 4, to / "ages.jpg")
    if len(sys.argv) == 3:
        sheet(beside(Path(sys.argv[2])), 6, to / "beside_films.jpg")
    for size in (256, 512):
        print(f"{size} px: {ms_a_film(size):.0f} ms a film on one core")
