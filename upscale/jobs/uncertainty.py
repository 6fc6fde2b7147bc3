"""The second file of `--uncertainty`: where the samples of a result differ, which is what was made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscale.errors import OutputError, UsageError
from upscale.images.formats import check_size, format_for
from upscale.images.picture import Picture
from upscale.images.write import write
from upscale.jobs.items import Failure, Item, Job
from upscale.options import FileOptions


def check(items: Sequence[Item], files: FileOptions) -> None:
    """Check, before any work is done, that the map can be written.

    Raises:
        UsageError: There are several inputs or frames, it is the result's own file, or no such format.
        OutputError: It exists already, or is too large for its format.
    """
    if files.uncertainty is None:
        return
    path = Path(files.uncertainty)
    row = format_for(path.suffix)
    if len(items) > 1 or (isinstance(items[0], Job) and items[0].frames > 1):
        raise UsageError(
            "--uncertainty is one file, and there are several pictures.", hint="Upscale them one by one."
        )
    job = items[0]
    if isinstance(job, Failure):
        return  # which says more
    if isinstance(job, Job):
        if job.target is not None and job.target.absolute() == path.absolute():
            raise UsageError(f"--uncertainty {path} is the result's own file.", hint="Name another.")
        check_size(row, job.output_size, name="The map of --uncertainty")
    if path.exists() and files.on_conflict != "overwrite":
        raise OutputError(f"{path} exists already.", hint="Name another file, or give --overwrite.")


def write_map(picture: Picture, files: FileOptions) -> None:
    """Write the map of a result, if it has one: grey, 255 is a standard deviation of 32 levels of 8 bits.

    Raises:
        OutputError: It cannot be written.
    """
    if files.uncertainty is None or picture.uncertainty is None:
        return
    path = Path(files.uncertainty)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(
        Picture(picture.uncertainty[:, :, None]),
        path,
        format=format_for(path.suffix).name,
        quality=files.quality,
        overwrite=files.on_conflict == "overwrite",
    )
