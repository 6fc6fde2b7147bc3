"""Files and bytes -> `Picture`. Trusts nothing: whatever is wrong with an input ends as an `InputError`.

The size limit is checked from the header, before anything is decoded.
"""

from __future__ import annotations

import errno
import io
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from upscale.errors import InputError, UpscaleError
from upscale.images import deep, guard, metadata, plugins, sequence, storage
from upscale.images.decode import decode
from upscale.images.extent import gif_extent
from upscale.images.picture import Picture
from upscale.images.record import Record, find_record
from upscale.images.sequence import Sequence
from upscale.images.several import begins_picture
from upscale.options import DEFAULT_MAX_INPUT_MPIX

# Drawings that Pillow hands to another program, containers that it recognises without being able to read
# them, and FITS, whose sign and zero level it does not look at.
_REFUSED = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS"}
_MAX_XMP_BYTES = 1 << 26


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says.

    Attributes:
        format: Pillow's name of the format (`JPEG`, `PNG`, …).
        size: (width, height) in pixels of the upright picture; of several, the first.
        mode: Pillow's mode as stored (`RGB`, `P`, `CMYK`, `I;16`, …).
        bit_depth: Bits per channel in the file.
        has_alpha: Whether there is an alpha channel or a transparent colour, in any of its pictures.
        frames: Number of pictures in the file; counting stops behind `MAX_FRAMES`.
        sequence: What they are to each other; None where only the first is of use, and for a single one.
        plays: How often an animation is shown; 0 is for ever.
        record: How upscale made it, if it did and said so.
    """

    format: str
    size: tuple[int, int]
    mode: str
    bit_depth: int
    has_alpha: bool
    frames: int
    sequence: Sequence | None = None
    plays: int = 0
    record: Record | None = None


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


def probe(source: Path | bytes, *, max_mpix: float = DEFAULT_MAX_INPUT_MPIX) -> ImageInfo:
    """Return what the header of a file (or of bytes from standard input) says; pixels are not decoded.

    Raises:
        InputError: It cannot be opened, is no image, or has more than `max_mpix` megapixels.
    """
    with opened(source, max_mpix) as it:
        pictures = sequence.look(it.image, it.file)
        return ImageInfo(
            format=it.image.format or "",
            size=_upright_size(it.image),
            mode=it.image.mode,
            bit_depth=it.storage.bits,
            has_alpha=it.image.has_transparency_data or pictures.has_alpha,
            frames=pictures.count,
            sequence=pictures.kind,
            plays=pictures.plays,
            record=find_record(it.image.info.get("xmp")),
        )


def read(
    source: Path | bytes, *, max_mpix: float = DEFAULT_MAX_INPUT_MPIX, note_others: bool = True
) -> Picture:
    """Decode a file, or the bytes of one from standard input, to an upright picture; of several, the first.

    Args:
        source: What to read.
        max_mpix: Largest size in megapixels.
        note_others: Whether the notes say that there are further pictures in the file.

    Raises:
        InputError: As `probe`, or the file is damaged or incomplete.
    """
    with opened(source, max_mpix) as it:
        pictures = sequence.look(it.image, it.file)
        picture = decode(it.image, it.storage, samples_of(it))
    if not note_others:
        return picture
    notes = picture.notes
    if pictures.count > 1:
        notes += (f"Only the first of {pictures.count} pictures in the file was used.",)
    elif not pictures.complete:
        notes += ("The file is damaged after its first picture; later ones may be lost.",)
    return replace(picture, notes=notes)


def samples_of(it: Opened) -> Callable[[], deep.Deep] | None:
    """Return what decodes a picture to 16 bits where Pillow alone would give 8, else None."""
    return partial(deep.decode, it.image, it.file) if deep.is_deep(it.image) else None


@cache
def readable_suffixes() -> frozenset[str]:
    """Return the endings of file names, small and with their dot, that promise a picture we can read."""
    suffixes = Image.registered_extensions()  # loads all of Pillow's plug-ins
    return plugins.SUFFIXES | frozenset(
        suffix for suffix, name in suffixes.items() if name in Image.OPEN and name not in _REFUSED
    )


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
    file.seek(0)
    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        if not begins_picture(head):
            raise
        raise InputError(f"{name} is damaged or incomplete, or of a kind that cannot be read.") from None
    if image.format in _REFUSED:
        raise InputError(f"{name} is {image.format}, which cannot be read.", hint="Convert it to PNG.")
    check_pixels(image.size, name, max_mpix)
    if image.format == "PNG":
        _find_late_exif(image, file)
    elif image.format == "GIF":
        _find_gif_xmp(image, file)
    return Opened(image, storage.inspect(image, file), file)


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


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    tags = getattr(image, "tag_v2", None)
    if tags is not None:  # TIFF: Pillow's versions differ in whether `size` is upright already
        width, height = tags[256], tags[257]
    return (height, width) if metadata.orientation_of(image) >= 5 else (width, height)


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


def _find_gif_xmp(image: Image.Image, file: IO[bytes]) -> None:
    """Add to `image.info` the XMP packet of a GIF, where Pillow does not look for it."""
    position = file.tell()
    xmp = gif_extent(file).xmp
    if xmp is not None and xmp[1] - xmp[0] <= _MAX_XMP_BYTES:
        file.seek(xmp[0])
        image.info["xmp"] = file.read(xmp[1] - xmp[0])
    file.seek(position)
