"""Noise is found where there is some, and nowhere else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscale.images.resize import resize
from upscale.metrics.noise import noise_std

EXAMPLES = Path(__file__).parents[2] / "examples"


def photo(name: str, factor: int = 4) -> np.ndarray:
    """A photograph as people give it to us: small, and so full of texture."""
    with Image.open(EXAMPLES / name) as image:
        rgb = np.asarray(image.convert("RGB"))
    size = (rgb.shape[1] // factor, rgb.shape[0] // factor)
    return np.asarray(resize(rgb, size, resample="bicubic"))


def noisy(pixels: np.ndarray, levels: float, *, gray: bool = False) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, levels, (*pixels.shape[:2], 1 if gray else pixels.shape[2]))
    return np.clip(np.round(pixels + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg"])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_clean_photographs_have_none(name: str, factor: int) -> None:
    pixels = photo(name, factor)
    assert noise_std(pixels) == 0
    assert noise_std(pixels[:, :, 1:2]) == 0


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg"])
@pytest.mark.parametrize("levels", [3, 5, 10, 20])
def test_noise_of_a_sensor_is_measured(name: str, levels: int) -> None:
    found = 255 * noise_std(noisy(photo(name), levels))
    assert 0.75 * levels < found < 1.05 * levels


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_noise_in_grey_is_measured_with_more_care(levels: int) -> None:
    found = 255 * noise_std(noisy(photo("chelsea.jpg")[:, :, :1], levels))
    assert 0.7 * levels < found < 1.05 * levels


@pytest.mark.parametrize("side", [12, 16, 24, 27])
@pytest.mark.parametrize("gray", [False, True])
def test_tiny_pictures_are_all_texture(side: int, gray: bool) -> None:
    """As avatars, which were larger once."""
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        face = np.asarray(image.convert("RGB"))[30:190, 140:300]
    pixels = np.asarray(resize(face, (side, side), resample="bicubic"))
    assert noise_std(pixels[:, :, 1:2] if gray else pixels) == 0


@pytest.mark.parametrize(("brightness", "levels"), [(1.0, 30), (0.3, 12)])
def test_noise_that_black_and_white_cut_off_is_seen(brightness: float, levels: int) -> None:
    clean = brightness * photo("astronaut.jpg", 2).astype(float)
    for pixels in (clean, clean[:, :, 1:2]):
        found = 255 * noise_std(noisy(pixels, levels, gray=True))
        assert 0.6 * levels < found < 1.05 * levels


def grainy(pixels: np.ndarray, levels: float, *, gray: bool = False) -> np.ndarray:
    """Noise that is alike in neighbouring pixels: white noise, blurred by 0.7 pixels."""
    shape = (*pixels.shape[:2], 1 if gray else pixels.shape[2])
    noise = np.random.default_rng(0).normal(0, 1, shape)
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / 0.7) ** 2)
    for axis in (0, 1):
        noise = np.apply_along_axis(np.convolve, axis, noise, kernel / kernel.sum(), "same")
    return np.clip(np.round(pixels + levels * noise / noise.std()), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg", "coffee.jpg"])
@pytest.mark.parametrize("levels", [6, 8, 12])
def test_most_of_the_grain_of_film_is_seen(name: str, levels: int) -> None:
    found = 255 * noise_std(grainy(photo(name), levels))
    assert 0.8 * levels < found < 1.15 * levels


def gray_of(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def toned(pixels: np.ndarray) -> np.ndarray:
    """An old print: what colour there is follows from brightness."""
    return np.round(255 * (gray_of(pixels) / 255) ** [0.85, 1.0, 1.15]).astype(np.uint8)


@pytest.mark.parametrize("look", [gray_of, toned])
@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg"])
def test_grain_is_seen_in_pictures_without_colour(name: str, look: Callable[[Any], Any]) -> None:
    """Their colours tell nothing: the noise is the same in all."""
    clean = look(photo(name, 2))
    assert noise_std(clean) == 0
    assert 0.8 * 8 < 255 * noise_std(grainy(clean, 8, gray=True)) < 1.1 * 8


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg", "coffee.jpg"])
@pytest.mark.parametrize("levels", [5, 8])
def test_noise_that_all_colours_share_is_seen(name: str, levels: int) -> None:
    """Phones take out that of colours, and leave that of brightness."""
    clean = photo(name, 2)
    assert noise_std(clean) == 0
    assert 0.75 * levels < 255 * noise_std(noisy(clean, levels, gray=True)) < 1.25 * levels
    assert 0.6 * levels < 255 * noise_std(grainy(clean, levels, gray=True)) < 1.1 * levels


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg", "coffee.jpg"])
def test_grain_is_seen_behind_jpeg(name: str) -> None:
    clean = photo(name, 2)
    assert noise_std(jpeg(clean, 85)) == 0
    assert 0.5 * 8 < 255 * noise_std(jpeg(grainy(clean, 8, gray=True), 85)) < 1.1 * 8


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_what_is_not_everywhere_alike_is_texture() -> None:
    strength = np.random.default_rng(1).uniform(0.02, 1.5, (25, 25)).repeat(8, 0).repeat(8, 1)
    flat = np.full((200, 200, 1), 120.0)
    texture = (noisy(flat, 12) - flat) * strength[:, :, None]
    assert 255 * noise_std(np.clip(np.round(flat + texture), 0, 255).astype(np.uint8)) < 2
    assert 255 * noise_std(noisy(flat, 12)) > 8


@pytest.mark.parametrize("levels", [5, 10])
def test_flat_areas_with_noise_alone(levels: int) -> None:
    """Here the answer is known, less what is taken off for texture, and a little for smoother parts."""
    flat = np.full((300, 260, 3), 120, np.uint8)
    left = np.sqrt(levels**2 - 1.5**2)
    assert 0.85 * left < 255 * noise_std(noisy(flat, levels)) < left
    assert noise_std(flat) == 0


@pytest.mark.parametrize("level", [0, 255])
def test_what_is_clipped_says_nothing(level: int) -> None:
    """Half of the picture is black or white: noise is cut off there."""
    pixels = np.full((256, 256, 3), 120, np.uint8)
    pixels[:, 128:] = level
    assert 4 < 255 * noise_std(noisy(pixels, 5)) < 5


@pytest.mark.parametrize("background", [0, 255])
def test_small_print_on_a_page_is_no_noise(background: int) -> None:
    """All the rest is clipped, and letters are as fine as noise is."""
    page = np.full((256, 256, 1), background, np.uint8)
    page[20:80, 20:220] = noisy(np.full((60, 200, 1), 120), 30)
    assert noise_std(page) == noise_std(page.repeat(3, 2)) == 0
    assert noise_std(page[20:80, 20:220]) > 0.05


def test_what_is_not_known_does_not_count() -> None:
    pixels = noisy(np.full((256, 256, 3), 120, np.uint8), 5)
    known = np.ones((256, 256), bool)
    pixels[:, 80:], known[:, 80:] = 100, False  # as transparent areas are filled
    assert noise_std(pixels) == 0
    assert 4 < 255 * noise_std(pixels, known) < 5


def test_grey_texture_all_over_is_no_strong_grain() -> None:
    """White noise of that strength is seen by the finer mask, which believes what it sees."""
    flat = np.full((128, 128, 1), 120, np.uint8)
    assert 255 * noise_std(grainy(flat, 25)) < 12
    assert 255 * noise_std(grainy(np.repeat(flat, 3, 2), 25)) > 15
    assert 255 * noise_std(noisy(flat, 25)) > 20


def test_depth_does_not_matter() -> None:
    pixels = noisy(photo("chelsea.jpg"), 5)
    assert noise_std(pixels.astype(np.uint16) * 257) == pytest.approx(noise_std(pixels), abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 200), (9, 9), (129, 130)], ids=str)
def test_any_size(size: tuple[int, int], channels: int) -> None:
    rng = np.random.default_rng(0)
    assert 0 <= noise_std(rng.integers(0, 256, (*size, channels), dtype=np.uint8)) < 0.5


def test_large_pictures_take_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of them says enough."""
    from upscale.metrics import noise

    seen: list[Any] = []
    detail = noise._detail

    def counted(x: Any, apart: int, known: Any) -> Any:
        seen.append(x.size)
        return detail(x, apart, known)

    monkeypatch.setattr(noise, "_detail", counted)
    noise_std(np.broadcast_to(np.uint8(7), (20_000, 30_000, 3)))
    assert 1e6 < sum(seen) <= 2 * (3 + 1) * 64 * 128 * 128  # two masks, three colours and brightness
