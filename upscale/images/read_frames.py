"""The frames of an animation or the pages of a document, decoded one at a time as they are asked for."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from upscale.errors import InputError
from upscale.images import storage
from upscale.images.decode import decode
from upscale.images.opening import Opened, check_pixels, distrust, identify, name_of, samples_of, stream
from upscale.images.picture import Picture, Pixels
from upscale.images.sequence import Frame, Pictures, look
from upscale.options import DEFAULT_MAX_INPUT_MPIX

# What players make of durations that nobody can have meant (Chromium, Firefox, WebKit).
_SHORTEST_MS, _INSTEAD_MS = 10, 100
_OF_ONE_PAGE = ("icc_profile", "dpi", "xmp", "photoshop")  # Pillow keeps them for pages that have none


def read_frames(
    source: Path | bytes, *, max_mpix: float = DEFAULT_MAX_INPUT_MPIX
) -> Generator[Frame, None, None]:
    """Decode the pictures of a file, or of the bytes of one from standard input, in their order.

    Frames of an animation have all the size of the first; pages may differ in everything. A file whose
    pictures are no sequence (`ImageInfo.sequence`) has one.

    Args:
        source: What to read.
        max_mpix: Largest size of one picture in megapixels.

    Raises:
        InputError: While asked for a frame: as `probe`, or it is damaged, incomplete or too large.
    """
    name = name_of(source)
    with stream(source) as file:
        with distrust(name, max_mpix):
            it = identify(file, name, max_mpix)
        with it.image:
            with distrust(name, max_mpix):
                pictures = look(it.image, file)
            if pictures.kind is not None and not pictures.complete:
                raise InputError(
                    f"{name} is damaged or incomplete (its end is missing).",
                    hint="--first-frame takes the first picture all the same.",
                )
            first: Picture | None = None
            for number, index in enumerate(pictures.indices):
                try:
                    with distrust(name, max_mpix):
                        frame = _decoded(it, pictures, index, name, max_mpix)
                except InputError as error:
                    thing = "page" if pictures.kind == "pages" else "frame"
                    raise InputError(
                        f"{error.message} This is {thing} {number + 1} of {pictures.count}.", hint=error.hint
                    ) from error
                if pictures.kind == "animation":
                    frame = replace(frame, picture=_of_size(frame.picture, first or frame.picture))
                first = first or frame.picture
                yield frame


def _decoded(it: Opened, pictures: Pictures, index: int, name: str, max_mpix: float) -> Frame:
    image, stored = it.image, it.storage
    if index != image.tell():
        if pictures.kind == "pages":
            for key in _OF_ONE_PAGE:
                image.info.pop(key, None)
        image.seek(index)
        if pictures.kind == "pages":
            stored = storage.inspect(image)
    check_pixels(image.size, name, max_mpix)
    samples = samples_of(it) if pictures.kind != "animation" else None
    picture = decode(image, stored, samples)
    if pictures.kind != "animation":
        return Frame(picture)
    duration = float(image.info.get("duration") or 0)
    return Frame(replace(picture, framed=True), duration if duration > _SHORTEST_MS else _INSTEAD_MS)


def _of_size(picture: Picture, first: Picture) -> Picture:
    """Return a picture cropped or filled up to the size of the first; a GIF's frames may leave its screen."""
    if picture.size == first.size:
        return picture
    alpha = None if picture.alpha is None else _fitted(picture.alpha[..., None], first.size)[..., 0]
    return replace(picture, color=_fitted(picture.color, first.size), alpha=alpha)


def _fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    width, height = size
    pixels = pixels[:height, :width]
    fill = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
    return cast(Pixels, np.pad(pixels, fill))
