"""Whether bytes are several pictures one after another, as `cat a.jpg b.jpg` makes them.

Decoders take the first and ignore the rest; in a pipe that would lose pictures without a word. Pictures that
know of each other are one file: frames of an animation, pages of a TIFF, what phones append to a JPEG (MPO,
gain maps).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from upscale.images.extent import boxes, gif_extent, tiff_extent

_SIGNATURE = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|RIFF.{4}WEBP|GIF8[79]a|II[*+]\0|MM\0[*+]|P[1-7][\s#]"
    rb"|.{4}ftyp(?:avi[fs]|hei[cmsx]|hev[cmsx]|mif1|msf1)"  # not the film of a motion photo
    rb"|BM.{4}\0\0\0\0|\xff\x4f\xff\x51|\0\0\0\x0cjP  ",
    re.DOTALL,
)
_MULTI_PICTURE = b"MPF\0"  # CIPA DC-007, 5.2.2: in an APP2 segment
_CONTAINER = b"Container:Directory"  # in XMP, an APP1 segment: what phones append (gain map, film)
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not stuffing, restart or fill; ITU-T T.81, B.1.1
_MAX_FILLING = 16
_EOI, _APP1, _APP2 = 0xD9, 0xE1, 0xE2
_GAP = rb"(?:\s|#[^\n]*\n)+"  # comments run to the end of their line
_NETPBM = re.compile(  # width, height and, but for bits, the largest value; one blank ends the header
    rb"P(?:4%b(\d{1,9})%b(\d{1,9})|([56])%b(\d{1,9})%b(\d{1,9})%b(\d{1,5}))\s" % ((_GAP,) * 5)
)


def holds_several(data: bytes) -> bool:
    """Return whether another picture begins where the first one ends."""
    for signature, find_end in _ENDS.items():
        if re.match(signature, data, re.DOTALL):
            end = find_end(data)
            return 0 < end < len(data) and any(begins_picture(data, end + gap) for gap in _gaps(data, end))
    return False


def begins_picture(data: bytes, at: int = 0) -> bool:
    """Return whether a picture of a common format begins at a place."""
    return _SIGNATURE.match(data, at) is not None


def _gaps(data: bytes, end: int) -> range:
    """Return how many bytes may lie between two pictures: zeros, with which TIFF and others fill up."""
    filling = re.compile(rb"\0*").match(data, end, end + _MAX_FILLING)
    return range(1 + (len(filling[0]) if filling else 0))


def _png_end(data: bytes) -> int:
    """Return the place behind IEND; 0 without one."""
    at = 8
    while at + 12 <= len(data):
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return at
    return 0


def _jpeg_end(data: bytes) -> int:
    """Return the place behind EOI; 0 without one, or where the file says that more pictures follow."""
    at = 2
    while match := _JPEG_MARKER.search(data, at):
        kind, at = data[match.start() + 1], match.end()
        if kind == _EOI:
            return at
        if kind == _APP2 and data[at + 2 : at + 6] == _MULTI_PICTURE:
            return 0
        length = int.from_bytes(data[at : at + 2], "big")
        if kind == _APP1 and data.find(_CONTAINER, at, at + length) >= 0:
            return 0
        at += max(length, 2)  # behind SOS the entropy-coded data follows: the next marker ends it
    return 0


def _webp_end(data: bytes) -> int:
    size = int.from_bytes(data[4:8], "little")
    return 8 + size + size % 2


def _gif_end(data: bytes) -> int:
    return gif_extent(io.BytesIO(data)).end or 0


def _tiff_end(data: bytes) -> int:
    return tiff_extent(io.BytesIO(data)).end


def _bmp_end(data: bytes) -> int:
    return int.from_bytes(data[2:6], "little")


def _boxes_end(data: bytes) -> int:
    """Return the place behind the boxes of AVIF or HEIF where another picture begins; 0 without one."""
    return next((end for _, _, end in boxes(io.BytesIO(data)) if begins_picture(data, end)), 0)


def _netpbm_end(data: bytes) -> int:
    """Return the place behind the pixels, for the formats that are not text."""
    head = _NETPBM.match(data)
    if head is None:
        return 0
    if head[3] is None:
        width, height = int(head[1]), int(head[2])
        return head.end() + (width + 7) // 8 * height
    channels = 3 if head[3] == b"6" else 1
    bytes_each = 1 if int(head[6]) < 256 else 2
    return head.end() + int(head[4]) * int(head[5]) * channels * bytes_each


_ENDS: dict[bytes, Callable[[bytes], int]] = {
    rb"\x89PNG": _png_end,
    rb"\xff\xd8": _jpeg_end,
    rb"RIFF": _webp_end,
    rb"GIF8": _gif_end,
    rb"II[*+]\0|MM\0[*+]": _tiff_end,
    rb"BM": _bmp_end,
    rb".{4}ftyp": _boxes_end,
    rb"P[456]": _netpbm_end,
}
