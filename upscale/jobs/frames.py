"""One job with several pictures: its frames or pages are read, upscaled and written one after another.

Reading and writing go on beside the engine; of each kind there is one picture at a time, so that memory does
not grow with their number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from upscale.errors import InputError
from upscale.images.picture import Picture
from upscale.images.read_frames import read_frames
from upscale.images.record import Record
from upscale.images.sequence import Frame
from upscale.images.write_frames import encode_frames, write_frames
from upscale.jobs.engines import Engine
from upscale.jobs.items import Job
from upscale.jobs.steps import stripped, writing
from upscale.options import FileOptions

if TYPE_CHECKING:
    from upscale.engine.progress import Progress

_WAIT_S = 0.2  # between looks at whether the other thread still lives


def carry_out(
    job: Job,
    engine: Engine,
    factor: float,
    files: FileOptions,
    record: Record | None,
    stdout: BinaryIO | None,
    progressed: Callable[[Progress], None],
) -> tuple[str, ...]:
    """Make the result of a job with several frames or pages; return what could not be kept.

    Args:
        job: What to do.
        engine: Makes the pixels, on this thread.
        factor: On both sides; pages of another size than the first are enlarged by it.
        files: How to read and write.
        record: How the result is made, to be kept in it.
        stdout: Where a job without a target file writes.
        progressed: Told how far all of them are.

    Raises:
        InputError: One of them cannot be read, or the file has changed.
        OutputError: The result cannot be written; nothing of it is left.
        Exception: What the engine raises.
    """
    notes: list[str] = []
    handoff = _Handoff()
    with (
        contextlib.closing(read_frames(job.source.content, max_mpix=files.max_input_mpix)) as frames,
        ThreadPoolExecutor(1, "read-frames") as reader,  # ends before what it reads is closed
        ThreadPoolExecutor(1, "write-frames") as writer,
    ):
        written = writer.submit(_write, handoff, job, files, record, stdout)
        try:
            before: tuple[Picture, Picture] | None = None
            for number, frame in enumerate(_ahead(frames, reader)):
                picture = stripped(frame.picture) if files.strip_metadata else frame.picture
                if number == 0 and picture.size != job.info.size:
                    raise InputError(
                        f"{job.source.name} was changed by another program.", hint="Run it again."
                    )
                if before is not None and _same(before[0], picture):
                    large = replace(before[1], metadata=picture.metadata, notes=picture.notes)
                else:
                    size = job.output_size if picture.size == job.info.size else _scaled(picture.size, factor)
                    large = engine.upscale(picture, size, _telling(progressed, number, job.frames))
                notes += [note for note in large.notes if note not in notes]
                before = picture, large
                if not handoff.put(replace(frame, picture=large), written):
                    break  # the writer says why
            handoff.put(None, written)
        except BaseException:
            handoff.abandon()
            with contextlib.suppress(Exception):
                written.result()  # has removed what it had begun
            raise
        return (*notes, *written.result())


class _Abandoned(Exception):
    """Said to the writer: there will be no more frames, remove what is there."""


class _Handoff:
    """Frames on their way from the engine's thread to the writer's, one at a time."""

    def __init__(self) -> None:
        self._queue: Queue[Frame | None] = Queue(1)
        self._abandoned = False

    def put(self, frame: Frame | None, written: Future[tuple[str, ...]]) -> bool:
        """Hand on a frame, or None behind the last; return False where the writer has ended before."""
        while True:
            try:
                self._queue.put(frame, timeout=_WAIT_S)
                return True
            except Full:
                if written.done():
                    return False

    def abandon(self) -> None:
        """Say that no more will come, although they should."""
        self._abandoned = True

    def __iter__(self) -> Iterator[Frame]:
        while True:
            try:
                frame = self._queue.get(timeout=_WAIT_S)
            except Empty:
                if self._abandoned:
                    raise _Abandoned from None
                continue
            if frame is None:
                return
            if self._abandoned:
                raise _Abandoned
            yield frame


def _write(
    handoff: _Handoff, job: Job, files: FileOptions, record: Record | None, stdout: BinaryIO | None
) -> tuple[str, ...]:
    info = replace(job.info, frames=job.frames)
    frames = iter(handoff)
    with writing(job, stdout) as target:
        if isinstance(target, Path):
            return write_frames(
                frames,
                info,
                target,
                format=job.format,
                quality=files.quality,
                overwrite=job.overwrite,
                record=record,
            )
        return encode_frames(frames, info, target, format=job.format, quality=files.quality, record=record)


def _ahead(frames: Iterator[Frame], reader: ThreadPoolExecutor) -> Iterator[Frame]:
    """Give frames, the next of which is read meanwhile."""
    reading = reader.submit(next, frames, None)
    while (frame := reading.result()) is not None:
        reading = reader.submit(next, frames, None)
        yield frame


def _telling(progressed: Callable[[Progress], None], number: int, frames: int) -> Callable[[Progress], None]:
    """Return what tells of all frames when it is told of one."""

    def tell(progress: Progress) -> None:
        done, total = number * progress.total + progress.done, frames * progress.total
        progressed(replace(progress, done=done, total=total, frame=number + 1, frames=frames))

    return tell


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height


def _same(one: Picture, other: Picture) -> bool:
    """Return whether two pictures have the same pixels: animations often stand still."""
    if one.color.dtype != other.color.dtype or (one.alpha is None) != (other.alpha is None):
        return False
    alphas_equal = one.alpha is None or np.array_equal(one.alpha, other.alpha)  # type: ignore[arg-type]
    return alphas_equal and np.array_equal(one.color, other.color)
