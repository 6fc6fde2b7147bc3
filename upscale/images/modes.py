"""Every Pillow mode -> colour and alpha arrays of a `Picture`: one function per family of modes.

Greyscale stays greyscale, 16 bits stay 16 bits, palettes become RGB, print and Lab colours become sRGB. What
is lost is said in notes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscale.images import arrays, color
from upscale.images.deep import Deep
from upscale.images.picture import Pixels
from upscale.images.storage import Storage


@dataclass(frozen=True)
class Planes:
    """Decoded pixels.

    Attributes:
        color: [H, W, 1 or 3] uint8 or uint16, not premultiplied.
        alpha: [H, W] of the same dtype, or None.
        icc_profile: Profile that `color` refers to, if it fits; None means sRGB.
        notes: Sentences on what was changed.
    """

    color: Pixels
    alpha: Pixels | None
    icc_profile: bytes | None
    notes: tuple[str, ...]


def unpack(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    """Return the pixels of a loaded image of any mode that Pillow's readers make.

    Raises:
        ValueError: The mode is unknown.
    """
    convert = _CONVERTERS.get(image.mode)
    if convert is None:
        raise ValueError(f"unsupported pixel mode {image.mode}")
    planes = convert(image, storage, icc_profile)
    if planes.color.dtype == np.uint8 and storage.bits > 8:
        return _noting(planes, f"{storage.bits}-bit colour was reduced to 8 bits.")
    return planes


def from_samples(samples: Deep, key: Any, icc_profile: bytes | None) -> Planes:
    """Return the planes of 16-bit samples [H, W, 2 (grey and alpha), 3 or 4].

    Args:
        samples: Not premultiplied.
        key: As for `_keyed`.
        icc_profile: As embedded.
    """
    channels = samples.shape[2]
    if channels == 3:
        return _planes(samples, _keyed(samples, key), icc_profile)
    color = np.ascontiguousarray(samples[..., :-1])
    return _planes(color, np.ascontiguousarray(samples[..., -1]), icc_profile)


def _gray8(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    gray = arrays.to_array(image.convert("L") if image.mode == "1" else image)[..., None]
    key = image.info.get("transparency")
    if isinstance(key, int) and storage.bits < 8:  # PNG's key counts in levels of the file
        key = min(key * 255 // (2**storage.bits - 1), 255)  # for one bit, Pillow may have scaled it
    return _planes(gray, _keyed(gray, key), icc_profile)


def _gray16(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    gray = arrays.to_array(image)[..., None]
    alpha = _keyed(gray, image.info.get("transparency"))
    if storage.bits == 12 and image.format == "TIFF":  # which stores them as they are; JPEG 2000 is scaled
        gray = (gray.astype(np.uint32) * 65535 // 4095).astype(np.uint16)
    return _planes(_maybe_inverted(gray, storage), alpha, icc_profile)


def _gray_alpha(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    return _planes(*arrays.split_alpha(image.convert("LA")), icc_profile)


def _integers(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    values = arrays.to_array(image)
    if storage.bits <= 16 and not storage.signed:  # 16-bit PGM: Pillow has already scaled it to 65535
        return _planes(values.astype(np.uint16)[..., None], None, icc_profile)
    if not storage.signed and int(values.min()) < 0:
        values = values.view(np.uint32)
    gray, white = _scaled(values, (255, 65535))
    note = f"{storage.bits}-bit integer greyscale was converted to 16 bits, {white} taken as white."
    return _noting(_planes(_maybe_inverted(gray, storage)[..., None], None, icc_profile), note)


def _floats(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    values = arrays.to_array(image)
    finite = np.isfinite(values)
    notes = []
    if not finite.all():
        values[~finite] = 0
        notes.append("Pixels that are not finite numbers became 0.")
    gray, white = _scaled(values, (1, 255, 65535))
    notes.append(f"Floating point greyscale was converted to 16 bits, {white} taken as white.")
    return _noting(_planes(_maybe_inverted(gray, storage)[..., None], None, icc_profile), *notes)


def _rgb(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    pixels = arrays.to_array(image if image.mode == "RGB" else image.convert("RGB"))
    key = image.info.get("transparency")
    if isinstance(key, tuple) and storage.bits > 8:  # the key has 16 bits, the pixels have lost their lower 8
        key = tuple(value >> 8 for value in key)
    return _planes(pixels, _keyed(pixels, key), icc_profile)


def _rgb_alpha(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    pixels, alpha = arrays.split_alpha(image.convert("RGBA"))  # divides premultiplied RGBa
    if storage.gray_alpha:
        pixels = np.ascontiguousarray(pixels[..., :1])
    return _planes(pixels, alpha, icc_profile)


def _palette(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    opaque = image.mode == "P" and not image.has_transparency_data
    convert = _rgb if opaque else _rgb_alpha
    target = image.convert("RGB" if opaque else "RGBA")
    target.info.pop("transparency", None)
    return convert(target, Storage(), icc_profile)


def _managed(image: Image.Image, storage: Storage, icc_profile: bytes | None) -> Planes:
    rgb, notes = color.to_srgb(image, icc_profile)
    return Planes(arrays.to_array(rgb), None, None, tuple(notes))


def _keyed(pixels: Pixels, key: Any) -> Pixels | None:
    """Return alpha [H, W] for pixels [H, W, C] of which one colour is transparent.

    The key is that colour, (r, g, b) or a level of grey; for anything else there is no alpha.
    """
    if not isinstance(key, int | tuple) or np.size(key) != pixels.shape[2]:
        return None
    shown = (pixels != np.array(key)).any(axis=2)
    alpha: Pixels = shown * pixels.dtype.type(np.iinfo(pixels.dtype).max)
    return alpha


def _planes(pixels: Pixels, alpha: Pixels | None, icc_profile: bytes | None) -> Planes:
    profile, notes = color.usable_profile(icc_profile, gray=pixels.shape[2] == 1)
    return Planes(pixels, alpha, profile, tuple(notes))


def _noting(planes: Planes, *notes: str) -> Planes:
    return Planes(planes.color, planes.alpha, planes.icc_profile, (*planes.notes, *notes))


def _scaled(values: npt.NDArray[Any], whites: tuple[int, ...]) -> tuple[npt.NDArray[np.uint16], str]:
    """Return values [H, W] as uint16 and, in words, what became white.

    White is the smallest of `whites` that holds all values, else the largest value; black is 0 or, below it,
    the smallest value.
    """
    low, high = min(0.0, float(values.min())), float(values.max())
    white = float(next((white for white in whites if white >= high), high))
    scaled = (values.astype(np.float64) - low) * (65535 / (white - low))
    return np.floor(scaled + 0.5).astype(np.uint16), f"{white:g}"


def _maybe_inverted(gray: npt.NDArray[np.uint16], storage: Storage) -> npt.NDArray[np.uint16]:
    if storage.white_is_zero:
        np.subtract(65535, gray, out=gray)
    return gray


_CONVERTERS: dict[str, Callable[[Image.Image, Storage, bytes | None], Planes]] = {
    **dict.fromkeys(("1", "L"), _gray8),
    **dict.fromkeys(("I;16", "I;16L", "I;16B", "I;16N"), _gray16),
    **dict.fromkeys(("LA", "La"), _gray_alpha),
    "I": _integers,
    "F": _floats,
    **dict.fromkeys(("RGB", "RGBX", "YCbCr", "HSV"), _rgb),
    **dict.fromkeys(("RGBA", "RGBa"), _rgb_alpha),
    **dict.fromkeys(("P", "PA"), _palette),
    **dict.fromkeys(("CMYK", "LAB"), _managed),
}
