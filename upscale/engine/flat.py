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
from upscale.engine.tiles import Box
from upscale.engine.transfer import cut
from upscale.images.picture import Picture, Pixels
from upscale.images.pixels import to_float

NEAR, RAMP = 4, 2  # input pixels that must be equal all around, and over which what is drawn fades
COARSEST_STEP = 30.0  # mean luma step of JPEG, of quality 75: below that it makes flat what was not
REACH = NEAR + RAMP + 1  # nothing that is further away matters


def is_kept(picture: Picture) -> bool:
    """Whether what is flat in a picture, with its marks (see `denoise.marked`), was flat in the photo."""
    return picture.luma_step <= COARSEST_STEP


def flatten_(image: Float32, spread: Float32 | None, lr: Pixels, window: Box) -> None:
    """Make flat areas of a tile what they are in the small picture, and let its samples agree there.

    Args:
        image: [s h, s w, 3], nominally in [-1, 1]; written to.
        spread: How far its samples differ, [s h, s w, 3], -1 for not at all; written to, if somebody asks.
        lr: The small picture, [H, W, 1 or 3].
        window: Its pixels that the tile shows, [h, w].
    """
    left, top = (max(0, side - REACH) for side in (window.left, window.top))
    around = cut(lr, Box(left, top, window.right + REACH, window.bottom + REACH))
    inside = np.s_[window.top - top : window.bottom - top, window.left - left : window.right - left]
    flat, color = flatness(around)[inside], around[inside]
    rows, columns = (np.flatnonzero(flat.any(axis)) for axis in (1, 0))
    if not rows.size:
        return
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = torch.from_numpy(flat[box])[:, None, :, None, None]
    aim = torch.from_numpy(to_float(color[box]))[:, None, :, None]
    scale = image.shape[0] // window.height
    for plane, wanted in ((image, aim), (spread, aim.new_tensor(-1.0))):
        if plane is not None:
            squares = torch.from_numpy(plane).view(window.height, scale, window.width, scale, -1)
            squares[box[0], :, box[1]].lerp_(wanted, share)


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
