"""Makes the README's picture, and the one of the model's card.

python tests/benchmarks/pictures.py [--model NAME] [--only readme|card] [--folder docs]

The README's: a detail of an example photo at 8x, bicubic on the left, upscaled on the right. The card's:
details of the example photos, reduced 4 times by Pillow's bicubic and enlarged again, beside the originals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont

from upscale import Upscaler
from upscale.options import DEFAULT_MODEL

TOP = Path(__file__).parents[2]
GAP_PX = 8

SCALE = 8
DETAIL = (140, 82, 225, 157)  # of the small photo: the cat's eye

CARD_SCALE = 4
DETAILS = {  # of the originals
    "astronaut": (148, 44, 340, 204),
    "chelsea": (108, 72, 300, 232),
    "coffee": (268, 190, 460, 350),
    "rocket": (100, 260, 292, 420),
}
HEAD_PX = 22


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    only: Annotated[str | None, typer.Option(help="readme or card.")] = None,
    folder: Annotated[Path, typer.Option()] = TOP / "docs",
) -> None:
    """Make the pictures."""
    if only in (None, "readme"):
        pair(model).save(folder / "chelsea-8x.jpg", quality=90)
    if only in (None, "card"):
        sheet(model).save(folder / "sr3-photo-4x.jpg", quality=88)


def pair(model: str) -> Image.Image:
    """Upscale the whole photo, then show the detail beside bicubic's."""
    photo = _example("chelsea")
    box = tuple(SCALE * edge for edge in DETAIL)
    large = (photo.width * SCALE, photo.height * SCALE)
    left = photo.resize(large, Image.Resampling.BICUBIC).crop(box)
    right = Upscaler(model)(photo, SCALE).crop(box)
    whole = Image.new("RGB", (left.width + GAP_PX + right.width, left.height), "white")
    whole.paste(left, (0, 0))
    whole.paste(right, (left.width + GAP_PX, 0))
    return whole


def sheet(model: str) -> Image.Image:
    """Reduce the photos, enlarge them in several ways, and show a detail of each beside the original's."""
    default, faithful = Upscaler(model), Upscaler(model, fidelity=1.0)
    steps = default.settings.steps
    heads = ("bicubic", "1 step (faithful)", f"{steps} steps (default)", "original")
    width, height = DETAILS["astronaut"][2] - DETAILS["astronaut"][0], 160
    size = (
        len(heads) * (width + GAP_PX) - GAP_PX,
        HEAD_PX + len(DETAILS) * (height + GAP_PX) - GAP_PX,
    )
    whole = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(15)
    for column, head in enumerate(heads):
        draw.text((column * (width + GAP_PX), 1), head, "black", font)
    for row, (name, box) in enumerate(DETAILS.items()):
        original = _example(name)
        small = (original.width // CARD_SCALE, original.height // CARD_SCALE)
        original = original.crop((0, 0, CARD_SCALE * small[0], CARD_SCALE * small[1]))
        photo = original.resize(small, Image.Resampling.BICUBIC)
        ways = (
            photo.resize(original.size, Image.Resampling.BICUBIC),
            faithful(photo, CARD_SCALE),
            default(photo, CARD_SCALE),
            original,
        )
        for column, way in enumerate(ways):
            whole.paste(way.crop(box), (column * (width + GAP_PX), HEAD_PX + row * (height + GAP_PX)))
    return whole


def _example(name: str) -> Image.Image:
    with Image.open(TOP / "examples" / f"{name}.jpg") as image:
        return image.convert("RGB")


if __name__ == "__main__":
    typer.run(main)
