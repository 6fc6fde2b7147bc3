"""What is flat stays flat: paper, skies that are blown out, the ground of a drawing.

The noise that a run begins with leaves traces where there is nothing to draw: a white page is 254 here and
there. Where all pixels around one are of its very colour nothing is missing, and the result is that colour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from upscale.engine.canvas import Float32
from upscale.images.picture import Pixels
from upscale.images.pixels import to_float

NEAR, RAMP = 4, 2  # input pixels that must be equal all around, and over which what is drawn fades


def flatten(image: Float32, spread: Float32 | None, lr: Pixels) -> tuple[Float32, Float32 | None]:
    """Return a result with its flat areas as they are in the small picture, where samples do not differ.

    Args:
        image: [s h, s w, 3], nominally in [-1, 1].
        spread: How far its samples differ, [s h, s w, 3], -1 for not at all; None where nobody asks.
        lr: What it was made from, [h, w, 1 or 3].
    """
    flat = flatness(lr)
    if not flat.any():
        return image, spread
    scale = image.shape[0] // lr.shape[0]
    share, color = (plane.repeat(scale, 0).repeat(scale, 1) for plane in (flat[..., None], to_float(lr)))
    return image + share * (color - image), None if spread is None else spread - share * (spread + 1)


def flatness(lr: Pixels) -> Float32:
    """Return how flat the surroundings of each pixel of [h, w, C] are, [h, w] from 0 to 1.

    It is 1 where all pixels up to `NEAR + RAMP` away equal it, 0 where one up to `NEAR - RAMP` away does not.
    """
    uneven = np.zeros(lr.shape[:2], np.bool_)
    for plane in np.moveaxis(lr, 2, 0):
        across, down = plane[:, 1:] != plane[:, :-1], plane[1:] != plane[:-1]
        for side in (uneven[:, 1:], uneven[:, :-1]):
            side |= across
        for side in (uneven[1:], uneven[:-1]):
            side |= down
    near = _dilated(_dilated(uneven).T).T
    if near.all():
        return np.zeros(near.shape, np.float32)
    even = torch.from_numpy(~near).float()[None]
    share: Float32 = F.avg_pool2d(even, 2 * RAMP + 1, 1, RAMP, count_include_pad=False)[0].numpy()
    return share


def _dilated(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which of [h, w] have a true one in their column, up to `NEAR` away."""
    result = rows.copy()
    for away in range(1, NEAR + 1):
        result[away:] |= rows[:-away]
        result[:-away] |= rows[away:]
    return result
