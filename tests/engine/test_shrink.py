"""Photos softer than their pixels are made smaller first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale.engine.progress import Progress
from upscale.engine.shrink import shrink_in, shrunk
from upscale.engine.upscaler import Upscaler
from upscale.errors import UsageError
from upscale.images.picture import Picture
from upscale.images.resize import resize

Load = Callable[..., Upscaler]
SIZE = (128, 96)


def detailed(seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    return Picture(rng.integers(60, 200, (SIZE[1], SIZE[0], 3), dtype=np.uint8))


def soft(seed: int = 0) -> Picture:
    """Enlarged four times."""
    small = detailed(seed).color[: SIZE[1] // 4, : SIZE[0] // 4]
    return Picture(resize(small, SIZE, resample="bicubic"))


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Path]) -> str:
    return str(make_model(residual_std=0.3))


def test_auto_does_what_is_asked_for_otherwise(model: str, load: Load) -> None:
    size = (2 * SIZE[0], 2 * SIZE[1])
    auto = load(model).upscale(soft(), size)
    assert auto.shrunk > 1 and auto.size == size
    asked = load(model, shrink=auto.shrunk).upscale(soft(), size)
    assert np.array_equal(auto.color, asked.color) and asked.shrunk == auto.shrunk
    plain = load(model, shrink=1).upscale(soft(), size)
    assert plain.shrunk == 1 and not np.array_equal(auto.color, plain.color)
    assert load(model).upscale(detailed(), size).shrunk == 1


def test_it_is_the_smaller_copy_that_is_enlarged(model: str, load: Load) -> None:
    made = load(model, shrink=2).upscale(soft(), SIZE)
    small = Picture(resize(soft().color, (SIZE[0] // 2, SIZE[1] // 2), resample="bicubic"))
    assert np.array_equal(made.color, load(model, shrink=1).upscale(small, SIZE).color)


def test_each_of_several_has_its_own(model: str, load: Load) -> None:
    told: list[Progress] = []
    upscaler, pictures = load(model), [detailed(1), soft(2), detailed(3), soft(4)]
    together = upscaler.upscale_many(pictures, SIZE, told.append)
    assert [made.shrunk > 1 for made in together] == [False, True, False, True]
    for picture, made in zip(pictures, together, strict=True):
        alone = upscaler.upscale(picture, SIZE)
        assert alone.shrunk == made.shrunk
        assert np.abs(alone.color.astype(int) - made.color).max() <= 1
    assert told[-1].done == told[-1].total and {p.total for p in told} == {told[-1].total}


def test_cut_outs_and_frames_stay_as_they_are(model: str, load: Load) -> None:
    alpha = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
    assert shrink_in(replace(soft(), alpha=alpha)) > 1
    alpha[:, : SIZE[0] // 2] = 0
    assert shrink_in(replace(soft(), alpha=alpha)) == 1
    assert shrink_in(replace(soft(), framed=True)) == 1
    made = load(model, shrink=2).upscale(replace(soft(), alpha=alpha), SIZE)
    assert made.alpha is not None and made.alpha[:, 0].max() == 0 and made.alpha[:, -1].min() == 255


def test_no_fringe_comes_from_under_what_is_transparent() -> None:
    color = np.full((32, 32, 3), 200, np.uint8)
    alpha = np.full((32, 32), 255, np.uint8)
    color[:, :13], alpha[:, :13] = 0, 0
    small = shrunk(Picture(color, alpha), 2)
    assert small.alpha is not None and small.alpha.min() == 0
    assert small.color[small.alpha > 0].min() == 200


def test_what_belongs_to_the_picture_stays(model: str, load: Load) -> None:
    picture = replace(soft(), luma_step=12.0, notes=("Kept.",))
    assert shrunk(picture, 1) is picture
    small = shrunk(picture, 3)
    assert small.size == (43, 32) and small.luma_step == 4
    made = load(model, shrink=3).upscale(picture, SIZE)
    assert made.luma_step == 12 and made.notes == ("Kept.",)
    assert shrunk(Picture(np.zeros((1, 5, 1), np.uint8)), 8).size == (1, 1)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"shrink": 0.5}, "--shrink 0.5 is out of range"),
        ({"shrink": 9}, "--shrink 9 is out of range"),
        ({"shrink": float("nan")}, "--shrink nan is out of range"),
        ({"shrink": 2, "consistency": True}, "exclude each other"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], says: str, model: str, load: Load) -> None:
    with pytest.raises(UsageError, match=says):
        load(model, **given)


def test_consistency_takes_the_input_at_its_word(model: str, load: Load) -> None:
    assert load(model, consistency=True).upscale(soft(), SIZE).shrunk == 1
    load(model, consistency=True, shrink=1)


def test_a_result_is_no_smaller_than_its_input(model: str, load: Load) -> None:
    with pytest.raises(UsageError, match="Cannot go from"):
        load(model, shrink=4).upscale(soft(), (64, 48))
