"""What lies on or in a patient and is not the patient, and the letters on a film.

Devices are plastic and metal added to the chest's maps before the exposure; letters are lead on the
detector, or printed by it afterwards. Lengths are shares of the film's side, which is 42 cm.
"""

from collections.abc import Callable

import cv2
import numpy as np

from ribcage.phantoms.anatomy import Chest
from ribcage.phantoms.canvas import Line, blur, strokes
from ribcage.phantoms.population import MARKS, Film

METAL_CM = 3.0
"""Bone as opaque as what a stroke of full strength draws: about 1.3 mm of steel."""
CM = 1 / 42

Masks = dict[str, np.ndarray]
Draw = Callable[[Chest, Film, Masks, np.random.Generator], list[Line]]


def inside(chest: Chest, film: Film, masks: Masks | None, rng: np.random.Generator) -> None:
    """Draw the devices of `film.marks` into the chest's maps.

    Args:
        chest: its `bone` is changed.
        film: what it bears.
        masks: by finding, bool [size, size]: a drain goes to the side of air or fluid.
        rng: of the film's devices alone; each device has draws of its own.
    """
    lines: list[Line] = []
    for mark, own in zip(MARKS, rng.spawn(len(MARKS)), strict=True):
        if mark in film.marks and mark in DEVICES:
            lines += DEVICES[mark](chest, film, masks or {}, own)
    if lines:
        # What is thinner than a pixel is drawn one pixel wide and as much weaker.
        thin = [(p, w, s * min(1.0, w * chest.size)) for p, w, s in lines]
        chest.bone = chest.bone + METAL_CM * blur(strokes(thin, chest.size), 0.0012)


def _curve(*points: tuple[float, float]) -> np.ndarray:
    """A smooth open line [n, 2] through the first and last and near the other points."""
    line = np.array(points, float)
    for _ in range(4):
        cut = np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], 1)
        line = np.vstack([line[:1], cut.reshape(-1, 2), line[-1:]])
    return line


def _pipe(line: np.ndarray, wide: float, wall: float, stripe: float) -> list[Line]:
    """A plastic tube: two walls, and a stripe of barium along it."""
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    across *= wide / 2 / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    walls: list[Line] = [(line + side * across, 0.12 * CM, wall) for side in (-1, 1)]
    return [(line, wide, 0.35 * wall), *walls, (line + 0.3 * across, 0.24 * CM, stripe)]


def _drain(chest: Chest, film: Film, masks: Masks, rng: np.random.Generator) -> list[Line]:
    """A chest tube: from outside through the ribs, up to the apex for air or down for fluid."""
    side = -1 if rng.random() < 0.5 else 1
    up = rng.random() < 0.6
    for finding, high in (("Effusion", False), ("Pneumothorax", True)):
        mask = masks.get(finding)
        if finding in film.findings:
            up = high
            if mask is not None and mask.any():
                side = 1 if float((chest.x * mask).sum()) > 0 else -1
    lung = chest.lungs[0 if side < 0 else 1]
    rows = np.flatnonzero(lung.any(axis=1)) / chest.size
    top, height = float(rows[0]), float(rows[-1] - rows[0])
    enters = top + height * rng.uniform(0.58, 0.80)
    wall = _edge(chest, lung, enters)
    tip_y = top + height * (rng.uniform(0.06, 0.22) if up else rng.uniform(0.72, 0.88))
    tip = (side * rng.uniform(0.09, 0.15), tip_y)
    bend = (
        side * rng.uniform(0.80, 0.95) * _edge(chest, lung, (tip_y + enters) / 2),
        (tip_y + enters) / 2,
    )
    start = (side * (wall + rng.uniform(0.16, 0.24)), enters + rng.uniform(0.08, 0.22))
    line = _curve(start, (side * (wall + 0.02), enters + 0.02), bend, tip)
    pipe = _pipe(line, rng.uniform(0.8, 1.15) * CM, 0.34, rng.uniform(0.75, 1.0))
    # The sentinel eye: near the tip the stripe is cut by the last hole.
    points, width, strength = pipe.pop()
    eye = int(len(points) * rng.uniform(0.72, 0.82))
    return [*pipe, (points[: eye - 1], width, strength), (points[eye + 1 :], width, strength)]


def _edge(chest: Chest, lung: np.ndarray, at: float) -> float:
    """How far from the middle a lung reaches at a height."""
    row = lung[min(int(at * chest.size), chest.size - 1)]
    return float(np.abs(chest.x[0][row]).max()) if row.any() else 0.25


def _lead(chest: Chest, film: Film, masks: Masks, rng: np.random.Generator) -> list[Line]:
    """Electrodes on the chest, and their wires down and across it."""
    lines: list[Line] = []
    out = (rng.uniform(0.28, 0.44), rng.uniform(0.9, 1.05))
    out = (out[0] if rng.random() < 0.7 else -out[0], out[1])
    for x, y in ((-0.24, 0.20), (0.24, 0.20), (0.22, 0.68), (-0.22, 0.66))[
        : int(rng.integers(2, 5))
    ]:
        at = np.array([x, y]) + rng.normal(0, (0.03, 0.03))
        lines += _ring(at, 0.8 * CM, 0.10 * CM, 0.25) + _ring(at, 0.22 * CM, 0.4 * CM, 0.9)
        sway = rng.normal(0, 0.09, 2)
        path = _curve(
            tuple(at), (at[0] * 0.6 + sway[0], at[1] + 0.15), ((x + out[0]) / 2 + sway[1], 0.7), out
        )
        lines.append((path, 0.16 * CM, rng.uniform(0.35, 0.6)))
        lines.append((path[: len(path) // 9], 0.35 * CM, 0.7))  # the clip
    return lines


def _ring(at: np.ndarray, radius: float, wide: float, strength: float) -> list[Line]:
    angle = np.linspace(0, 2 * np.pi, 14)
    return [(at + radius * np.stack([np.cos(angle), np.sin(angle)], 1), wide, strength)]


def _tube(chest: Chest, film: Film, masks: Masks, rng: np.random.Generator) -> list[Line]:
    """An endotracheal tube: down the windpipe to some centimetres above its fork."""
    x, end = 0.004 + rng.normal(0, 0.004), rng.uniform(0.25, 0.33)
    line = _curve((x + rng.normal(0, 0.02), -0.02), (x, 0.10), (x + rng.normal(0, 0.003), end))
    return _pipe(line, 0.95 * CM, 0.30, 0.80)


def _line(chest: Chest, film: Film, masks: Masks, rng: np.random.Generator) -> list[Line]:
    """A central venous catheter, from the neck, a collar bone or an arm to the great vein."""
    tip = (-0.048 + rng.normal(0, 0.006), rng.uniform(0.36, 0.47))
    vein = (-0.046, rng.uniform(0.26, 0.30))
    way = rng.random()
    if way < 0.4:  # the right jugular vein
        path = _curve((-0.10 + rng.normal(0, 0.01), 0.0), (-0.075, 0.14), vein, tip)
    elif way < 0.7:  # the left or right subclavian vein
        side = 1 if rng.random() < 0.4 else -1
        path = _curve((side * 0.27, 0.26), (side * 0.20, 0.185), (side * 0.08, 0.205), vein, tip)
    else:  # from the arm
        side = 1 if rng.random() < 0.5 else -1
        path = _curve(
            (side * 0.45, 0.50),
            (side * 0.37, 0.24),
            (side * 0.2, 0.175),
            (side * 0.07, 0.205),
            vein,
            tip,
        )
    return [(path, 0.24 * CM, rng.uniform(0.5, 0.75))]


def _pacemaker(chest: Chest, film: Film, masks: Masks, rng: np.random.Generator) -> list[Line]:
    """A generator below a collar bone, and its one or two leads to the right heart."""
    side = 1 if rng.random() < 0.85 else -1
    at = np.array([side * rng.uniform(0.19, 0.24), rng.uniform(0.24, 0.30)])
    angle, turn = np.linspace(0, 2 * np.pi, 24), rng.uniform(0, np.pi)
    egg = np.stack([2.5 * np.cos(angle), 2.0 * np.sin(angle)], 1) * CM
    cos, sin = np.cos(turn), np.sin(turn)
    egg = egg @ np.array([[cos, sin], [-sin, cos]])
    lines: list[Line] = [(at + share * egg, 0.9 * CM, 0.9) for share in (0.2, 0.55)]
    lines.append((at + 0.85 * egg, 0.55 * CM, 1.0))
    mouth = tuple(at + 0.9 * egg[int(rng.integers(24))])
    apex = (rng.uniform(0.07, 0.11), rng.uniform(0.59, 0.64))
    atrium = (-0.06, rng.uniform(0.50, 0.54))
    vein = [(side * 0.10, 0.195), (-0.04, 0.25), (-0.045, 0.42)]
    for tip, low in ((apex, (-0.03, 0.60)), (atrium, (-0.02, 0.58)))[: int(rng.integers(1, 3))]:
        path = _curve(mouth, *vein, low, tip)
        lines += [(path, 0.18 * CM, 0.7), (path[-3:], 0.30 * CM, 1.0)]
    return lines


DEVICES: dict[str, Draw] = {
    "drain": _drain,
    "lead": _lead,
    "tube": _tube,
    "line": _line,
    "pacemaker": _pacemaker,
}

FACE = cv2.FONT_HERSHEY_SIMPLEX
WORDS = {
    "PA": ("ERECT", "PA", "STANDING"),
    "AP": ("PORTABLE", "AP", "SUPINE", "SEMI-ERECT", "MOBILE"),
}
TOKEN = "H1"
"""What the one site that marks its films puts on them."""


def letters(pixels: np.ndarray, film: Film, rng: np.random.Generator) -> np.ndarray:
    """Put letters on a film: a side marker, words, the token of a site.

    Args:
        pixels: float32 [size, size] in [0, 1], as the film is seen; not changed.
        film: its view, and whether `site` is among its marks.
        rng: of the film's letters alone.

    Returns:
        The film with its letters.
    """
    size = len(pixels)
    sheet, plate = np.zeros((2, size, size), np.uint8)
    if rng.random() < 0.85:
        _side_marker(sheet, plate, rng)
    if rng.random() < (0.6 if film.view == "AP" else 0.1):
        for word in rng.permutation(WORDS[film.view])[: int(rng.integers(1, 3))]:
            left = rng.uniform(0.03, 0.12) if rng.random() < 0.5 else rng.uniform(0.70, 0.80)
            high = rng.uniform(0.03, 0.10) if rng.random() < 0.6 else rng.uniform(0.88, 0.97)
            _write(sheet, str(word), left, high, rng.uniform(0.016, 0.022))
    if "site" in film.marks:
        left, top, wide, high = (int(v * size) for v in (0.025, 0.025, 0.075, 0.05))
        edge = max(1, size // 200)
        cv2.rectangle(sheet, (left, top), (left + wide, top + high), 255, edge, cv2.LINE_AA)
        _write(sheet, TOKEN, 0.036, 0.064, 0.03)
    ink, lead = sheet.astype(np.float32) / 255, plate.astype(np.float32) / 255
    return np.maximum(pixels * (1 - 0.75 * lead), ink * rng.uniform(0.85, 1.0))


def _side_marker(sheet: np.ndarray, plate: np.ndarray, rng: np.random.Generator) -> None:
    """L or R beside the patient: bare, in a ring, or on a dark plate, turned a little."""
    size = len(sheet)
    letter = "L" if rng.random() < 0.8 else "R"
    x = rng.uniform(0.86, 0.93) if letter == "L" else rng.uniform(0.04, 0.10)
    y = rng.uniform(0.04, 0.14) if rng.random() < 0.7 else rng.uniform(0.3, 0.7)
    high = rng.uniform(0.03, 0.05)
    own = np.zeros_like(sheet)
    width = _write(own, letter, x, y, high)
    middle = (x + width / 2) * size, (y - high / 2) * size
    turn = cv2.getRotationMatrix2D(middle, rng.normal(0, 12), 1)
    np.maximum(sheet, cv2.warpAffine(own, turn, (size, size)), out=sheet)
    round_middle = int(middle[0]), int(middle[1])
    style = rng.random()
    if style < 0.2:
        cv2.circle(plate, round_middle, int(high * size), 255, -1, cv2.LINE_AA)
    elif style < 0.4:
        cv2.circle(sheet, round_middle, int(high * size), 255, max(1, size // 250), cv2.LINE_AA)


def _write(sheet: np.ndarray, text: str, left: float, bottom: float, high: float) -> float:
    """Write text `high` high; return its width. OpenCV's letters are 21 px high at scale 1."""
    size = len(sheet)
    scale, thick = high * size / 21, max(1, round(high * size / 9))
    at = int(left * size), int(bottom * size)
    cv2.putText(sheet, text, at, FACE, scale, 255, thick, cv2.LINE_AA)
    return float(cv2.getTextSize(text, FACE, scale, thick)[0][0] / size)
