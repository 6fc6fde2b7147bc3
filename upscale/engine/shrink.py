"""Photos softer than their pixels can be: made smaller first, and enlarged so much more.

The model was trained on pictures as sharp as their pixels, and on somewhat softer ones. What is softer still
it leaves so. A smaller copy that has lost nothing is sharp again.
"""

from __future__ import annotations

from dataclasses import replace

from upscale.engine.plan import smaller
from upscale.engine.resample import resized
from upscale.engine.softness import spare_factor
from upscale.engine.transparency import interpolated, varies
from upscale.images.alpha import bleed
from upscale.images.picture import Picture


def shrink_in(picture: Picture) -> float:
    """Return how many times smaller a picture with its marks is made first: 1 for one that would lose by it.

    Cut-outs and frames stay as they are: edges of alpha are sharp whatever they are edges of, and frames of
    an animation must look alike.
    """
    if picture.framed or (picture.alpha is not None and varies(picture.alpha)):
        return 1.0
    return spare_factor(picture.color, picture.luma_step)


def shrunk(picture: Picture, factor: float) -> Picture:
    """Return a picture so many times smaller on both sides, at least one pixel; itself for a factor of 1."""
    if factor == 1:
        return picture
    size = smaller(picture.size, factor)
    color, alpha = picture.color, picture.alpha
    if alpha is not None:
        color, alpha = bleed(color, alpha), interpolated(alpha, size)
    return replace(
        picture,
        color=resized(color, size, resample="bicubic"),
        alpha=alpha,
        luma_step=picture.luma_step / factor,  # the marks are smaller, too
    )
