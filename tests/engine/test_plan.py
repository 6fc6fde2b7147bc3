"""Cascades are pure geometry, so their promises are held for sizes that nobody thought of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.engine.plan import plan_cascade, smaller
from upscale.errors import ExitCode, UsageError
from upscale.options import TargetSize

sides = st.integers(1, 5000)


@settings(deadline=None, max_examples=300)
@given(width=sides, height=sides, scale=st.floats(1, 64), model_scale=st.sampled_from([2, 3, 4, 8]))
def test_every_stage_gets_what_it_needs(width: int, height: int, scale: float, model_scale: int) -> None:
    size = TargetSize(scale=scale).resolve(width, height)
    plan = plan_cascade((width, height), size, model_scale)
    assert (plan.input_size, plan.output_size) == ((width, height), size)
    first, last = plan.stages[0], plan.stages[-1]
    assert first.input_size == (width, height) and first.resize_from is None
    for stage in plan.stages:
        assert stage.output_size == tuple(side * model_scale for side in stage.input_size)
        assert min(stage.input_size) >= 1
    assert [stage.index for stage in plan.stages] == list(range(len(plan.stages)))
    for before, stage in zip(plan.stages, plan.stages[1:], strict=False):
        if stage.resize_from is None:
            assert all(a <= b for a, b in zip(stage.input_size, before.output_size, strict=True))
        else:
            assert stage.index == 1
            for box, made, needed in zip(
                stage.resize_from, before.output_size, stage.input_size, strict=True
            ):
                assert made - 1e-6 <= box <= made + model_scale + 1  # a few pixels beyond, never less
                assert needed <= math.ceil(box)  # resized down, or left as large
    assert all(made >= wanted for made, wanted in zip(last.output_size, size, strict=True))
    if len(plan.stages) > 1:  # one stage fewer would not have been enough
        reach = model_scale ** (len(plan.stages) - 1)
        assert any(side * reach < wanted for side, wanted in zip((width, height), size, strict=True))
        assert not plan.final_resize
    else:
        assert plan.final_resize == (last.output_size != size)


@settings(deadline=None, max_examples=200)
@given(width=st.integers(1, 300), height=st.integers(1, 300), scale=st.floats(4.01, 64))
def test_the_whole_picture_is_in_the_result(width: int, height: int, scale: float) -> None:
    """A point of the input lies at the same place of the output, whatever the stages did in between."""
    size = TargetSize(scale=scale).resolve(width, height)
    plan = plan_cascade((width, height), size, 4)
    for axis in range(2):
        pitch = 1.0  # input pixels per pixel
        for stage in plan.stages:
            if stage.resize_from is not None:
                pitch *= stage.resize_from[axis] / stage.input_size[axis]
            pitch /= 4
        assert pitch * size[axis] == pytest.approx((width, height)[axis])


def test_stages_of_different_scales() -> None:
    eight = plan_cascade((30, 20), (240, 160), [4, 2])
    assert [stage.input_size for stage in eight.stages] == [(30, 20), (120, 80)]
    assert [stage.output_size for stage in eight.stages] == [(120, 80), (240, 160)]
    assert all(stage.resize_from is None for stage in eight.stages)
    assert [stage.output_size[0] for stage in plan_cascade((30, 20), (480, 320), [4, 2]).stages] == [
        120,
        240,
        480,
    ]
    six = plan_cascade((30, 20), (180, 120), [2, 4])
    assert [stage.input_size for stage in six.stages] == [(30, 20), (45, 30)]
    assert six.stages[1].resize_from == (60, 40)
    assert len(plan_cascade((30, 20), (60, 40), [2, 4]).stages) == 1


@settings(deadline=None, max_examples=200)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    scale=st.floats(1, 64),
    scales=st.lists(st.integers(2, 8), min_size=1, max_size=3),
)
def test_no_stage_of_any_cascade_lacks_pixels(
    width: int, height: int, scale: float, scales: list[int]
) -> None:
    size = TargetSize(scale=scale).resolve(width, height)
    plan = plan_cascade((width, height), size, scales)
    made = (width, height)
    for stage in plan.stages:
        factor = scales[min(stage.index, len(scales) - 1)]
        assert stage.output_size == tuple(side * factor for side in stage.input_size)
        there = made if stage.resize_from is None else stage.resize_from
        assert all(needed <= math.ceil(side) for needed, side in zip(stage.input_size, there, strict=True))
        made = stage.output_size
    assert all(side >= wanted for side, wanted in zip(made, size, strict=True))


def test_four_times_is_one_stage() -> None:
    plan = plan_cascade((30, 20), (120, 80))
    assert [stage.output_size for stage in plan.stages] == [(120, 80)]
    assert not plan.final_resize


@pytest.mark.parametrize("size", [(30, 20), (75, 50), (90, 60)], ids=["1x", "2.5x", "3x"])
def test_less_is_one_stage_and_a_resize(size: tuple[int, int]) -> None:
    plan = plan_cascade((30, 20), size)
    assert [stage.output_size for stage in plan.stages] == [(120, 80)] and plan.final_resize


def test_eight_times_costs_what_its_output_needs() -> None:
    plan = plan_cascade((100, 80), (800, 640))
    assert [stage.input_size for stage in plan.stages] == [(100, 80), (200, 160)]
    assert plan.stages[1].resize_from == (400, 320)
    assert plan.model_mpix == pytest.approx((400 * 320 + 800 * 640) / 1e6)


def test_powers_of_the_model_are_never_resized() -> None:
    sixteen, sixty_four = plan_cascade((7, 5), (112, 80)), plan_cascade((7, 5), (448, 320))
    assert [len(sixteen.stages), len(sixty_four.stages)] == [2, 3]
    assert all(stage.resize_from is None for stage in (*sixteen.stages, *sixty_four.stages))


def test_nearly_sixteen_times_is_not_cropped() -> None:
    """10 x 15.7: the second stage's input is as large as the first stage's output, but not the same."""
    plan = plan_cascade((10, 10), (157, 157))
    assert plan.stages[1].input_size == plan.stages[0].output_size
    assert plan.stages[1].resize_from == pytest.approx((40 * 160 / 157,) * 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("scale", [1, 2.5, 4, 8, 16, 64])
def test_thin_pictures(size: tuple[int, int], scale: float) -> None:
    wanted = TargetSize(scale=scale).resolve(*size)
    plan = plan_cascade(size, wanted)
    assert wanted == tuple(round(scale * side) for side in size)
    assert all(made >= side for made, side in zip(plan.stages[-1].output_size, wanted, strict=True))


@pytest.mark.parametrize("size", [(29, 20), (30, 19), (1, 1)])
def test_shrinking_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="down to") as caught:
        plan_cascade((30, 20), size)
    assert caught.value.exit_code is ExitCode.USAGE and "at least 1" in (caught.value.hint or "")


@settings(deadline=None, max_examples=100)
@given(width=sides, height=sides, scale=st.floats(1, 64), shrink=st.floats(1, 8))
def test_an_input_made_smaller_first_takes_the_stages_of_the_smaller_one(
    width: int, height: int, scale: float, shrink: float
) -> None:
    size = TargetSize(scale=scale).resolve(width, height)
    first = smaller((width, height), shrink)
    assert all(abs(a - b / shrink) <= 0.5 or a == 1 for a, b in zip(first, (width, height), strict=True))
    plan, other = plan_cascade((width, height), size, 4, shrink), plan_cascade(first, size)
    assert plan.stages == other.stages and plan.final_resize == other.final_resize
    assert (plan.input_size, plan.output_size) == ((width, height), size)


def test_what_is_smaller_than_the_input_is_refused_however_small_that_is_made() -> None:
    with pytest.raises(UsageError, match="Cannot go from 20x10 down to 19x10"):
        plan_cascade((20, 10), (19, 10), 4, 2.0)


@pytest.mark.parametrize(
    ("scale", "reduced"),
    [(4, [(1, 1)]), (2, [(2, 2)]), (1, [(4, 4)]), (8, [(2, 2), (1, 1)]), (16, [(1, 1), (1, 1)])],
    ids=str,
)
def test_by_how_much_each_stages_picture_is_reduced(scale: int, reduced: list[tuple[float, float]]) -> None:
    plan = plan_cascade((30, 20), (30 * scale, 20 * scale))
    assert [plan.reduced_after(stage) for stage in plan.stages] == reduced
