"""Large TIFF files in tiles: nothing held but one row of tiles, and beyond 4 GB as BigTIFF.

Not compressed, so that the place of every tile is known before the first is written, and the stream need not
be seekable. Pillow serialises the tags. TIFF 6.0, section 15; BigTIFF by AWare Systems.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import TiffTags

from upscale.images import scratch
from upscale.images.picture import Metadata, Picture
from upscale.images.tiff import BIG, CLASSIC, MAX_BYTES, directory_of

TILE_PX = 256

_TILE_WIDTH, _TILE_HEIGHT, _OFFSETS, _COUNTS = 322, 323, 324, 325


def write(picture: Picture, put: Callable[[bytes], object], metadata: Metadata) -> None:
    """Write a picture.

    Args:
        picture: What to write, 8 or 16 bits, with or without alpha.
        put: Takes all bytes of a piece, or raises.
        metadata: What is to be said besides the pixels, instead of the picture's own.
    """
    width, height = picture.size
    levels: npt.NDArray[Any] = picture.color
    if picture.is_gray and picture.alpha is not None and levels.dtype == np.uint16:
        levels = np.broadcast_to(levels, (height, width, 3))  # grey with alpha of 16 bits Pillow cannot read
    dtype = picture.color.dtype.newbyteorder("<")
    channels = levels.shape[2] + (picture.alpha is not None)
    across, down = -(-width // TILE_PX), -(-height // TILE_PX)
    tile_bytes = TILE_PX * TILE_PX * channels * dtype.itemsize
    big = across * down * tile_bytes > MAX_BYTES

    head = BIG if big else CLASSIC
    directory = directory_of(metadata, picture.size, channels, dtype, head)
    directory[_TILE_WIDTH], directory[_TILE_HEIGHT] = TILE_PX, TILE_PX
    directory.tagtype[_OFFSETS] = TiffTags.LONG8 if big else TiffTags.LONG
    directory.tagtype[_COUNTS] = TiffTags.LONG
    directory[_COUNTS] = (tile_bytes,) * (across * down)
    directory[_OFFSETS] = (0,) * (across * down)

    start = len(head) + len(directory.tobytes(len(head)))
    start += -start % 16
    directory[_OFFSETS] = tuple(start + tile_bytes * i for i in range(across * down))
    put((head + directory.tobytes(len(head))).ljust(start, b"\0"))

    band = np.zeros((TILE_PX, across * TILE_PX, channels), dtype)
    for top in range(0, height, TILE_PX):
        rows = slice(top, min(top + TILE_PX, height))
        band[rows.stop - top :] = 0
        band[: rows.stop - top, :width, : levels.shape[2]] = levels[rows]
        if picture.alpha is not None:
            band[: rows.stop - top, :width, -1] = picture.alpha[rows]
            scratch.release(picture.alpha)
        scratch.release(picture.color)
        put(band.reshape(TILE_PX, across, TILE_PX, channels).swapaxes(0, 1).tobytes())
