"""When two paths are one place."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


def identity(path: Path) -> Path:
    """Return the place of a directory entry: folder resolved, its own name as it is (it may be a link)."""
    try:
        return _resolved(path.parent) / path.name
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a loop of links, before Python 3.13
        return path.absolute()


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, through whatever links; it need not be there yet."""
    try:
        return one.resolve() == other.resolve() or one.samefile(other)
    except (OSError, RuntimeError, ValueError):
        return False


def look_again() -> None:
    """Forget where folders are; planning asks several times for each of thousands of files in a few."""
    _resolved.cache_clear()


@lru_cache(maxsize=4096)
def _resolved(folder: Path) -> Path:
    return folder.resolve()
