"""`Picture` -> bytes of a file format, to a file or a stream: the one place that writes pictures.

What a format cannot hold is converted as harmlessly as possible and said in the notes that are returned.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from upscale.errors import OutputError, UpscaleError
from upscale.images import arrays, atomic, formats, gif, large, metadata, png, scratch, tiff, vips
from upscale.images.fit import fitted
from upscale.images.formats import OutputFormat
from upscale.images.picture import COMMENT, Metadata, Picture, Pixels
from upscale.images.pil import pixels_to_pil
from upscale.images.record import Record, with_record


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
    row = row_of(path.suffix if format is None else format)
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
    row = row_of(format)
    formats.check_size(row, picture.size, name=name)
    picture, notes = fitted(picture, row)
    said, lost = kept(picture, row, record)
    with encoding(name, row):
        lost += _save(picture, file, row, said, quality, name)
        file.flush()
    return (*notes, *lost)


@contextmanager
def encoding(name: str, row: OutputFormat) -> Iterator[None]:
    """Turn whatever an encoder raises inside the block into an `OutputError` about `name`."""
    try:
        yield
    except (UpscaleError, BrokenPipeError):
        raise
    except OSError as error:
        raise atomic.output_error(name, error) from error
    except MemoryError:
        raise OutputError(f"{name} needs more memory to encode than there is.", hint="Choose ppm.") from None
    except Exception as error:  # encoders raise ValueError, RuntimeError, struct.error and more
        raise OutputError(f"{name} cannot be encoded as {row.name}: {error}.", hint="Choose png.") from error


def _save(
    picture: Picture, file: IO[bytes], row: OutputFormat, said: Metadata, quality: int | None, name: str
) -> list[str]:
    """Write a picture that fits, with what is to be said; return notes on what was lost all the same."""
    deep = picture.color.dtype == np.uint16 and (not picture.is_gray or picture.alpha is not None)
    streamed = large.is_streamed(row.name, picture.size)
    if streamed and row.name in vips.FORMATS and vips.is_installed():
        options = pillow_options(said, row, quality, is_gray=picture.is_gray)
        vips.save(picture, file.write, format=row.name, pillow_name=row.pillow_name, pillow_options=options)
    elif row.name == "tiff":
        tiff.TiffWriter(file, 1, name).add(picture, said)
    elif row.name == "png" and (deep or streamed):
        png.write(file, png.interleaved(picture), said)
    elif row.name == "gif":
        animation = gif.GifWriter(file, 1, said)
        animation.add(picture, 0.0)
        animation.close()
        return animation.lost
    elif row.name == "ppm" and (deep or streamed):
        _write_ppm(file, picture.color)
    else:
        options = pillow_options(said, row, quality, is_gray=picture.is_gray)
        pixels_to_pil(picture).save(cast(IO[bytes], Stream(file)), row.pillow_name, **options)
    return []


def _write_ppm(file: IO[bytes], color: Pixels) -> None:
    """Write colour [H, W, 3] as P6, grey [H, W, 1] as P5."""
    height, width, channels = color.shape
    kind, white = 6 if channels == 3 else 5, np.iinfo(color.dtype).max
    file.write(b"P%d\n%d %d\n%d\n" % (kind, width, height, white))
    for rows in arrays.row_blocks(width, height):
        file.write(np.ascontiguousarray(color[rows].astype(color.dtype.newbyteorder(">"))).data.cast("B"))
        scratch.release(color)


def row_of(format: OutputFormat | str) -> OutputFormat:
    """Return the row of a format, itself or by name or extension; `UsageError` if there is none."""
    return format if isinstance(format, OutputFormat) else formats.format_for(format)


def kept(picture: Picture, row: OutputFormat, record: Record | None) -> tuple[Metadata, list[str]]:
    """Return what a format can hold of what is to be said besides the pixels, and notes on what is lost."""
    profile, notes = metadata.icc_for(picture)
    found = picture.metadata
    exif = metadata.exif_for(picture, with_dpi=row.exif and not row.dpi)
    if found.exif and exif is None:
        notes.append("The EXIF data is damaged and was dropped.")

    def holds(block: bytes | None, possible: bool) -> bool:
        return possible and (block is None or row.max_exif_bytes is None or len(block) <= row.max_exif_bytes)

    blocks = {"EXIF": (exif, row.exif), "XMP": (found.xmp, row.xmp), "IPTC": (found.iptc, row.iptc)}
    for kind, (block, possible) in blocks.items():
        if block and not holds(block, possible):
            notes.append(f"{row.name} cannot hold the {kind} data.")
    if found.dpi and not (row.dpi or row.exif):
        notes.append(f"{row.name} cannot hold the resolution.")
    texts = found.texts if row.texts else [text for text in found.texts if row.comment and text[0] == COMMENT]
    texts = tuple((key, text) for key, text in texts if holds(text.encode("utf-8", "replace"), True))
    if len(texts) < len(found.texts):
        notes.append(f"{row.name} cannot hold the text fields.")
    xmp = found.xmp if holds(found.xmp, row.xmp) else None
    if record and row.xmp:
        recorded = with_record(xmp, record)
        xmp = recorded if recorded is not None and holds(recorded, row.xmp) else xmp
    said = Metadata(
        exif=exif if holds(exif, row.exif) else None,
        icc_profile=profile if row.icc else None,  # else `fitted` has seen to it
        dpi=found.dpi if row.dpi else None,
        xmp=xmp,
        iptc=found.iptc if holds(found.iptc, row.iptc) else None,
        texts=texts,
    )
    return said, notes


def pillow_options(
    said: Metadata, row: OutputFormat, quality: int | None, *, is_gray: bool
) -> dict[str, Any]:
    """Return Pillow's options for a format."""
    options: dict[str, Any] = {**row.options, **({} if is_gray else row.color_options)}
    if row.default_quality is not None:
        options["quality"] = row.default_quality if quality is None else quality
    for name, value in (("icc_profile", said.icc_profile), ("dpi", said.dpi), ("exif", said.exif)):
        if value:
            options[name] = value
    if row.name == "png":
        options["pnginfo"] = fields = png.text_fields(said)
        if said.xmp:
            fields.add_itxt("XML:com.adobe.xmp", said.xmp.decode("utf-8", "replace"))
    elif said.xmp:
        options["xmp"] = said.xmp
    if row.name == "jpg" and said.texts:
        options["comment"] = said.texts[0][1]
    if said.iptc:
        options["extra"] = metadata.iptc_segment(said.iptc)
    return options


class Stream:
    """What Pillow may see of a file: no descriptor.

    Given one, its C encoders write past Python, take a short write (disk full) for a complete one, and fail
    without saying why.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = 0

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self._file.write(data)
        self._written += len(data)
        return len(data)

    def flush(self) -> None:
        """Have it written."""
        self._file.flush()

    def tell(self) -> int:
        """Return how much has been written."""
        return self._written
