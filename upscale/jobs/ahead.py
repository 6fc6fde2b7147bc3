"""Pictures that are read while engines work on others: those that are worked on together, together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from upscale.images.picture import Picture
from upscale.jobs.items import Job
from upscale.jobs.steps import Step, read_picture, take
from upscale.options import FileOptions

LOOK_AHEAD = 256  # inputs among which those of one size are looked for

Together = Callable[[Job], int]
"""How many jobs of the size of this one are worked on together, 1 or more."""


@dataclass(frozen=True)
class Reading:
    """A picture that is being read.

    Attributes:
        index: Place of its job among the inputs.
        job: The job.
        picture: What comes of it.
    """

    index: int
    job: Job
    picture: Future[Step[Picture]]


class ReadAhead:
    """Gives out jobs in their order, each once, for several engines at a time.

    A job may be preferred to those before it where it has the size of the ones given out with it.
    """

    def __init__(
        self, jobs: Iterable[tuple[int, Job]], files: FileOptions, executor: Executor, *, batches: int = 1
    ) -> None:
        """Begin nothing yet.

        Args:
            jobs: With their places among the inputs.
            files: How to read.
            executor: What reads.
            batches: How many are read ahead.
        """
        self._jobs = deque(jobs)
        self._files = files
        self._executor = executor
        self._batches = batches
        self._begun: deque[Sequence[Reading]] = deque()
        self._lock = threading.Lock()

    @property
    def left(self) -> bool:
        """Whether there is something to take."""
        with self._lock:
            return bool(self._begun or self._jobs)

    def take(self, together: Together) -> Sequence[Reading]:
        """Return the jobs that are next, of one size; none when all are given out."""
        with self._lock:
            return self._begun.popleft() if self._begun else self._begin(together)

    def begin(self, together: Together) -> None:
        """Begin to read what will be taken next."""
        with self._lock:
            while self._jobs and len(self._begun) < self._batches:
                self._begun.append(self._begin(together))

    def give_back(self, readings: Sequence[Reading]) -> None:
        """Take back what was given out; it is next."""
        with self._lock:
            self._begun.appendleft(readings)

    def rest(self) -> list[tuple[int, Job]]:
        """Return what is not taken, which will not be any more."""
        with self._lock:
            rest = [(reading.index, reading.job) for readings in self._begun for reading in readings]
            rest += self._jobs
            self._begun.clear()
            self._jobs.clear()
            return rest

    def _begin(self, together: Together) -> Sequence[Reading]:
        return [
            Reading(index, job, self._executor.submit(self._read, job)) for index, job in self._next(together)
        ]

    def _next(self, together: Together) -> list[tuple[int, Job]]:
        if not self._jobs:
            return []
        found = [self._jobs.popleft()]
        first = found[0][1]
        most = together(first)
        others: list[tuple[int, Job]] = []
        while self._jobs and len(found) < most and len(others) < LOOK_AHEAD:
            item = self._jobs.popleft()
            (found if _alike(item[1], first) else others).append(item)
        self._jobs.extendleft(reversed(others))
        return found

    def _read(self, job: Job) -> Step[Picture]:
        return take(lambda: read_picture(job, self._files))


def _alike(one: Job, other: Job) -> bool:
    """Whether both are stills, or have as many frames, of one size."""
    return (one.info.size, one.output_size, one.frames) == (other.info.size, other.output_size, other.frames)
