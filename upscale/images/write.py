"""`Picture` -> bytes of a file format, to a file or a stream: the one place that writes pictures.

What a format cannot hold is converted as harmlessly as possible and said in the notes that are returned.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, PngImagePlugin

from upscale.errors import OutputError, UpscaleError
from upscale.images import arrays, atomic, color, depth, formats, metadata
from upscale.images.formats import OutputFormat
from upscale.images.picture import Picture
from upscale.images.pil import pixels_to_pil
from upscale.images.record import Record, with_record

_XMP_TAG = 700


def write(
    picture: Picture,
    path: Path,
    *,
    format: OutputFormat | str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    record: Record | None = None,
) -> tuple[str, ...]:
    """Write a picture to a file that appears whole or not at all.

    Args:
        picture: What to write.
        path: The file. Without `overwrite` an existing one is never touched.
        format: A row of `FORMATS` or its name; None takes it from the suffix.
        quality: 1 to 100, for lossy formats; None takes the format's default. Lossless formats ignore it.
        overwrite: Whether an existing file may be replaced.
        record: How the picture was made, to be kept in the file where its format can hold it.

    Returns:
        Sentences on what the format could not hold.

    Raises:
        OutputError: The file exists, cannot be written, or the format cannot hold a picture of this size.
        UsageError: The format is unknown.
    """
    row = _row(path.suffix if format is None else format)
    formats.check_size(row, picture.size, name=path)
    with atomic.new_file(path, overwrite=overwrite) as file:
        return encode(picture, file, format=row, quality=quality, record=record, name=str(path))


def encode(
    picture: Picture,
    file: IO[bytes],
    *,
    format: OutputFormat | str,
    quality: int | None = None,
    record: Record | None = None,
    name: str = "Standard output",
) -> tuple[str, ...]:
    """Write a picture to a binary stream, which need not be seekable; `name` stands for it in messages.

    The other arguments are those of `write`.

    Returns:
        Sentences on what the format could not hold.

    Raises:
        OutputError: The stream cannot take it (disk full), or the format cannot hold a picture of this size.
        UsageError: The format is unknown.
        BrokenPipeError: The reader of the stream has gone, which is its right.
    """
    row = _row(format)
    formats.check_size(row, picture.size, name=name)
    picture, notes = _fitted(picture, row)
    options, lost = _metadata_options(picture, row, record)
    options |= row.options if picture.is_gray else {**row.options, **row.color_options}
    if row.default_quality is not None:
        options["quality"] = row.default_quality if quality is None else quality
    try:
        pixels_to_pil(picture).save(cast(IO[bytes], _Stream(file)), row.pillow_name, **options)
        file.flush()
    except (UpscaleError, BrokenPipeError):
        raise
    except OSError as error:
        raise atomic.output_error(name, error) from error
    except MemoryError:
        raise OutputError(f"{name} needs more memory to encode than there is.", hint="Choose ppm.") from None
    except Exception as error:  # encoders raise ValueError, RuntimeError, struct.error and more
        raise OutputError(f"{name} cannot be encoded as {row.name}: {error}.", hint="Choose png.") from error
    return (*notes, *lost)


def _row(format: OutputFormat | str) -> OutputFormat:
    return format if isinstance(format, OutputFormat) else formats.format_for(format)


def _fitted(picture: Picture, row: OutputFormat) -> tuple[Picture, list[str]]:
    """Return the picture as far as the format can hold its pixels, and notes on what changed."""
    notes: list[str] = []
    if picture.alpha is not None and not row.alpha:
        if (picture.alpha != np.iinfo(picture.alpha.dtype).max).any():
            notes.append(f"{row.name} has no transparency: the picture was laid on white.")
            picture = replace(picture, color=_on_white(picture))
        picture = replace(picture, alpha=None)
    if picture.color.dtype == np.uint16:
        plain_gray = picture.is_gray and picture.alpha is None
        if not plain_gray or 16 not in row.gray_bits:
            notes.append(f"16 bits were reduced to 8 for {row.name}.")
            alpha = None if picture.alpha is None else depth.to_8_bits(picture.alpha)
            picture = replace(picture, color=depth.to_8_bits(picture.color), alpha=alpha)
    profile, _ = metadata.icc_for(picture)
    if profile and not row.icc:
        if picture.is_gray:
            notes.append(f"{row.name} cannot hold the colour profile.")
        else:
            srgb, how = color.to_srgb(arrays.to_image(depth.to_8_bits(picture.color)), profile)
            picture = replace(picture, color=arrays.to_array(srgb))
            notes += [f"{row.name} cannot hold a colour profile.", *how]
    return picture, notes


def _on_white(picture: Picture) -> npt.NDArray[Any]:
    """Return the colour [H, W, C] laid on white by its alpha, rounded to nearest."""
    assert picture.alpha is not None
    full = np.uint32(np.iinfo(picture.color.dtype).max)
    result = np.empty_like(picture.color)
    for rows in arrays.row_blocks(*picture.size):
        alpha = picture.alpha[rows, :, None].astype(np.uint32)  # 65535^2 still fits
        result[rows] = (picture.color[rows] * alpha + full * (full - alpha) + full // 2) // full
    return result


def _metadata_options(
    picture: Picture, row: OutputFormat, record: Record | None
) -> tuple[dict[str, Any], list[str]]:
    """Return Pillow's options for the metadata that the format can hold, and notes on what is lost."""
    options: dict[str, Any] = {}
    profile, notes = metadata.icc_for(picture)
    profile = profile if row.icc else None  # else `_fitted` has seen to it
    exif, xmp = metadata.exif_for(picture), picture.metadata.xmp
    if picture.metadata.exif and exif is None:
        notes.append("The EXIF data is damaged and was dropped.")
    limit = row.max_exif_bytes
    for kind, block, possible in (("EXIF", exif, row.exif), ("XMP", xmp, row.xmp is not None)):
        if block and (not possible or (limit is not None and len(block) > limit)):
            notes.append(f"{row.name} cannot hold the {kind} data.")
    if not row.exif or (exif and limit is not None and len(exif) > limit):
        exif = None
    if row.xmp is None or (xmp and limit is not None and len(xmp) > limit):
        xmp = None
    if record and row.xmp is not None:
        recorded = with_record(xmp, record)
        if recorded is not None and (limit is None or len(recorded) <= limit):
            xmp = recorded

    if profile:
        options["icc_profile"] = profile
    if picture.metadata.dpi and row.dpi:
        options["dpi"] = picture.metadata.dpi
    if row.xmp == "tiff tag":
        tags = Image.Exif()
        if exif:
            tags.load(exif)
            sub = tags.get_ifd(ExifTags.IFD.Exif)
            if ExifTags.IFD.Interop in sub:  # else the TIFF writer copies its offset as a number
                sub[ExifTags.IFD.Interop] = tags.get_ifd(ExifTags.IFD.Interop)
        if xmp:
            tags[_XMP_TAG] = xmp
        options["exif"] = tags
        return options, notes
    if exif:
        options["exif"] = exif
    if xmp and row.xmp == "png text":
        options["pnginfo"] = text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    elif xmp:
        options["xmp"] = xmp
    return options, notes


class _Stream:
    """What Pillow may see of a file: no descriptor.

    Given one, its C encoders write past Python, take a short write (disk full) for a complete one, and fail
    without saying why.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._written += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self._written

    def seek(self, position: int) -> int:
        if position != self._written:  # TIFF asks where it is, then goes there
            raise io.UnsupportedOperation("the stream only moves on")
        return position
