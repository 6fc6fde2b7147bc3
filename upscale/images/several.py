"""Whether bytes are several pictures one after another, as `cat a.jpg b.jpg` makes them.

Decoders take the first and ignore the rest; in a pipe that would lose pictures without a word. JPEGs with
further pictures that they know of (MPO, gain maps) are one. TIFF, GIF and PPM do not tell where they end.
"""

from __future__ import annotations

import re

_SIGNATURE = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|RIFF.{4}WEBP|GIF8[79]a|II\*\0|MM\0\*|.{4}ftypavi[fs]", re.DOTALL
)
_MULTI_PICTURE = b"MPF\0"  # CIPA DC-007, 5.2.2: in an APP2 segment
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not stuffing, restart or fill; ITU-T T.81, B.1.1
_EOI, _APP2 = 0xD9, 0xE2


def holds_several(data: bytes) -> bool:
    """Return whether another picture begins where the first one ends."""
    if data.startswith(b"\x89PNG"):
        end = _png_end(data)
    elif data.startswith(b"\xff\xd8"):
        end = _jpeg_end(data)
    elif data.startswith(b"RIFF"):
        size = int.from_bytes(data[4:8], "little")
        end = 8 + size + size % 2
    else:
        return False
    return 0 < end < len(data) and _SIGNATURE.match(data, end) is not None


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
        at += max(length, 2)  # behind SOS the entropy-coded data follows: the next marker ends it
    return 0
