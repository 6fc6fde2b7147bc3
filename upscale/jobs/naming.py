"""Names and formats of results: pure functions of what was asked and what the input is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from upscale.errors import UsageError
from upscale.images.formats import FORMATS, OutputFormat, format_for
from upscale.images.read import ImageInfo
from upscale.jobs.destination import Destination, Kind
from upscale.jobs.source import Source
from upscale.options import DEFAULT_SCALE, FileOptions, TargetSize

FALLBACK_FORMAT = "png"  # for inputs in formats that cannot be written: lossless, keeps alpha and 16 bits


def size_label(size: TargetSize, output_size: tuple[int, int]) -> str:
    """Return what a result's name says of its size: `8x`, `2.5x`, or `1920x1280` if pixels were asked for."""
    if size.scale is not None:
        return f"{size.scale:g}x"
    if size == TargetSize():
        return f"{DEFAULT_SCALE:g}x"
    return f"{output_size[0]}x{output_size[1]}"


def requested_format(destination: Destination, files: FileOptions) -> OutputFormat | None:
    """Return the format that `--format` or the suffix of `-o FILE` asks for; None leaves it to each input.

    Raises:
        UsageError: An unknown format or suffix, or the two contradict each other.
    """
    asked = None if files.format is None else format_for(files.format)
    if destination.kind is not Kind.FILE:
        return asked
    assert destination.path is not None
    named = _writable(destination.path.suffix)
    if asked is not None and named is not None and named is not asked:
        raise UsageError(
            f"--format {files.format} and the name {destination.path} contradict each other.",
            hint="Give one of them, or make them agree.",
        )
    return asked or named or format_for(destination.path.suffix)  # the last one says which suffixes there are


def format_of(source: Source, info: ImageInfo, frames: int = 1) -> OutputFormat:
    """Return the format for the result of an input when none is asked for.

    It is what the input's content says, not its suffix. Only where that cannot be written (MPO from phones,
    which is JPEG with an appendix) the suffix counts, and PNG is what is left. Several frames or pages stay
    together; a GIF that does not move becomes PNG, which has more colours.
    """
    suffix = "" if source.path is None else source.path.suffix
    rows = [_writable(name) for name in (info.format, suffix, FALLBACK_FORMAT, *FORMATS)]
    return next(
        row
        for row in rows
        if row is not None and (row.photos if frames == 1 else row.sequence == info.sequence)
    )


def template_of(destination: Destination, files: FileOptions) -> str:
    """Return how results are named, as a template for `target_of`.

    Raises:
        UsageError: The name is given twice, by `-o` and by an option.
    """
    flag = "--suffix" if files.suffix is not None else "--output-template"
    asked = files.suffix is not None or files.output_template is not None
    if asked and destination.kind in (Kind.FILE, Kind.STDOUT):
        raise UsageError(
            f"{flag} has no use: -o says already where the result goes.",
            hint="Leave one of them out, or give -o FOLDER/.",
        )
    if files.output_template is None:
        ending = "_{size}" if files.suffix is None else files.suffix.replace("{", "{{").replace("}", "}}")
        return f"{{parent}}/{{stem}}{ending}{{suffix}}"
    if destination.kind is Kind.FOLDER and Path(files.output_template).is_absolute():
        raise UsageError(
            f"-o {destination.path} and --output-template {files.output_template} contradict each other.",
            hint="Leave out -o, or let the template begin with {parent}/.",
        )
    return files.output_template


def target_of(
    source: Source, destination: Destination, fmt: OutputFormat, template: str, fields: Mapping[str, object]
) -> Path | None:
    """Return the file that the result of an input is written to; None is stdout.

    Args:
        source: The input.
        destination: What `-o` means; below a folder, `{parent}` is the input's place in its tree.
        fmt: Format of the result.
        template: From `template_of`.
        fields: The fields of the template that do not follow from the others.
    """
    if destination.kind is Kind.STDOUT:
        return None
    if destination.kind is Kind.FILE:
        return destination.path
    # `photo.JPG` keeps its capitals.
    suffix = source.suffix if _writable(source.suffix) is fmt else fmt.suffix
    folder = destination.path or Path()
    parent = source.folder if destination.path is None else source.place
    return folder / template.format(**{"parent": parent, "stem": source.stem, "suffix": suffix, **fields})


def _writable(name_or_suffix: str) -> OutputFormat | None:
    try:
        return format_for(name_or_suffix)
    except UsageError:
        return None
