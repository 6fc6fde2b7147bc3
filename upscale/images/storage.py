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
_PHOTOMETRIC, _PLANAR = 262, 284  # TIFF tags; 0 is WhiteIsZero, 2 one plane after the other
_SIDES = ((256, 322), (257, 323))  # width and height, of the picture and of its tiles
_TILE_PX = 4096  # by which tiles may be larger than their picture; all of a tile is held
_PRIMARIES, _TONES = {1, 2}, {1, 2, 6, 13}  # of H.273: BT.709 and unknown; BT.709, unknown, BT.601, sRGB
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
        other_colors: Whether the file says by numbers (ITU-T H.273) that its colours are not sRGB's.
    """

    bits: int = 8
    signed: bool = False
    white_is_zero: bool = False
    gray_alpha: bool = False
    luma_step: float = 0.0
    other_colors: bool = False


def inspect(image: Image.Image, file: IO[bytes] | None = None) -> Storage:
    """Return how an opened, not yet loaded image is stored; for one that is loaded, what its mode says.

    Args:
        image: As `PIL.Image.open` returns it.
        file: What it was opened from, for what Pillow does not tell; it is left where it was found.

    Raises:
        ValueError: It is stored in a way that Pillow would make another picture of, or take gigabytes for.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    codec, _, _, args = tiles[0] if tiles else ("", None, 0, None)
    raw = args if isinstance(args, str) else args[0] if isinstance(args, tuple) and args else ""
    raw = raw if isinstance(raw, str) else ""

    head = _head(file)
    if image.format in ("JPEG2000", "AVIF"):
        bits = _container_bits(image.format, head)
    elif image.format == "HEIF":
        bits = int(image.info.get("bit_depth", 8))
    elif codec.startswith("ppm") and isinstance(args, tuple):
        bits = int(args[1]).bit_length()  # the largest value, 255 or 65535
    elif (found := _BITS.search(raw)) and not raw.startswith(
        "BGR"
    ):  # BGR;16 is 5+6+5 bits, not 16 per channel
        bits = int(found[1])
    else:
        bits = {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)

    tags = getattr(image, "tag_v2", {})
    if image.mode in ("LA", "La") and tags.get(_PLANAR) == 2:  # all of it would be transparent
        raise ValueError("grey and alpha in planes of their own are not supported")
    if any(tags.get(tile, 0) > tags.get(side, 0) + _TILE_PX for side, tile in _SIDES):
        raise ValueError("its tiles are far larger than the picture")
    if raw in ("R", "G", "B", "A"):  # one plane after the other
        bits = tags.get(_BITS_PER_SAMPLE, (8,))[0]
    return Storage(
        bits=bits,
        signed=raw.endswith("S"),
        white_is_zero=image.mode.startswith(("I", "F")) and tags.get(_PHOTOMETRIC) == 0,
        gray_alpha=raw.startswith("LA;16"),
        luma_step=webp.luma_step(file) if file and image.format == "WEBP" else _jpeg_step(image),
        other_colors="icc_profile" not in image.info and _has_other_colors(image.format, head),
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


def _has_other_colors(format: str | None, head: bytes) -> bool:
    """Return whether a PNG's cICP chunk or an AVIF's colr box tells of other colours than sRGB's."""
    name, width = {"PNG": (b"cICP", 1), "AVIF": (b"colrnclx", 2)}.get(format or "", (b"", 0))
    at = head.find(name) + len(name)
    if not name or at < len(name) or at + 2 * width > len(head):
        return False
    primaries, tones = (int.from_bytes(head[at + i * width :][:width], "big") for i in (0, 1))
    return primaries not in _PRIMARIES or tones not in _TONES


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
