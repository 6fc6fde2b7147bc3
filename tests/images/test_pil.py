"""Pillow images of API users in and out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from upscale.errors import InputError
from upscale.images.picture import Metadata, Picture
from upscale.images.pil import from_pil, to_pil

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_round_trip(mode):
    bands = len(Image.new(mode, (1, 1)).getbands())
    rng = np.random.default_rng(0)
    if mode == "I;16":
        values = rng.integers(0, 65535, (5, 7), np.uint16)
        image = Image.frombytes("I;16", (7, 5), values.astype("<u2").tobytes())
    else:
        image = Image.frombytes(mode, (7, 5), rng.integers(0, 255, 35 * bands, np.uint8).tobytes())
    picture = from_pil(image)
    assert picture.color.shape == (5, 7, 3 if mode.startswith("RGB") else 1)
    assert picture.color.flags.writeable
    back = to_pil(picture)
    assert back.mode == mode
    assert back.tobytes() == image.tobytes()
    assert picture.notes == ()


def test_orientation_is_applied_and_metadata_kept():
    image = Image.new("RGB", (4, 2))
    image.putpixel((3, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    image.info.update(exif=exif.tobytes(), icc_profile=SRGB, dpi=(300, 300))
    stream = io.BytesIO()
    image.save(stream, "PNG", exif=exif, icc_profile=SRGB, dpi=(300, 300))
    back = to_pil(from_pil(Image.open(stream)))
    assert back.size == (2, 4)
    assert back.getpixel((1, 3)) == (255, 0, 0)
    assert 0x0112 not in back.getexif() and back.getexif()[0x010F] == "Maker"
    assert back.getexif().get_ifd(0x8769)[0xA002] == 2
    assert back.info["icc_profile"] == SRGB
    assert back.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_the_images_own_pixels_are_not_shared():
    image = Image.new("L", (3, 3), 7)
    picture = from_pil(image)
    picture.color[:] = 9
    assert image.getpixel((0, 0)) == 7


def test_16_bit_colour_and_alpha_are_reduced():
    rgb = np.full((2, 3, 3), 65535, np.uint16)
    assert to_pil(Picture(rgb)).getpixel((0, 0)) == (255, 255, 255)
    gray, alpha = np.full((2, 3, 1), 257, np.uint16), np.full((2, 3), 514, np.uint16)
    image = to_pil(Picture(gray, alpha))
    assert (image.mode, image.getpixel((0, 0))) == ("LA", (1, 2))


def test_a_profile_that_does_not_fit_is_left_out():
    gray = Picture(np.zeros((2, 2, 1), np.uint8), metadata=Metadata(icc_profile=SRGB))
    assert "icc_profile" not in to_pil(gray).info


def test_the_map_of_uncertainty_goes_along():
    pixels, spread = np.zeros((2, 3, 3), np.uint8), np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = to_pil(Picture(pixels, uncertainty=spread)).info["uncertainty"]
    assert image.mode == "L" and np.array_equal(np.asarray(image), spread)
    assert "uncertainty" not in to_pil(Picture(pixels)).info


@pytest.mark.parametrize("thing", [np.zeros((2, 3, 3), np.uint8), "photo.jpg", None], ids=repr)
def test_what_is_no_image_is_told(thing):
    with pytest.raises(InputError, match=f"not a Pillow image but {type(thing).__name__}") as caught:
        from_pil(thing)
    assert "PIL.Image.open" in caught.value.hint


def test_empty_and_damaged_images():
    with pytest.raises(InputError, match="no pixels"):
        from_pil(Image.new("RGB", (0, 5)))
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, "PNG")
    image = Image.open(io.BytesIO(stream.getvalue()[:800]))
    with pytest.raises(InputError, match="cannot be decoded"):
        from_pil(image)


@pytest.mark.parametrize(("quality", "step"), [(30, 96), (60, 46), (90, 11.6), (100, 1)])
def test_how_coarse_a_jpeg_is(quality: int, step: float) -> None:
    """The tables of the standard's annex K have a mean of 57.6 at quality 50, and fall in proportion."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "gray").save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        assert from_pil(image).luma_step == pytest.approx(step, rel=0.03)
    assert from_pil(Image.new("RGB", (16, 16))).luma_step == 0
