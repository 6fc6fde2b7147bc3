"""What becomes of inputs whose result may not simply be written: it exists, or its place is no place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from upscale.errors import OutputError, UpscaleError, WeightsError
from upscale.images.atomic import check_target, output_error
from upscale.images.formats import FORMATS
from upscale.images.read import ImageInfo, probe
from upscale.images.record import Record
from upscale.images.whole import is_whole
from upscale.jobs.identity import identity
from upscale.jobs.items import Failure, Item, Job, Skipped
from upscale.jobs.recipe import differences


def settle_targets(
    items: Sequence[Job | Failure], on_conflict: str, recipe: Callable[[Job], Record]
) -> list[Item]:
    """Look at the target of each job.

    Args:
        items: With targets that differ.
        on_conflict: One of `options.CONFLICTS`.
        recipe: Tells how a job's result would be made; called where there is a result to compare.

    Raises:
        WeightsError: The model's weights cannot be read.
    """
    taken = {identity(item.target) for item in items if isinstance(item, Job) and item.target is not None}
    settled: list[Item] = []
    for item in items:
        if isinstance(item, Failure) or item.target is None:
            settled.append(item)
            continue
        try:
            settled.append(_settle(item, item.target, on_conflict, taken, recipe))
        except WeightsError:
            raise
        except UpscaleError as error:
            settled.append(Failure(item.source, error))
        except OSError as error:
            settled.append(Failure(item.source, output_error(item.target, error)))
    return settled


def finished_before(job: Job, target: Path) -> ImageInfo | None:
    """Return what a job's result says if it is there: a picture in the right format and size, not cut short.

    An empty file is no result; it is what a power cut leaves, and may be replaced.

    Raises:
        OutputError: There is something else.
    """
    if not target.is_file() or target.stat().st_size == 0:
        return None
    hint = "Give --overwrite to replace it, or another name with -o."
    try:
        info = probe(target, max_mpix=float("inf"))
        whole = is_whole(target, info.format)
    except UpscaleError as error:
        raise OutputError(
            f"{target} exists already and is not a result: {error.message}", hint=hint
        ) from error
    if info.format != FORMATS[job.format].pillow_name:
        raise OutputError(f"{target} exists already, as {info.format}.", hint=hint)
    if info.size != job.output_size:
        is_, should = (f"{width}x{height}" for width, height in (info.size, job.output_size))
        raise OutputError(f"{target} exists already, but with {is_} pixels, not {should}.", hint=hint)
    merged = info.sequence == "animation" and job.frames > 1  # encoders may merge frames that are alike
    if info.frames != job.frames and not merged:
        numbers = f"{info.frames} frames, not {job.frames}"
        raise OutputError(f"{target} exists already, but with {numbers}.", hint=hint)
    if not whole:
        raise OutputError(f"{target} exists already, but is incomplete.", hint=hint)
    return info


def check_place(target: Path, *, overwrite: bool) -> None:
    """Check, before any work, what looking can tell of whether a file can be written; its folder may be made.

    Raises:
        OutputError: It cannot.
    """
    try:
        folder = target.parent
        if folder.is_dir():
            check_target(target, overwrite=overwrite)
        while not folder.exists() and folder != folder.parent:  # what is missing will be made
            folder = folder.parent
        if not folder.is_dir():
            raise OutputError(f"{folder} is not a folder.", hint="Choose another place with -o.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(
                f"The folder {folder} may not be written to.", hint="Choose another one with -o."
            )
        with suppress(FileNotFoundError):
            (folder / target.name).lstat()  # a name that is too long is so in a folder to be made, too
    except OSError as error:
        raise output_error(target, error) from error


def _settle(
    job: Job, target: Path, on_conflict: str, taken: set[Path], recipe: Callable[[Job], Record]
) -> Job | Skipped:
    """Return the job with its final target; raise where looking can tell that it cannot be written."""
    source = job.source.path
    overwrite = on_conflict == "overwrite"
    if on_conflict == "rename" and os.path.lexists(target):
        target = _free_name(target, taken)
    elif source is not None and not overwrite and target.exists() and target.samefile(source):
        raise OutputError(
            f"{target} is the input itself.",
            hint="Choose another name with -o, or replace the input with --overwrite.",
        )
    elif on_conflict == "skip":
        if info := finished_before(job, target):
            return Skipped(job, differences(info.record, recipe(job)) if info.record else ())
        overwrite = target.is_file()  # an empty one
    check_place(target, overwrite=overwrite)
    return replace(job, target=target, overwrite=overwrite, if_missing=on_conflict == "skip")


def _free_name(target: Path, taken: set[Path]) -> Path:
    """Return the first of `photo_4x-1.jpg`, `photo_4x-2.jpg`, … that nobody has, and take it."""
    for number in count(1):
        path = target.with_name(f"{target.stem}-{number}{target.suffix}")
        if not os.path.lexists(path) and identity(path) not in taken:
            taken.add(identity(path))
            return path
    raise AssertionError("numbers do not end")
