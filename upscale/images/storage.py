"""How a file stores its samples, read from its header before anything is decoded.

Pillow reduces several kinds of files to 8 bits without a word, and does not invert 16-bit pictures whose zero
is white. What it knows before it decodes (the raw mode of its tiles) tells these apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import fmean
from typing import IO, Any

from PIL import Image

from upscale.images import webp

HEAD_BYTES = 4096
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262  # TIFF tag; 0 is WhiteIsZero
_BITS = re.compile(r";(\d+)")


@dataclass(frozen=True)
class Storage:
    """The samples of a file.

    Attributes:
        bits: Bits per channel in the file, 1 to 32.
        signed: Whether they are signed integers.
        white_is_zero: Whether the decoded pixels still have to be inverted.
        gray_alpha: Whether the file is grey with alpha although Pillow decodes it to RGBA.
        luma_step: How coarsely they are rounded, as `Picture.luma_step`.
    """

    bits: int = 8
    signed: bool = False
    white_is_zero: bool = False
    gray_alpha: bool = False
    luma_step: float = 0.0


def inspect(image: Image.Image, file: IO[bytes] | None = None) -> Storage:
    """Return how an opened, not yet loaded image is stored; for one that is loaded, what its mode says.

    Args:
        image: As `PIL.Image.open` returns it.
        file: What it was opened from, for what Pillow does not tell; it is left where it was found.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    codec, _, _, args = tiles[0] if tiles else ("", None, 0, None)
    raw = args if isinstance(args, str) else args[0] if isinstance(args, tuple) and args else ""
    raw = raw if isinstance(raw, str) else ""

    if image.format in ("JPEG2000", "AVIF"):
        bits = _container_bits(image.format, _head(file))
    elif codec.startswith("ppm") and isinstance(args, tuple):
        bits = int(args[1]).bit_length()  # the largest value, 255 or 65535
    elif (found := _BITS.search(raw)) and not raw.startswith(
        "BGR"
    ):  # BGR;16 is 5+6+5 bits, not 16 per channel
        bits = int(found[1])
    else:
        bits = {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)

    tags = getattr(image, "tag_v2", {})
    if raw in ("R", "G", "B", "A"):  # one plane after the other
        bits = tags.get(_BITS_PER_SAMPLE, (8,))[0]
    return Storage(
        bits=bits,
        signed=raw.endswith("S"),
        white_is_zero=image.mode.startswith(("I", "F")) and tags.get(_PHOTOMETRIC) == 0,
        gray_alpha=raw.startswith("LA;16"),
        luma_step=webp.luma_step(file) if file and image.format == "WEBP" else _jpeg_step(image),
    )


def _head(file: IO[bytes] | None) -> bytes:
    """Return the first `HEAD_BYTES` of a file."""
    if file is None:
        return b""
    position = file.tell()
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(position)
    return head


def _jpeg_step(image: Image.Image) -> float:
    """Return the mean step of a JPEG's first quantisation table, which is that of the luma; else 0."""
    tables = getattr(image, "quantization", None) or {}
    return fmean(tables[0]) if tables.get(0) else 0.0


def _container_bits(format: str, head: bytes) -> int:
    if (
        format == "AVIF"
    ):  # `pixi` box: version and flags (4 bytes), channels (1), bits of each; ISO 23008-12, 6.5.6
        box = head.find(b"pixi")
        at = box + 9
    else:  # SOC and SIZ markers, then 38 bytes up to Ssiz (bits - 1, top bit: signed); ISO 15444-1, A.5.1
        box = head.find(b"\xff\x4f\xff\x51")
        at = box + 42
    if box < 0 or at >= len(head):
        return 8
    return head[at] if format == "AVIF" else (head[at] & 0x7F) + 1
