"""Output formats: one row each. Adding one is adding a row."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from upscale.errors import OutputError, UsageError
from upscale.images import large
from upscale.images.sequence import Sequence


@dataclass(frozen=True)
class OutputFormat:
    """What a file format can hold, and how it is written.

    Attributes:
        name: As given to `--format`.
        pillow_name: As given to Pillow.
        suffixes: File name endings, the usual one first.
        max_side_px: Largest width and height.
        max_bytes: Largest size of the uncompressed pixels, for formats with 32-bit offsets; None without
            limit.
        gray_bits: Bits per channel that greyscale can be written with.
        color_bits: Bits per channel that colour, and grey with alpha, can be written with.
        sequence: Several pictures that it can hold, as frames or as pages; None for a single one.
        photos: Whether it suits photographs; a still picture is written in it only where that is asked for.
        alpha: Whether there is an alpha channel; without, pictures are laid on white.
        icc: Whether colour profiles are kept; without, colours are converted to sRGB.
        exif: Whether EXIF is kept.
        xmp: Whether XMP is kept.
        iptc: Whether IPTC records are kept.
        texts: Whether text fields are kept; without, `comment` says whether the one called so is.
        comment: See `texts`.
        dpi: Whether the resolution is kept (besides in EXIF).
        max_exif_bytes: Largest EXIF block (and XMP packet, and IPTC records); None without limit.
        default_quality: Encoder quality, 1 to 100; None for lossless formats.
        options: Further options for Pillow.
        color_options: Options for pictures in colour only.
    """

    name: str
    pillow_name: str
    suffixes: tuple[str, ...]
    max_side_px: int
    max_bytes: int | None = None
    gray_bits: tuple[int, ...] = (8,)
    color_bits: tuple[int, ...] = (8,)
    sequence: Sequence | None = None
    photos: bool = True
    alpha: bool = True
    icc: bool = True
    exif: bool = True
    xmp: bool = True
    iptc: bool = False
    texts: bool = False
    comment: bool = False
    dpi: bool = True
    max_exif_bytes: int | None = None
    default_quality: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    color_options: Mapping[str, object] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """The usual ending of file names, with its dot."""
        return self.suffixes[0]

    @property
    def is_available(self) -> bool:
        """Whether this installation of Pillow can write it."""
        if self.pillow_name not in Image.SAVE:
            Image.init()
        return self.pillow_name in Image.SAVE


_ROWS = (
    OutputFormat(
        "jpg",
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        max_side_px=65500,  # libjpeg's JPEG_MAX_DIMENSION; the format itself could hold 65535
        alpha=False,
        iptc=True,
        comment=True,
        max_exif_bytes=65500,  # a segment's 65533 less the headers
        default_quality=95,
        color_options={"subsampling": "4:4:4"},  # halved colour would show at once in an enlarged picture
    ),
    OutputFormat(
        "png",
        "PNG",
        (".png",),
        max_side_px=2**31 - 1,
        gray_bits=(8, 16),
        color_bits=(8, 16),
        sequence="animation",
        texts=True,
        options={"compress_level": 2},  # four times as fast as the default 6, and a tenth larger
    ),
    OutputFormat(
        "webp",
        "WEBP",
        (".webp",),
        max_side_px=16383,
        sequence="animation",
        dpi=False,
        default_quality=92,
        options={"alpha_quality": 100},
    ),
    OutputFormat(
        "tiff",
        "TIFF",
        (".tif", ".tiff"),
        max_side_px=2**31 - 1,
        gray_bits=(8, 16),
        color_bits=(8, 16),
        sequence="pages",
        iptc=True,
    ),
    OutputFormat(
        "avif",
        "AVIF",
        (".avif",),
        max_side_px=65536,
        sequence="animation",
        dpi=False,
        default_quality=85,
        options={"speed": 8},  # the default 6 takes seconds per megapixel
        color_options={"subsampling": "4:4:4"},
    ),
    OutputFormat(
        "gif",
        "GIF",
        (".gif",),
        max_side_px=65535,
        sequence="animation",
        comment=True,
        photos=False,  # 256 colours; PNG has all of them and is smaller
        icc=False,
        exif=False,
        dpi=False,
    ),
    OutputFormat(
        "bmp",
        "BMP",
        (".bmp", ".dib"),
        max_side_px=2**31 - 1,
        max_bytes=2**32 - 2**24,
        alpha=False,  # could be written, but hardly any program reads it
        icc=False,
        exif=False,
        xmp=False,
        options={"dpi": (0, 0)},  # unknown, unless there is one; else Pillow makes up 96
    ),
    OutputFormat(
        "ppm",
        "PPM",
        (".ppm", ".pgm", ".pnm"),
        max_side_px=2**31 - 1,
        gray_bits=(8, 16),
        color_bits=(8, 16),
        alpha=False,
        icc=False,
        exif=False,
        xmp=False,
        dpi=False,
    ),
)
FORMATS: Mapping[str, OutputFormat] = MappingProxyType({row.name: row for row in _ROWS})

_BY_NAME = {
    **{row.pillow_name.lower(): row for row in _ROWS},
    **{suffix[1:]: row for row in _ROWS for suffix in row.suffixes},
    **FORMATS,
}


def format_for(name_or_suffix: str) -> OutputFormat:
    """Return the output format of a name (`jpg`, `JPEG`) or suffix (`.jpg`), in any case.

    Raises:
        UsageError: There is no such format, or this installation of Pillow lacks it.
    """
    key = name_or_suffix.lower().lstrip(".")
    row = _BY_NAME.get(key)
    if row is None:
        near = difflib.get_close_matches(key, _BY_NAME, n=1)
        guess = f"Did you mean {_BY_NAME[near[0]].name}? " if near else ""
        raise UsageError(
            f"Pictures cannot be written as {name_or_suffix or 'a file without a suffix'}.",
            hint=f"{guess}Formats are {', '.join(FORMATS)}.",
        )
    if not row.is_available:
        raise UsageError(f"This Pillow cannot write {row.name}.", hint="Update Pillow, or choose png.")
    return row


def check_size(format: OutputFormat, size: tuple[int, int], *, name: str | Path = "The picture") -> None:
    """Check, before any work is done, that a format can hold `size` (width, height) in pixels.

    Raises:
        OutputError: It cannot.
    """
    width, height = size
    roomy = " or ".join(row.name for row in (FORMATS["png"], FORMATS["tiff"]) if row is not format)
    if max(size) > format.max_side_px:
        raise OutputError(
            f"{name} would be {width}x{height} pixels; "
            f"{format.name} allows at most {format.max_side_px} per side.",
            hint=f"Choose {roomy}, or a smaller size.",
        )
    if format.max_bytes is not None and width * height * 4 > format.max_bytes:
        raise OutputError(
            f"{name} would be {width}x{height} pixels; {format.name} allows at most 4 GB.",
            hint=f"Choose {roomy}, or a smaller size.",
        )
    large.check(format.name, size, name=str(name))


def check_sequence(
    format: OutputFormat, sequence: Sequence, count: int, *, name: str | Path = "The picture"
) -> None:
    """Check, before any work is done, that a format can hold the pictures of `name` one after another.

    Raises:
        OutputError: It cannot.
    """
    if format.sequence == sequence:
        return
    things = "frames" if sequence == "animation" else "pages"
    able = " or ".join(row.name for row in FORMATS.values() if row.sequence == sequence and row.is_available)
    raise OutputError(
        f"{format.name} cannot hold the {count} {things} of {name}.",
        hint=f"Choose another --format ({able}), or only the first with --first-frame.",
    )
