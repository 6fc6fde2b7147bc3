"""Pixels are made what a format can hold, with the colours that they had."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from upscale.images import color
from upscale.images.fit import fitted
from upscale.images.formats import FORMATS
from upscale.images.picture import Metadata, Picture
from upscale.images.read import probe, read
from upscale.images.read_frames import read_frames
from upscale.images.write import encode
from upscale.images.write_frames import write_frames

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ROWS = [row for row in FORMATS.values() if row.is_available]


def ramp(channels: int, dtype: type = np.uint8, profile: bytes | None = None) -> Picture:
    levels = np.arange(0, 256, 4).reshape(8, 8, 1) * (np.iinfo(dtype).max // 255)
    color = np.broadcast_to(levels, (8, 8, channels)).astype(dtype)
    return Picture(color, metadata=Metadata(icc_profile=profile))


def srgb_of(light: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1: levels 0 to 255 for light 0 to 1."""
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_grey_keeps_its_tones(row, dtype, alpha, linear_gray):
    """By its profile where the file is grey, else as sRGB, which is what colour without a profile is."""
    picture = ramp(1, dtype, linear_gray)
    opaque = np.full((8, 8), np.iinfo(dtype).max, dtype)
    opaque[0, 0] = 0
    if alpha:
        picture = Picture(picture.color, opaque, picture.metadata)
    file = io.BytesIO()
    notes = encode(picture, file, format=row, quality=100)
    back = read(file.getvalue())
    assert not [note for note in back.notes if "profile" in note]
    if back.metadata.icc_profile:
        assert back.is_gray and not [note for note in notes if "sRGB" in note]
        expected = np.arange(0, 256, 4)
    else:
        assert "GRAY was converted to sRGB." in notes
        expected = srgb_of(np.arange(0, 256, 4) / 255)
    levels = back.color[..., 0].ravel() / (np.iinfo(back.color.dtype).max // 255)
    assert np.abs(levels - expected)[1:].max() < (4 if row.name in ("avif", "webp") else 2.1)


@pytest.mark.parametrize("format", ["png", "webp", "avif"])
def test_grey_frames_keep_their_tones(format, linear_gray, tmp_path: Path):
    """A GIF has no profiles and an APNG of grey keeps its; in the others grey is colour."""
    frames = [Image.fromarray(ramp(1).color[..., 0]).point(lambda v, k=k: min(255, v + k)) for k in (0, 8)]
    source = tmp_path / "a.png"
    frames[0].save(source, save_all=True, append_images=frames[1:], icc_profile=linear_gray)
    path = tmp_path / f"b.{format}"
    write_frames(read_frames(source), probe(source), path, format=format, quality=100)
    first = next(read_frames(path)).picture
    if format == "png":
        assert first.is_gray and first.metadata.icc_profile == linear_gray
    else:
        assert not first.is_gray and first.metadata.icc_profile is None
        expected = srgb_of(np.arange(0, 256, 4) / 255)
        assert np.abs(first.color[..., 1].ravel() - expected).max() < 4


@pytest.mark.parametrize("name", ["ppm", "bmp"])
def test_what_is_srgb_already_stays_as_it_is(name):
    picture = ramp(3, np.uint16, SRGB)
    same, notes = fitted(picture, FORMATS[name])
    assert notes == ([] if name == "ppm" else ["16 bits were reduced to 8 for bmp."])
    assert np.array_equal(same.color, picture.color if name == "ppm" else picture.color // 257)


def test_other_colours_become_srgb_and_the_bits_that_takes_are_said(linear_rgb):
    picture = ramp(3, np.uint16, linear_rgb)
    made, notes = fitted(picture, FORMATS["ppm"])
    assert made.color.dtype == np.uint8 and made.metadata.icc_profile is None
    assert np.abs(made.color[..., 0].ravel() - srgb_of(np.arange(0, 256, 4) / 255)).max() < 2
    assert len(notes) == 3 and "16 bits were reduced to 8 for the conversion to sRGB." in notes
    kept, notes = fitted(picture, FORMATS["png"])
    assert kept is picture and not notes


def test_a_profile_that_is_broken_is_not_srgb(linear_rgb):
    assert color.is_srgb(SRGB) and not color.is_srgb(linear_rgb)
    assert not color.is_srgb(b"nonsense") and not color.is_srgb(SRGB[:200])
