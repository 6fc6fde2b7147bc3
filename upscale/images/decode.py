"""An opened Pillow image -> an upright `Picture`: what files and the Python API have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from upscale.images import metadata, modes
from upscale.images.deep import Deep
from upscale.images.picture import Picture
from upscale.images.storage import Storage

_UPRIGHT = {  # by orientation: Pillow's way, and quarter turns to the left before mirroring left to right
    2: (Image.Transpose.FLIP_LEFT_RIGHT, 0, True),
    3: (Image.Transpose.ROTATE_180, 2, False),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, 2, True),
    5: (Image.Transpose.TRANSPOSE, 3, True),
    6: (Image.Transpose.ROTATE_270, 3, False),
    7: (Image.Transpose.TRANSVERSE, 1, True),
    8: (Image.Transpose.ROTATE_90, 1, False),
}
_FORMAT_NAMES = {"MPO": "JPEG"}  # a JPEG with further pictures behind it, as phones write


def decode(image: Image.Image, storage: Storage, samples: Callable[[], Deep] | None = None) -> Picture:
    """Decode an opened image, or take over a loaded one.

    Args:
        image: What to decode.
        storage: How it is stored.
        samples: Decodes it to 16 bits, where Pillow alone would give 8 (`deep.decode`).

    Raises:
        Exception: Whatever Pillow's decoders raise on damaged data.
    """

    def load() -> Deep | None:
        if samples is not None:
            return samples()
        image.load()
        return None

    if image.format == "TIFF":  # tags go with the file when it is loaded, which also turns the pixels
        found = metadata.collect(image)
        loaded, orientation = load(), 1
    else:  # a PNG says more when it is loaded, and `collect` would hide that it cannot be
        size = image.size
        loaded = load()
        if image.size != size:  # HEIF
            raise ValueError("its picture is of another size than its header says")
        found = metadata.collect(image)
        orientation = found.orientation
    if loaded is not None:
        key = image.info.get("transparency")
        planes = modes.from_samples(_turned(loaded, orientation), key, found.icc_profile)
    else:
        planes = modes.unpack(_transposed(image, orientation), storage, found.icc_profile)
    return Picture(
        color=planes.color,
        alpha=planes.alpha,
        metadata=replace(found.metadata, icc_profile=planes.icc_profile),
        format=_FORMAT_NAMES.get(image.format or "", image.format),
        luma_step=storage.luma_step,
        notes=(*found.notes, *([metadata.OTHER_COLORS] if storage.other_colors else []), *planes.notes),
    )


def _transposed(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image made upright; itself where it is."""
    if orientation not in _UPRIGHT:
        return image
    upright = image.transpose(_UPRIGHT[orientation][0])
    upright.format = image.format
    return upright


def _turned(samples: Deep, orientation: int) -> Deep:
    """Return an array [H, W, C] made upright, as `_transposed` does."""
    if orientation not in _UPRIGHT:
        return samples
    _, turns, mirrored = _UPRIGHT[orientation]
    turned = np.rot90(samples, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)
