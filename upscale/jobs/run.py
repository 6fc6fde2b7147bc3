"""Carry a plan out: read, upscale, write, one input after the other.

One bad file never stops the others. What concerns every file (no weights, no such device) does, and so does
being interrupted; a file is either written whole or not at all.
"""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Protocol

from upscale.errors import DeviceError, InputError, OutputError, UpscaleError
from upscale.images.atomic import output_error, sweep
from upscale.images.picture import Metadata, Picture
from upscale.images.read import read
from upscale.images.record import Record
from upscale.images.write import encode, write
from upscale.jobs.conflict import finished_before
from upscale.jobs.items import Failure, Job, Skipped
from upscale.jobs.plan import Plan
from upscale.jobs.recipe import recipe
from upscale.jobs.report import Outcome, Report, Status
from upscale.options import EngineOptions, FileOptions

if TYPE_CHECKING:
    from upscale.engine.progress import Progress


class Engine(Protocol):
    """What makes the pixels: `engine.Upscaler`, or in tests anything quicker."""

    def upscale(
        self, picture: Picture, size: tuple[int, int], progress: Callable[[Progress], None] | None = None
    ) -> Picture:
        """Return the picture at this (width, height) in pixels."""


class Listener:
    """Hears what happens; this one keeps quiet. Subclasses override what they show."""

    def swept(self, files: int) -> None:
        """Temporary files that killed runs had left are removed."""

    def loaded(self, engine: Engine) -> None:
        """The weights are there."""

    def started(self, job: Job) -> None:
        """A file is about to be read."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """Some tiles of a file are done."""

    def finished(self, outcome: Outcome) -> None:
        """An input has ended, well or not."""


def load_engine(options: EngineOptions) -> Engine:
    """Return the real engine; imports torch and loads the weights.

    Raises:
        WeightsError: The model cannot be loaded.
        DeviceError: The device is missing or cannot do what is asked.
    """
    from upscale.engine.upscaler import Upscaler

    return Upscaler(**asdict(options))


def run(
    plan: Plan,
    *,
    load: Callable[[EngineOptions], Engine] = load_engine,
    listener: Listener | None = None,
    stdout: BinaryIO | None = None,
) -> Report:
    """Carry out a plan; failures of planning are reported first, and with `fail_fast` already end it.

    Args:
        plan: What to do.
        load: Makes the engine; called once, when the first input has been read.
        listener: Hears of every step, on the calling thread.
        stdout: Where a job without a target file writes.

    Raises:
        UpscaleError: The engine cannot be made, which concerns every file.
        BrokenPipeError: Nobody reads stdout any more.
    """
    listener = listener or Listener()
    request = plan.request

    @cache
    def engine() -> Engine:
        made = load(request.engine)
        listener.loaded(made)
        return made

    if removed := _sweep(plan):
        listener.swept(removed)
    outcomes: dict[int, Outcome] = {}

    def end(index: int, outcome: Outcome) -> None:
        outcomes[index] = outcome
        listener.finished(outcome)

    for index, item in enumerate(plan.items):
        if isinstance(item, Failure):
            end(index, Outcome(item.source, error=item.error))
    for index, item in enumerate(plan.items):
        if isinstance(item, Failure):
            continue
        job = item.job if isinstance(item, Skipped) else item
        if request.fail_fast and any(outcome.error is not None for outcome in outcomes.values()):
            end(index, Outcome(item.source, job, unfailing=Status.CANCELLED))
        elif isinstance(item, Skipped) or _made_meanwhile(job):
            differs = item.differs if isinstance(item, Skipped) else ()
            end(index, Outcome(item.source, job, unfailing=Status.SKIPPED, differs=differs))
        else:
            listener.started(job)
            outcome = _carry_out(job, plan, engine, listener, stdout)
            if isinstance(outcome.error, OutputError) and _made_meanwhile(
                job
            ):  # while this one was computing
                outcome = replace(outcome, error=None, unfailing=Status.SKIPPED)
            end(index, outcome)
    return Report(tuple(outcomes[index] for index in range(len(plan.items))))


def _sweep(plan: Plan) -> int:
    """Remove what killed runs left in the folders of the results; return how many files that were."""
    jobs = [
        item.job if isinstance(item, Skipped) else item
        for item in plan.items
        if not isinstance(item, Failure)
    ]
    return sum(sweep(folder) for folder in {job.target.parent for job in jobs if job.target is not None})


def _made_meanwhile(job: Job) -> bool:
    """Return whether another process has made the result since it was planned to be made if missing."""
    try:
        return job.if_missing and job.target is not None and finished_before(job, job.target) is not None
    except (UpscaleError, OSError):  # writing will say what is there
        return False


def _carry_out(
    job: Job, plan: Plan, engine: Callable[[], Engine], listener: Listener, stdout: BinaryIO | None
) -> Outcome:
    began = time.perf_counter()
    notes: tuple[str, ...] = ()
    failure: Exception | None = None
    try:
        picture = read(job.source.content, max_mpix=plan.request.files.max_input_mpix)
        if picture.size != job.info.size:  # the size of the result was settled for another picture
            raise InputError(f"{job.source.name} was changed by another program.", hint="Run it again.")
        notes = picture.notes
        if plan.request.files.strip_metadata:
            picture = replace(picture, metadata=Metadata(icc_profile=picture.metadata.icc_profile))
    except Exception as error:  # whatever a decoder of the wild says, the next file gets its turn
        return Outcome(job.source, job, error, time.perf_counter() - began)
    strip = plan.request.files.strip_metadata
    record = None if strip else recipe(job, plan.request.engine, plan.model)
    upscaler = engine()
    try:
        picture = upscaler.upscale(
            picture, job.output_size, progress=lambda step: listener.progressed(job, step)
        )
        notes = picture.notes
        notes += _deliver(job, picture, record, plan.request.files, stdout)
    except BrokenPipeError:
        raise
    except MemoryError:
        failure = DeviceError(
            f"There is not enough memory for {job.source.name} at {job.output_size[0]}x{job.output_size[1]}.",
            hint="Ask for a smaller --scale.",
        )
    except Exception as error:
        failure = error
    return Outcome(job.source, job, failure, time.perf_counter() - began, notes)


def _deliver(
    job: Job, picture: Picture, record: Record | None, files: FileOptions, stdout: BinaryIO | None
) -> tuple[str, ...]:
    """Write a result; return what its format could not hold."""
    try:
        if job.target is not None:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            return write(
                picture,
                job.target,
                format=job.format,
                quality=files.quality,
                overwrite=job.overwrite,
                record=record,
            )
        assert stdout is not None, "a plan that writes to stdout needs one"
        whole = io.BytesIO()  # so that an encoder's failure leaves nothing half-written in the pipe
        notes = encode(picture, whole, format=job.format, quality=files.quality, record=record)
        write_all(stdout, whole.getbuffer())
        return notes
    except (UpscaleError, BrokenPipeError):
        raise
    except OSError as error:  # the folder could not be made, or stdout is full
        raise output_error(job.target_name, error) from error


def write_all(stream: BinaryIO, data: memoryview) -> None:
    """Write everything: under PYTHONUNBUFFERED stdout is a raw file, which may take a part and say so."""
    while data:
        written = stream.write(data)
        if written is None:  # a pipe that somebody set to non-blocking is full
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data = data[written:]
    stream.flush()
