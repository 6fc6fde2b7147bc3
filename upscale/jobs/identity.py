"""When two paths are one place."""

from __future__ import annotations

from pathlib import Path


def identity(path: Path) -> Path:
    """Return the place of a directory entry: folder resolved, its own name as it is (it may be a link)."""
    try:
        return path.parent.resolve() / path.name
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a loop of links, before Python 3.13
        return path.absolute()
