"""ICC profiles: whether one fits, and the way of CMYK and Lab pictures to sRGB.

Profiles of RGB and grey pictures are kept, not applied; an upscaler has no reason to change such colours.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

_TO_SRGB = ImageCms.Intent.RELATIVE_COLORIMETRIC
_MODES = {"RGB": "RGB", "GRAY": "L"}
_GRID = 9
_CONVERTED = "{} was converted to sRGB."
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION  # else a print's black becomes grey on the screen
_EXACT = ImageCms.Flags.NOOPTIMIZE  # for grey, of which lcms looks up every eighth level


def profile_space(icc_profile: bytes) -> str | None:
    """Return the colour space of a profile (`RGB`, `GRAY`, `CMYK`, `Lab`, …); None if it is broken."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        space = profile.profile.xcolor_space.strip()
        if space in _MODES:  # a truncated profile opens, but no transform can be made of it
            ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), _MODES[space], "RGB")
        return space
    except Exception:  # broken in any way: lcms, its binding and Pillow raise half a dozen types
        return None


def usable_profile(icc_profile: bytes | None, *, gray: bool) -> tuple[bytes | None, list[str]]:
    """Return the profile if it describes grey (or RGB) pixels, else None, and notes on why it is dropped."""
    if not icc_profile:
        return None, []
    space = profile_space(icc_profile)
    if space is None:
        return None, ["The colour profile is broken and was dropped."]
    if space != ("GRAY" if gray else "RGB"):
        kind = "greyscale" if gray else "RGB"
        return None, [f"The colour profile is for {space}, does not fit a {kind} picture and was dropped."]
    return icc_profile, []


def is_srgb(icc_profile: bytes) -> bool:
    """Return whether a profile for RGB says what none says: colours all over move by a level at most."""
    levels = np.linspace(0, 255, _GRID).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(_GRID, -1, 3)
    moved, notes = to_srgb(Image.fromarray(grid), icc_profile)
    return notes == [_CONVERTED.format("RGB")] and bool(
        np.abs(np.asarray(moved).astype(int) - grid).max() <= 1
    )


def to_srgb(image: Image.Image, icc_profile: bytes | None) -> tuple[Image.Image, list[str]]:
    """Return a CMYK, LAB, RGB or grey (L) image as sRGB in mode RGB, and notes on how.

    CMYK without a usable profile is converted by the bare formula (paper white, pure inks): too vivid, but
    the picture can be recognised. Lab needs no profile. RGB and grey without a usable profile are taken as
    sRGB.
    """
    notes: list[str] = []
    space = {"CMYK": "CMYK", "LAB": "Lab", "RGB": "RGB", "L": "GRAY"}[image.mode]
    if image.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif icc_profile and profile_space(icc_profile) == space:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
    else:
        if icc_profile:
            notes.append(f"The colour profile is broken or not for {space} and was ignored.")
        if image.mode == "CMYK":
            notes.append("CMYK without a usable colour profile was converted to sRGB approximately.")
        return image.convert("RGB"), notes
    target = ImageCms.createProfile("sRGB")
    flags = _FLAGS | _EXACT if space == "GRAY" else _FLAGS
    try:
        result = ImageCms.profileToProfile(image, source, target, _TO_SRGB, "RGB", flags=flags)
    except ImageCms.PyCMSError:  # a profile that opens, but holds no usable tables
        return image.convert("RGB"), [f"The colour profile is broken; {space} was converted approximately."]
    assert result is not None
    notes.append(_CONVERTED.format(space))
    return result, notes
