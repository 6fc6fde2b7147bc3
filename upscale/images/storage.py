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

from upscale.images import jxl, webp

HEAD_BYTES = 4096
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC, _SAMPLES, _PLANAR = 262, 277, 284  # TIFF tags; 0 is WhiteIsZero, 2 one plane after the other
_SIDES = ((256, 322), (257, 323))  # width and height, of the picture and of its tiles
_TILE_PX = 4096  # by which tiles may be larger than their picture; all of a tile is held
_PRIMARIES, _TONES = {1, 2}, {1, 2, 6, 13}  # of H.273: BT.709 and unknown; BT.709, unknown, BT.601, sRGB
_SRGB_GAMMA, _SRGB_NEAR = 1 / 2.2, 0.01
_SRGB_CHROMATICITY = 0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06  # x, y of white, red, green and blue
_OTHER_COLORS = "The file says, without a profile, that its colours are not sRGB's; they were taken as such."
_FURTHER_CHANNELS = "Channels besides colour and transparency were left out."
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
        notes: Sentences on what no decoder heeds.
    """

    bits: int = 8
    signed: bool = False
    white_is_zero: bool = False
    gray_alpha: bool = False
    luma_step: float = 0.0
    notes: tuple[str, ...] = ()


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
    elif image.format == "JXL" and file is not None:
        bits = _jxl_bits(file)
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
    if codec == "libtiff" and raw.endswith(("BS", "BF")):  # Pillow swaps bytes that libtiff has swapped
        raise ValueError("compressed big-endian numbers with a sign or a point are not supported")
    if raw in ("R", "G", "B", "A"):  # one plane after the other
        bits = tags.get(_BITS_PER_SAMPLE, (8,))[0]
    notes = []
    if _has_other_colors(image, head):
        notes.append(_OTHER_COLORS)
    if tags.get(_SAMPLES, 1) > len(image.getbands()):  # Photoshop keeps selections so
        notes.append(_FURTHER_CHANNELS)
    return Storage(
        bits=bits,
        signed=raw.endswith("S"),
        white_is_zero=image.mode.startswith(("I", "F")) and tags.get(_PHOTOMETRIC) == 0,
        gray_alpha=raw.startswith("LA;16"),
        luma_step=webp.luma_step(file) if file and image.format == "WEBP" else _jpeg_step(image),
        notes=tuple(notes),
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


def _has_other_colors(image: Image.Image, head: bytes) -> bool:
    """Return whether an image without a profile says by numbers that its colours are not sRGB's."""
    info = image.info
    if "icc_profile" in info:
        return False
    if image.format == "HEIF":
        codes = info.get("nclx_profile") or {}
        return not _are_srgb(codes.get("color_primaries", 2), codes.get("transfer_characteristics", 2))
    name, width = {"PNG": (b"cICP", 1), "AVIF": (b"colrnclx", 2)}.get(image.format or "", (b"", 0))
    at = head.find(name) + len(name)
    if name and len(name) <= at <= len(head) - 2 * width:
        return not _are_srgb(*(int.from_bytes(head[at + i * width :][:width], "big") for i in (0, 1)))
    if image.format != "PNG" or "srgb" in info:
        return False
    chromaticity = zip(info.get("chromaticity", _SRGB_CHROMATICITY), _SRGB_CHROMATICITY, strict=True)
    values = ((info.get("gamma", _SRGB_GAMMA), _SRGB_GAMMA), *chromaticity)
    return any(abs(value - srgb) > _SRGB_NEAR for value, srgb in values)


def _are_srgb(primaries: int, tones: int) -> bool:
    """Return whether codes of ITU-T H.273 are sRGB's, near them, or tell nothing."""
    return primaries in _PRIMARIES and tones in _TONES


def _jxl_bits(file: IO[bytes]) -> int:
    position = file.tell()
    found = jxl.header(file)
    file.seek(position)
    return found[1] if found else 8


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
