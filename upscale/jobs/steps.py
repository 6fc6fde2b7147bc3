"""The two ends of a job, on either side of the engine: a file becomes a picture, a picture becomes a file.

Neither knows of the engine or of other jobs, so that they can run beside it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Generic, TypedDict, TypeVar

from upscale.errors import DeviceError, InputError, OutputError, UpscaleError
from upscale.images.atomic import output_error
from upscale.images.picture import Metadata, Picture
from upscale.images.read import read
from upscale.images.record import Record
from upscale.images.scratch import spool
from upscale.images.write import encode, write
from upscale.jobs.items import Job
from upscale.options import FileOptions

T = TypeVar("T")
_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Step(Generic[T]):
    """A step that has been taken.

    Attributes:
        seconds: How long it took.
        value: What came out; None after an error.
        error: Why nothing came out.
    """

    seconds: float
    value: T | None = None
    error: Exception | None = None


def take(work: Callable[[], T]) -> Step[T]:
    """Do something and say how it went; whatever a decoder raises, the next file gets its turn."""
    began = time.perf_counter()
    try:
        return Step(value=work(), seconds=time.perf_counter() - began)
    except Exception as error:
        return Step(error=error, seconds=time.perf_counter() - began)


def read_picture(job: Job, files: FileOptions) -> Picture:
    """Return the picture of a job.

    Raises:
        InputError: It cannot be read, or is not the one that was planned with.
    """
    note_others = job.frames == 1 and not files.first_frame
    picture = read(job.source.content, max_mpix=files.max_input_mpix, note_others=note_others)
    if picture.size != job.info.size:  # the size of the result was settled for another picture
        raise InputError(f"{job.source.name} was changed by another program.", hint="Run it again.")
    return stripped(picture) if files.strip_metadata else picture


def stripped(picture: Picture) -> Picture:
    """Return a picture of which nothing but its colour profile is said."""
    return replace(picture, metadata=Metadata(icc_profile=picture.metadata.icc_profile))


def write_picture(
    job: Job, picture: Picture, record: Record | None, files: FileOptions, stdout: BinaryIO | None
) -> tuple[str, ...]:
    """Write a result; return what its format could not hold.

    Raises:
        OutputError: It cannot be written.
        BrokenPipeError: Nobody reads stdout any more.
    """
    with writing(job, stdout) as target:
        how: _How = {"format": job.format, "quality": files.quality, "record": record}
        if isinstance(target, Path):
            return write(picture, target, overwrite=job.overwrite, **how)
        return encode(picture, target, **how)


class _How(TypedDict):
    format: str
    quality: int | None
    record: Record | None


@contextmanager
def writing(job: Job, stdout: BinaryIO | None) -> Iterator[Path | BinaryIO]:
    """Give what a result is written to: its file, or a stream whose content then goes to stdout as a whole.

    Raises:
        OutputError: It cannot be written.
        BrokenPipeError: Nobody reads stdout any more.
    """
    try:
        if job.target is not None:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            yield job.target
            return
        assert stdout is not None, "a plan that writes to stdout needs one"
        with spool() as whole:  # so that an encoder's failure leaves nothing half-written in the pipe
            yield whole
            whole.seek(0)
            while block := whole.read(_BLOCK_BYTES):
                write_all(stdout, memoryview(block))
    except (UpscaleError, BrokenPipeError):
        raise
    except OSError as error:  # the folder could not be made, or stdout is full
        raise (stdout_error(error) if job.target is None else output_error(job.target, error)) from error


def write_all(stdout: BinaryIO, data: memoryview) -> None:
    """Write everything: under PYTHONUNBUFFERED stdout is a raw file, which may take a part and say so."""
    while data:
        written = stdout.write(data)
        if written is None:  # a pipe that somebody set to non-blocking is full
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data = data[written:]
    stdout.flush()


def stdout_error(error: OSError) -> OutputError:
    """Return the `OutputError` that says why standard output could not be written."""
    reason = output_error("Standard output", error).message
    return OutputError(reason, hint="Make room, or send it elsewhere.")


def explained(job: Job, error: Exception) -> Exception:
    """Return the error to report for a job: running out of memory is one that can be helped."""
    if not isinstance(error, MemoryError):
        return error
    return DeviceError(
        f"There is not enough memory for {job.source.name} at {job.output_size[0]}x{job.output_size[1]}.",
        hint="Ask for a smaller --scale.",
    )
