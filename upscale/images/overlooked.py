"""What files say besides their pixels in places where Pillow does not look."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from typing import IO, Any

from PIL import Image

from upscale.images.extent import boxes, gif_extent

Info = dict[Any, Any]  # as `PIL.Image.Image.info`

_MAX_BYTES = 1 << 26  # of one thing that is said
_JP2_UUIDS = {  # of Adobe's XMP specification, part 3, 1.1.4; the other is what exiftool and Adobe write
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    b"JpgTiffExif->JP2": "exif",
}
_JP2_PROFILES = b"\2", b"\3"  # methods of telling colours
_PSD_RESOLUTION, _PSD_BLOCKS = 1005, {1058: "exif", 1060: "xmp"}  # Adobe's file format specification


def add(image: Image.Image, file: IO[bytes]) -> None:
    """Add to the `info` of an opened image what Pillow has overlooked; the file is left where it was."""
    find = _FINDERS.get(image.format or "")
    if find is not None:
        position = file.tell()
        image.info |= find(image, file)
        file.seek(position)


def _png(image: Image.Image, file: IO[bytes]) -> Info:
    """Return the EXIF behind the pixels, for which Pillow looks only while decoding."""
    if "exif" in image.info:
        return {}
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind == b"eXIf":
            return {"exif": file.read(length)}
        file.seek(length + 4, io.SEEK_CUR)  # and the checksum
    return {}


def _gif(image: Image.Image, file: IO[bytes]) -> Info:
    xmp = gif_extent(file).xmp
    return {} if xmp is None else {"xmp": _part(file, *xmp)}


def _jp2(image: Image.Image, file: IO[bytes]) -> Info:
    """Return the colour profile, XMP and EXIF; ISO 15444-1, I.5.3.3 and I.7.2."""
    found = {}
    for kind, start, end in boxes(file):
        if kind == b"uuid" and (name := _JP2_UUIDS.get(_part(file, start, start + 16))):
            found[name] = _part(file, start + 16, end)
        for inner, at, behind in boxes(file, start, end) if kind == b"jp2h" else ():
            if inner == b"colr" and _part(file, at, at + 1) in _JP2_PROFILES:
                found["icc_profile"] = _part(file, at + 3, behind)
    return found


def _jxl(image: Image.Image, file: IO[bytes]) -> Info:
    xmp = next(((start, end) for kind, start, end in boxes(file) if kind == b"xml "), None)
    return {} if xmp is None else {"xmp": _part(file, *xmp)}


def _psd(image: Image.Image, file: IO[bytes]) -> Info:
    blocks: Mapping[int, bytes] = {number: data for number, _, data in image.resources}  # type: ignore[attr-defined]
    found: Info = {name: blocks[number] for number, name in _PSD_BLOCKS.items() if number in blocks}
    if len(resolution := blocks.get(_PSD_RESOLUTION, b"")) >= 12:
        x, y = struct.unpack(">I4xI", resolution[:12])
        found["dpi"] = (x / 65536, y / 65536)
    return found | {"photoshop": blocks}  # the name that Pillow has for them in a JPEG


def _part(file: IO[bytes], start: int, end: int) -> bytes:
    """Return what lies between two places; nothing where that is absurd."""
    file.seek(start)
    return file.read(end - start) if 0 < end - start <= _MAX_BYTES else b""


_FINDERS: Mapping[str, Callable[[Image.Image, IO[bytes]], Info]] = {
    "PNG": _png,
    "GIF": _gif,
    "JPEG2000": _jp2,
    "JXL": _jxl,
    "PSD": _psd,
}
