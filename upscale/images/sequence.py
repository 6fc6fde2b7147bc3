"""Which files hold several pictures, and what these are to each other: frames of an animation, or pages.

Both are read and written one picture at a time, so that memory holds a few however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence as Indices
from dataclasses import dataclass
from typing import IO, Literal

from PIL import Image

from upscale.images.extent import gif_extent, tiff_extent
from upscale.images.picture import Picture

Sequence = Literal["animation", "pages"]

_ANIMATED = {"WEBP", "PNG", "AVIF", "FLI"}
_PAGED = {"DCX"}
_LAYERED = {"PSD"}  # its further frames are the layers of the first


@dataclass(frozen=True)
class Frame:
    """One of several pictures.

    Attributes:
        picture: Its pixels, of an animation what is to be seen: earlier frames under it.
        duration_ms: How long it is shown, in milliseconds; 0 for pages.
    """

    picture: Picture
    duration_ms: float = 0.0


@dataclass(frozen=True)
class Pictures:
    """The pictures in a file.

    Attributes:
        kind: What they are to each other; None where only the first is of use, and for a single one.
        indices: Their places as Pillow counts, those that belong to the sequence.
        count: How many there are, also where only the first is of use.
        plays: How often an animation is shown; 0 is for ever.
        has_alpha: Whether any may be transparent, where that is not the first one's affair.
        complete: False where the file seems to have had more.
    """

    kind: Sequence | None
    indices: Indices[int]
    count: int
    plays: int = 0
    has_alpha: bool = False
    complete: bool = True


def look(image: Image.Image, file: IO[bytes]) -> Pictures:
    """Return which pictures an opened file holds; counting stops behind `MAX_FRAMES`.

    Args:
        image: As opened.
        file: What it was opened from; it is left where it was.
    """
    if image.format == "GIF":
        return _gif(image, file)
    if image.format == "TIFF":
        place = file.tell()
        extent = tiff_extent(file)
        file.seek(place)
        count = len(extent.pages)
        return Pictures("pages" if count > 1 else None, extent.pages, count, complete=extent.complete)
    if image.format in _LAYERED or not getattr(image, "is_animated", False):
        return Pictures(None, (0,), 1)
    count = int(getattr(image, "n_frames", 1))
    first = 0
    if getattr(image, "default_image", False):  # an APNG's picture for viewers that do not know of frames
        first = 1
    indices = range(first, count)
    if len(indices) < 2:
        return Pictures(None, (0,), count)
    if image.format in _ANIMATED:
        return Pictures("animation", indices, len(indices), plays=int(image.info.get("loop", 0)))
    if image.format in _PAGED:
        return Pictures("pages", indices, count)
    return Pictures(None, (image.tell(),), count)  # where HEIF has opened its main one


def _gif(image: Image.Image, file: IO[bytes]) -> Pictures:
    place = file.tell()
    extent = gif_extent(file)
    file.seek(place)
    repeats = image.info.get("loop")  # how often again; Netscape's extension
    plays = 1 if repeats is None else repeats + 1 if repeats else 0
    count = max(extent.frames, 1)
    if count == 1:
        return Pictures(None, (0,), 1, has_alpha=extent.transparent)
    complete = extent.end is not None
    return Pictures("animation", range(count), count, plays, extent.transparent, complete)
