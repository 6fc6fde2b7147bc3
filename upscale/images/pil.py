"""Pillow images of API users <-> `Picture`."""

from __future__ import annotations

from PIL import Image

from upscale.errors import InputError
from upscale.images import arrays, depth, guard, metadata, storage
from upscale.images.decode import decode
from upscale.images.picture import Picture


def from_pil(image: Image.Image) -> Picture:
    """Return a Pillow image of any mode as an upright picture; EXIF orientation is applied.

    Raises:
        InputError: It is no Pillow image, empty, lazily opened and damaged, or of a mode that is not
            supported.
    """
    if not isinstance(image, Image.Image):
        raise InputError(
            f"This is not a Pillow image but {type(image).__name__}.",
            hint="Open files with PIL.Image.open, make arrays images with PIL.Image.fromarray.",
        )
    if 0 in image.size:
        raise InputError(f"The image has no pixels ({image.size[0]}x{image.size[1]}).")
    try:
        with guard.quiet():
            return decode(image, storage.inspect(image))
    except Exception as error:  # lazily opened images are decoded here: see opening.py
        raise InputError(f"The image cannot be decoded ({error or type(error).__name__}).") from error


def to_pil(picture: Picture) -> Image.Image:
    """Return a picture as a Pillow image of mode L, LA, RGB, RGBA or I;16, metadata in its `info`.

    A map of uncertainty is there as well, an image of mode L.

    Pillow has no mode for 16-bit colour or 16-bit grey with alpha: these are reduced to 8 bits.
    """
    image = pixels_to_pil(picture)
    profile, _ = metadata.icc_for(picture)
    known = {
        "exif": metadata.exif_for(picture),
        "icc_profile": profile,
        "dpi": picture.metadata.dpi,
        "xmp": picture.metadata.xmp,
        "uncertainty": None if picture.uncertainty is None else arrays.to_image(picture.uncertainty),
    }
    image.info.update({key: value for key, value in known.items() if value is not None})
    return image


def pixels_to_pil(picture: Picture) -> Image.Image:
    """Return the pixels only, as `to_pil` does. They may be shared with the picture."""
    color, alpha = picture.color, picture.alpha
    if alpha is None and picture.is_gray:
        return arrays.to_image(color)
    image = arrays.to_image(depth.to_8_bits(color))
    if alpha is not None:
        image.putalpha(arrays.to_image(depth.to_8_bits(alpha)))
    return image
