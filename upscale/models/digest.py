"""The hash that a file's identity is told by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of a file, or of those of several, one a line, in hexadecimal.

    Raises:
        OSError: One cannot be read.
    """
    if len(paths) == 1:
        return sha256_of(paths[0])
    return hashlib.sha256("".join(f"{sha256_of(path)}\n" for path in paths).encode()).hexdigest()
