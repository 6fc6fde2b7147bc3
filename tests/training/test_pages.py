"""Pages of text and of figures to train on are drawn in code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from upscale.training.__main__ import app
from upscale.training.examples.colors import FAINTEST
from upscale.training.examples.figures import draw_figures
from upscale.training.examples.lettering import draw_text
from upscale.training.examples.photos import Photos


def gray(page: Image.Image) -> np.ndarray:
    return np.asarray(page.convert("L")).astype(float)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("draw", [draw_text, draw_figures])
def test_a_page_is_full_of_edges_and_follows_from_its_seed(
    draw: Callable[[int, int], Image.Image], seed: int
) -> None:
    page = draw(seed, 256)
    assert page.size == (256, 256) and page.mode == "RGB"
    assert page.tobytes() == draw(seed, 256).tobytes() != draw(seed + 100, 256).tobytes()
    steps = np.abs(np.diff(gray(page), axis=1))
    assert (steps > FAINTEST / 2).mean() > 0.01  # letters, outlines
    assert (steps < 4).mean() > 0.4  # and what they stand on


def test_letters_are_of_many_sizes() -> None:
    """Rows with an edge in them, in a row: as high as their letters."""
    heights = set()
    for seed in range(12):
        rows = np.append((np.abs(np.diff(gray(draw_text(seed, 256)), axis=1)) > 30).any(1), False)
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], rows]).astype(int)))
        heights |= set(np.diff(bounds)[::2].tolist())
    assert min(heights) <= 10 and max(heights) >= 30


@pytest.mark.parametrize("seed", range(6))
def test_edges_of_figures_are_smooth(seed: int) -> None:
    """However they run: between two colours there are pixels of others, which flat figures do not have."""
    page = gray(draw_figures(seed, 256))
    steps = np.abs(np.diff(page, axis=1))
    edges = (steps[:, :-1] > 8) & (steps[:, 1:] > 8)  # two steps in a row: a pixel that both sides share
    assert edges.sum() > 0.3 * (steps > 8).sum()


def test_the_command_draws_what_training_loads(tmp_path: Path) -> None:
    out = tmp_path / "text"
    done = CliRunner().invoke(app, ["draw-pages", str(out), "--count", "3", "--side", "128"])
    assert done.exit_code == 0, done.output
    assert len(Photos.load([out], min_side=128).images) == 3
    pages = [Image.open(out / f"page-{seed:03}.png").tobytes() for seed in range(3)]
    assert pages == [
        draw(seed, 128).tobytes() for seed, draw in enumerate((draw_text, draw_text, draw_figures))
    ]


def test_a_font_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.ttf"
    bad.write_bytes(b"no font")
    done = CliRunner().invoke(app, ["draw-pages", str(tmp_path / "text"), "--font", str(bad)])
    assert done.exit_code == 2 and "cannot be drawn" in done.output
