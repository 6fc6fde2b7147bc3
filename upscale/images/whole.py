"""Whether a file holds its picture to the end, found out without decoding it.

Looks at what the container says of its own length, so it finds files cut short, not ones with damaged bytes.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, cast

from PIL import Image

from upscale.errors import InputError
from upscale.images import guard
from upscale.images.extent import boxes, gif_extent, tiff_extent

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def is_whole(path: Path, format: str) -> bool:
    """Return whether a file of this format (Pillow's name) is as long as its content says.

    Formats that we do not write count as whole.

    Raises:
        InputError: It cannot be read.
    """
    check = _CHECKS.get(format)
    try:
        with path.open("rb") as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(0)
            return check is None or check(file, length)
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
        return False  # a header that leads nowhere


def _tail(file: IO[bytes], count: int) -> bytes:
    file.seek(-min(count, file.seek(0, io.SEEK_END)), io.SEEK_END)
    return file.read()


def _jpeg(file: IO[bytes], length: int) -> bool:
    return _tail(file, 2) == b"\xff\xd9"  # EOI


def _png(file: IO[bytes], length: int) -> bool:
    return _tail(file, len(_PNG_END)) == _PNG_END


def _webp(file: IO[bytes], length: int) -> bool:
    return length > 8 and int.from_bytes(file.read(8)[4:], "little") + 8 <= length


def _bmp(file: IO[bytes], length: int) -> bool:
    return length > 6 and int.from_bytes(file.read(6)[2:], "little") <= length


def _avif(file: IO[bytes], length: int) -> bool:
    found = list(boxes(file))
    return any(kind == b"mdat" for kind, _, _ in found) and found[-1][2] == length


def _tiff(file: IO[bytes], length: int) -> bool:
    extent = tiff_extent(file)
    return extent.complete and extent.end <= length


def _gif(file: IO[bytes], length: int) -> bool:
    return gif_extent(file).end is not None


def _ppm(file: IO[bytes], length: int) -> bool:
    with guard.quiet(), Image.open(file) as image:
        codec, _, start, arguments = cast(tuple[str, Any, int, Any], image.tile[0])
        channels = len(image.getbands())
        deep = image.mode.startswith("I") or (codec == "ppm" and arguments[1] > 255)
        bytes_each = 2 if deep else 1
        return length >= start + image.width * image.height * channels * bytes_each


_CHECKS: Mapping[str, Callable[[IO[bytes], int], bool]] = MappingProxyType(
    {
        "JPEG": _jpeg,
        "PNG": _png,
        "WEBP": _webp,
        "BMP": _bmp,
        "AVIF": _avif,
        "TIFF": _tiff,
        "PPM": _ppm,
        "GIF": _gif,
    }
)
