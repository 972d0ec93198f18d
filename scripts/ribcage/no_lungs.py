"""Films with their lungs painted out: what a network scores on these, it has not from the lungs.

What is painted must not tell what lay under it. So it is the convex hull of both lungs together,
made a little larger, in one grey that the rest of the film gives. Where no network outlined the
lungs, the box is painted instead: that of the lung finder with its wide margins, or, where not even
that was found, the whole film, since its lungs might be anywhere.
"""

import cv2
import numpy as np

from ribcage import lungs
from ribcage.shards import square_around

WIDER = 0.03
"""The hull grows by this share of the film's longer side, all around."""
OUTLINED = ("unet", "unet_ensemble")
"""Methods whose mask is as good as the box around it."""


def region(mask: np.ndarray, box: lungs.Box, method: str, width: int, height: int) -> np.ndarray:
    """What is painted out of a film: bool [height, width].

    Args:
        mask: bool [256, 256] over the film's square.
        box: of the lungs, in film pixels.
        method: that found them.
        width: of the film, in pixels.
        height: of the film, in pixels.
    """
    painted = np.zeros((height, width), np.uint8)
    if method not in OUTLINED:
        painted[box.y0_px : box.y1_px, box.x0_px : box.x1_px] = 1
        return painted > 0
    side = square_around(0, 0, width, height, width, height).side_px
    points = cv2.findNonZero(lungs.over_film(mask, width, height).astype(np.uint8))
    if points is None:  # a mask that lies between the pixels of a tiny film
        return np.ones((height, width), bool)
    cv2.fillConvexPoly(painted, cv2.convexHull(points), 1)
    reach = 2 * max(round(WIDER * side), 1) + 1
    return cv2.dilate(painted, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0


def paint_out(film: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Paint a region of a film in the mean grey of what is left of it.

    Args:
        film: uint8 [height, width].
        painted: bool [height, width].

    Returns:
        A copy, uint8 [height, width]; middle grey where nothing of the film is left.
    """
    rest = film[~painted]
    shown = film.copy()
    shown[painted] = round(float(rest.mean())) if rest.size else 128
    return shown
