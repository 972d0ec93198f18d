"""Films for the page: small, dark-framed, with outlines where they lie; as data URIs."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from ribcage import lungs
from ribcage.films import decode, read_batch

MASK_COLOUR, BOX_COLOUR, WHOLE_COLOUR = (94, 214, 164), (255, 176, 0), (120, 190, 255)


def data_uri(image: Image.Image, quality: int = 78) -> str:
    """A WebP image inside the page."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def file_uri(path: Path) -> str:
    """An image file inside the page."""
    kind = {".webp": "webp", ".jpg": "jpeg", ".png": "png"}[path.suffix]
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()


def with_lungs(film: np.ndarray, row: pd.Series, side_px: int) -> Image.Image:
    """A film with the outline of its lung mask and the box that it is cut to.

    Args:
        film: uint8 [height, width].
        row: of data/lungs: x0_px, y0_px, x1_px, y1_px, method, mask_rle.
        side_px: longer side of the picture.
    """
    height, width = film.shape
    scale = side_px / max(height, width)
    size = round(width * scale), round(height * scale)
    small = np.asarray(Image.fromarray(film).resize(size, Image.Resampling.BOX))
    picture = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_GRAY2RGB)
    mask = lungs.over_film(lungs.decode_rle(row["mask_rle"]), width, height)
    shrunk = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    outlines, _ = cv2.findContours(
        shrunk.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, outlines, -1, MASK_COLOUR, 1, cv2.LINE_AA)
    corners = [round(float(row[key]) * scale) for key in ("x0_px", "y0_px", "x1_px", "y1_px")]
    colour = BOX_COLOUR if row["method"] == "unet" else WHOLE_COLOUR
    cv2.rectangle(picture, corners[:2], [corners[2] - 1, corners[3] - 1], colour, 1)
    return Image.fromarray(picture)


def read_films(batches: Sequence[Path], wanted: set[str]) -> dict[str, np.ndarray]:
    """Read a few films by name; the archives are streamed only as far as needed."""
    found: dict[str, np.ndarray] = {}
    for batch in batches:
        if len(found) == len(wanted):
            break
        for name, data in read_batch(batch, wanted):
            found[name] = decode(data, name)
            if len(found) == len(wanted):
                break
    return found
