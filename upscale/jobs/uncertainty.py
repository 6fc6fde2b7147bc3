"""The second file of `--uncertainty`: where the samples of a result differ, which is what was made up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from upscale.errors import OutputError, UsageError
from upscale.images.atomic import output_error
from upscale.images.formats import check_size, format_for
from upscale.images.picture import Picture
from upscale.images.write import write
from upscale.jobs.conflict import check_place
from upscale.jobs.identity import is_same_file
from upscale.jobs.items import Item, Job
from upscale.options import FileOptions


def check(items: Sequence[Item], files: FileOptions) -> None:
    """Check, before any work is done, that the map can be written.

    Raises:
        UsageError: There are several inputs or frames, it is the result's own file or the input, or there is
            no such format.
        OutputError: It exists already, is too large for its format, or its place is no place.
    """
    if files.uncertainty is None:
        return
    path = Path(files.uncertainty)
    row = format_for(path.suffix)
    job = next((item for item in items if isinstance(item, Job)), None)
    if len(items) > 1 or (job is not None and job.frames > 1):
        raise UsageError(
            "--uncertainty is one file, and there are several pictures.", hint="Upscale them one by one."
        )
    if job is None:
        return
    for other, what in ((job.target, "the result's own file"), (job.source.path, "the input itself")):
        if other is not None and is_same_file(path, other):
            raise UsageError(f"--uncertainty {path} is {what}.", hint="Name another.")
    check_size(row, job.output_size, name="The map of --uncertainty")
    with _named():
        check_place(path, overwrite=files.on_conflict == "overwrite")


def write_map(picture: Picture, files: FileOptions) -> None:
    """Write the map of a result, if it has one: grey, 255 is a standard deviation of 32 levels of 8 bits.

    Raises:
        OutputError: It cannot be written.
    """
    if files.uncertainty is None or picture.uncertainty is None:
        return
    path = Path(files.uncertainty)
    with _named():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path, error) from error
        write(
            Picture(picture.uncertainty[:, :, None]),
            path,
            format=format_for(path.suffix).name,
            quality=files.quality,
            overwrite=files.on_conflict == "overwrite",
        )


@contextmanager
def _named() -> Iterator[None]:
    """Say of which file an error is."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"The map of --uncertainty: {error.message}", hint=error.hint) from error
