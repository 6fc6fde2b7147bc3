"""An opened Pillow image -> an upright `Picture`: what files and the Python API have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image

from upscale.images import metadata, modes
from upscale.images.deep import Deep
from upscale.images.picture import Picture, Pixels
from upscale.images.storage import Storage

# By orientation: quarter turns to the left, and whether to mirror left to right behind them.
_UPRIGHT = {
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
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
        planes = modes.from_samples(loaded, image.info.get("transparency"), found.icc_profile)
    else:
        planes = modes.unpack(image, storage, found.icc_profile)
    return Picture(
        color=_turned(planes.color, orientation),
        alpha=None if planes.alpha is None else _turned(planes.alpha, orientation),
        metadata=replace(found.metadata, icc_profile=planes.icc_profile),
        format=_FORMAT_NAMES.get(image.format or "", image.format),
        luma_step=storage.luma_step,
        notes=(*found.notes, *storage.notes, *planes.notes),
    )


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Return an array [H, W] or [H, W, C] made upright; itself where it is."""
    if orientation not in _UPRIGHT:
        return pixels
    turns, mirrored = _UPRIGHT[orientation]
    turned = np.rot90(pixels, turns)
    return cast(Pixels, np.ascontiguousarray(turned[:, ::-1] if mirrored else turned))
