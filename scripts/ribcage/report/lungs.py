"""What the section on lungs says: how well they are found, and what the crops cut off."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ribcage.boxes import ENOUGH
from ribcage.findings import FINDINGS
from ribcage.report import pictures
from ribcage.report.cells import signed
from ribcage.report.charts import Line, chart
from ribcage.report.figures import Figure
from ribcage.report.sections import Table
from ribcage.words import percent, plural

METHODS = {
    "unet": "the network, film and mirror image",
    "unet_ensemble": "the network, film in several tones",
    "lung_finder": "the average pair of lungs, no network",
    "whole_film": "none: the film is taken whole",
}
BY_NETWORK = ("unet", "unet_ensemble")
SETTINGS = ("architecture", "encoder", "decoder_channels", "init", "size_px", "seed", "settings")
"""What of a segmenter's config.json is its settings."""


def lungs(
    found: pd.DataFrame, segmenter: Path, dice: dict[str, Any], drawn: Path, on_real_films: Path
) -> dict[str, Any]:
    """How well lungs are found, what the crops cut off, and sheets of films.

    Args:
        found: the rows of data/lungs, of all batches.
        segmenter: the folder of train_segmenter.
        dice: its metrics.json.
        drawn: the folder of draw_lungs.
        on_real_films: what benchmarks/lungs_on_real_films.py measured, if it ever did.
    """
    history = pd.read_csv(segmenter / "history.csv")
    samples, overlap = history["samples"].to_numpy(float), history["dice"].to_numpy(float)
    lowest = max(0.0, float(np.floor(overlap.min() * 10) / 10))
    line = Line("held-out phantoms", samples, overlap, "e0", mark=len(samples) - 1)
    reach = (0.0, max(float(samples.max()), 1.0))  # imported weights have a single point, at 0
    counts = found["method"].value_counts()
    rows = [
        [method, what, f"{counts[method]:,}", percent(counts[method], len(found))]
        for method, what in METHODS.items()
        if counts.get(method, 0)
    ]
    loss = pd.read_csv(drawn / "box_loss.csv", dtype={"image": str, "finding": str})
    return {
        "sentence": _sentence(segmenter, dice, counts.to_dict(), len(found)),
        "figure": Figure(
            "dice-of-the-segmenter",
            chart(
                [line], "training films seen", "Dice", "Dice of the segmenter", reach, (lowest, 1.0)
            ),
            "Overlap (Dice) of the segmenter's lungs with the true ones, on held-out phantoms, as it "
            f"learns.{_last_step(overlap)}",
        ),
        "methods": Table(["method", "who found the lungs", "films", "share"], rows, text=(0, 1)),
        "real": _real(on_real_films, segmenter),
        **_losses(loss),
        "sheets": _sheets(found, loss, drawn),
    }


def _sentence(segmenter: Path, dice: dict[str, Any], counts: dict[str, int], films: int) -> str:
    """How good the network is on phantoms, and on how many films it, and who else, found lungs."""
    who, whole = _who(segmenter), counts.get("whole_film", 0)
    own = sum(counts.get(method, 0) for method in BY_NETWORK)
    measured = (
        f"Dice {dice['dice_mean']:.3f} on {plural(dice['films'], 'held-out phantom')} "
        f"(the worst {dice['dice_min']:.3f}){_held_real(dice)}"
    )
    rest = f"{plural(whole, 'film')} {'is' if whole == 1 else 'are'} taken whole."
    if 2 * own < films:
        return (
            f"{who} reaches {measured}, but its lungs are plausible on {own:,} of {plural(films, 'film')} "
            f"alone. The average pair of lungs, without a network, boxed {counts.get('lung_finder', 0):,}; {rest}"
        )
    return (
        f"{who} finds the lungs: {measured}. Where its lungs are not plausible, other methods are asked. "
        f"{plural(films - whole, 'film')} of {films:,} got a box; {rest}"
    )


def _who(segmenter: Path) -> str:
    """What the segmenter is, and whether it ever saw a real film."""
    config = json.loads((segmenter / "config.json").read_text(encoding="utf-8"))
    real = int(config.get("n_real_films", 0))
    return (
        f"A network that learnt from {plural(real, 'real film')}"
        if real
        else ("A network that has seen no real film" if not config.get("init") else "A network")
    )


def _held_real(dice: dict[str, Any]) -> str:
    """Dice on the real films that were held out, if there were any."""
    real = dice.get("real")
    return f", {real['dice_mean']:.3f} on {plural(real['films'], 'real film')}" if real else ""


def _losses(loss: pd.DataFrame) -> dict[str, Any]:
    """What the crops leave of the boxes that readers drew around findings."""
    header = ["finding", "boxes", "kept by the crop", "cut", "least kept", "kept by the lungs' box"]
    rows = []
    for finding in (*FINDINGS, "All"):
        own = loss if finding == "All" else loss[loss["finding"] == finding]
        if len(own):
            crop = own["kept_by_crop"]
            few = int((crop < ENOUGH).sum())
            shares = [_share(v) for v in (crop.mean(), crop.min(), own["kept_by_box"].mean())]
            rows.append([finding, f"{len(own):,}", shares[0], f"{few:,}", *shares[1:]])
    if not rows:
        sentence = (
            "The source has no box of a finding on a film that is used, so what the crops cut off "
            "cannot be told."
        )
    else:
        few = int((loss["kept_by_crop"] < ENOUGH).sum())
        sentence = (
            f"The source has boxes of findings on films that are used: {len(loss):,}. The crops, squares around the lungs' boxes, keep "
            f"{_share(loss['kept_by_crop'].mean())} of their area on average; {_cut(few)}."
        )
    return {"loss_sentence": sentence, "loss": Table(header, rows, sums=("All",))}


def _last_step(overlap: np.ndarray) -> str:
    """What the last measurement changed; imported weights have one alone."""
    if len(overlap) < 2:
        return ""
    return f" The last step changed it by {signed(float(overlap[-1] - overlap[-2]))}, to {overlap[-1]:.3f}."


def _cut(few: int) -> str:
    """How many boxes a crop cuts, and what that means."""
    if not few:
        return f"none loses more than {100 * (1 - ENOUGH):.0f} %"
    return f"{few:,} {'loses' if few == 1 else 'lose'} more than {100 * (1 - ENOUGH):.0f} %"


def _share(value: float) -> str:
    """A share rounded down, so that 100 % means all of it."""
    return f"{np.floor(value * 1000 + 1e-6) / 10:.1f} %"


def _real(path: Path, segmenter: Path) -> list[str]:
    """What was measured on real films, a paragraph a segmenter, and whether it is this one."""
    if not path.is_file():
        return [
            "Not measured: run benchmarks/lungs_on_real_films.py with real films, which are no part "
            "of this project."
        ]
    measured = json.loads(path.read_text(encoding="utf-8"))
    return [
        f"The segmenter “{name}”: {' '.join(_sentences(seen))} {_same(seen['segmenter'], segmenter)}"
        for name, seen in sorted(measured.items(), reverse=True)
    ]


def _sentences(seen: dict[str, Any]) -> list[str]:
    masked, films, hand, boxes = (seen[key] for key in ("masked", "films", "hand", "boxes"))
    said = []
    if masked:
        dice = masked["dice"]
        said.append(
            f"On {plural(masked['films'], 'film')} with masks drawn by readers: Dice {dice['mean']:.3f} "
            f"on average, median {dice['median']:.3f}, a quarter under {dice['p25']:.3f}, the worst "
            f"{dice['min']:.3f}. The finder without a network alone: {masked['finder_dice']['mean']:.3f}."
        )
    ways = ", ".join(f"{count:,} by {method}" for method, count in films["methods"].items())
    said.append(
        f"Of {plural(films['films'], 'real film')} in NIH's layout, boxes were found: {ways}."
    )
    if hand:
        said.append(
            f"On {hand['films']:,} of them a reader, no radiologist, marked the visible lungs: on "
            f"{hand['cutting']:,} ({percent(hand['cutting'], hand['films'])}) the box cuts more than "
            f"{100 * hand['over']:.0f} % of the film's side off them."
        )
    if boxes:
        said.append(
            f"Of {boxes['boxes']:,} finding boxes, {boxes['cut_by_crop']:,} lie less than {100 * ENOUGH:.0f} % in "
            f"the crop; the least is {_share(boxes['least_by_crop'])} (in the lungs' box "
            f"{_share(boxes['least_by_box'])})."
        )
    machine = seen["machine"]
    said.append(
        f"Its phantoms: Dice {seen['phantoms']['dice_mean']:.3f}. Measured on {seen['date']} with "
        f"{_settings(seen['segmenter'])}, on {machine['cpu']}, {plural(machine['threads'], 'thread')}, "
        f"{films['films_per_s']:.0f} films a second."
    )
    return said


def _settings(config: dict[str, Any]) -> str:
    """A segmenter's settings in a few words."""
    own = ", ".join(f"{key} {value}" for key, value in sorted(config["settings"].items()))
    return f"encoder {config['encoder']}, {config['size_px']} px, {own}"


def _same(measured: dict[str, Any], segmenter: Path) -> str:
    """Whether the figures are those of the segmenter that this report is about."""
    weights = (segmenter / "weights.safetensors").read_bytes()
    config = json.loads((segmenter / "config.json").read_text(encoding="utf-8"))
    if hashlib.sha256(weights).hexdigest() == measured["weights_sha256"]:
        return "It is the segmenter of this report."
    if all(config.get(key) == measured.get(key) for key in SETTINGS):
        return (
            "The segmenter of this report has the same settings and other weights: it learnt from "
            "other phantoms, by other code or on another machine."
        )
    return "The segmenter of this report has other settings; these figures are not its own."


def _sheets(found: pd.DataFrame, loss: pd.DataFrame, drawn: Path) -> list[dict[str, Any]]:
    """The sheets that have any film, each with a sentence on how many of how many it shows."""
    shown = pd.read_csv(drawn / "sheets.csv", dtype={"image": str, "picture": str})
    of = {name: shown[shown["sheet"] == name] for name in ("random", "worst", "fallback", "cut")}
    at_once = int((found["method"] == "unet").sum())
    cut = int((loss.groupby("image")["kept_by_crop"].min() < 1).sum())
    low = of["worst"]["quality"].min()
    sentences = {
        "random": (
            "Random films",
            f"{len(of['random']):,} of {plural(len(found), 'film')}, drawn at random: green the lungs, "
            "amber the box that a film is cut to, blue a box by another method than the first.",
        ),
        "worst": (
            "The least plausible lungs",
            f"{len(of['worst']):,} of the {plural(at_once, 'film')} whose lungs the network found at "
            f"once: those of the lowest quality (from {low:.2f}; 1 is an ordinary pair of lungs).",
        ),
        "fallback": (
            "Films that another method boxed",
            f"{len(of['fallback']):,} of {plural(len(found) - at_once, 'film')}: first those that are "
            "taken whole, then those of the finder without a network, then those that the network had to see in several tones.",
        ),
        "cut": (
            "Finding boxes that are cut",
            f"{len(of['cut']):,} of {plural(cut, 'film')} of whose finding boxes (red) the crop (white) "
            "does not hold all, the worst first.",
        ),
    }
    return [
        {
            "title": title,
            "sentence": sentence,
            "films": _films(of[name], drawn),
            "open": name == "random",
        }
        for name, (title, sentence) in sentences.items()
        if len(of[name])
    ]


def _films(rows: pd.DataFrame, drawn: Path) -> list[dict[str, Any]]:
    return [
        {
            "src": pictures.file_uri(drawn / row["picture"]),
            "alt": f"Film {row['image']} with the outline of its lungs and their box",
            "caption": f"{row['image']} · {METHODS[row['method']]} · quality {row['quality']:.2f}",
        }
        for _, row in rows.iterrows()
    ]
