"""Everything that can be settled before weights load: what is read, made, and written where.

Only headers of inputs are read, nothing is created or changed, and torch is not imported. Mistakes in the
request itself raise; what is wrong with one input is kept as its `Failure`, so that the others go on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from upscale.diffusion import samplers
from upscale.engine.plan import CascadePlan, plan_cascade
from upscale.errors import OutputError, UpscaleError, UsageError
from upscale.images.atomic import check_target, output_error
from upscale.images.formats import OutputFormat, check_size
from upscale.images.read import ImageInfo, probe
from upscale.jobs import naming
from upscale.jobs.destination import Destination, settle
from upscale.jobs.request import Request
from upscale.jobs.source import Source
from upscale.models.catalog import describe
from upscale.models.config import ModelConfig


@dataclass(frozen=True)
class Job:
    """One input that can be carried out.

    Attributes:
        source: The input.
        info: What its header says.
        output_size: (width, height) of the result in pixels.
        target: The file to write; None is stdout.
        format: Name of the format to write, as in `images.formats`.
        cascade: The passes through the model.
    """

    source: Source
    info: ImageInfo
    output_size: tuple[int, int]
    target: Path | None
    format: str
    cascade: CascadePlan

    @property
    def target_name(self) -> str:
        """What messages call the result."""
        return "stdout" if self.target is None else str(self.target)


@dataclass(frozen=True)
class Failure:
    """One input that cannot be carried out, and why."""

    source: Source
    error: UpscaleError


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        request: What was asked.
        model: What the model says of itself.
        items: For each input, in order, its job or its failure.
    """

    request: Request
    model: ModelConfig
    items: tuple[Job | Failure, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The inputs that can be carried out."""
        return tuple(item for item in self.items if isinstance(item, Job))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The inputs that cannot."""
        return tuple(item for item in self.items if isinstance(item, Failure))


def plan(request: Request) -> Plan:
    """Settle a request.

    Raises:
        UsageError: Nothing to do, no such sampler or format, contradicting options, two results for one file.
        WeightsError: No such model.
    """
    if not request.sources:
        raise UsageError("Nothing to do: no file was given.", hint="Try: upscale photo.jpg")
    destination = settle(request.output, inputs=len(request.sources))
    asked = naming.requested_format(destination, request.files)
    model = describe(request.engine.model)
    if request.engine.sampler is not None:
        samplers.get(request.engine.sampler)  # raises if there is none
    drafts = [_draft(source, request, destination, asked, model) for source in request.sources]
    _refuse_clashes([item for item in drafts if isinstance(item, Job)])
    return Plan(request, model, tuple(_with_free_target(item, request.files.overwrite) for item in drafts))


def _draft(
    source: Source, request: Request, destination: Destination, asked: OutputFormat | None, model: ModelConfig
) -> Job | Failure:
    """Return the job for one input, its target not yet looked at."""
    try:
        info = probe(source.content, max_mpix=request.files.max_input_mpix)
        output_size = request.size.resolve(*info.size)
        fmt = asked or naming.format_of(source, info)
        check_size(fmt, output_size, name=f"The result of {source.name}")
        cascade = plan_cascade(info.size, output_size, model.scale)
        target = naming.target_of(source, destination, fmt, naming.size_label(request.size, output_size))
    except UpscaleError as error:
        return Failure(source, error)
    return Job(source, info, output_size, target, fmt.name, cascade)


def _refuse_clashes(jobs: list[Job]) -> None:
    """Raise `UsageError` where two results share a file, or one would replace another's input."""
    inputs = {_identity(job.source.path): job for job in jobs if job.source.path is not None}
    taken: dict[Path, Job] = {}
    for job in jobs:
        if job.target is None:
            continue
        identity = _identity(job.target)
        other = taken.setdefault(identity, job)
        if other is not job:
            same = _same_file(job.source, other.source)
            raise UsageError(
                f"{other.source.name} was given twice ({job.source.name})."
                if same
                else f"{other.source.name} and {job.source.name} would both be written to {job.target}.",
                hint="Give it once."
                if same
                else "Rename one of them, or upscale them one at a time with -o.",
            )
        victim = inputs.get(identity)
        if victim is not None and victim is not job:
            raise UsageError(
                f"The result of {job.source.name} would replace the input {victim.source.name}.",
                hint="Put the results elsewhere with -o FOLDER/",
            )


def _identity(path: Path) -> Path:
    """Return the place of a directory entry: folder resolved, its own name as it is (it may be a link)."""
    try:
        return path.parent.resolve() / path.name
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        return path.absolute()


def _same_file(one: Source, other: Source) -> bool:
    return one.path is not None and other.path is not None and _identity(one.path) == _identity(other.path)


def _with_free_target(item: Job | Failure, overwrite: bool) -> Job | Failure:
    """Return the job if its target can be written, else its failure."""
    if isinstance(item, Failure) or item.target is None:
        return item
    try:
        _check_target(item, item.target, overwrite)
    except UpscaleError as error:
        return Failure(item.source, error)
    except OSError as error:
        return Failure(item.source, output_error(item.target, error))
    return item


def _check_target(job: Job, target: Path, overwrite: bool) -> None:
    """Raise where the target cannot be written, as far as looking can tell."""
    source = job.source.path
    if source is not None and not overwrite and target.exists() and target.samefile(source):
        raise OutputError(
            f"{target} is the input itself.",
            hint="Choose another name with -o, or replace the input with --overwrite.",
        )
    folder = target.parent
    if folder.is_dir():
        check_target(target, overwrite=overwrite)
    while not folder.exists() and folder != folder.parent:  # what is missing will be made
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder.", hint="Choose another place with -o.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {folder} may not be written to.", hint="Choose another one with -o.")
