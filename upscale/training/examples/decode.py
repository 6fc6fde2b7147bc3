"""Files of photographs -> their pixels, as they are learnt from and scored on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from upscale.errors import InputError
from upscale.images.depth import to_8_bits
from upscale.images.picture import Pixels


class NoPicture(InputError):
    """The file is of no kind that Pillow knows."""


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; what goes wrong until it is closed is said of it.

    Raises:
        NoPicture: It is none.
        InputError: It is damaged, or larger than Pillow opens.
    """
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        raise NoPicture(f"{path} is not a picture.", hint="Get it again, or take it away.") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large ({error}).", hint="Cut it into parts.") from None
    except Exception as error:  # decoders raise a dozen types on bad data
        raise InputError(
            f"{path} cannot be decoded ({error}).", hint="Get it again, or take it away."
        ) from None


def decoded(path: Path) -> Pixels:
    """Return a picture, upright, as uint8 [H, W, 3]; raises as `opened`, of fractions as well."""
    with opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "F":
            raise ValueError("its numbers are no levels")
        if image.mode.startswith("I"):  # 16-bit grey, which Pillow would cut off at 255
            gray = to_8_bits(np.asarray(image).clip(0, 65535).astype(np.uint16))
            return np.repeat(gray[..., None], 3, 2)
        return np.asarray(image.convert("RGB"))
