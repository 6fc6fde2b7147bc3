"""Two pictures made comparable: same shape, float64, border cropped. Shared by all metrics on pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from upscale.errors import InputError

Pixels = npt.NDArray[Any]
"""[H, W] or [H, W, C], any real dtype, values from 0 to 255 where nothing else is said."""

Float64 = npt.NDArray[np.float64]


def float_pair(a: Pixels, b: Pixels, border: int = 0) -> tuple[Float64, Float64]:
    """Return both pictures as float64 without `border` pixels on each of the four sides.

    Raises:
        InputError: The shapes differ, or nothing is left inside the border.
        ValueError: The border is below 0.
    """
    if border < 0:
        raise ValueError(f"a border of {border} pixels")
    if a.shape != b.shape:
        raise InputError(
            f"Pictures of shapes {a.shape} and {b.shape} cannot be compared.",
            hint="Give two pictures of the same size and number of channels.",
        )
    if min(a.shape[:2]) <= 2 * border:
        raise InputError(
            f"A picture of {a.shape[1]}x{a.shape[0]} pixels has nothing inside a border of {border}.",
            hint="Take a larger picture or a smaller border.",
        )
    inside = (slice(border, a.shape[0] - border), slice(border, a.shape[1] - border))
    return a[inside].astype(np.float64), b[inside].astype(np.float64)
