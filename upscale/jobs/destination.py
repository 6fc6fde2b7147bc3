"""What `-o` means: beside the inputs, one file, a folder, or stdout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from upscale.errors import OutputError, UsageError
from upscale.images.formats import FORMATS

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


def settle(output: str | None, *, inputs: int, tree: bool = False) -> Destination:
    """Return what `output` means for this number of inputs.

    Args:
        output: What `-o` was given; None without it.
        inputs: How many there are.
        tree: Whether they come from folders or a list, so that results can only go to a folder.

    Raises:
        UsageError: Several inputs cannot go to one file or to stdout, a folder not even with one picture.
        OutputError: The place cannot be looked at.
    """
    if output is None:
        return Destination(Kind.BESIDE)
    if output == STDOUT:
        if tree:
            raise UsageError(
                "The pictures of a folder or list cannot all go to standard output.", hint="Give -o FOLDER/."
            )
        if inputs > 1:
            raise UsageError(
                f"{inputs} inputs cannot all go to standard output.",
                hint="Give one input, or -o FOLDER/ for the results.",
            )
        return Destination(Kind.STDOUT)
    if not output:
        raise UsageError(
            "-o was given an empty name.", hint="Give a file, a folder or - for standard output."
        )
    path = Path(output)
    separators = tuple(separator for separator in (os.sep, os.altsep) if separator)
    try:
        if tree and path.exists() and not path.is_dir():
            raise UsageError(
                f"{output} is a file; what comes from a folder or list goes to a folder.",
                hint="Choose another name with -o.",
            )
        is_folder = output.endswith(separators) or path.is_dir()
    except OSError as error:
        raise OutputError(f"Cannot write to {output}: {error.strerror}.") from error
    slash = f"If {output} shall be a folder, write it with a slash at the end: {output}/"
    named_as_file = any(path.suffix.lower() in row.suffixes for row in FORMATS.values())
    if tree and named_as_file and not is_folder:
        raise UsageError(
            f"{output} looks like a file; what comes from a folder or list goes to a folder.", hint=slash
        )
    if tree or is_folder:
        return Destination(Kind.FOLDER, path)
    if inputs > 1:
        raise UsageError(f"{inputs} inputs cannot all go to the one file {output}.", hint=slash)
    return Destination(Kind.FILE, path)
