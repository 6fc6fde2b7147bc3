"""Carry a plan out: devices take its files one after another; their ends are told in the order of the inputs.

One bad file never stops the others. What concerns every file (no weights, no such device) does, and so does
being interrupted; a file is either written whole or not at all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from upscale.engine.plan import plan_cascade
from upscale.errors import OutputError
from upscale.images.atomic import sweep
from upscale.images.picture import Picture
from upscale.images.record import Record
from upscale.jobs.ahead import ReadAhead
from upscale.jobs.device import Device, made_meanwhile
from upscale.jobs.engines import Engine, for_each_device, load_engine
from upscale.jobs.frames import carry_out
from upscale.jobs.items import Failure, Job, Skipped
from upscale.jobs.listener import Listener
from upscale.jobs.plan import Plan
from upscale.jobs.recipe import recipe
from upscale.jobs.report import Outcome, Report, Status, foreseen
from upscale.jobs.steps import explained, take, write_picture
from upscale.jobs.uncertainty import write_map
from upscale.options import EngineOptions

if TYPE_CHECKING:
    from upscale.engine.progress import Progress

WAKE_S = 1.0  # Windows tells of Ctrl-C only between two waits
MAX_WRITERS = 4  # of one batch; encoders take one core each


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
        load: Makes an engine; called once for each device, when its first input has been read.
        listener: Hears of every step, on the calling thread.
        stdout: Where a job without a target file writes.

    Raises:
        UpscaleError: The engine cannot be made, which concerns every file.
        BrokenPipeError: Nobody reads stdout any more.
        Exception: What the listener raises.
    """
    listener = listener or Listener()
    if removed := _sweep(plan):
        listener.swept(removed)
    course = _Course(plan, load, listener, stdout)
    try:
        course.run()
    except BaseException as error:
        with suppress(Exception, _NotHeard):  # what was being written is finished, and told
            course.hear()
            course.tell_rest()
        if isinstance(error, _NotHeard):
            raise error.reason from None
        raise
    return Report(tuple(course.outcomes[index] for index in range(len(plan.items))))


class _NotHeard(BaseException):
    """The listener failed; raised through an engine, which would take an exception for one of its own."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


class _Course:
    """One plan being carried out; see `device.Course`.

    A single device works on the calling thread, so that Ctrl-C need not wait for it, several on threads of
    their own. What is told comes through a queue to the calling thread, where the listener hears it.
    """

    def __init__(
        self,
        plan: Plan,
        load: Callable[[EngineOptions], Engine],
        listener: Listener,
        stdout: BinaryIO | None,
    ) -> None:
        self._plan = plan
        self.load = load
        self.listener = listener
        self._stdout = stdout
        self.fail_fast = plan.request.fail_fast
        self._lock = threading.Lock()
        self._thread = threading.current_thread()
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopped, self._failed = threading.Event(), threading.Event()
        # In this order ends are told: what planning found first.
        order = sorted(range(len(plan.items)), key=lambda index: not isinstance(plan.items[index], Failure))
        self._untold = iter(order)
        self._next = next(self._untold, None)
        self._ends: dict[int, Outcome] = {}
        self.outcomes: dict[int, Outcome] = {}  # those told

    def run(self) -> None:
        """Carry out everything; devices are looked at only if there is something for them to do."""
        planned = []
        for index, outcome in enumerate(foreseen(self._plan.items, fail_fast=self.fail_fast)):
            if outcome.status is Status.PLANNED and outcome.job is not None:
                planned.append((index, outcome.job))
            else:
                self.end(index, outcome)
        if planned:
            self._work(planned, for_each_device(self._plan.request.engine))
        self.hear()

    def _work(self, jobs: Sequence[tuple[int, Job]], devices: Sequence[EngineOptions]) -> None:
        """Carry out jobs, whose indices are their places among the inputs."""
        writers = max(len(devices), min(MAX_WRITERS, os.cpu_count() or 1))
        with (
            ThreadPoolExecutor(len(devices), "read") as reader,
            ThreadPoolExecutor(writers, "write") as writer,
        ):
            self._writer = writer
            self.ahead = ReadAhead(jobs, self._plan.request.files, reader, batches=len(devices))
            self._devices = [Device(options, self) for options in devices]
            # Once more where a device gave files back after the others had ended.
            while self.ahead.left and not self.ends_now:
                if len(self._devices) == 1:
                    self._devices[0].work()
                else:
                    self._work_on_threads()
            for index, job in self.ahead.rest():
                self.end(index, Outcome(job.source, job, unfailing=Status.CANCELLED))

    def _work_on_threads(self) -> None:
        with ThreadPoolExecutor(len(self._devices), "device") as pool:
            working = [pool.submit(device.work) for device in self._devices]
            try:
                for future in working:
                    future.add_done_callback(lambda _: self._events.put(_nothing))  # wakes this thread
                while not all(future.done() for future in working):
                    self._hear_next()
                    for future in working:
                        if future.done():
                            future.result()  # raises what it raised
            except BaseException:
                self.stop()
                raise
        for future in working:
            future.result()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """Have devices on other threads stop at their next evaluation."""
        self._stopped.set()

    @property
    def ends_now(self) -> bool:
        return self.fail_fast and self._failed.is_set()

    def can_spare(self, device: Device) -> bool:
        with self._lock:
            if len(self._devices) == 1:
                return False
            self._devices = [other for other in self._devices if other is not device]
            return True

    def tell(self, event: Callable[[], None]) -> None:
        self._events.put(event)
        if threading.current_thread() is self._thread:
            self.hear()

    def hear(self) -> None:
        """Let the listener hear what there is to tell."""
        while not self._events.empty():
            _call(self._events.get())

    def _hear_next(self) -> None:
        try:
            event = self._events.get(timeout=WAKE_S)
        except Empty:
            return
        _call(event)

    def end(self, index: int, outcome: Outcome) -> None:
        if isinstance(outcome.error, BrokenPipeError):  # nobody reads stdout any more
            self.tell(_raising(outcome.error))
            return
        if outcome.error is not None:
            self._failed.set()
        self.tell(lambda: self._end(index, outcome))

    def _end(self, index: int, outcome: Outcome) -> None:
        self._ends[index] = outcome
        while (this := self._next) in self._ends:
            self._next = next(self._untold, None)
            self._tell_end(this)

    def tell_rest(self) -> None:
        """Tell those that wait for others before them, which will not end any more."""
        for index in sorted(self._ends):
            self._tell_end(index)

    def _tell_end(self, index: int) -> None:
        outcome = self.outcomes[index] = self._ends.pop(index)
        self.listener.finished(outcome)

    def carry_out(self, job: Job, engine: Engine, progressed: Callable[[Progress], None]) -> tuple[str, ...]:
        request = self._plan.request
        factor = request.size.factor(*job.info.size)
        return carry_out(job, engine, factor, request.files, self._record(job), self._stdout, progressed)

    def _record(self, job: Job) -> Record | None:
        """Return what is recorded of a result, if anything is."""
        request = self._plan.request
        if request.files.strip_metadata:
            return None
        return recipe(job, request.engine.model, self._plan.settings)

    def write(self, index: int, job: Job, picture: Picture, seconds: float) -> Future[None]:
        request = self._plan.request
        scales = [own.scale for own in self._plan.settings]
        record = self._record(job)
        if record is not None:
            record = {
                **record,
                "denoised": f"{picture.denoised:g}",
                "shrunk": f"{picture.shrunk:g}",
                "fidelity_used": f"{picture.fidelity:.2g}",
            }

        def write() -> None:
            step = take(lambda: write_picture(job, picture, record, request.files, self._stdout))
            ended = Outcome(
                job.source,
                job,
                None,
                seconds + step.seconds,
                picture.notes + (step.value or ()),
                denoised=picture.denoised,
                shrunk=picture.shrunk,
                fidelity=picture.fidelity,
                cascade=plan_cascade(job.info.size, job.output_size, scales, picture.shrunk),
            )
            if isinstance(step.error, OutputError) and made_meanwhile(job):  # while this process computed
                self.end(index, replace(ended, notes=(), unfailing=Status.SKIPPED))
                return
            error = step.error or take(lambda: write_map(picture, request.files)).error
            self.end(index, replace(ended, error=error and explained(job, error)))

        return self._writer.submit(write)


def _call(event: Callable[[], None]) -> None:
    try:
        event()
    except Exception as error:
        raise _NotHeard(error) from error


def _nothing() -> None:
    """Wake the thread that waits for something to hear."""


def _raising(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def _sweep(plan: Plan) -> int:
    """Remove what killed runs left in the folders of the results; return how many files that were."""
    jobs = [
        item.job if isinstance(item, Skipped) else item
        for item in plan.items
        if not isinstance(item, Failure)
    ]
    return sum(sweep(folder) for folder in {job.target.parent for job in jobs if job.target is not None})
