"""One device at work: it takes the next files, has its engine enlarge them, and hands the results on.

Several of them share a `Course`; each has an engine of its own, and a thread of its own unless it is alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from upscale.errors import DeviceError, OutputError, UpscaleError
from upscale.images.picture import Picture
from upscale.jobs.ahead import ReadAhead, Reading
from upscale.jobs.conflict import finished_before
from upscale.jobs.engines import Engine
from upscale.jobs.items import Job
from upscale.jobs.listener import Listener
from upscale.jobs.report import Outcome, Status
from upscale.jobs.steps import explained, take
from upscale.options import EngineOptions

if TYPE_CHECKING:
    from upscale.engine.progress import Progress


class Stopped(BaseException):
    """The run was interrupted; raised through an engine that works on a thread of its own."""


class Course(Protocol):
    """What devices need to know of the run they are part of. All of it may be used from any thread."""

    ahead: ReadAhead
    listener: Listener
    fail_fast: bool

    @property
    def stopped(self) -> bool:
        """Whether the run was interrupted."""
        ...

    @property
    def ends_now(self) -> bool:
        """Whether an input has failed, and with `fail_fast` nothing more is begun."""
        ...

    def load(self, options: EngineOptions) -> Engine:
        """Make an engine."""
        ...

    def tell(self, event: Callable[[], None]) -> None:
        """Have something called on the thread that the listener hears on."""
        ...

    def end(self, index: int, outcome: Outcome) -> None:
        """Take the end of an input."""
        ...

    def write(self, index: int, job: Job, picture: Picture, seconds: float) -> Future[None]:
        """Begin to write a result that took so long, and to end its input."""
        ...

    def carry_out(self, job: Job, engine: Engine, progressed: Callable[[Progress], None]) -> tuple[str, ...]:
        """Make the result of a job with several frames, written and all; return what could not be kept."""
        ...

    def can_spare(self, device: Device) -> bool:
        """Take a device out of the run, unless it is the last one."""
        ...


@dataclass(frozen=True)
class _Read:
    """A file that has been read."""

    reading: Reading
    picture: Picture
    seconds: float

    @property
    def job(self) -> Job:
        return self.reading.job


class Device:
    """A device and what it works on.

    One batch is read ahead, one computed, and one written at most, so that memory stays bounded.
    """

    def __init__(self, options: EngineOptions, course: Course) -> None:
        """Load nothing yet: there may be nothing to do."""
        self.options = options
        self._course = course
        self._engine: Engine | None = None
        self._writing: Sequence[Future[None]] = ()

    def work(self) -> None:
        """Take files until none is left, or until this device can no more and others can.

        Raises:
            UpscaleError: The engine cannot be made, which concerns every file.
            Stopped: The run was interrupted.
        """
        course = self._course
        while not course.stopped and (readings := course.ahead.take(self._together)):
            if course.fail_fast:
                self._written()
                if course.ends_now:
                    course.ahead.give_back(readings)
                    break
            if not self._carry_out(readings):
                break
        self._written()

    def _together(self, job: Job) -> int:
        if self._course.fail_fast or job.frames > 1 or self._engine is None:
            return 1
        return self._engine.together(job.info.size, job.output_size)

    def _carry_out(self, readings: Sequence[Reading]) -> bool:
        """Take files as far as to the writing of their results; return whether this device can do more."""
        course, listener = self._course, self._course.listener
        jobs = tuple(reading.job for reading in readings)
        course.tell(lambda: listener.started(jobs))
        ready = []
        for reading in readings:
            if made_meanwhile(reading.job):
                job = reading.job
                course.end(reading.index, Outcome(job.source, job, unfailing=Status.SKIPPED))
            elif read := self._read(reading):
                ready.append(read)
        if not ready:
            return True
        if self._engine is None:
            try:
                self._engine = engine = course.load(self.options)
            except DeviceError as error:
                if self._give_up(ready, error):
                    return False
                raise
            course.tell(lambda: listener.loaded(engine))
        course.ahead.begin(self._together)

        waiting = deque([ready])
        while waiting:
            batch = waiting.popleft()
            if batch[0].job.frames > 1:
                if not self._make_frames(batch[0]):
                    return False
                continue
            made = take(lambda: self._upscaled(batch))  # noqa: B023 - called at once
            if made.value is not None:
                self._write(batch, made.value, made.seconds / len(batch))
            elif len(batch) > 1:  # one of them may be to blame: each for itself
                waiting.extendleft([read] for read in reversed(batch))
            else:
                assert made.error is not None
                rest = [*batch, *(read for later in waiting for read in later)]
                if isinstance(made.error, DeviceError) and self._give_up(rest, made.error):
                    return False
                (read,) = batch
                why, seconds = explained(read.job, made.error), read.seconds + made.seconds
                outcome = Outcome(read.job.source, read.job, why, seconds, read.picture.notes)
                course.end(read.reading.index, outcome)
        return True

    def _read(self, reading: Reading) -> _Read | None:
        step = reading.picture.result()
        if step.value is not None:
            return _Read(reading, step.value, step.seconds)
        job = reading.job
        self._course.end(reading.index, Outcome(job.source, job, step.error, step.seconds))
        return None

    def _upscaled(self, batch: Sequence[_Read]) -> list[Picture]:
        """Return the results of files of one size."""
        jobs = tuple(read.job for read in batch)
        assert self._engine is not None
        pictures = [read.picture for read in batch]
        return self._engine.upscale_many(pictures, jobs[0].output_size, self._teller(jobs))

    def _teller(self, jobs: Sequence[Job]) -> Callable[[Progress], None]:
        """Return what is told how far jobs are; raises where the run was interrupted."""
        course = self._course

        def progressed(progress: Progress) -> None:
            if course.stopped:
                raise Stopped
            course.tell(lambda: course.listener.progressed(jobs, progress))

        return progressed

    def _make_frames(self, read: _Read) -> bool:
        """Make the result of a file with several frames; return whether this device can do more."""
        course, engine, job = self._course, self._engine, read.job
        assert engine is not None
        made = take(lambda: course.carry_out(job, engine, self._teller((job,))))
        seconds = read.seconds + made.seconds
        ended = Outcome(job.source, job, None, seconds, made.value or ())
        if isinstance(made.error, DeviceError) and self._give_up([read], made.error):
            return False
        if isinstance(made.error, OutputError) and made_meanwhile(job):
            ended = replace(ended, unfailing=Status.SKIPPED)
        elif made.error is not None:
            ended = replace(ended, error=explained(job, made.error))
        course.end(read.reading.index, ended)
        return True

    def _give_up(self, batch: Sequence[_Read], error: DeviceError) -> bool:
        """Leave files to the other devices, if there are any; the last one has to keep them."""
        course = self._course
        if not course.can_spare(self):
            return False
        course.tell(lambda: course.listener.gave_up(self.options.device, error))
        course.ahead.give_back([read.reading for read in batch])
        return True

    def _write(self, batch: Sequence[_Read], pictures: Sequence[Picture], seconds: float) -> None:
        """Begin to write results, after those before are written."""
        course = self._course
        jobs = tuple(read.job for read in batch)
        course.tell(lambda: course.listener.computed(jobs))
        self._written()
        self._writing = [
            course.write(read.reading.index, read.job, picture, seconds + read.seconds)
            for read, picture in zip(batch, pictures, strict=True)
        ]

    def _written(self) -> None:
        wait(self._writing)
        self._writing = ()


def made_meanwhile(job: Job) -> bool:
    """Return whether another process has made the result since it was planned to be made if missing."""
    try:
        return job.if_missing and job.target is not None and finished_before(job, job.target) is not None
    except (UpscaleError, OSError):  # writing will say what is there
        return False
