"""PNG and APNG, written row by row.

Pillow does not write 16 bits per channel in colour, and holds all frames of an animation before it writes
one. PNG: ISO 15948; APNG: its third edition, section 11.3.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import PngImagePlugin

from upscale.images import arrays, scratch
from upscale.images.picture import Metadata, Picture, Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_LEVEL = 2  # of zlib: four times as fast as the default 6, and a tenth larger
_MAX_CHUNK = 1 << 20
_INCH_M = 0.0254

Bytes = npt.NDArray[np.uint8]


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def header(size: tuple[int, int], pixels: Pixels) -> bytes:
    """Return the signature and IHDR for pictures of `size` (width, height) like `pixels` [H, W, C]."""
    bits = 8 * pixels.dtype.itemsize
    fields = struct.pack(">IIBBBBB", *size, bits, _COLOR_TYPES[pixels.shape[2]], 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", fields)


def metadata_chunks(metadata: Metadata) -> bytes:
    """Return the chunks for what is to be said besides the pixels; `metadata.exif` is an EXIF block."""
    parts = []
    if metadata.icc_profile:
        parts.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.dpi:
        x, y = (round(dpi / _INCH_M) for dpi in metadata.dpi)
        parts.append(chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))  # per metre
    if metadata.xmp:
        parts.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    if metadata.exif:
        parts.append(chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")))
    parts += [chunk(field[0], field[1]) for field in text_fields(metadata).chunks]
    return b"".join(parts)


def text_fields(metadata: Metadata) -> PngImagePlugin.PngInfo:
    """Return the text fields as Pillow writes them."""
    fields = PngImagePlugin.PngInfo()
    for key, text in metadata.texts:
        fields.add_text(key, text)
    return fields


def interleaved(picture: Picture) -> Pixels:
    """Return the pixels [H, W, 1 to 4] with alpha, if there is one, as the last channel."""
    if picture.alpha is None:
        return picture.color
    channels = picture.color.shape[2]
    pixels = scratch.empty((*picture.color.shape[:2], channels + 1), picture.color.dtype)
    for rows in arrays.row_blocks(*picture.size):
        pixels[rows, :, :channels], pixels[rows, :, channels] = picture.color[rows], picture.alpha[rows]
        scratch.release(pixels, picture.color, picture.alpha)
    return pixels


def write(file: IO[bytes], pixels: Pixels, metadata: Metadata) -> None:
    """Write one picture [H, W, 1 to 4], uint8 or uint16, its alpha last and not premultiplied."""
    file.write(header((pixels.shape[1], pixels.shape[0]), pixels) + metadata_chunks(metadata))
    for data in deflated(pixels):
        file.write(chunk(b"IDAT", data))
    file.write(chunk(b"IEND"))


class ApngWriter:
    """Writes an animation, one frame after the other; nothing is kept but the frame before."""

    def __init__(self, file: IO[bytes], frames: int, plays: int, metadata: Metadata) -> None:
        """Write nothing yet.

        Args:
            file: Where to.
            frames: How many will come.
            plays: How often they are shown; 0 is for ever.
            metadata: As in `metadata_chunks`.
        """
        self._file = file
        self._frames = frames
        self._plays = plays
        self._metadata = metadata
        self._sequence = 0
        self._before: Pixels | None = None

    def add(self, pixels: Pixels, duration_ms: float) -> None:
        """Write a frame [H, W, C] of the size, depth and channels of the first; only what has changed."""
        if self._before is None:
            self._file.write(header((pixels.shape[1], pixels.shape[0]), pixels))
            self._file.write(chunk(b"acTL", struct.pack(">II", self._frames, self._plays)))
            self._file.write(metadata_chunks(self._metadata))
            x, y, right, bottom = 0, 0, pixels.shape[1], pixels.shape[0]
        else:
            x, y, right, bottom = changed_box(self._before, pixels)
        per_second = 1000 if duration_ms < 65535.5 else 100
        delay = min(round(duration_ms * per_second / 1000), 65535)
        # It replaces what was there, and stays: APNG_DISPOSE_OP_NONE, APNG_BLEND_OP_SOURCE.
        control = struct.pack(">IIIIHHBB", right - x, bottom - y, x, y, delay, per_second, 0, 0)
        self._file.write(chunk(b"fcTL", self._number() + control))
        for data in deflated(pixels[y:bottom, x:right]):
            if self._before is None:
                self._file.write(chunk(b"IDAT", data))
            else:
                self._file.write(chunk(b"fdAT", self._number() + data))
        self._before = pixels

    def close(self) -> None:
        """Write the end."""
        self._file.write(chunk(b"IEND"))

    def _number(self) -> bytes:
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)


def changed_box(before: Pixels, after: Pixels) -> tuple[int, int, int, int]:
    """Return the smallest box (left, top, right, bottom) outside which both are equal, at least one pixel."""
    differs = (before != after).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not rows.size:
        return 0, 0, 1, 1
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def deflated(pixels: Pixels) -> Iterator[bytes]:
    """Yield the compressed scanlines of a picture [H, W, C] in pieces of about a megabyte."""
    compressor = zlib.compressobj(_LEVEL, strategy=zlib.Z_DEFAULT_STRATEGY)
    height, width, channels = pixels.shape
    pixel_bytes = channels * pixels.dtype.itemsize
    above: Bytes = np.zeros(width * pixel_bytes, np.uint8)
    waiting = bytearray()
    for rows in arrays.row_blocks(width, height):
        block = np.ascontiguousarray(pixels[rows].astype(pixels.dtype.newbyteorder(">"), copy=False))
        lines: Bytes = block.reshape(block.shape[0], -1).view(np.uint8)
        waiting += compressor.compress(_filtered(lines, above, pixel_bytes).tobytes())
        above = lines[-1].copy()
        scratch.release(pixels)
        while len(waiting) >= _MAX_CHUNK:
            yield bytes(waiting[:_MAX_CHUNK])
            del waiting[:_MAX_CHUNK]
    yield bytes(waiting + compressor.flush())


def _filtered(lines: Bytes, above: Bytes, pixel_bytes: int) -> Bytes:
    """Return scanlines [h, bytes + 1] with the filter in front whose result is smallest; ISO 15948, 12.7.

    Args:
        lines: Scanlines [h, bytes].
        above: The one before the first [bytes].
        pixel_bytes: Distance to the same byte of the pixel on the left.
    """
    up = np.concatenate([above[None], lines[:-1]])
    left = np.zeros_like(lines)
    left[:, pixel_bytes:] = lines[:, :-pixel_bytes]
    corner = np.zeros_like(lines)
    corner[:, pixel_bytes:] = up[:, :-pixel_bytes]
    best = np.empty((lines.shape[0], lines.shape[1] + 1), np.uint8)
    smallest = np.full(lines.shape[0], np.iinfo(np.int64).max)
    for number, guess in ((1, left), (2, up), (4, _paeth(left, up, corner))):
        rest = lines - guess
        size = np.abs(rest.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
        better = size < smallest
        smallest = np.where(better, size, smallest)
        best[better, 0] = number
        best[better, 1:] = rest[better]
    return best


def _paeth(left: Bytes, up: Bytes, corner: Bytes) -> Bytes:
    """Return the neighbour nearest to left + up - corner; ISO 15948, 9.4."""
    a, b, c = (plane.astype(np.int16) for plane in (left, up, corner))
    to_left, to_up = np.abs(b - c), np.abs(a - c)
    to_corner = np.abs(a + b - 2 * c)
    nearest_up = np.where(to_up <= to_corner, up, corner)
    result: Bytes = np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest_up)
    return result
