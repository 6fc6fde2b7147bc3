"""The hash that a file's identity is told by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from upscale.errors import WeightsError


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


def git_hash_of(path: Path) -> str:
    """Return the hash in hexadecimal by which git knows a file's content, read at once.

    Raises:
        OSError: It cannot be read.
    """
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def check_hashes(hashes: Mapping[Path, str]) -> None:
    """Look whether files have the SHA-256 that they must have.

    Raises:
        WeightsError: One has another, or cannot be read.
    """
    for path, sha256 in hashes.items():
        try:
            right = sha256_of(path) == sha256
        except OSError as error:
            raise WeightsError(f"The model's file {path} cannot be read ({error.strerror}).") from None
        if not right:
            raise WeightsError(
                f"{path} is damaged: its SHA-256 is wrong.",
                hint="Get the model again: upscale models pull; for an embedded one, reinstall upscale.",
            )
