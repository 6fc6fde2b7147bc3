"""What is asked for: inputs, where results go, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from upscale.jobs.source import Source
from upscale.options import EngineOptions, FileOptions, TargetSize


@dataclass(frozen=True)
class Request:
    """All that the planner needs to know.

    Attributes:
        sources: The inputs, in the order they were given.
        output: A file, a folder (existing, or written with a slash at the end), `-` for stdout; None puts
            every result beside its input.
        size: How large the results shall be.
        engine: How the pixels are made.
        files: How files are read and written.
        fail_fast: Whether nothing more is begun after the first failure.
        left_alone: How many files of the folders are no inputs, by what they are.
    """

    sources: tuple[Source, ...]
    output: str | None = None
    size: TargetSize = field(default_factory=TargetSize)
    engine: EngineOptions = field(default_factory=EngineOptions)
    files: FileOptions = field(default_factory=FileOptions)
    fail_fast: bool = False
    left_alone: Mapping[str, int] = field(default_factory=dict)
