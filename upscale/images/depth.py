"""16 bits per channel -> 8."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_LEVELS = ((np.arange(65536) + 128) // 257).astype(np.uint8)  # round(v * 255 / 65535)


def to_8_bits(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return pixels of any shape as uint8, rounded to nearest; uint8 is returned as it is."""
    return pixels if pixels.dtype == np.uint8 else _LEVELS[pixels]
