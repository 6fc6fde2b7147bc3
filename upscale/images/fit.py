"""A picture's pixels as far as a format can hold them: converted as harmlessly as possible, losses noted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from upscale.images import arrays, color, depth, metadata, scratch
from upscale.images.formats import OutputFormat
from upscale.images.picture import Picture, Pixels

_LEVELS = np.arange(256, dtype=np.uint8)


def fitted(picture: Picture, row: OutputFormat, *, colored: bool | None = None) -> tuple[Picture, list[str]]:
    """Return the picture as far as the format can hold its pixels, and notes on what changed.

    Args:
        picture: Any.
        row: The format.
        colored: Whether grey will have three channels in the file, where no profile for grey fits; None as
            files of single pictures have it.
    """
    notes: list[str] = []
    if picture.alpha is not None and not row.alpha:
        if (picture.alpha != np.iinfo(picture.alpha.dtype).max).any():
            notes.append(f"{row.name} has no transparency: the picture was laid on white.")
            picture = replace(picture, color=_on_white(picture))
        picture = replace(picture, alpha=None)
    if picture.color.dtype == np.uint16:
        plain_gray = picture.is_gray and picture.alpha is None
        if 16 not in (row.gray_bits if plain_gray else row.color_bits):
            notes.append(f"16 bits were reduced to 8 for {row.name}.")
            alpha = None if picture.alpha is None else _to_8_bits(picture.alpha)
            picture = replace(picture, color=_to_8_bits(picture.color), alpha=alpha)
    profile, _ = metadata.icc_for(picture)
    if profile is None:
        return picture, notes
    if picture.is_gray and (not row.icc or (_is_colored(picture, row) if colored is None else colored)):
        notes.append(f"{row.name} cannot hold a colour profile for grey.")
        picture, how = _gray_in_srgb(picture, profile)
        notes += how
    elif not row.icc and not color.is_srgb(profile):
        notes.append(f"{row.name} cannot hold a colour profile.")
        if picture.color.dtype == np.uint16:
            notes.append("16 bits were reduced to 8 for the conversion to sRGB.")
        picture, how = _in_srgb(picture, profile)
        notes += how
    return picture, notes


def _is_colored(picture: Picture, row: OutputFormat) -> bool:
    """Return whether a grey picture is written in three channels: what Pillow writes, or can read again."""
    deep = picture.color.dtype == np.uint16
    return row.name == "webp" or (
        picture.alpha is not None and (row.name == "avif" or (row.name == "tiff" and deep))
    )


def _on_white(picture: Picture) -> npt.NDArray[Any]:
    """Return the colour [H, W, C] laid on white by its alpha, rounded to nearest."""
    assert picture.alpha is not None
    full = np.uint32(np.iinfo(picture.color.dtype).max)
    result = scratch.empty(picture.color.shape, picture.color.dtype)
    for rows in arrays.row_blocks(*picture.size):
        alpha = picture.alpha[rows, :, None].astype(np.uint32)  # 65535^2 still fits
        result[rows] = (picture.color[rows] * alpha + full * (full - alpha) + full // 2) // full
        scratch.release(result, picture.color, picture.alpha)
    return result


def _to_8_bits(pixels: Pixels) -> Pixels:
    """Return pixels [H, W] or [H, W, C] as uint8, on disk if they are many."""
    result = scratch.empty(pixels.shape, np.uint8)
    for rows in scratch.row_blocks(pixels):
        result[rows] = depth.to_8_bits(pixels[rows])
        scratch.release(result, pixels)
    return result


def _in_srgb(picture: Picture, profile: bytes) -> tuple[Picture, list[str]]:
    """Return a picture in colour converted from its profile, 8 bits, and notes on how."""
    result = scratch.empty(picture.color.shape, np.uint8)
    how: list[str] = []
    for rows in arrays.row_blocks(*picture.size):
        srgb, how = color.to_srgb(arrays.to_image(depth.to_8_bits(picture.color[rows])), profile)
        result[rows] = arrays.to_array(srgb)
        scratch.release(result, picture.color)
    return _without_profile(picture, result), how


def _without_profile(picture: Picture, pixels: Pixels) -> Picture:
    return replace(picture, color=pixels, metadata=replace(picture.metadata, icc_profile=None))


def _gray_in_srgb(picture: Picture, profile: bytes) -> tuple[Picture, list[str]]:
    """Return a grey picture whose tones are converted from its profile, 8 or 16 bits, and notes on how."""
    srgb, how = color.to_srgb(arrays.to_image(_LEVELS[None, :, None]), profile)
    tones = arrays.to_array(srgb)[0, :, 0]
    scale = np.iinfo(picture.color.dtype).max // 255
    result = scratch.empty(picture.color.shape, picture.color.dtype)
    for rows in arrays.row_blocks(*picture.size):
        levels = np.interp(picture.color[rows], scale * np.arange(256), scale * tones.astype(float))
        result[rows] = np.floor(levels + 0.5)
        scratch.release(result, picture.color)
    return _without_profile(picture, result), how
