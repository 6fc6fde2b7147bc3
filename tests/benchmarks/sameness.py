"""Tiles, seeds, threads and repetition: what must not change the picture, and what must.

python tests/benchmarks/sameness.py [--model NAME] [--side PX]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from command import run
from PIL import Image
from table import show

from upscale import Upscaler
from upscale.images.picture import Pixels
from upscale.options import DEFAULT_MODEL

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
WHOLE = 1 << 14  # a tile no picture here exceeds


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    side: Annotated[int, typer.Option(help="Side of the crop in pixels.", min=1, max=362)] = 200,
) -> None:
    """Compare results pixel by pixel."""
    with Image.open(PHOTO) as image:
        photo = image.convert("RGB").crop((150, 40, 150 + side, 40 + side))

    def run(
        scale: int, tile: int = WHOLE, seed: int = 0, dtype: str = "auto", steps: int | None = None
    ) -> Pixels:
        upscaler = Upscaler(model, tile_px=tile, seed=seed, dtype=dtype, steps=steps)
        return np.asarray(upscaler(photo, scale))

    rows: list[dict[str, Any]] = []

    def compare(what: str, a: Pixels, b: Pixels) -> None:
        difference = np.abs(a.astype(int) - b.astype(int))
        changed = float((difference > 0).mean())
        rows.append({"compared": what, "largest, of 255": int(difference.max()), "changed": changed})

    for dtype in ("fp32", "auto"):
        for scale in (4, 8):
            whole = run(scale, dtype=dtype)
            for tile in (64, 96, 128):
                compare(
                    f"{dtype} {scale}x: tiles of {tile} px / untiled", run(scale, tile, dtype=dtype), whole
                )
    whole = run(4)
    compare("the same again", run(4), whole)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    compare(f"{torch.get_num_threads()} threads / {threads}", run(4), whole)
    torch.set_num_threads(threads)
    compare("another seed (must differ)", run(4, seed=1), whole)
    show(f"sameness of {model}", rows)


if __name__ == "__main__":
    run(main)
