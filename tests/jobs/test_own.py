"""Results of earlier runs are known by name and size."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale.jobs.own import results_among

ORIGINAL = {Path("a/photo.png"): (12, 8)}


@pytest.mark.parametrize(
    ("name", "size", "result"),
    [
        ("photo_4x.png", (48, 32), True),
        ("photo_4x.jpg", (48, 32), True),
        ("photo_2.5x.webp", (30, 20), True),
        ("photo_1x.png", (12, 8), True),
        ("photo_1920x1280.png", (1920, 1280), True),
        ("photo_4x-1.png", (48, 32), True),
        ("photo_4x_2x.png", (96, 64), False),  # of `photo_4x`, which is not there
        ("photo_4x.png", (48, 33), False),
        ("photo_6x4.png", (6, 4), False),  # a thumbnail
        ("photo_1920x1280.png", (1920, 1281), False),
        ("other_4x.png", (48, 32), False),
        ("photo4x.png", (48, 32), False),
        ("_4x.png", (48, 32), False),
    ],
)
def test_name_and_size_tell(name: str, size: tuple[int, int], result: bool) -> None:
    path = Path("a") / name
    assert results_among({**ORIGINAL, path: size}) == ({path} if result else set())


def test_only_in_the_same_folder() -> None:
    assert results_among({**ORIGINAL, Path("b/photo_4x.png"): (48, 32)}) == set()


def test_results_of_results() -> None:
    twice = {Path("a/photo_4x.png"): (48, 32), Path("a/photo_4x_4x.png"): (192, 128)}
    assert results_among({**ORIGINAL, **twice}) == set(twice)


def test_names_told_apart_by_suffix() -> None:
    """`a.jpg` and `a.png` became `a_jpg_4x.bmp` and `a_png_4x.bmp`."""
    originals = {Path("a/a.png"): (12, 8), Path("a/a.jpg"): (12, 8)}
    made = {Path("a/a_png_4x.bmp"): (48, 32), Path("a/a_jpg_2x.bmp"): (24, 16)}
    others = {Path("a/a_gif_4x.bmp"): (48, 32)}
    assert results_among({**originals, **made, **others}) == set(made)
