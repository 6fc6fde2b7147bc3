"""An opened Pillow image -> an upright `Picture`: what files and the Python API have in common."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from upscale.images import metadata, modes
from upscale.images.picture import Picture
from upscale.images.storage import Storage

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FORMAT_NAMES = {"MPO": "JPEG"}  # a JPEG with further pictures behind it, as phones write


def decode(image: Image.Image, storage: Storage) -> Picture:
    """Decode an opened image, or take over a loaded one.

    Raises:
        Exception: Whatever Pillow's decoders raise on damaged data.
    """
    found = metadata.collect(image)
    image.load()
    method = _UPRIGHT.get(found.orientation)
    if method is not None and image.format != "TIFF":  # Pillow turns TIFF itself while loading
        image = _transposed(image, method)
    planes = modes.unpack(image, storage, found.icc_profile)
    return Picture(
        color=planes.color,
        alpha=planes.alpha,
        metadata=replace(found.metadata, icc_profile=planes.icc_profile),
        format=_FORMAT_NAMES.get(image.format or "", image.format),
        notes=(*found.notes, *planes.notes),
    )


def _transposed(image: Image.Image, method: Image.Transpose) -> Image.Image:
    upright = image.transpose(method)
    upright.format = image.format
    return upright
