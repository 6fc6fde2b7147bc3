"""Windows all over a picture: a megapixel says enough about it, and large pictures may lie on disk."""

from __future__ import annotations

from collections.abc import Sequence

Window = tuple[slice, slice]


def windows(shape: Sequence[int], px: int, most: int) -> list[Window]:
    """Return evenly spread windows of an array [H, W, ...], at most `most`.

    Each is `px` pixels a side, at the far borders at least 3 where there are so many.
    """
    tops, lefts = (range(0, max(1, side - 2), px) for side in shape[:2])
    found = [(slice(top, top + px), slice(left, left + px)) for top in tops for left in lefts]
    step = -(-len(found) // most)
    return found[step // 2 :: step]
