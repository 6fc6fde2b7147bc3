"""JPEG and PNG of any size through libvips, which takes the pixels strip by strip from where they lie.

Only pixels: what a file says besides them is put in front by Pillow, as in small pictures. libvips comes with
the extra `upscale[big]`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from upscale.errors import OutputError
from upscale.images import arrays, scratch
from upscale.images.picture import Picture

FORMATS = ("jpg", "png")
ADVICE = 'Install libvips with pip install "upscale[big]"'
_KINDS = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}
_SPACES = {("uchar", 1): "b-w", ("uchar", 3): "srgb", ("ushort", 1): "grey16", ("ushort", 3): "rgb16"}


def is_installed() -> bool:
    """Return whether libvips's binding is there, without loading it."""
    return find_spec("pyvips") is not None


def save(
    picture: Picture,
    write: Callable[[bytes], object],
    *,
    format: str,
    pillow_name: str,
    pillow_options: dict[str, Any],
) -> None:
    """Write a picture.

    Args:
        picture: What to write; its format can hold it.
        write: Takes all bytes of a piece, or raises.
        format: `jpg` or `png`.
        pillow_name: Pillow's name of the format.
        pillow_options: What Pillow would be told.

    Raises:
        OutputError: libvips cannot be loaded, or cannot write it.
        Exception: What `write` raised.
    """
    vips = _load()
    channels = picture.color.shape[2]
    image = _image(vips, picture.color, _SPACES[_KINDS[picture.color.dtype], channels])
    mode = "L" if channels == 1 else "RGB"
    if picture.alpha is not None:
        image = image.bandjoin(_image(vips, picture.alpha[:, :, None], image.interpretation))
        mode += "A"
    small = io.BytesIO()
    Image.new(mode, (8, 8)).save(small, pillow_name, **pillow_options)
    splice = _Splice(format, small.getvalue(), write)
    target = vips.TargetCustom()
    target.on_write(splice.take)

    percent = -1

    def done(_: Any, progress: Any) -> None:
        nonlocal percent
        if progress.percent != percent:
            percent = progress.percent
            scratch.release(picture.color, *([] if picture.alpha is None else [picture.alpha]))

    image.set_progress(True)
    image.signal_connect("eval", done)
    options: dict[str, Any] = {"keep": "none"}
    if format == "jpg":
        options |= {"Q": pillow_options["quality"], "subsample_mode": "off"}  # as in `formats`
    else:
        options |= {"compression": 2, "filter": "up"}  # the fastest, and of photographs the smallest
    try:
        image.write_to_target(target, f".{format}", **options)
    except vips.Error as error:
        if splice.error is None:
            lines = str(error).strip().splitlines()
            raise OutputError(
                f"libvips cannot write it: {lines[-1] if lines else error}.", hint="Choose tiff."
            ) from error
    if splice.error is not None:
        raise splice.error


def _load() -> Any:
    # One thread feeds the encoder, which is one thread itself; more would only hold more strips. Its warnings
    # go to stderr, past everything.
    os.environ.setdefault("VIPS_CONCURRENCY", "1")
    os.environ.setdefault("VIPS_WARNING", "0")
    try:
        import pyvips
    except (ImportError, OSError) as error:  # the binding, or the library it binds
        raise OutputError(f"libvips cannot be loaded ({error}).", hint=f"{ADVICE}.") from error
    pyvips.cache_set_max(0)  # nothing is asked for twice
    return pyvips


def _image(vips: Any, pixels: Any, space: str) -> Any:
    """Return pixels [H, W, C] as an image that reads them where they are."""
    if not pixels.flags.c_contiguous:
        copy = scratch.empty(pixels.shape, pixels.dtype)
        for rows in arrays.row_blocks(pixels.shape[1], pixels.shape[0]):
            copy[rows] = pixels[rows]
            scratch.release(copy, pixels)
        pixels = copy
    height, width, channels = pixels.shape
    data = memoryview(pixels).cast("B")
    image = vips.Image.new_from_memory(data, width, height, channels, _KINDS[pixels.dtype])
    return image.copy(interpretation=space)


class _Splice:
    """Takes a file in pieces and passes it on with the head of another one of the same format.

    The head is what comes before the pixels: segments of JPEG before the first table, chunks of PNG between
    IHDR and IDAT. An error is kept, because nothing can be raised through libvips.
    """

    def __init__(self, format: str, other: bytes, write: Callable[[bytes], object]) -> None:
        self._head = _jpeg_head if format == "jpg" else _png_head
        span = self._head(other)
        assert span is not None, "a small file has a whole head"
        self._said = other[slice(*span)]
        self._write = write
        self._waiting: bytes | None = b""  # until the head is there; then None
        self.error: BaseException | None = None

    def take(self, data: bytes) -> int:
        """Pass a piece on; return its length, or -1 after an error."""
        try:
            if self._waiting is None:
                self._write(bytes(data))
                return len(data)
            self._waiting += bytes(data)
            span = self._head(self._waiting)
            if span is not None:
                self._write(self._waiting[: span[0]] + self._said + self._waiting[span[1] :])
                self._waiting = None
        except BaseException as error:
            self.error = error
            return -1
        return len(data)


def _jpeg_head(data: bytes) -> tuple[int, int] | None:
    """Return where the APPn and COM segments begin and end; None if more data is needed."""
    at = 2
    while at + 4 <= len(data):
        if not (0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == 0xFE):  # ITU-T T.81, table B.1
            return 2, at
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _png_head(data: bytes) -> tuple[int, int] | None:
    """Return where the chunks between IHDR and IDAT begin and end; None if more data is needed."""
    start = at = 33  # the signature and IHDR
    while at + 8 <= len(data):
        if data[at + 4 : at + 8] == b"IDAT":
            return start, at
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return None
