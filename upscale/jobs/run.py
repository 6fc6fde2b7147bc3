"""Carry a plan out: read, upscale, write, one input after the other, reading and writing beside the engine.

One bad file never stops the others. What concerns every file (no weights, no such device) does, and so does
being interrupted; a file is either written whole or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from upscale.errors import OutputError, UpscaleError
from upscale.images.atomic import sweep
from upscale.images.picture import Picture
from upscale.jobs.ahead import ReadAhead
from upscale.jobs.conflict import finished_before
from upscale.jobs.items import Failure, Job, Skipped
from upscale.jobs.plan import Plan
from upscale.jobs.recipe import recipe
from upscale.jobs.report import Outcome, Report, Status
from upscale.jobs.steps import Step, explained, take, write_picture
from upscale.options import EngineOptions

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
    if removed := _sweep(plan):
        listener.swept(removed)
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        course = _Course(
            plan, load, listener, stdout, ReadAhead(plan.jobs, plan.request.files, reader), writer
        )
        try:
            course.run()
        except BaseException:
            with suppress(Exception):  # what is being written is finished, and told
                course.drain(wait=True)
            raise
    return Report(tuple(course.outcomes[index] for index in range(len(plan.items))))


@dataclass(frozen=True)
class _Writing:
    """A result on its way to its file."""

    job: Job
    seconds: float  # until now
    notes: tuple[str, ...]
    step: Future[Step[tuple[str, ...]]]


class _Course:
    """One plan being carried out.

    The engine works on this thread; the next picture is read and the last result written beside it. Of each
    kind there is one at most, so that memory holds no more than two results.
    """

    def __init__(
        self,
        plan: Plan,
        load: Callable[[EngineOptions], Engine],
        listener: Listener,
        stdout: BinaryIO | None,
        ahead: ReadAhead,
        writer: Executor,
    ) -> None:
        self._plan = plan
        self._load = load
        self._listener = listener
        self._stdout = stdout
        self._ahead = ahead
        self._writer = writer
        self._engine: Engine | None = None
        self._ends: deque[tuple[int, Outcome | _Writing]] = deque()  # in order, behind a result being written
        self.outcomes: dict[int, Outcome] = {}
        self._failed = False

    def run(self) -> None:
        """Carry out everything; `outcomes` are those that have been told to the listener."""
        for index, item in enumerate(self._plan.items):
            if isinstance(item, Failure):
                self._end(index, Outcome(item.source, error=item.error))
        fail_fast = self._plan.request.fail_fast
        for index, item in enumerate(self._plan.items):
            if isinstance(item, Failure):
                continue
            if fail_fast:
                self.drain(wait=True)
            job = item.job if isinstance(item, Skipped) else item
            if fail_fast and self._failed:
                self._end(index, Outcome(item.source, job, unfailing=Status.CANCELLED))
            elif isinstance(item, Skipped) or _made_meanwhile(job):
                differs = item.differs if isinstance(item, Skipped) else ()
                self._end(index, Outcome(item.source, job, unfailing=Status.SKIPPED, differs=differs))
            else:
                self._end(index, self._begin(job))
        self.drain(wait=True)

    def drain(self, *, wait: bool) -> None:
        """Tell the listener of all that has ended, in order; `wait` for what is being written."""
        while self._ends:
            index, end = self._ends[0]
            if isinstance(end, _Writing):
                if not (wait or end.step.done()):
                    return
                end = _written(end)
            self._ends.popleft()
            self.outcomes[index] = end
            self._failed |= end.error is not None
            self._listener.finished(end)

    def _end(self, index: int, end: Outcome | _Writing) -> None:
        self._ends.append((index, end))
        self.drain(wait=False)

    def _begin(self, job: Job) -> Outcome | _Writing:
        """Take a job as far as to the writing of its result."""
        self._listener.started(job)
        reading = self._ahead.get(job)
        if reading.value is None:
            return Outcome(job.source, job, reading.error, reading.seconds)
        picture = reading.value
        request = self._plan.request
        if self._engine is None:
            self._engine = self._load(request.engine)
            self._listener.loaded(self._engine)
        engine = self._engine

        def progressed(progress: Progress) -> None:
            self.drain(wait=False)  # what has ended meanwhile is told now, not after this picture
            self._listener.progressed(job, progress)

        making = take(lambda: engine.upscale(picture, job.output_size, progress=progressed))
        seconds = reading.seconds + making.seconds
        if making.value is None:
            assert making.error is not None
            if isinstance(making.error, BrokenPipeError):  # nobody listens to the progress
                raise making.error
            return Outcome(job.source, job, explained(job, making.error), seconds, picture.notes)
        large = making.value
        record = None if request.files.strip_metadata else recipe(job, request.engine, self._plan.model)
        self.drain(wait=True)  # one at a time
        writing = self._writer.submit(
            take, lambda: write_picture(job, large, record, request.files, self._stdout)
        )
        return _Writing(job, seconds, large.notes, writing)


def _written(writing: _Writing) -> Outcome:
    """Wait for a result to be written, and return how it ended.

    Raises:
        BrokenPipeError: Nobody reads stdout any more.
    """
    job, step = writing.job, writing.step.result()
    seconds = writing.seconds + step.seconds
    if isinstance(step.error, BrokenPipeError):
        raise step.error
    if step.error is None:
        return Outcome(job.source, job, None, seconds, writing.notes + (step.value or ()))
    if isinstance(step.error, OutputError) and _made_meanwhile(job):  # while this process was computing
        return Outcome(job.source, job, None, seconds, unfailing=Status.SKIPPED)
    return Outcome(job.source, job, explained(job, step.error), seconds, writing.notes)


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
