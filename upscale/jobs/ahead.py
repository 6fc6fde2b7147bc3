"""Pictures that are read while the engine works on the one before, one ahead and no more."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future

from upscale.images.picture import Picture
from upscale.jobs.items import Job
from upscale.jobs.steps import Step, read_picture, take
from upscale.options import FileOptions


class ReadAhead:
    """Gives the pictures of jobs in their order."""

    def __init__(self, jobs: Sequence[Job], files: FileOptions, executor: Executor) -> None:
        """Begin nothing yet.

        Args:
            jobs: What may be asked for.
            files: How to read.
            executor: What reads.
        """
        self._jobs = jobs
        self._files = files
        self._executor = executor
        self._next = 0
        self._reading: tuple[Job, Future[Step[Picture]]] | None = None

    def get(self, job: Job) -> Step[Picture]:
        """Return the picture of a job, and begin with the one after it; jobs may be left out."""
        reading = self._reading if self._reading and self._reading[0] is job else self._begin(job)
        step = reading[1].result()
        while self._jobs[self._next] is not job:
            self._next += 1
        self._next += 1
        self._reading = self._begin(self._jobs[self._next]) if self._next < len(self._jobs) else None
        return step

    def _begin(self, job: Job) -> tuple[Job, Future[Step[Picture]]]:
        return job, self._executor.submit(take, lambda: read_picture(job, self._files))
