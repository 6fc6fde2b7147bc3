"""Large arrays on disk: pixels in a temporary file without a name, mapped into memory.

What is written to such an array goes to the file, and what has been let go of (`release`) takes no memory, so
a picture may be larger than the machine's memory. The file has no name from the start (Windows: it goes with
its last handle), so that even a killed process leaves nothing behind. Its room is taken at once: a disk that
fills up under a mapped file would kill the process with SIGBUS.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from upscale.errors import OutputError
from upscale.images import arrays

# From here on arrays go to disk: 64 megapixels of 8-bit RGB. Below, memory is faster and there is enough.
DISK_FROM_BYTES = 192 * 10**6
_CHUNK_BYTES = 1 << 22
_NO_RESERVE = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}  # of file systems that cannot


def folder() -> Path:
    """Return the folder for large temporary files: $TMPDIR or its like, else /var/tmp before /tmp.

    /tmp is memory on many systems; /var/tmp is meant for what is large.
    """
    wanted = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    if not wanted and os.access("/var/tmp", os.W_OK | os.X_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a writable array, on disk if it is large; what it holds is not defined.

    Raises:
        OutputError: The disk has not enough room, or there is no place for temporary files.
    """
    length = prod(shape) * np.dtype(dtype).itemsize
    if length < DISK_FROM_BYTES:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(dir=folder()) as temporary:
            _reserve(temporary, length)
            mapped = mmap.mmap(temporary.fileno(), length)  # keeps the file open on its own
    except OSError as error:
        raise _no_room(length, error) from error
    return np.frombuffer(mapped, dtype).reshape(shape)


def spool() -> BinaryIO:
    """Return a binary file for reading and writing: in memory, and on disk as soon as it is large."""
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=DISK_FROM_BYTES, dir=str(folder())))


def release(*pixels: npt.NDArray[Any]) -> None:
    """Let go of the memory that arrays on disk (or views of them) have taken; their values stay.

    Without this, everything that was touched counts as memory of this process until the system is short of
    it. Arrays in memory are left alone, as is everything on systems that cannot do it.
    """
    for array in pixels:
        mapped = _mapping(array)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)  # of a shared mapping: what was written is kept


def is_mapped(pixels: npt.NDArray[Any]) -> bool:
    """Return whether an array, or what it is a view of, is on disk."""
    return _mapping(pixels) is not None


def row_blocks(pixels: npt.NDArray[Any]) -> list[slice]:
    """Return slices over the rows of an array [H, W, ...], each of about a megapixel."""
    return list(arrays.row_blocks(pixels.shape[1], pixels.shape[0]))


def _no_room(length: int, error: OSError) -> OutputError:
    """Return the error that says why there is no temporary file of so many bytes."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = "there is not enough room" if full else error.strerror or str(error)
    return OutputError(
        f"{length / 1e9:.1f} GB of temporary files cannot be written to {folder()}: {reason}.",
        hint="Make room, or set TMPDIR to a folder on a larger disk.",
    )


def _reserve(temporary: IO[bytes], length: int) -> None:
    """Take the room on the disk, or raise OSError."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(temporary.fileno(), 0, length)
            return
        except OSError as error:
            if error.errno not in _NO_RESERVE:
                raise
    zeros = bytes(_CHUNK_BYTES)
    for start in range(0, length, _CHUNK_BYTES):
        temporary.write(zeros[: length - start])
    temporary.flush()


def _mapping(array: npt.NDArray[Any]) -> mmap.mmap | None:
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    return owner if isinstance(owner, mmap.mmap) else None
