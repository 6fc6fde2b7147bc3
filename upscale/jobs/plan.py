"""Everything that can be settled before weights load: what is read, made, and written where.

Only headers of inputs are read, nothing is created or changed, and torch is not imported. Mistakes in the
request itself raise; what is wrong with one input is kept as its `Failure`, so that the others go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from upscale.engine.plan import plan_cascade
from upscale.engine.settings import Settings, joined, settle_stages
from upscale.errors import InputError, OutputError, UpscaleError, UsageError
from upscale.images.extent import MAX_FRAMES
from upscale.images.formats import OutputFormat, check_sequence, check_size, format_for
from upscale.images.read import ImageInfo, probe
from upscale.images.several import holds_several
from upscale.jobs import naming, uncertainty
from upscale.jobs.conflict import settle_targets
from upscale.jobs.destination import Destination, settle
from upscale.jobs.forecast import with_room
from upscale.jobs.identity import identity, look_again
from upscale.jobs.items import Failure, Item, Job
from upscale.jobs.own import results_among
from upscale.jobs.recipe import recipe
from upscale.jobs.request import Request
from upscale.jobs.source import Source
from upscale.models.access import Access
from upscale.models.catalog import describe_stages
from upscale.options import TargetSize


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        request: What was asked.
        settings: How the model is used; of a cascade each of them, in the order of the stages.
        items: For each input, in order, its job, its result from an earlier run, or its failure.
        left_alone: How many files of the folders are no inputs, by what they are.
    """

    request: Request
    settings: tuple[Settings, ...]
    items: tuple[Item, ...]
    left_alone: Mapping[str, int] = field(default_factory=dict)

    @property
    def model_name(self) -> str:
        """Name of the model; of a cascade all names, with commas between them."""
        return joined(own.model for own in self.settings)

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
    look_again()
    engine = request.engine
    tree = any(source.root is not None for source in request.sources)
    destination = settle(request.output, inputs=len(request.sources), tree=tree)
    draft = _Draft(
        request,
        destination,
        naming.requested_format(destination, request.files),
        naming.template_of(destination, request.files),
        settle_stages(describe_stages(engine.model, Access(engine.offline, engine.accept_licence)), engine),
    )
    drafts = [draft.item(source) for source in request.sources]
    drafts, results = _without_results(drafts, draft.told_apart(drafts))
    drafts = _refuse_clashes(draft.told_apart(drafts))
    items = settle_targets(
        drafts,
        request.files.on_conflict or ("skip" if tree else "fail"),
        lambda job: recipe(job, engine.model, draft.settings),
    )
    items = with_room(items, engine)
    uncertainty.check(items, request.files)
    left_alone = {**request.left_alone, "results of upscale": results}
    return Plan(request, draft.settings, tuple(items), {kind: n for kind, n in left_alone.items() if n})


@dataclass(frozen=True)
class _Draft:
    """What is the same for all inputs."""

    request: Request
    destination: Destination
    format: OutputFormat | None
    template: str
    settings: tuple[Settings, ...]

    def item(self, source: Source) -> Job | Failure:
        """Return the job for one input, its target not yet looked at."""
        if source.error is not None:
            return Failure(source, source.error)
        try:
            if source.data is not None and holds_several(source.data):
                raise InputError(
                    "Several pictures came from standard input, one after another.",
                    hint="A pipe carries one: give the files, or their names with --files-from.",
                )
            info = probe(source.content, max_mpix=self.request.files.max_input_mpix)
            output_size = self.request.size.resolve(*info.size)
            frames = self._frames(source, info)
            fmt = self.format or naming.format_of(source, info, frames)
            check_size(fmt, output_size, name=f"The result of {source.name}")
            if frames > 1 and info.sequence is not None:
                check_sequence(fmt, info.sequence, frames, name=source.name)
            shrink = self.settings[0].shrink or 1.0  # unless it depends on the input
            cascade = plan_cascade(info.size, output_size, [own.scale for own in self.settings], shrink)
        except UpscaleError as error:
            return Failure(source, error)
        job = Job(source, info, output_size, None, fmt.name, cascade, frames=frames)
        return replace(job, target=self._target(job, source.stem))

    def _frames(self, source: Source, info: ImageInfo) -> int:
        """Return how many pictures of an input are taken."""
        if info.sequence is None or self.request.files.first_frame:
            return 1
        if info.frames > MAX_FRAMES:
            raise InputError(
                f"{source.name} has more than {MAX_FRAMES} pictures.",
                hint="Split it, or take the first with --first-frame.",
            )
        return info.frames

    def told_apart(self, items: list[Job | Failure]) -> list[Job | Failure]:
        """Where `a.jpg` and `a.png` of a folder would have one name, return them as `a_jpg` and `a_png`.

        Each of them, so that a name never changes its meaning when a file is added.
        """
        items = list(items)
        renamed: set[int] = set()
        while True:  # once more where `a_png.jpg` is there as well
            same: dict[Path, list[int]] = defaultdict(list)
            for number, item in enumerate(items):
                if isinstance(item, Job) and item.target is not None:
                    same[identity(item.target)].append(number)
            clashing = {
                number
                for numbers in same.values()
                if len({items[number].source.suffix for number in numbers}) > 1
                for number in numbers
            }
            changed = False
            for number in clashing - renamed:
                job = items[number]
                if isinstance(job, Job) and job.source.root is not None and job.source.suffix:
                    stem = f"{job.source.stem}_{job.source.suffix[1:]}"
                    items[number] = replace(job, target=self._target(job, stem))
                    renamed.add(number)
                    changed = True
            if not changed:
                return items

    def _target(self, job: Job, stem: str) -> Path | None:
        fields = {
            "stem": stem,
            "scale": f"{job.output_size[0] / job.info.size[0]:.3g}",
            "size": naming.size_label(self.request.size, job.output_size),
            "width": job.output_size[0],
            "height": job.output_size[1],
            "model": "+".join(dict.fromkeys(own.model for own in self.settings)),
            "seed": self.request.engine.seed,
        }
        if self.request.size.scale is not None or self.request.size == TargetSize():
            fields["scale"] = naming.size_label(self.request.size, job.output_size)[:-1]
        fmt = format_for(job.format)
        return naming.target_of(job.source, self.destination, fmt, self.template, fields)


def _without_results(
    items: list[Job | Failure], told_apart: list[Job | Failure]
) -> tuple[list[Job | Failure], int]:
    """Leave out what was found in a folder and is a result of an earlier run; return how many that are.

    Their record tells, or where the format has no room for one, name and size.

    Args:
        items: All inputs.
        told_apart: The same, with the names of their results told apart.
    """
    found = [item for item in items if isinstance(item, Job) and item.source.found]
    sizes = {job.source.path: job.info.size for job in found if job.source.path is not None}
    named = results_among(sizes)
    made = {
        (identity(job.target), job.output_size)
        for job in (*items, *told_apart)
        if isinstance(job, Job) and job.target is not None and job.source.path != job.target
    }
    results = {
        id(job)
        for job in found
        if job.info.record is not None
        or job.source.path in named
        or (identity(_path(job.source)), job.info.size) in made
    }
    results |= {
        id(item) for item in items if isinstance(item, Failure) and _is_large_result(item.source, made)
    }
    return [item for item in items if id(item) not in results], len(results)


def _is_large_result(source: Source, made: set[tuple[Path, tuple[int, int]]]) -> bool:
    """Return whether a file that was found and cannot be an input is a result, larger than inputs may be."""
    if not source.found or source.path is None:
        return False
    try:
        info = probe(source.path, max_mpix=float("inf"))
    except UpscaleError:
        return False
    return info.record is not None or (identity(source.path), info.size) in made


def _refuse_clashes(items: list[Job | Failure]) -> list[Job | Failure]:
    """Raise `UsageError` where two results share a file, or one would replace another's input.

    A result that would replace what was found beside its input fails alone.
    """
    jobs = [item for item in items if isinstance(item, Job)]
    inputs = {
        identity(item.source.path): item
        for item in items
        if item.source.path is not None and (isinstance(item, Job) or _would_be_missed(item.source))
    }
    taken: dict[Path, Job] = {}
    failed: dict[int, Failure] = {}
    for job in jobs:
        if job.target is None:
            continue
        place = identity(job.target)
        other = taken.setdefault(place, job)
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
        victim = inputs.get(place)
        if victim is None or victim is job:
            continue
        message = f"The result of {job.source.name} would replace the input {victim.source.name}."
        hint = "Put the results elsewhere with -o FOLDER/"
        if job.source.root is None:
            raise UsageError(message, hint=hint)
        failed[id(job)] = Failure(job.source, OutputError(message, hint=hint))
    return [failed.get(id(item), item) for item in items]


def _would_be_missed(source: Source) -> bool:
    """Return whether something would be lost with the file of an input that cannot be carried out.

    One that was found and is no whole picture may be the rest of a result.
    """
    path = _path(source)
    try:
        if not source.found:
            return path.stat().st_size > 0
        probe(path, max_mpix=float("inf"))
        return True
    except (UpscaleError, OSError, ValueError):
        return False


def _path(source: Source) -> Path:
    assert source.path is not None
    return source.path


def _same_file(one: Source, other: Source) -> bool:
    return one.path is not None and other.path is not None and identity(one.path) == identity(other.path)
