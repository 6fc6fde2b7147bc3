"""Which stages a cascade runs, as pure data; torch is not imported here.

A scale up to the model's own (4) is one stage and a resize down. Up to its square (16) it is two: 4x, a
resize by scale/16, 4x again, so that the second stage sees what it was trained on (sharp, antialiased pixels)
and costs what its output needs. Beyond, the rule repeats. Stages may have models of different scales; the
last of them makes all further stages. The picture between two stages covers the output grid exactly: its
pixel pitch is a whole number of output pixels, and what sticks out at the right and the bottom is cropped at
the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from upscale.errors import UsageError

OfModel = TypeVar("OfModel")


def model_of(index: int, models: Sequence[OfModel]) -> OfModel:
    """Return the model, or its scale, for the stage of that index: the last one makes all further stages."""
    return models[min(index, len(models) - 1)]


@dataclass(frozen=True)
class StagePlan:
    """One pass through the model.

    Attributes:
        index: 0 for the first stage.
        input_size: (width, height) in pixels that the model is given.
        output_size: (width, height) in pixels that it makes, its model's scale times `input_size`.
        resize_from: The box (width, height), in pixels of the previous stage's output, that is resized to
            `input_size` before this stage; fractional, and up to a few pixels larger than that output (its
            edge is repeated there). None: the output's top left `input_size` is taken as it is.
    """

    index: int
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    resize_from: tuple[float, float] | None = None


@dataclass(frozen=True)
class CascadePlan:
    """All stages from an input size to an output size.

    Attributes:
        input_size: (width, height) of the input in pixels.
        output_size: (width, height) of the result in pixels.
        stages: The passes, in order.
        final_resize: Whether the last stage's picture is resized to `output_size` (else cropped to it).
    """

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    stages: tuple[StagePlan, ...]
    final_resize: bool

    @property
    def model_mpix(self) -> float:
        """Megapixels that the model makes over all stages: what the time goes with."""
        return sum(w * h for w, h in (stage.output_size for stage in self.stages)) / 1e6

    def reduced_after(self, stage: StagePlan) -> tuple[float, float]:
        """Return how many times narrower and lower a stage's picture is made for what follows."""
        made: tuple[float, float] | None = None
        if stage is not self.stages[-1]:
            following = self.stages[stage.index + 1]
            made, size = following.resize_from, following.input_size
        elif self.final_resize:
            made, size = stage.output_size, self.output_size
        return (1.0, 1.0) if made is None else (made[0] / size[0], made[1] / size[1])


def smaller(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return a (width, height) in pixels, so many times smaller: at least one pixel."""
    return max(1, round(size[0] / factor)), max(1, round(size[1] / factor))


def plan_cascade(
    input_size: tuple[int, int],
    output_size: tuple[int, int],
    model_scale: int | Sequence[int] = 4,
    shrink: float = 1.0,
) -> CascadePlan:
    """Return the stages that lead from `input_size` to `output_size`.

    Args:
        input_size: (width, height) in pixels.
        output_size: Likewise, at least as large on both sides.
        model_scale: Factor of a stage, or of the first, the second, …; the last one of all that follow.
        shrink: How many times smaller the input is made first.

    Raises:
        UsageError: The output is smaller than the input.
    """
    if output_size[0] < input_size[0] or output_size[1] < input_size[1]:
        raise UsageError(
            f"Cannot go from {input_size[0]}x{input_size[1]} down to {output_size[0]}x{output_size[1]}.",
            hint="Ask for a factor of at least 1.",
        )
    given = [model_scale] if isinstance(model_scale, int) else list(model_scale)
    scales = given[:1]
    first = smaller(input_size, shrink)
    while any(inp * math.prod(scales) < out for inp, out in zip(first, output_size, strict=True)):
        scales.append(model_of(len(scales), given))

    # Input sizes of the stages after the first, from the last one back: each makes at least what the next
    # needs.
    needed: list[tuple[int, int]] = []
    size = output_size
    for scale in reversed(scales[1:]):
        size = (math.ceil(size[0] / scale), math.ceil(size[1] / scale))
        needed.insert(0, size)

    stages = [StagePlan(0, first, _times(first, scales[0]))]
    for index, size in enumerate(needed, start=1):
        box = None
        pitch = math.prod(scales[1:])  # output pixels per pixel of the second stage's input
        made = stages[0].output_size
        if index == 1 and _times(made, pitch) != output_size:
            box = (size[0] * pitch * made[0] / output_size[0], size[1] * pitch * made[1] / output_size[1])
        stages.append(StagePlan(index, size, _times(size, scales[index]), box))
    final_resize = len(scales) == 1 and stages[0].output_size != output_size
    return CascadePlan(input_size, output_size, tuple(stages), final_resize)


def _times(size: tuple[int, int], factor: int) -> tuple[int, int]:
    return size[0] * factor, size[1] * factor
