"""One job with several pictures: its frames or pages are read, upscaled and written one after another.

Small ones go through the engine together. Reading and writing go on beside it, of each kind one picture at a
time, so that memory does not grow with their number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
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
        try:
            written = writer.submit(_write, handoff, job, files, record, stdout)
            number, before = 0, None
            for batch in _batches(_ahead(frames, reader), lambda size: _together(engine, job, factor, size)):
                pictures = [stripped(f.picture) if files.strip_metadata else f.picture for f in batch]
                if number == 0 and pictures[0].size != job.info.size:
                    raise InputError(
                        f"{job.source.name} was changed by another program.", hint="Run it again."
                    )
                tell = _telling(progressed, number, len(batch), job.frames)
                large = _enlarged(pictures, before, engine, _target(job, factor, pictures[0].size), tell)
                notes += [note for picture in large for note in picture.notes if note not in notes]
                number, before = number + len(batch), (pictures[-1], large[-1])
                if not all(
                    handoff.put(replace(frame, picture=picture), written)
                    for frame, picture in zip(batch, large, strict=True)
                ):
                    break  # the writer says why
            handoff.put(None, written)
        except BaseException:
            handoff.abandon()
            writer.shutdown()  # has removed what it had begun
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


def _batches(frames: Iterator[Frame], most: Callable[[tuple[int, int]], int]) -> Iterator[list[Frame]]:
    """Give frames of one size together, at most as many as `most` says for it."""
    batch: list[Frame] = []
    for frame in frames:
        if batch and frame.picture.size != batch[0].picture.size:
            yield batch
            batch = []
        batch.append(frame)
        if len(batch) >= most(frame.picture.size):
            yield batch
            batch = []
    if batch:
        yield batch


def _enlarged(
    pictures: Sequence[Picture],
    before: tuple[Picture, Picture] | None,
    engine: Engine,
    size: tuple[int, int],
    tell: Callable[[Progress], None],
) -> list[Picture]:
    """Return the results of pictures of one size; what stands still is made once.

    Args:
        pictures: In their order.
        before: The picture before them and its result.
        engine: Makes the pixels.
        size: (width, height) of the results.
        tell: Told how far all of them are.
    """
    last = None if before is None else before[0]
    moved = []
    for picture in pictures:
        moved.append(last is None or not _same(last, picture))
        last = picture
    new = [picture for picture, differs in zip(pictures, moved, strict=True) if differs]
    made = iter(engine.upscale_many(new, size, tell) if new else ())
    results: list[Picture] = []
    for picture, differs in zip(pictures, moved, strict=True):
        if differs:
            results.append(next(made))
            continue
        same = results[-1] if results or before is None else before[1]
        results.append(replace(same, metadata=picture.metadata, notes=picture.notes))
    return results


def _telling(
    progressed: Callable[[Progress], None], number: int, count: int, frames: int
) -> Callable[[Progress], None]:
    """Return what tells of all frames when it is told of `count` of them, behind the first `number`."""

    def tell(progress: Progress) -> None:
        done = number * progress.total + count * progress.done
        progressed(
            replace(progress, done=done, total=frames * progress.total, frame=number + 1, frames=frames)
        )

    return tell


def _together(engine: Engine, job: Job, factor: float, size: tuple[int, int]) -> int:
    return engine.together(size, _target(job, factor, size))


def _target(job: Job, factor: float, size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) of a frame's result; pages may differ in size."""
    if size == job.info.size:
        return job.output_size
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height


def _same(one: Picture, other: Picture) -> bool:
    """Return whether two pictures have the same pixels: animations often stand still."""
    if one.color.dtype != other.color.dtype or (one.alpha is None) != (other.alpha is None):
        return False
    alphas_equal = one.alpha is None or np.array_equal(one.alpha, other.alpha)  # type: ignore[arg-type]
    return alphas_equal and np.array_equal(one.color, other.color)
