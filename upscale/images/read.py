"""Files and bytes -> `Picture`. Trusts nothing: whatever is wrong with an input ends as an `InputError`.

The size limit is checked from the header, before anything is decoded.
"""

from __future__ import annotations

import errno
import io
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from upscale.errors import InputError, UpscaleError
from upscale.images import guard, metadata, storage
from upscale.images.decode import decode
from upscale.images.picture import Picture
from upscale.images.record import Record, find_record
from upscale.options import DEFAULT_MAX_INPUT_MPIX

# Drawings that Pillow hands to another program, and containers that it recognises without being able to read
# them.
_REFUSED = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}
_LAYERED = {"PSD"}  # its further frames are the layers of the first


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says.

    Attributes:
        format: Pillow's name of the format (`JPEG`, `PNG`, …).
        size: (width, height) in pixels of the upright picture.
        mode: Pillow's mode as stored (`RGB`, `P`, `CMYK`, `I;16`, …).
        bit_depth: Bits per channel in the file.
        has_alpha: Whether there is an alpha channel or a transparent colour.
        frames: Number of pictures in the file; only the first is read.
        record: How upscale made it, if it did and said so.
    """

    format: str
    size: tuple[int, int]
    mode: str
    bit_depth: int
    has_alpha: bool
    frames: int
    record: Record | None = None


def probe(source: Path | bytes, *, max_mpix: float = DEFAULT_MAX_INPUT_MPIX) -> ImageInfo:
    """Return what the header of a file (or of bytes from standard input) says; pixels are not decoded.

    Raises:
        InputError: It cannot be opened, is no image, or has more than `max_mpix` megapixels.
    """
    with _opened(source, max_mpix) as (image, stored):
        return ImageInfo(
            format=image.format or "",
            size=_upright_size(image),
            mode=image.mode,
            bit_depth=stored.bits,
            has_alpha=image.has_transparency_data,
            frames=_frames(image),
            record=find_record(image.info.get("xmp")),
        )


def read(source: Path | bytes, *, max_mpix: float = DEFAULT_MAX_INPUT_MPIX) -> Picture:
    """Decode a file, or the bytes of one from standard input, to an upright picture.

    Raises:
        InputError: As `probe`, or the file is damaged or incomplete.
    """
    with _opened(source, max_mpix) as (image, stored):
        frames = _frames(image)
        picture = decode(image, stored)
    if frames == 1:
        return picture
    return replace(
        picture, notes=(*picture.notes, f"Only the first of {frames} pictures in the file was used.")
    )


@cache
def readable_suffixes() -> frozenset[str]:
    """Return the endings of file names, small and with their dot, that promise a picture we can read."""
    suffixes = Image.registered_extensions()  # loads all of Pillow's plug-ins
    return frozenset(
        suffix for suffix, name in suffixes.items() if name in Image.OPEN and name not in _REFUSED
    )


@contextmanager
def _opened(source: Path | bytes, max_mpix: float) -> Iterator[tuple[Image.Image, storage.Storage]]:
    """Open a source with Pillow; turn everything that goes wrong inside the block into an `InputError`."""
    name = "standard input" if isinstance(source, bytes) else str(source)
    if isinstance(source, bytes) and not source:
        raise InputError("Nothing came from standard input.", hint="Pipe a picture into the command.")
    try:
        with _stream(source, name) as file, guard.quiet(max_mpix):
            head = file.read(storage.HEAD_BYTES)
            file.seek(0)
            with Image.open(file) as image:
                if image.format in _REFUSED:
                    raise InputError(
                        f"{name} is {image.format}, which cannot be read.", hint="Convert it to PNG."
                    )
                pixels = image.size[0] * image.size[1]
                if pixels > max_mpix * 1e6:
                    raise _too_large(name, pixels / 1e6, max_mpix)
                if image.format == "PNG":
                    _find_late_exif(image, file)
                yield image, storage.inspect(image, head)
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
        if error.errno is not None:
            raise InputError(f"{name} cannot be read: {error.strerror}.") from error
        raise _damaged(name, error) from error
    except Exception as error:  # decoders raise a dozen types on bad data, and plug-ins any other
        raise _damaged(name, error) from error


def _stream(source: Path | bytes, name: str) -> IO[bytes]:
    """Open a regular, non-empty file, or bytes."""
    if isinstance(source, bytes):
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


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    tags = getattr(image, "tag_v2", None)
    if tags is not None:  # TIFF: Pillow's versions differ in whether `size` is upright already
        width, height = tags[256], tags[257]
    return (height, width) if metadata.orientation_of(image) >= 5 else (width, height)


def _frames(image: Image.Image) -> int:
    if image.format in _LAYERED or not getattr(image, "is_animated", False):
        return 1
    return int(getattr(image, "n_frames", 1))


def _find_late_exif(image: Image.Image, file: IO[bytes]) -> None:
    """Add to `image.info` the EXIF behind a PNG's pixels, where Pillow looks only while decoding."""
    if "exif" in image.info:
        return
    position = file.tell()
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind == b"eXIf":
            image.info["exif"] = file.read(length)
            break
        file.seek(length + 4, io.SEEK_CUR)  # and the checksum
    file.seek(position)
