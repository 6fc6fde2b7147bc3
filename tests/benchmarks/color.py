"""Colour: the channel means of the example photos' results against bicubic's, in 8-bit levels.

python tests/benchmarks/color.py [--model NAME]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from table import show

from upscale import Upscaler
from upscale.options import DEFAULT_MODEL

EXAMPLES = Path(__file__).parents[2] / "examples"


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    scales: Annotated[str, typer.Option(help="With commas.")] = "2,4,8",
) -> None:
    """Measure how far the colours drift."""
    upscaler = Upscaler(model)
    rows: list[dict[str, Any]] = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        with Image.open(path) as image:
            photo = image.convert("RGB")
        for scale in map(int, scales.split(",")):
            size = (photo.width * scale, photo.height * scale)
            smooth = np.asarray(photo.resize(size, Image.Resampling.BICUBIC)).mean((0, 1))
            drift = np.asarray(upscaler(photo, scale)).mean((0, 1)) - smooth
            rows.append(
                {"photo": path.name, "scale": scale, **dict(zip("RGB", map(float, drift), strict=True))}
            )
    show(f"colour drift of {model}", rows)


if __name__ == "__main__":
    typer.run(main)
