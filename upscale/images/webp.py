"""How coarsely a lossy WebP has rounded its picture, by the header of its VP8 frame (RFC 6386).

A frame says by one index how coarsely it is rounded, or by up to four: then blocks choose among them, and the
header tells how likely each choice is. All of it is behind an arithmetic decoder.
"""

from __future__ import annotations

import io
import math
from typing import IO

_FRAME_HEADER_BYTES = 16  # of an animation's frame, which holds chunks in turn
_TAG_BYTES = 10  # of a key frame, before what is arithmetically coded
_MAX_HEADER_BYTES = 128  # it is far shorter
_MAX_CHUNKS = 64
_START_CODE = b"\x9d\x01\x2a"
_EVEN = 128  # of 256: the probability of a bit that is not modelled

# Steps of the transform's coefficients for the index 0 to 127 (RFC 6386, 14.1).
_STEPS: tuple[int, ...] = (
    *range(4, 58), *range(58, 118, 2), *range(119, 174, 3), *range(177, 230, 4), 234, 239, 245,
    *range(249, 285, 5),
)  # fmt: skip

# VP8's steps, which are the same for all frequencies, in terms of a JPEG that is as far from the original: by
# 16 photographs reduced 4 times at six qualities; their medians to within a fifth, each to a factor of 2.
_FACTOR, _POWER = 0.14, 1.5


def luma_step(file: IO[bytes]) -> float:
    """Return the mean step of the luma table of a JPEG as coarse as a WebP's first picture.

    It is 0 for one that is kept without loss, or where the header makes no sense. The file is left where it
    was found.
    """
    position = file.tell()
    try:
        frame = _vp8_frame(file)
    finally:
        file.seek(position)
    if frame is None or len(frame) <= _TAG_BYTES or frame[0] & 1 or frame[3:6] != _START_CODE:
        return 0.0
    return _FACTOR * math.pow(_mean_step(_BoolDecoder(frame[_TAG_BYTES:])), _POWER)


def _vp8_frame(file: IO[bytes]) -> bytes | None:
    """Return the beginning of the first VP8 chunk, None without one."""
    file.seek(12)  # RIFF, length, WEBP
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[:4] == b"VP8L":
            return None
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"VP8 ":
            return file.read(min(length, _MAX_HEADER_BYTES))
        file.seek(_FRAME_HEADER_BYTES if head[:4] == b"ANMF" else length + length % 2, io.SEEK_CUR)
    return None


def _mean_step(header: _BoolDecoder) -> float:
    """Return the mean step of the AC coefficients of luma that a frame's header names (9.3, 9.6, 19.2)."""
    header.number(2)  # colour space, clamping
    absolute, offsets, likely = False, [0, 0, 0, 0], [1.0, 0.0, 0.0, 0.0]
    if header.bit():  # segments
        has_map, has_data = header.bit(), header.bit()
        if has_data:
            absolute = bool(header.bit())
            offsets = [header.optional(7) for _ in range(4)]
            for _ in range(4):
                header.optional(6)  # strength of the loop filter
        if has_map:
            a, b, c = (header.number(8) / 256 if header.bit() else 255 / 256 for _ in range(3))
            likely = [a * b, a * (1 - b), (1 - a) * c, (1 - a) * (1 - c)]
    header.number(1 + 6 + 3)  # loop filter: kind, level, sharpness
    if header.bit() and header.bit():
        for _ in range(8):
            header.optional(6)  # its changes by frame and mode
    header.number(2)  # parts
    index = header.number(7)
    chosen = (offset if absolute else index + offset for offset in offsets)
    return sum(share * _STEPS[min(127, max(0, i))] for share, i in zip(likely, chosen, strict=True))


class _BoolDecoder:
    """The arithmetic decoder of section 7.3; behind the end of the data it reads zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)
        self._value = next(self._data, 0) << 8 | next(self._data, 0)
        self._range = 255
        self._shifted = 0

    def bit(self) -> int:
        """Return the next bit, which is as likely 0 as 1."""
        split = 1 + ((self._range - 1) * _EVEN >> 8)
        found = int(self._value >= split << 8)
        if found:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifted += 1
            if self._shifted == 8:
                self._shifted = 0
                self._value |= next(self._data, 0)
        return found

    def number(self, bits: int) -> int:
        """Return an unsigned number, the highest bit first."""
        value = 0
        for _ in range(bits):
            value = 2 * value + self.bit()
        return value

    def optional(self, bits: int) -> int:
        """Return a number with its sign behind it, if the bit before says that there is one; else 0."""
        if not self.bit():
            return 0
        value = self.number(bits)
        return -value if self.bit() else value
