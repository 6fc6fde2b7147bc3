"""Files and bytes -> an opened Pillow image. Trusts nothing: whatever is wrong ends as an `InputError`.

The size limit is checked from the header, before anything is decoded.
"""

from __future__ import annotations

import errno
import io
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from upscale.errors import InputError, UpscaleError
from upscale.images import deep, guard, jxl, overlooked, plugins, storage
from upscale.images.several import begins_picture

# Drawings that Pillow hands to another program, containers that it recognises without being able to read
# them, and FITS, whose sign and zero level it does not look at.
REFUSED = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS"}
_SUBFILE, _REDUCED, _SUB_IFDS = 254, 1, 330  # TIFF tags, and a value of the first


@dataclass(frozen=True)
class Opened:
    """A file that Pillow has recognised, nothing decoded yet.

    Attributes:
        image: As Pillow opened it.
        storage: How its samples are stored.
        file: What it was opened from, at the place where Pillow has left it and looks for it again.
    """

    image: Image.Image
    storage: storage.Storage
    file: IO[bytes]


@contextmanager
def opened(source: Path | bytes, max_mpix: float) -> Iterator[Opened]:
    """Open a source with Pillow; everything that goes wrong inside the block becomes an `InputError`."""
    name = name_of(source)
    with stream(source) as file, distrust(name, max_mpix):
        it = identify(file, name, max_mpix)
        with it.image:
            yield it


def identify(file: IO[bytes], name: str, max_mpix: float) -> Opened:
    """Open a stream with Pillow, inside `distrust`.

    Raises:
        InputError: It is of a kind that we do not read, or too large.
    """
    file.seek(0)
    head = file.read(storage.HEAD_BYTES)
    plugins.load_for(head, name)
    if (measured := jxl.header(file)) is not None:
        check_pixels(measured[0], name, max_mpix)
    file.seek(0)
    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        if not begins_picture(head):
            raise
        raise InputError(f"{name} is damaged or incomplete, or of a kind that cannot be read.") from None
    if image.format in REFUSED:
        raise InputError(f"{name} is {image.format}, which cannot be read.", hint="Convert it to PNG.")
    if _is_raw(image, head):
        raise InputError(
            f"{name} is a camera's raw file, of which only a preview could be read.",
            hint="Develop it to TIFF or PNG first.",
        )
    check_pixels(image.size, name, max_mpix)
    overlooked.add(image, file)
    return Opened(image, storage.inspect(image, file), file)


def samples_of(it: Opened) -> Callable[[], deep.Deep] | None:
    """Return what decodes a picture to 16 bits where Pillow alone would give 8, else None."""
    return partial(deep.decode, it.image, it.file) if deep.is_deep(it.image) else None


def check_pixels(size: tuple[int, int], name: str, max_mpix: float) -> None:
    """Raise `InputError` where (width, height) are more than `max_mpix` megapixels."""
    pixels = size[0] * size[1]
    if pixels > max_mpix * 1e6:
        raise _too_large(name, pixels / 1e6, max_mpix)


@contextmanager
def distrust(name: str, max_mpix: float) -> Iterator[None]:
    """Turn whatever a decoder raises inside the block into an `InputError` about `name`."""
    try:
        with guard.quiet(max_mpix):
            yield
    except UpscaleError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        raise _too_large(name, int(found[1]) / 1e6 if found else None, max_mpix) from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a picture, or of a kind that cannot be read.") from None
    except MemoryError:
        raise InputError(f"{name} needs more memory to decode than there is.") from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a decoder's own, or it looked where no file can be
            raise _damaged(name, error) from error
        raise InputError(f"{name} cannot be read: {error.strerror}.") from error
    except Exception as error:  # decoders raise a dozen types on bad data, and plug-ins any other
        raise _damaged(name, error) from error


def name_of(source: Path | bytes) -> str:
    """Return what messages call a source."""
    return "standard input" if isinstance(source, bytes) else str(source)


def stream(source: Path | bytes) -> IO[bytes]:
    """Open a regular, non-empty file, or bytes.

    Raises:
        InputError: There is nothing, or no such file.
    """
    name = name_of(source)
    if isinstance(source, bytes):
        if not source:
            raise InputError("Nothing came from standard input.", hint="Pipe a picture into the command.")
        return io.BytesIO(source)
    try:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name} is a folder.", hint="Give the pictures in it.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name} is not a regular file.", hint="Give - to read standard input.")
        if status.st_size == 0:
            raise InputError(f"{name} is empty (0 bytes).")
        return source.open("rb")
    except OSError as error:
        raise InputError(
            f"{name} {_REASONS.get(error.errno or 0, f'cannot be opened: {error.strerror}')}."
        ) from error
    except ValueError:  # a NUL in the name
        raise InputError(f"{name!r} is not a possible file name.") from None


_REASONS = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "does not exist: part of its path is a file",
    errno.EACCES: "may not be read: permission denied",
    errno.EPERM: "may not be read: permission denied",
    errno.ENAMETOOLONG: "has a name that is too long",
}


def _too_large(name: str, mpix: float | None, max_mpix: float) -> InputError:
    size = "too many megapixels" if mpix is None else f"{mpix:.4g} megapixels"
    return InputError(
        f"{name} has {size}; the limit is {max_mpix:g} megapixels.",
        hint="If you trust the file, raise the limit with --max-input-mpix.",
    )


def _damaged(name: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return InputError(f"{name} is damaged or incomplete ({reason}).")


def _is_raw(image: Image.Image, head: bytes) -> bool:
    """Return whether a TIFF is a camera's raw file: Canon's, or a preview that contains the picture."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags) and (head[8:10] == b"CR" or (tags.get(_SUBFILE) == _REDUCED and _SUB_IFDS in tags))
