"""What a running upscale tells about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a picture is.

    Attributes:
        stage: Stage being run, from 1.
        stages: Stages of the cascade.
        tile: Tiles finished in this stage.
        tiles: Tiles of this stage as now planned (more when memory runs out).
        done: Work done over all stages, in `total`'s units: pixels times network evaluations.
        total: Work in all.
        message: Something worth telling, such as a smaller tile; None most of the time.
        frame: Which of one file's frames or pages is being made, from 1.
        frames: How many there are; `done` and `total` are of all of them.
    """

    stage: int
    stages: int
    tile: int
    tiles: int
    done: int
    total: int
    message: str | None = None
    frame: int = 1
    frames: int = 1


ProgressCallback = Callable[[Progress], None]
"""Called after every network evaluation, from the calling thread; may raise to cancel."""
