"""GIF, written frame by frame with a palette for each.

Pillow holds all frames before it writes the first; here it only finds the palettes and compresses. GIF89a;
XMP as in Adobe's XMP specification, part 3, 1.1.2; loops by Netscape's extension.
"""

from __future__ import annotations

import struct
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import GifImagePlugin, Image

from upscale.images import arrays, depth
from upscale.images.picture import Metadata, Picture
from upscale.images.png import changed_box

HALF_TRANSPARENT = "gif has no half-transparency: pixels were made opaque or transparent."
FEW_COLORS = "gif holds 256 colours a frame, which were chosen; --format webp keeps all of them."
_KEEP, _CLEAR = 1, 2  # what becomes of a frame when its time is over
_COLORS = 256
_XMP_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # readers that see blocks here find their way out

Pixels8 = npt.NDArray[np.uint8]


class GifWriter:
    """Writes frames one after the other; one is held back, for the next decides whether it is cleared.

    Attributes:
        lost: Sentences on what was not kept of what is written.
    """

    def __init__(self, file: IO[bytes], plays: int, metadata: Metadata) -> None:
        """Write nothing yet.

        Args:
            file: Where to.
            plays: How often an animation is shown; 0 is for ever.
            metadata: What is to be said: XMP, and a comment.
        """
        self._file = file
        self._plays = plays
        self._metadata = metadata
        self._waiting: tuple[Pixels8, float] | None = None
        self._shown: Pixels8 | None = None  # what is to be seen before the waiting frame
        self._time_ms = 0.0  # exact end of what is written
        self._ticks = 0  # the same in hundredths of a second, as the file says
        self.lost: list[str] = []

    def add(self, picture: Picture, duration_ms: float) -> None:
        """Take a frame of the size of the first."""
        if HALF_TRANSPARENT not in self.lost and picture.alpha is not None:
            full = np.iinfo(picture.alpha.dtype).max
            if ((picture.alpha > 0) & (picture.alpha < full)).any():
                self.lost.append(HALF_TRANSPARENT)
        frame = _rgba(picture)
        if self._waiting is None:
            self._begin(picture.size)
        else:
            before = self._waiting[0]
            vanishes = bool(((before[..., 3] > 0) & (frame[..., 3] == 0)).any())
            self._flush(clear=vanishes)
        self._waiting = frame, duration_ms

    def close(self) -> None:
        """Write the last frame and the end."""
        if self._waiting is not None:
            self._flush(clear=False)
        self._file.write(b";")

    def _begin(self, size: tuple[int, int]) -> None:
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", *size, 0x70, 0, 0))
        if self._plays != 1:
            repeats = max(self._plays - 1, 0)
            self._file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", min(repeats, 65535), 0))
        xmp = self._metadata.xmp
        if xmp and b"\0" not in xmp:
            self._file.write(b"!\xff\x0bXMP DataXMP" + xmp + _XMP_TRAILER)
        for _, text in self._metadata.texts:
            data = text.encode("utf-8", "replace")
            blocks = (data[at : at + 255] for at in range(0, len(data), 255))
            self._file.write(b"!\xfe" + b"".join(bytes((len(b),)) + b for b in blocks) + b"\0")

    def _flush(self, *, clear: bool) -> None:
        """Write the waiting frame, as much of it as differs from what is shown already."""
        assert self._waiting is not None
        frame, duration_ms = self._waiting
        if self._shown is None or clear:  # clearing only reaches as far as the frame
            left, top, right, bottom = 0, 0, frame.shape[1], frame.shape[0]
        else:
            left, top, right, bottom = changed_box(self._shown, frame)
        self._time_ms += duration_ms
        ticks = min(max(round(self._time_ms / 10) - self._ticks, 0), 65535)
        self._ticks += ticks
        image, transparent, exact = _with_palette(frame[top:bottom, left:right])
        if not exact and FEW_COLORS not in self.lost:
            self.lost.append(FEW_COLORS)
        flags = (_CLEAR if clear else _KEEP) << 2 | (transparent is not None)
        self._file.write(b"!\xf9\x04" + struct.pack("<BHBB", flags, ticks, transparent or 0, 0))
        for data in GifImagePlugin.getdata(image, (left, top), include_color_table=True):
            self._file.write(data)
        self._shown = np.zeros_like(frame) if clear else frame


def _rgba(picture: Picture) -> Pixels8:
    """Return [H, W, 4]; alpha is 0 or 255, and transparent pixels are all alike."""
    color = depth.to_8_bits(picture.color)
    frame = np.full((*color.shape[:2], 4), 255, np.uint8)
    frame[..., :3] = color
    if picture.alpha is not None:
        frame[depth.to_8_bits(picture.alpha) < 128] = 0
    return frame


def _with_palette(frame: Pixels8) -> tuple[Image.Image, int | None, bool]:
    """Return [H, W, 4] as an image of mode P, the number of its transparent colour, and whether it is exact.

    Up to 256 colours are kept exactly; of more, the best 256 are chosen and the rest is dithered.
    """
    hidden = frame[..., 3] == 0
    colors = _COLORS - int(hidden.any())
    rgb = arrays.to_image(np.ascontiguousarray(frame[..., :3]))
    exact = rgb.getcolors(colors) is not None
    if exact:
        packed = frame[..., 0].astype(np.int32) << 16 | frame[..., 1].astype(np.int32) << 8 | frame[..., 2]
        found, indices = np.unique(packed, return_inverse=True)
        levels = indices.reshape(packed.shape).astype(np.uint8)
        palette = np.stack([found >> 16, found >> 8 & 255, found & 255], 1).astype(np.uint8).tobytes()
    else:
        chosen = rgb.quantize(colors, Image.Quantize.MEDIANCUT)
        dithered = rgb.quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG)
        levels = arrays.to_array(dithered)
        palette = bytes(chosen.getpalette() or b"")[: 3 * colors]
    transparent = None
    if hidden.any():
        transparent = len(palette) // 3
        palette += bytes(3)
        levels[hidden] = transparent
    image = Image.frombytes("P", rgb.size, np.ascontiguousarray(levels).tobytes())
    image.putpalette(palette)
    return image, transparent, exact
