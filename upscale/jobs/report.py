"""What became of each input, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from upscale.engine.plan import CascadePlan, StagePlan
from upscale.errors import ExitCode, UpscaleError
from upscale.jobs.items import Failure, Item, Job, Skipped
from upscale.jobs.source import Source


class Status(StrEnum):
    """How an input can end."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PLANNED = "planned"


def exit_code_of(error: Exception) -> ExitCode:
    """Return the exit code an error alone leads to; anything but an `UpscaleError` is a bug of ours."""
    return error.exit_code if isinstance(error, UpscaleError) else ExitCode.BUG


@dataclass(frozen=True)
class Outcome:
    """The end of one input.

    Attributes:
        source: The input.
        job: What was planned for it; None where planning already failed.
        error: Why there is no result; None where there is one.
        seconds: Spent on reading, upscaling and writing it; other inputs' steps may run beside.
        notes: Sentences on what could not be kept.
        unfailing: How it ended where there is no error.
        denoised: How much noise was taken out of the input, 0 to 1; None where nothing was made of it, or of
            several frames each had its own.
        shrunk: How many times smaller the input was made first; None likewise.
        fidelity: How near the result is to the first estimate, 0 to 1; None likewise.
        cascade: The stages that it took; None where nothing was made of it, or what was planned.
        differs: Of one skipped: in what its result was made otherwise (`steps`, `weights`, …).
    """

    source: Source
    job: Job | None = None
    error: Exception | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    unfailing: Status = Status.DONE
    differs: tuple[str, ...] = ()
    denoised: float | None = None
    shrunk: float | None = None
    fidelity: float | None = None
    cascade: CascadePlan | None = None

    @property
    def stages(self) -> tuple[StagePlan, ...]:
        """The passes through the model that it took, or would have taken."""
        cascade = self.cascade or (self.job and self.job.cascade)
        return cascade.stages if cascade else ()

    @property
    def status(self) -> Status:
        """How it ended."""
        return self.unfailing if self.error is None else Status.FAILED


def foreseen(items: Sequence[Item], *, fail_fast: bool) -> list[Outcome]:
    """Return what is known of inputs before anything is done: how each has ended, or that it is planned.

    With `fail_fast` a failure of planning cancels all the others.
    """
    cancelled = fail_fast and any(isinstance(item, Failure) for item in items)
    return [_foreseen(item, cancelled=cancelled) for item in items]


def _foreseen(item: Item, *, cancelled: bool) -> Outcome:
    if isinstance(item, Failure):
        return Outcome(item.source, error=item.error)
    if isinstance(item, Skipped):
        status = Status.CANCELLED if cancelled else Status.SKIPPED
        return Outcome(item.source, item.job, unfailing=status, differs=item.differs)
    return Outcome(item.source, item, unfailing=Status.CANCELLED if cancelled else Status.PLANNED)


@dataclass(frozen=True)
class Report:
    """All outcomes, in the order of the inputs."""

    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Inputs without a result."""
        return tuple(outcome for outcome in self.outcomes if outcome.error is not None)

    def count(self, status: Status) -> int:
        """Return how many inputs ended so."""
        return sum(outcome.status is status for outcome in self.outcomes)

    @property
    def exit_code(self) -> ExitCode:
        """Of a single input its own error's code; of several PARTIAL as soon as one failed."""
        errors = [outcome.error for outcome in self.outcomes if outcome.error is not None]
        if not errors:
            return ExitCode.OK
        return exit_code_of(errors[0]) if len(self.outcomes) == 1 else ExitCode.PARTIAL
