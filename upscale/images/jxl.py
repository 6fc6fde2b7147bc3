"""The header of a JPEG XL: its plug-in for Pillow decodes the picture before it tells the size, to 8 bits.

ISO 18181-1, the bundles SizeHeader, ImageMetadata and BitDepth.
"""

from __future__ import annotations

from typing import IO

from upscale.images.extent import boxes

_SIDE_BITS = 9, 13, 18, 30
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_DEPTHS = (8, 10, 12), (32, 16, 24)  # of integers, of floating point numbers; else it is spelt out


def header(file: IO[bytes]) -> tuple[tuple[int, int], int] | None:
    """Return (width, height) in pixels as stored, and bits per channel; None for any other kind of file.

    The bits are 8 where more is said about the picture than that it is turned. The file is left anywhere.
    """
    parts = {b"jxlc": 0, b"jxlp": 4}  # bytes before the codestream in boxes that hold it
    start = next((at + parts[kind] for kind, at, _ in boxes(file) if kind in parts), 0)
    file.seek(start)
    head = file.read(24)
    if head[:2] != b"\xff\x0a":
        return None
    bits = int.from_bytes(head[2:], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side() -> int:
        return 8 * (take(5) + 1) if in_eights else take(_SIDE_BITS[take(2)]) + 1

    in_eights = take(1)
    height = side()
    ratio = take(3)
    across, down = _RATIOS.get(ratio, (0, 1))
    width = height * across // down if ratio else side()
    usual = take(1)
    if usual or (take(1) and take(6) & 0b111000):  # orientation; another size, a preview, an animation
        return (width, height), 8
    depths = _DEPTHS[take(1)]
    choice = take(2)
    return (width, height), depths[choice] if choice < 3 else take(6) + 1
