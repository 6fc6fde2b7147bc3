"""Where a picture comes from: a file, or bytes that arrived on stdin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from upscale.errors import UpscaleError

STDIN = "stdin"


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        path: The file; None for bytes that came through a pipe.
        data: Those bytes; None for a file.
        root: The folder whose tree the result keeps below `-o`; None for files named one by one.
        found: Whether it was found in a folder, so that nobody has named it.
        error: Why it cannot be read, where that is known already (a folder that may not be entered).
    """

    path: Path | None = None
    data: bytes | None = None
    root: Path | None = None
    found: bool = False
    error: UpscaleError | None = None

    def __post_init__(self) -> None:
        assert (self.path is None) != (self.data is None), "a source is a file or bytes"

    @property
    def name(self) -> str:
        """What messages call it."""
        return STDIN if self.path is None else str(self.path)

    @property
    def stem(self) -> str:
        """What the name of its output begins with."""
        return STDIN if self.path is None else self.path.stem

    @property
    def suffix(self) -> str:
        """The ending of its name, with its dot; empty for bytes."""
        return "" if self.path is None else self.path.suffix

    @property
    def folder(self) -> Path:
        """The folder it is in; the current one for bytes."""
        return Path() if self.path is None else self.path.parent

    @property
    def place(self) -> Path:
        """Its folder, seen from `root`; empty without one."""
        return Path() if self.root is None else self.folder.relative_to(self.root)

    @property
    def content(self) -> Path | bytes:
        """What the images room reads."""
        if self.path is not None:
            return self.path
        assert self.data is not None
        return self.data
