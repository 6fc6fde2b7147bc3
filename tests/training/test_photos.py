"""Crops are pieces of the photos, decided by the generator alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from upscale.errors import InputError
from upscale.training.examples.photos import Photos
from upscale.training.recipe import Data


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_everything_that_is_a_picture_is_loaded(photos: Path) -> None:
    loaded = Photos.load([photos], min_side=48)
    assert [tuple(image.shape) for image in loaded.images] == [(3, 80, 96), (3, 120, 70), (3, 64, 100)]
    assert all(image.dtype == torch.uint8 for image in loaded.images)
    with Image.open(photos / "1.png") as image:
        assert np.array_equal(loaded.images[1].permute(1, 2, 0).numpy(), np.asarray(image))
    assert len(Photos.load([photos, photos], min_side=48).images) == 6


def test_small_ones_are_left_out(photos: Path) -> None:
    assert len(Photos.load([photos], min_side=70).images) == 2
    with pytest.raises(InputError, match="No picture of at least 500 pixels"):
        Photos.load([photos], min_side=500)


def test_damaged_ones_are_named(photos: Path, tmp_path: Path) -> None:
    content = (photos / "0.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"half\.png cannot be decoded") as caught:
        Photos.load([tmp_path], min_side=8)
    assert caught.value.hint


def test_grey_of_16_bits_keeps_its_tones(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    (image,) = Photos.load([tmp_path], min_side=8).images
    assert image.shape == (3, 64, 64) and torch.equal(image[0], image[2])
    assert np.abs(image[1].numpy() - levels / 257).max() <= 0.5


def test_photos_stand_upright_as_their_cameras_say(photos: Path, tmp_path: Path) -> None:
    with Image.open(photos / "1.png") as image:
        exif = image.getexif()
        exif[0x112] = 6  # lies on its left side
        image.save(tmp_path / "lying.png", exif=exif)
        expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    (loaded,) = Photos.load([tmp_path], min_side=8).images
    assert np.array_equal(loaded.permute(1, 2, 0).numpy(), expected)


def test_fractions_are_no_photo(tmp_path: Path) -> None:
    """They were taken for 256 levels, and so for black."""
    Image.fromarray(np.full((64, 64), 0.5, np.float32)).save(tmp_path / "fine.tif")
    with pytest.raises(InputError, match=r"fine\.tif cannot be decoded"):
        Photos.load([tmp_path], min_side=8)


def test_too_large_ones_are_named(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vast.png").write_bytes((photos / "0.png").read_bytes())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"vast\.png is too large"):
        Photos.load([tmp_path], min_side=8)


@pytest.mark.parametrize("shrink", [0.0, 0.5, 1.0])
def test_crops(shrink: float, photos: Path) -> None:
    loaded = Photos.load([photos], min_side=48)
    one, again, other = (
        loaded.crops(48, Data(batch=6, shrink=shrink), generator(seed)) for seed in (1, 1, 2)
    )
    assert one.shape == (6, 3, 48, 48) and one.dtype == torch.float32
    assert -1 <= one.min() < one.max() <= 1
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_crops_without_colour_are_those_of_the_recipe(photos: Path) -> None:
    """The same places, and only where there is a share."""
    loaded = Photos.load([photos], min_side=48)
    colored, gray = (loaded.crops(48, Data(batch=8, gray=share), generator()) for share in (0.0, 1.0))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert torch.allclose(gray[:, 1], (colored * weights).sum(1), atol=1e-4)
    assert not torch.equal(colored[:, 0], colored[:, 1])


def places_and_ways(turn: float) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """Return where 200 crops are from, and how they lie, as how red and green grow along rows and columns.

    In a picture whose red is the column and whose green is the row every pixel tells where it is from.
    """
    y, x = torch.meshgrid(torch.arange(60), torch.arange(90), indexing="ij")
    photos = Photos([torch.stack([x, y, torch.zeros_like(x)]).byte()])
    crops = photos.crops(20, Data(batch=200, shrink=0.0, turn=turn), generator())
    ways, places = [], []
    for crop in ((crops + 1) * 127.5).round().int():
        for channel in range(2):
            found = crop[channel].unique()
            assert torch.equal(found, torch.arange(found[0], found[0] + 20, dtype=torch.int32))
        places.append((int(crop[0].min()), int(crop[1].min())))
        along = crop[0, 0, 1] - crop[0, 0, 0]  # of red, along a row: 0 where the crop is turned
        ways.append((int(along), int(crop[0, 1, 0] - crop[0, 0, 0]), int(crop[1, 1, 0] - crop[1, 0, 0])))
    return places, ways


def test_crops_are_windows_turned_and_mirrored() -> None:
    places, ways = places_and_ways(turn=0.5)
    assert len(set(ways)) >= 6 and len(set(places)) > 150
    assert min(p[0] for p in places) <= 5 and max(p[0] for p in places) >= 65  # up to both borders
    assert min(p[1] for p in places) <= 5 and max(p[1] for p in places) >= 35


def test_crops_may_stand_as_photos_do() -> None:
    assert set(places_and_ways(turn=0.0)[1]) == {(1, 0, 1), (-1, 0, 1)}  # mirrored, never upside down
    upright = [way for way in places_and_ways(turn=0.1)[1] if way[1:] == (0, 1)]
    assert 0.7 < len(upright) / 200 < 0.9


def test_large_photos_are_chosen_more_often() -> None:
    small, large = torch.zeros(3, 20, 20, dtype=torch.uint8), torch.full((3, 20, 60), 255, dtype=torch.uint8)
    crops = Photos([small, large]).crops(20, Data(batch=400, shrink=0.0), generator())
    assert 0.68 < (crops > 0).float().mean() < 0.82  # three quarters of the area


@pytest.mark.parametrize("shrink", [0.0, 1.0], ids=["", "shrunk"])
def test_among_several_the_ones_with_detail_are_chosen_more_often(shrink: float) -> None:
    """In proportion to it: here a half has three times as much as the other."""
    y, x = torch.meshgrid(torch.arange(80), torch.arange(80), indexing="ij")
    smooth, rough = (((x + y) // 4 % 2) * contrast for contrast in (20, 60))  # stripes
    photos = Photos([smooth.expand(3, 80, 80).byte(), rough.expand(3, 80, 80).byte()])

    def share(among: int) -> float:
        data = Data(batch=1500, shrink=shrink, among=among)
        contrasts = (photos.crops(20, data, generator()) + 1).amax((1, 2, 3)) * 127.5
        return float((contrasts > 40).float().mean())

    assert 0.46 < share(1) < 0.54
    assert 0.58 < share(2) < 0.67  # 5/8: a quarter of the pairs are alike, half of them mixed
    assert share(8) > 0.65


@pytest.mark.parametrize("most", [2.0, 4.0])
def test_shrunk_crops_show_more(most: float) -> None:
    ramp = torch.arange(160, dtype=torch.uint8).expand(3, 160, 160).contiguous()
    data = Data(batch=100, shrink=1.0, shrink_max=most)
    crops = (Photos([ramp]).crops(30, data, generator()) + 1) * 127.5
    spans = (crops.amax((1, 2, 3)) - crops.amin((1, 2, 3))) / 29
    assert spans.min() >= 0.95 and most * 0.9 < spans.max() < most * 1.05
