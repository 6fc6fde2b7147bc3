"""Pages to train on beside photographs, which hold too few letters and few figures with clear edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscale.training.examples.figures import draw_figures
from upscale.training.examples.lettering import draw_text

FIGURES = 3  # every third page is a drawing


def draw_pages(folder: Path, count: int, side: int, fonts: Sequence[Path] = ()) -> None:
    """Write `count` pages [side x side] as PNG into `folder`, with seeds from 0.

    Raises:
        OSError: The folder cannot be written, or a font not be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        drawing = seed % FIGURES == FIGURES - 1
        page = draw_figures(seed, side) if drawing else draw_text(seed, side, fonts)
        page.save(folder / f"page-{seed:03}.png")
