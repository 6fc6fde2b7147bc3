"""Which large pictures can be written without being held, and by what.

Pillow holds four bytes per pixel beside the picture itself. That is the best way for ordinary pictures: it is
what has been tried most, and quick to start. From `STREAM_FROM_PX` on pictures lie on disk, and are written
strip by strip: JPEG and PNG by libvips (PNG, more slowly, by us without it), TIFF and PPM by us. The rest
stays with Pillow up to `HELD_MAX_PX`.
"""

from __future__ import annotations

from upscale.errors import OutputError
from upscale.images import scratch, vips

STREAM_FROM_PX = scratch.DISK_FROM_BYTES // 3  # where 8-bit colour goes to disk
HELD_MAX_PX = 280 * 10**6  # Pillow takes 1.1 GB then, and WebP at its largest still fits
OURS = ("png", "tiff", "ppm")


def is_streamed(format: str, size: tuple[int, int]) -> bool:
    """Return whether a picture of `size` (width, height) is written strip by strip in the format named."""
    return size[0] * size[1] >= STREAM_FROM_PX and can_stream(format)


def can_stream(format: str) -> bool:
    """Return whether pictures of the format named need not be held here."""
    return format in OURS or (format in vips.FORMATS and vips.is_installed())


def check(format: str, size: tuple[int, int], *, name: str) -> None:
    """Check, before any work is done, that a picture need not be held that is too large for it.

    Raises:
        OutputError: It would have to.
    """
    if size[0] * size[1] <= HELD_MAX_PX or can_stream(format):
        return
    advice = f"{vips.ADVICE}, or choose" if format in vips.FORMATS else "Choose"
    raise OutputError(
        f"{name} would be {size[0]}x{size[1]} pixels; "
        f"{format} is limited to {HELD_MAX_PX // 10**6} megapixels here.",
        hint=f"{advice} png or tiff.",
    )
