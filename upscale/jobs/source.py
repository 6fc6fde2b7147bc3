"""Where a picture comes from: a file, or bytes that arrived on stdin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STDIN = "stdin"


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        path: The file; None for bytes that came through a pipe.
        data: Those bytes; None for a file.
    """

    path: Path | None = None
    data: bytes | None = None

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
    def content(self) -> Path | bytes:
        """What the images room reads."""
        if self.path is not None:
            return self.path
        assert self.data is not None
        return self.data
