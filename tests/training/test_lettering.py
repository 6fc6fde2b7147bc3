"""Pages of text to train on are drawn in code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from upscale.training.__main__ import app
from upscale.training.examples.lettering import FAINTEST, draw_page
from upscale.training.examples.photos import Photos


def gray(page: Image.Image) -> np.ndarray:
    return np.asarray(page.convert("L")).astype(float)


@pytest.mark.parametrize("seed", range(8))
def test_a_page_is_full_of_edges_and_follows_from_its_seed(seed: int) -> None:
    page = draw_page(seed, 256)
    assert page.size == (256, 256) and page.mode == "RGB"
    assert page.tobytes() == draw_page(seed, 256).tobytes() != draw_page(seed + 100, 256).tobytes()
    steps = np.abs(np.diff(gray(page), axis=1))
    assert (steps > FAINTEST / 2).mean() > 0.01  # letters
    assert (steps < 4).mean() > 0.4  # and what they stand on


def test_letters_are_of_many_sizes() -> None:
    """Rows with an edge in them, in a row: as high as their letters."""
    heights = set()
    for seed in range(12):
        rows = np.append((np.abs(np.diff(gray(draw_page(seed, 256)), axis=1)) > 30).any(1), False)
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], rows]).astype(int)))
        heights |= set(np.diff(bounds)[::2].tolist())
    assert min(heights) <= 10 and max(heights) >= 30


def test_the_command_draws_what_training_loads(tmp_path: Path) -> None:
    out = tmp_path / "text"
    done = CliRunner().invoke(app, ["draw-text", str(out), "--count", "3", "--side", "128"])
    assert done.exit_code == 0, done.output
    assert len(Photos.load([out], min_side=128).images) == 3


def test_a_font_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.ttf"
    bad.write_bytes(b"no font")
    done = CliRunner().invoke(app, ["draw-text", str(tmp_path / "text"), "--font", str(bad)])
    assert done.exit_code == 2 and "cannot be drawn" in done.output
