"""Makes the README's picture: a detail of an example photo, bicubic on the left, upscaled on the right.

python tests/benchmarks/pictures.py [--model NAME] [--output docs/chelsea-8x.jpg]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from upscale import Upscaler
from upscale.options import DEFAULT_MODEL

TOP = Path(__file__).parents[2]
SCALE = 8
DETAIL = (140, 82, 225, 157)  # of the small photo: the cat's eye
GAP_PX = 8


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    output: Annotated[Path, typer.Option()] = TOP / "docs" / "chelsea-8x.jpg",
) -> None:
    """Upscale the whole photo, then show the detail beside bicubic's."""
    with Image.open(TOP / "examples" / "chelsea.jpg") as image:
        photo = image.convert("RGB")
    box = tuple(SCALE * edge for edge in DETAIL)
    large = (photo.width * SCALE, photo.height * SCALE)
    left = photo.resize(large, Image.Resampling.BICUBIC).crop(box)
    right = Upscaler(model)(photo, SCALE).crop(box)
    pair = Image.new("RGB", (left.width + GAP_PX + right.width, left.height), "white")
    pair.paste(left, (0, 0))
    pair.paste(right, (left.width + GAP_PX, 0))
    pair.save(output, quality=90)


if __name__ == "__main__":
    typer.run(main)
