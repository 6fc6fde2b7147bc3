"""What `-o` means: beside the inputs, one file, a folder, or stdout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from upscale.errors import OutputError, UsageError

STDOUT = "-"


class Kind(Enum):
    """The four places a result can go."""

    BESIDE = "beside the input"
    FILE = "one file"
    FOLDER = "a folder"
    STDOUT = "stdout"


@dataclass(frozen=True)
class Destination:
    """Where results go; `path` is the file or the folder, None for the other two kinds."""

    kind: Kind
    path: Path | None = None


def settle(output: str | None, *, inputs: int) -> Destination:
    """Return what `output` means for this number of inputs.

    Raises:
        UsageError: Several inputs cannot go to one file or to stdout.
        OutputError: The place cannot be looked at.
    """
    if output is None:
        return Destination(Kind.BESIDE)
    if output == STDOUT:
        if inputs > 1:
            raise UsageError(
                f"{inputs} inputs cannot all go to stdout.",
                hint="Give one input, or -o FOLDER/ for the results.",
            )
        return Destination(Kind.STDOUT)
    if not output:
        raise UsageError("-o was given an empty name.", hint="Give a file, a folder or - for stdout.")
    path = Path(output)
    separators = tuple(separator for separator in (os.sep, os.altsep) if separator)
    try:
        is_folder = output.endswith(separators) or path.is_dir()
    except OSError as error:
        raise OutputError(f"Cannot write to {output}: {error.strerror}.") from error
    if is_folder:
        return Destination(Kind.FOLDER, path)
    if inputs > 1:
        raise UsageError(
            f"{inputs} inputs cannot all go to the one file {output}.",
            hint=f"If {output} shall be a folder, write it with a slash at the end: {output}/",
        )
    return Destination(Kind.FILE, path)
