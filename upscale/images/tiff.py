"""TIFF, written page by page, in strips: 8 or 16 bits per channel, any metadata, of any size (BigTIFF).

Not compressed, so that the place of everything is known before a byte of it is written, and the stream need
not be seekable. Pillow serialises the tags. TIFF 6.0.
"""

from __future__ import annotations

import struct
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from upscale.errors import OutputError
from upscale.images import arrays, scratch
from upscale.images.metadata import as_read
from upscale.images.picture import Metadata, Picture

_CLASSIC, _BIG = b"II*\0" + struct.pack("<I", 8), b"II+\0" + struct.pack("<HHQ", 8, 0, 16)
_STRIP_BYTES = 1 << 20
_CLASSIC_BYTES = 2**32
_ROOM = 2**24  # of these, for the tags
_INTEROP = ExifTags.IFD.Interop

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _X_DPI, _Y_DPI, _PLANAR = 273, 277, 278, 279, 282, 283, 284
_UNIT, _PAGE, _EXTRA, _XMP, _IPTC, _ICC = 296, 297, 338, 700, 33723, 34675


class TiffWriter:
    """Writes pages one after the other."""

    def __init__(self, file: IO[bytes], pages: int, name: str) -> None:
        """Write nothing yet.

        Args:
            file: Where to.
            pages: How many will come.
            name: What messages call it.
        """
        self._file = file
        self._pages = pages
        self._name = name
        self._number = 0
        self._at = 0
        self._header = _CLASSIC

    def add(self, picture: Picture, metadata: Metadata) -> None:
        """Write a page: its directory, then its rows in strips.

        Args:
            picture: The pixels; grey with alpha of 16 bits becomes colour, which alone Pillow reads.
            metadata: What is to be said, instead of the picture's own.

        Raises:
            OutputError: The file grows beyond 4 GB, which the first page did not make one expect.
        """
        (width, height), dtype, alpha = picture.size, picture.color.dtype, picture.alpha
        color: npt.NDArray[Any] = picture.color
        if picture.is_gray and alpha is not None and dtype == np.uint16:
            color = np.broadcast_to(color, (height, width, 3))
        channels = color.shape[2] + (alpha is not None)
        row_bytes = width * channels * dtype.itemsize
        rows = max(1, _STRIP_BYTES // row_bytes)
        starts = range(0, height, rows)
        lengths = [row_bytes * min(rows, height - start) for start in starts]

        if self._at == 0:
            # Most programs read the classic kind; other pages may be larger than the first.
            expected = sum(lengths) * (1 if self._pages == 1 else 2 * self._pages)
            if expected > _CLASSIC_BYTES - _ROOM:
                self._header = _BIG
            self._write(self._header)
        big = self._header is _BIG
        directory = _directory(metadata, (width, height), channels, dtype, self._header)
        directory[_ROWS] = rows
        if self._pages > 1:
            directory[_SUBFILE], directory[_PAGE] = 2, (self._number, self._pages)
        directory.tagtype[_COUNTS] = TiffTags.LONG
        directory.tagtype[_OFFSETS] = TiffTags.LONG8 if big else TiffTags.LONG
        directory[_COUNTS] = tuple(lengths)
        directory[_OFFSETS] = tuple(row_bytes * start for start in starts)  # Pillow adds where they begin

        block = bytearray(directory.tobytes(self._at))
        last = self._number + 1 == self._pages
        filling = bytes(0 if last else sum(lengths) % 2)  # directories begin at even places
        end = self._at + len(block) + sum(lengths) + len(filling)
        if end > _CLASSIC_BYTES and not big:
            raise OutputError(
                f"{self._name} would be larger than 4 GB, the most that this TIFF can hold.",
                hint="Ask for a smaller size, or for one page with --first-frame.",
            )
        self._number += 1
        if not last:
            if big:
                struct.pack_into("<Q", block, 8 + 20 * len(directory), end)
            else:
                struct.pack_into("<I", block, 2 + 12 * len(directory), end)
        self._write(block)
        for part in arrays.row_blocks(width, height):
            pixels = color[part] if alpha is None else np.dstack([color[part], alpha[part]])
            self._write(np.ascontiguousarray(pixels, dtype.newbyteorder("<")).data)
            scratch.release(*(plane for plane in (picture.color, alpha) if plane is not None))
        self._write(filling)

    def _write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._at += len(view)


def _directory(
    metadata: Metadata, size: tuple[int, int], channels: int, dtype: np.dtype[Any], header: bytes
) -> ImageFileDirectory_v2:
    """Return a directory without the places of the pixels.

    Args:
        metadata: What it says besides them.
        size: (width, height).
        channels: 1 to 4, interleaved; of 2 and 4 the last is alpha, not premultiplied.
        dtype: Of the pixels, uint8 or uint16.
        header: What the file begins with.
    """
    directory = ImageFileDirectory_v2(header)
    directory[_WIDTH], directory[_HEIGHT] = size
    directory[_BITS] = (8 * dtype.itemsize,) * channels
    directory[_COMPRESSION], directory[_PLANAR], directory[_SAMPLES] = 1, 1, channels
    directory[_PHOTOMETRIC] = 1 if channels < 3 else 2
    if channels in (2, 4):
        directory[_EXTRA] = 2
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        sub = exif.get_ifd(ExifTags.IFD.Exif)
        if _INTEROP in sub:  # else its offset in the old block is written as a number
            sub[_INTEROP] = exif.get_ifd(_INTEROP)
        found = {tag: exif.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else exif[tag] for tag in exif}
        for tag, value in as_read(found).items():
            directory[tag] = value
    if metadata.dpi:
        directory[_UNIT], directory[_X_DPI], directory[_Y_DPI] = 2, metadata.dpi[0], metadata.dpi[1]
    for tag, block in ((_XMP, metadata.xmp), (_IPTC, metadata.iptc), (_ICC, metadata.icc_profile)):
        if block:
            directory.tagtype[tag] = TiffTags.UNDEFINED if tag == _ICC else TiffTags.BYTE
            directory[tag] = block
    return directory
