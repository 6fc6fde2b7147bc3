"""What planning makes of an input: a job, a result that is there already, or a failure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from upscale.engine.plan import CascadePlan
from upscale.errors import UpscaleError
from upscale.images.read import ImageInfo
from upscale.jobs.source import Source


@dataclass(frozen=True)
class Job:
    """One input that can be carried out.

    Attributes:
        source: The input.
        info: What its header says.
        output_size: (width, height) of the result in pixels.
        target: The file to write; None is stdout.
        format: Name of the format to write, as in `images.formats`.
        cascade: The passes through the model.
        overwrite: Whether an existing target is replaced.
        if_missing: Whether it is to be left undone once the target is there.
        frames: How many of the input's pictures are taken: its frames or pages, or one.
    """

    source: Source
    info: ImageInfo
    output_size: tuple[int, int]
    target: Path | None
    format: str
    cascade: CascadePlan
    overwrite: bool = False
    if_missing: bool = False
    frames: int = 1

    @property
    def model_mpix(self) -> float:
        """Megapixels that the model makes; of pages, as if all were like the first."""
        return self.cascade.model_mpix * self.frames

    @property
    def target_name(self) -> str:
        """What messages call the result."""
        return "stdout" if self.target is None else str(self.target)


@dataclass(frozen=True)
class Skipped:
    """One input whose result is there already, whole and of the right size.

    Attributes:
        job: What would be done.
        differs: In what the result was made otherwise, as its record says: `steps`, `weights`, …
    """

    job: Job
    differs: tuple[str, ...] = ()

    @property
    def source(self) -> Source:
        """The input."""
        return self.job.source


@dataclass(frozen=True)
class Failure:
    """One input that cannot be carried out, and why."""

    source: Source
    error: UpscaleError


Item = Job | Skipped | Failure
