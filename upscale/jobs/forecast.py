"""What a job will take: memory, room on disk and time, said before anything is loaded.

Memory and disk follow from the plan: the arrays that the engine holds at the same time, on disk where they
are large (`images.scratch`), the tile, and what the encoder holds. Time is only known from earlier runs
(`pace`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from upscale.engine.plan import StagePlan
from upscale.errors import OutputError
from upscale.images import large, scratch
from upscale.images.formats import FORMATS
from upscale.jobs.items import Failure, Item, Job
from upscale.options import EngineOptions

_BASE_BYTES = 400 * 10**6  # Python, torch and the embedded model
_TILE_PX, _HALO_PX = 256, 40  # on a CPU; on other devices a tile takes their memory, not the machine's
_TILE_BYTES_PER_PX = 2000  # of the window: activations, in bf16 about half of it
_STRIPS_BYTES = 60 * 10**6  # of resizing and of an encoder that takes strips

# At most so many bytes per pixel and channel in a file, noise included; lossless formats may grow a little.
_FILE_BYTES = {"jpg": 0.7, "webp": 0.6, "avif": 0.6, "gif": 0.5}
_LOSSLESS = 1.02
# What Pillow holds while it encodes, per pixel: its own copy, and what the encoder makes of it.
_HELD_BYTES = {"webp": 12.0, "avif": 12.0}
_HELD = 4.0


@dataclass(frozen=True)
class Forecast:
    """What one or several jobs take.

    Attributes:
        memory_bytes: Peak of the process, about.
        output_bytes: Of the results, at most.
        temporary_bytes: Of temporary files at the same time, at most.
        seconds: About; None where no earlier run tells.
    """

    memory_bytes: int
    output_bytes: int
    temporary_bytes: int
    seconds: float | None = None


def forecast(job: Job, options: EngineOptions, pace: float | None = None) -> Forecast:
    """Return what a job takes.

    Args:
        job: As planned.
        options: How the pixels are made.
        pace: Seconds per million pixels given to the model, over all stages; None if unknown.
    """
    memory, temporary = _peaks(job, options)
    window = (options.tile_px or _TILE_PX) + 2 * _HALO_PX
    widest = max(prod(stage.input_size) for stage in job.cascade.stages)
    tile = _TILE_BYTES_PER_PX * min(window * window, widest)
    output = _output_bytes(job)
    if job.target is None and output >= scratch.DISK_FROM_BYTES:  # waits on disk for its turn on stdout
        temporary += output
    seconds = None if pace is None else pace * work(job.cascade.stages, job.frames)
    return Forecast(_BASE_BYTES + tile + memory, output * job.frames, temporary, seconds)


def together(forecasts: Sequence[Forecast]) -> Forecast:
    """Return what jobs take one after the other; while one is made, the result of another is written."""
    ranked = sorted(forecasts, key=lambda each: each.memory_bytes, reverse=True)
    second = ranked[1].memory_bytes - _BASE_BYTES if len(ranked) > 1 else 0
    times = [each.seconds for each in forecasts]
    return Forecast(
        max((each.memory_bytes for each in forecasts), default=0) + max(second, 0) // 2,
        sum(each.output_bytes for each in forecasts),
        sum(sorted(each.temporary_bytes for each in forecasts)[-2:]),
        None if None in times else sum((time for time in times if time is not None), 0.0),
    )


def work(stages: Sequence[StagePlan], frames: int) -> float:
    """Return the millions of pixels that the model is given in all stages: what the time goes with."""
    return sum(prod(stage.input_size) for stage in stages) * frames / 1e6


def free_bytes(folder: Path) -> int | None:
    """Return the room on the disk of a folder that may still have to be made; None if it cannot be asked."""
    try:
        return shutil.disk_usage(_existing(folder)).free
    except OSError:
        return None


class Disks:
    """Tells jobs whose results no disk can hold; each folder is asked about once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int]] = {}

    def check(self, job: Job, options: EngineOptions) -> None:
        """Check that there is room for the result of a job, and for its temporary files.

        Raises:
            OutputError: There is not.
        """
        need = forecast(job, options)
        parts = {"temporary files": (need.temporary_bytes, scratch.folder())}
        if job.target is not None:
            parts["the result"] = (need.output_bytes, job.target.parent)
        needed: dict[int, int] = {}
        for length, folder in parts.values():
            device, free = self._look(folder)
            needed[device] = needed.get(device, 0) + length
            if length and needed[device] > free:
                what = " and ".join(
                    f"{size(length)} for {name} in {place}"
                    for name, (length, place) in parts.items()
                    if length
                )
                raise OutputError(
                    f"{job.source.name} at {job.output_size[0]}x{job.output_size[1]} may need {what}; "
                    f"only {size(free)} are free.",
                    hint="Make room, choose another folder with -o, or set TMPDIR to one on a larger disk.",
                )

    def _look(self, folder: Path) -> tuple[int, int]:
        """Return the number of a folder's disk, and the room on it."""
        if folder not in self._known:
            try:
                place = _existing(folder)
                self._known[folder] = (place.stat().st_dev, shutil.disk_usage(place).free)
            except OSError:  # writing will say what is wrong
                self._known[folder] = (-1 - len(self._known), 2**63)
        return self._known[folder]


def with_room(items: Sequence[Item], options: EngineOptions) -> list[Item]:
    """Return the items, those jobs as failures that no disk can hold."""
    disks, kept = Disks(), list[Item]()
    for item in items:
        try:
            if isinstance(item, Job):
                disks.check(item, options)
            kept.append(item)
        except OutputError as error:
            kept.append(Failure(item.source, error))
    return kept


def size(length: int) -> str:
    """Return a number of bytes as people say it: `2.4 GB`, `180 MB`."""
    return f"{length / 1e9:.1f} GB" if length >= 10**9 else f"{-(-length // 10**6)} MB"


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _output_bytes(job: Job) -> int:
    row, channels = FORMATS[job.format], _channels(job) + (job.info.has_alpha and FORMATS[job.format].alpha)
    deep = 16 in (row.gray_bits if channels == 1 else row.color_bits) and job.info.bit_depth > 8
    each = _FILE_BYTES.get(job.format, _LOSSLESS) * (2 if deep else 1)
    return int(prod(job.output_size) * channels * each) + (1 << 20)


def _channels(job: Job) -> int:
    mode = job.info.mode
    return 1 if mode in ("1", "L", "LA", "La") or mode.startswith(("I", "F")) else 3


def _peaks(job: Job, options: EngineOptions) -> tuple[int, int]:
    """Return the most bytes that all arrays take at the same time, in memory and on disk."""
    channels, deep = _channels(job), 2 if job.info.bit_depth > 8 else 1
    pixels_in, pixels_out = prod(job.info.size), prod(job.output_size)
    alpha = pixels_out * deep if job.info.has_alpha else 0
    given = pixels_in * (channels + job.info.has_alpha) * deep
    steps = [[pixels_in * 4, given]]  # decoding: Pillow's copy as well
    touched = 0  # of an array on disk that is being filled: a row of tiles
    for made, beside in ((1, [alpha]), (channels, [alpha, given])) if alpha else ((channels, [0]),):
        before = 0
        for stage in job.cascade.stages:
            if stage.resize_from is not None:
                resized = prod(stage.input_size) * made * 2
                steps.append([given, *beside, before, resized])
                before = resized
            last = stage is job.cascade.stages[-1]
            whole = last and not job.cascade.final_resize
            pixels = pixels_out if whole else prod(stage.output_size)
            hr = pixels * made * (deep if last else 2)
            steps.append([given, *beside, before, hr])
            if not _kept(hr):
                rows = min(options.tile_px or _TILE_PX, stage.input_size[1])
                touched = max(touched, hr * rows // stage.input_size[1])
            before = hr
        if job.cascade.final_resize:
            steps.append([given, *beside, before, pixels_out * made * deep])
    result = [pixels_out * channels * deep, alpha]
    if len(job.cascade.stages) == 1 and options.shrink is None:  # a copy made smaller first takes two
        steps.append([given, pixels_in * channels * 2, *result])
    if options.color_fix == "wavelet":
        steps.append([given, *result, pixels_out * channels * deep])
    if options.consistency:
        steps.append([given, *result, pixels_in * channels * 4])
    row = FORMATS[job.format]
    converted = (
        pixels_out * channels if (alpha and not row.alpha) or (deep == 2 and 16 not in row.gray_bits) else 0
    )
    steps.append([*result, converted])
    memory, disk = (
        max(sum(b for b in step if _kept(b) is where) for step in steps) for where in (True, False)
    )
    if not large.is_streamed(job.format, job.output_size):
        held = int(pixels_out * _HELD_BYTES.get(job.format, _HELD))
        memory = max(memory, sum(b for b in steps[-1] if _kept(b)) + held)
    return memory + touched + _STRIPS_BYTES, disk


def _kept(length: int) -> bool:
    """Return whether an array of so many bytes is in memory."""
    return length < scratch.DISK_FROM_BYTES


def total_memory() -> int | None:
    """Return the bytes of memory this machine has; None where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
