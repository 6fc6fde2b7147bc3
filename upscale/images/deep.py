"""16 bits per channel in colour and in grey with alpha, out of decoders that only give 8.

Pillow has no such modes: it unpacks each sample to its upper byte. Told the other byte order, it takes the
lower byte for the upper one. So the file is decoded twice, and nobody has to decode anew what a well-tested
decoder decodes. PNG, TIFF (plain or compressed, in strips, tiles or planes) and binary PPM.
"""

from __future__ import annotations

import re
import sys
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscale.images import arrays

Deep = npt.NDArray[np.uint16]

_RAW = re.compile(r"(?:RGBA|RGBa|RGBX|RGB|R|G|B|A);16[LBN]")
_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_GRAY_ALPHA = "LA;16B"
_BITS_PER_SAMPLE, _PLANAR = 258, 284  # TIFF tags


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened, not yet loaded image has 16 bits where Pillow would give 8."""
    if image.mode not in ("RGB", "RGBA"):
        return False
    codec, raws = _raw_modes(image)
    if codec == "ppm":
        return bool(raws)
    if codec == "libtiff" and image.tag_v2.get(_PLANAR) == 2:  # type: ignore[attr-defined]
        return False  # Pillow has its own idea of the byte order there
    return raws == [_GRAY_ALPHA] or (bool(raws) and all(_RAW.fullmatch(raw) for raw in raws))


def decode(image: Image.Image, file: IO[bytes]) -> Deep:
    """Return the samples [H, W, C] of an image that `is_deep`; it is loaded, metadata are left as they are.

    Args:
        image: As opened.
        file: What it was opened from, and will be once more.

    Returns:
        C is 2 (grey and alpha), 3 or 4; full range; alpha is not premultiplied.

    Raises:
        Exception: Whatever Pillow's decoders raise on damaged data.
    """
    codec, raws = _raw_modes(image)
    if codec == "ppm":
        return _ppm(image, file)
    if raws == [_GRAY_ALPHA]:  # four bytes per pixel, as RGBA has
        _retile(image, "RGBA", None)
        image.load()
        return arrays.to_array(image).view(">u2").astype(np.uint16)
    premultiplied = raws[0].startswith("RGBa")  # dividing bytes apart would be wrong
    _retile(image, "RGBA" if premultiplied else None, None)
    image.load()
    upper = arrays.to_array(image)
    samples: Deep = np.left_shift(upper, 8, dtype=np.uint16)
    file.seek(0)
    with Image.open(file) as again:
        again.seek(image.tell())
        _retile(again, "RGBA" if premultiplied else None, _OTHER_ORDER)
        again.load()
        for rows in arrays.row_blocks(*again.size):
            samples[rows] |= np.asarray(again.crop((0, rows.start, again.width, rows.stop)))
    return _divided(samples) if premultiplied else samples


def _raw_modes(image: Image.Image) -> tuple[str, list[str]]:
    """Return the codec, and the raw modes of all tiles, each once; for PPM of 8 bits none."""
    tiles: list[Any] = getattr(image, "tile", [])
    codec = tiles[0][0] if tiles else ""
    arguments = [tile[3] if isinstance(tile[3], tuple) else (tile[3],) for tile in tiles]
    if codec == "ppm":
        return codec, [str(raw) for raw, *rest in arguments if rest and rest[0] > 255]
    return codec, sorted({_repaired(image, str(found[0])) for found in arguments if found})


def _repaired(image: Image.Image, raw: str) -> str:
    """Return the raw mode of a tile; Pillow forgets the 16 bits of a TIFF's planes."""
    tags: Any = getattr(image, "tag_v2", {})
    if raw in ("R", "G", "B", "A") and tags.get(_PLANAR) == 2 and tags.get(_BITS_PER_SAMPLE, (8,))[0] == 16:
        return f"{raw};16{'B' if tags.prefix == b'MM' else 'L'}"
    return raw


def _retile(image: Image.Image, bands: str | None, orders: dict[str, str] | None) -> None:
    """Change the raw modes of an opened image: the bands, the byte order, or neither where None."""

    def changed(raw: str) -> str:
        if raw == _GRAY_ALPHA:
            return str(bands)
        old, order = _repaired(image, raw).split(";16")
        return f"{bands or old};16{orders[order] if orders else order}"

    tiles: list[Any] = image.tile  # type: ignore[attr-defined]
    for place, (codec, extents, offset, arguments) in enumerate(tiles):
        if isinstance(arguments, tuple):
            arguments = (changed(arguments[0]), *arguments[1:])
        else:
            arguments = changed(arguments)
        tiles[place] = type(tiles[place])(codec, extents, offset, arguments)


def _divided(samples: Deep) -> Deep:
    """Return RGBA samples whose colour had been multiplied by alpha, rounded to nearest."""
    for rows in arrays.row_blocks(samples.shape[1], samples.shape[0]):
        alpha = samples[rows, :, 3:].astype(np.uint32)
        color = (samples[rows, :, :3] * np.uint32(65535) + alpha // 2) // np.maximum(alpha, 1)
        samples[rows, :, :3] = np.minimum(color, 65535)
    return samples


def _ppm(image: Image.Image, file: IO[bytes]) -> Deep:
    """Return the samples of a P6 file, which follow its header two bytes each, big-endian."""
    _, _, offset, (_, white) = image.tile[0]  # type: ignore[attr-defined]
    samples = np.empty((image.height, image.width, 3), np.uint16)
    file.seek(offset)
    for rows in arrays.row_blocks(*image.size):
        block = samples[rows]
        data = file.read(block.size * 2)
        if len(data) < block.size * 2:
            raise ValueError("image file is truncated")
        block[:] = np.frombuffer(data, ">u2").reshape(block.shape)
        if white != 65535:
            scaled = (block * np.uint64(65535) + np.uint64(white // 2)) // np.uint64(white)
            block[:] = np.minimum(scaled, 65535)
    return samples
