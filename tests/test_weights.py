"""Every model of the catalogue: whole, described, and better than bicubic on a piece of a real photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from upscale.engine.upscaler import Upscaler
from upscale.images.picture import Picture
from upscale.images.resize import resize
from upscale.metrics.psnr import psnr_y
from upscale.models import catalog
from upscale.models.digest import sha256_of
from upscale.models.entry import WEIGHTS_FILE, Entry
from upscale.models.header import config_text

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
MARGIN_DB = 0.3  # at least so much above bicubic, on a face with soft edges; the cards tell of whole suites
embedded = [entry for entry in catalog.load().values() if not entry.repo and not entry.cascade]
models = pytest.mark.parametrize("entry", embedded, ids=lambda entry: entry.name)


@models
def test_the_file_is_the_one_that_was_recorded(entry: Entry) -> None:
    weights = catalog.embedded_folder(entry) / WEIGHTS_FILE
    assert weights.stat().st_size == entry.size
    assert sha256_of(weights) == entry.sha256
    assert entry.summary and entry.licence


@models
def test_both_configs_agree(entry: Entry) -> None:
    inside = config_text(catalog.embedded_folder(entry) / WEIGHTS_FILE)
    assert json.loads(inside) == json.loads(
        (catalog.embedded_folder(entry) / catalog.CONFIG_FILE).read_text()
    )
    assert catalog.describe(entry.name).name == entry.name


@models
def test_there_is_a_card(entry: Entry) -> None:
    card = (catalog.embedded_folder(entry) / "README.md").read_text(encoding="utf-8")
    assert entry.licence.lower() in card.lower() and len(card) > 500


@models
def test_one_step_beats_bicubic(entry: Entry) -> None:
    torch.set_num_threads(1)
    scale = catalog.describe(entry.name).scale
    with Image.open(PHOTO) as image:
        hr = np.asarray(image.convert("RGB").crop((128, 16, 320, 208)))
    lr = resize(hr, (192 // scale, 192 // scale), resample="bicubic")
    smooth = resize(lr, (192, 192), resample="bicubic")
    upscaler = Upscaler(entry.name, device="cpu", dtype="fp32", steps=1)
    sharp = upscaler.upscale(Picture(lr), (192, 192)).color
    gain = psnr_y(sharp, hr, border=scale) - psnr_y(smooth, hr, border=scale)
    assert gain > MARGIN_DB
    assert np.abs(sharp.mean((0, 1)) - smooth.mean((0, 1))).max() < 0.5  # colours stay


@models
@pytest.mark.parametrize("steps", [1, None])
def test_half_precision_moves_no_colours(entry: Entry, steps: int | None) -> None:
    torch.set_num_threads(1)
    with Image.open(PHOTO) as image:
        lr = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC))
    size = (64 * catalog.describe(entry.name).scale,) * 2
    full, half = (
        Upscaler(entry.name, device="cpu", dtype=dtype, steps=steps).upscale(Picture(lr), size).color
        for dtype in ("fp32", "bf16")
    )
    assert np.abs(full.mean((0, 1)) - half.mean((0, 1))).max() < 0.1


@models
def test_tiles_do_not_show_in_fine_stripes(entry: Entry) -> None:
    """A zone plate: how a stripe is drawn hangs on those beside it, far across a tile's border."""
    torch.set_num_threads(1)
    x, y = np.meshgrid(np.linspace(0, 1, 160), np.linspace(0, 1, 130))
    rings = 127.5 + 127.5 * np.cos(80 * np.pi * (x**2 + y**2))
    image = Image.fromarray(np.repeat(rings.astype(np.uint8)[..., None], 3, axis=2))
    options = {"device": "cpu", "dtype": "fp32", "denoise": 0.0, "shrink": 1.0}
    tiled, whole = (
        np.asarray(Upscaler(entry.name, tile_px=tile, **options)(image)).astype(int) for tile in (64, 512)
    )
    assert np.abs(tiled - whole).max() <= 2


@models
def test_letters_have_no_halo(entry: Entry) -> None:
    """Drawn small, as screens show them, not reduced from large ones; a pixel away paper is paper."""
    torch.set_num_threads(1)
    scale = catalog.describe(entry.name).scale
    page = Image.new("RGB", (120, 48), "white")
    draw = ImageDraw.Draw(page)
    for size, top in ((18, 6), (12, 28)):
        draw.text((6, top), "Family photo", fill="black", font=ImageFont.load_default(size))
    ink = page.convert("L").point(lambda level: 255 * (level < 250)).filter(ImageFilter.MaxFilter(3))
    large = (120 * scale, 48 * scale)
    sharp = np.asarray(Upscaler(entry.name, device="cpu", dtype="fp32")(page, scale).convert("L"))
    paper = sharp[np.asarray(ink.resize(large, Image.Resampling.NEAREST)) == 0]
    assert np.percentile(paper, 0.1) >= 245
    assert np.percentile(sharp, 3) <= 15  # and ink ink
