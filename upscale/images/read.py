"""Files and bytes -> `Picture`, or what their headers say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from PIL import Image

from upscale.images import metadata, plugins, sequence
from upscale.images.decode import decode
from upscale.images.opening import REFUSED, opened, samples_of
from upscale.images.picture import Picture
from upscale.images.record import Record, find_record
from upscale.images.sequence import Sequence
from upscale.options import DEFAULT_MAX_INPUT_MPIX


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


@cache
def readable_suffixes() -> frozenset[str]:
    """Return the endings of file names, small and with their dot, that promise a picture we can read."""
    suffixes = Image.registered_extensions()  # loads all of Pillow's plug-ins
    return plugins.SUFFIXES | frozenset(
        suffix for suffix, name in suffixes.items() if name in Image.OPEN and name not in REFUSED
    )


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    tags = getattr(image, "tag_v2", None)
    if tags is not None:  # TIFF: Pillow's versions differ in whether `size` is upright already
        width, height = tags[256], tags[257]
    return (height, width) if metadata.orientation_of(image) >= 5 else (width, height)
