"""Makes the pictures of the README, of the model's card and of docs/sampling.md, from the example photos.

python tests/benchmarks/pictures.py [--model NAME] [--relay NAME] [--only readme,card] [--folder docs]

readme       chelsea-8x.jpg: a detail at 8x, bicubic on the left, upscaled on the right
card         sr3-photo-4x.jpg: details of photos reduced 4 times by Pillow's bicubic and enlarged again:
             bicubic, faithful, the default, and the original
scales       scales-8x.jpg, scales-16x.jpg: details as they are, enlarged by bicubic, Lanczos and upscale
uncertainty  uncertainty.jpg: as the card's, the mean of 8 samples, the map of where they differ, the original
soft         soft.jpg: a detail of a photo blurred, without and with noise: bicubic, taken as it is, made
             smaller first
relay        relay.jpg: as the card's, SR3's process, Relay Diffusion's at as many evaluations, the original;
             only with --relay
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from command import run
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from upscale import Upscaler
from upscale.images.picture import Picture
from upscale.images.pil import from_pil, to_pil
from upscale.images.read import read
from upscale.options import DEFAULT_MODEL

TOP = Path(__file__).parents[2]
GAP_PX = 8
HEAD_PX = 22
PARTS = ("readme", "card", "scales", "uncertainty", "soft", "relay")

EYE = (140, 82, 225, 157)  # of chelsea.jpg
SIDE_PX = 360  # of an enlarged detail
CORNERS = {  # of the details at each scale
    8: {"chelsea": (150, 92), "astronaut": (190, 82)},
    16: {"chelsea": (158, 96), "astronaut": (192, 90)},
}
AROUND_PX = 32  # of the photo beside a detail: more than any halo; only the place of its noise is another
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}

SOFT_SCALE = 2
SOFT_DETAIL = (92, 56, 292, 216)  # of chelsea.jpg
BLUR_PX, NOISE = 2.0, 4.0  # std in pixels, and in levels

CARD_SCALE = 4
DETAILS = {  # of the originals
    "astronaut": (148, 44, 340, 204),
    "chelsea": (108, 72, 300, 232),
    "coffee": (268, 190, 460, 350),
    "rocket": (100, 260, 292, 420),
}

Enlarge = Callable[[Image.Image], Image.Image]
"""A photo reduced -> as large as the original."""


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    relay: Annotated[str | None, typer.Option(help="A model of Relay Diffusion's process.")] = None,
    only: Annotated[str, typer.Option(help=f"Of {', '.join(PARTS)}, with commas.")] = ",".join(PARTS),
    folder: Annotated[Path, typer.Option(exists=True, file_okay=False)] = TOP / "docs",
) -> None:
    """Make the pictures."""
    parts = only.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"There is no part {min(unknown)}: choose from {', '.join(PARTS)}.")
    default = Upscaler(model)
    steps = default.settings.steps
    if "readme" in parts:
        _pair(default).save(folder / "chelsea-8x.jpg", quality=90)
    if "card" in parts:
        ways = {
            "bicubic": _bicubic,
            "1 step (faithful)": _by(Upscaler(model, fidelity=1.0)),
            f"{steps} steps (default)": _by(default),
        }
        _sheet(ways).save(folder / "sr3-photo-4x.jpg", quality=88)
    if "scales" in parts:
        for scale in CORNERS:
            _scales(scale, default).save(folder / f"scales-{scale}x.jpg", quality=85)
    if "uncertainty" in parts:
        _uncertainty(model).save(folder / "uncertainty.jpg", quality=85)
    if "soft" in parts:
        _soft(Upscaler(model, shrink=1), default).save(folder / "soft.jpg", quality=88)
    if "relay" in parts and relay is not None:
        ways = {
            "bicubic": _bicubic,
            f"SR3, {steps} steps": _by(default),
            f"relay, {steps} steps": _by(Upscaler(relay, steps=steps)),
        }
        _sheet(ways).save(folder / "relay.jpg", quality=88)


def _pair(upscaler: Upscaler) -> Image.Image:
    """Upscale the whole photo, then show the detail beside bicubic's."""
    picture, scale = _file("chelsea"), 8
    size = (scale * picture.size[0], scale * picture.size[1])
    right = to_pil(upscaler.upscale(picture, size)).crop(tuple(scale * edge for edge in EYE))
    return panel([[_example("chelsea").resize(right.size, Image.Resampling.BICUBIC, box=EYE), right]])


def _scales(scale: int, upscaler: Upscaler) -> Image.Image:
    """Enlarge details of photos as they are, with what lies around them."""
    rows = []
    for name, (left, top) in CORNERS[scale].items():
        photo, picture, side = _example(name), _file(name), SIDE_PX // scale
        box = (left, top, left + side, top + side)
        plain = [photo.resize((scale * side, scale * side), f, box=box) for f in FILTERS.values()]
        around = np.s_[top - AROUND_PX : top + side + AROUND_PX, left - AROUND_PX : left + side + AROUND_PX]
        size = (scale * (side + 2 * AROUND_PX),) * 2
        large = to_pil(upscaler.upscale(replace(picture, color=picture.color[around]), size))
        inside = tuple(scale * edge for edge in (AROUND_PX, AROUND_PX, AROUND_PX + side, AROUND_PX + side))
        rows.append([*plain, large.crop(inside)])
    return panel(rows, [*FILTERS, f"upscale --scale {scale}"])


def _sheet(ways: Mapping[str, Enlarge]) -> Image.Image:
    """Reduce the photos, enlarge them in several ways, and show a detail of each beside the original's."""
    rows = []
    for name, box in DETAILS.items():
        photo, original = _reduced(name)
        rows.append([picture.crop(box) for picture in (*(way(photo) for way in ways.values()), original)])
    return panel(rows, [*ways, "original"])


def _uncertainty(model: str) -> Image.Image:
    """Reduce two photos, draw samples of each, and show their mean and where they differ."""
    upscaler = Upscaler(model, samples=8, map_uncertainty=True)
    rows = []
    for name in ("chelsea", "astronaut"):
        photo, original = _reduced(name)
        result = upscaler.upscale(from_pil(photo), original.size)
        assert result.uncertainty is not None
        pictures = (to_pil(result), Image.fromarray(result.uncertainty).convert("RGB"), original)
        rows.append([picture.crop(DETAILS[name]) for picture in pictures])
    return panel(rows, ["mean of 8 samples", "where they differ", "original"])


def _soft(as_it_is: Upscaler, default: Upscaler) -> Image.Image:
    """Blur a photo, once with noise on top, and show a detail of each."""
    blurred = _example("chelsea").filter(ImageFilter.GaussianBlur(BLUR_PX))
    noise = np.random.default_rng(0).normal(0, NOISE, (blurred.height, blurred.width, 3))
    noisy = Image.fromarray(np.clip(np.round(np.asarray(blurred) + noise), 0, 255).astype(np.uint8))
    large = tuple(SOFT_SCALE * edge for edge in SOFT_DETAIL)
    size = (large[2] - large[0], large[3] - large[1])
    rows = [
        [
            photo.resize(size, Image.Resampling.BICUBIC, box=SOFT_DETAIL),
            *(upscaler(photo, SOFT_SCALE).crop(large) for upscaler in (as_it_is, default)),
        ]
        for photo in (blurred, noisy)
    ]
    return panel(rows, ["bicubic", "--shrink 1", "--shrink auto (default)"])


def _reduced(name: str) -> tuple[Image.Image, Image.Image]:
    """Return (a photo reduced, the original cropped to a multiple of it)."""
    original = _example(name)
    small = (original.width // CARD_SCALE, original.height // CARD_SCALE)
    original = original.crop((0, 0, CARD_SCALE * small[0], CARD_SCALE * small[1]))
    return original.resize(small, Image.Resampling.BICUBIC), original


def _bicubic(photo: Image.Image) -> Image.Image:
    return photo.resize((CARD_SCALE * photo.width, CARD_SCALE * photo.height), Image.Resampling.BICUBIC)


def _by(upscaler: Upscaler) -> Enlarge:
    return lambda photo: upscaler(photo, CARD_SCALE)


def panel(rows: Sequence[Sequence[Image.Image]], heads: Sequence[str] = ()) -> Image.Image:
    """Return rows of equally large pictures, columns under their names."""
    width, height = rows[0][0].size
    above = HEAD_PX if heads else 0
    size = (len(rows[0]) * (width + GAP_PX) - GAP_PX, above + len(rows) * (height + GAP_PX) - GAP_PX)
    whole = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(15)
    for column, head in enumerate(heads):
        draw.text((column * (width + GAP_PX), 1), head, "black", font)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            whole.paste(picture, (x * (width + GAP_PX), above + y * (height + GAP_PX)))
    return whole


def _file(name: str) -> Picture:
    """Return an example as the command reads it, which knows what JPEG did to it."""
    return read(TOP / "examples" / f"{name}.jpg")


def _example(name: str) -> Image.Image:
    with Image.open(TOP / "examples" / f"{name}.jpg") as image:
        return image.convert("RGB")


if __name__ == "__main__":
    run(main)
