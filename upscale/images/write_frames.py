"""Pictures one after another -> an animation, or a document of several pages; a few are held at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from PIL import Image

from upscale.errors import InputError
from upscale.images import arrays, atomic, formats
from upscale.images.fit import fitted
from upscale.images.formats import OutputFormat
from upscale.images.gif import GifWriter
from upscale.images.picture import Picture, Pixels
from upscale.images.png import ApngWriter, interleaved
from upscale.images.read import ImageInfo
from upscale.images.record import Record
from upscale.images.sequence import Frame
from upscale.images.tiff import TiffWriter
from upscale.images.write import Stream, encoding, kept, pillow_options, row_of

_WEBP_LONGEST_MS = 2**24 - 1


def write_frames(
    frames: Iterator[Frame],
    info: ImageInfo,
    path: Path,
    *,
    format: OutputFormat | str,
    quality: int | None = None,
    overwrite: bool = False,
    record: Record | None = None,
) -> tuple[str, ...]:
    """Write a sequence to a file that appears whole or not at all.

    Args:
        frames: As many as `info` says; asked for one at a time.
        info: What the file they come from says.
        path: The file. Without `overwrite` an existing one is never touched.
        format: A row of `FORMATS` or its name.
        quality: 1 to 100, for lossy formats; None takes the format's default.
        overwrite: Whether an existing file may be replaced.
        record: How the pictures were made.

    Returns:
        Sentences on what the format could not hold.

    Raises:
        OutputError: The file exists, cannot be written, or the format cannot hold such pictures.
        InputError: There are fewer or more frames than there should be.
    """
    with atomic.new_file(path, overwrite=overwrite) as file:
        return encode_frames(
            frames, info, file, format=format, quality=quality, record=record, name=str(path)
        )


def encode_frames(
    frames: Iterator[Frame],
    info: ImageInfo,
    file: IO[bytes],
    *,
    format: OutputFormat | str,
    quality: int | None = None,
    record: Record | None = None,
    name: str = "Standard output",
) -> tuple[str, ...]:
    """Write a sequence to a binary stream, which need not be seekable; arguments as in `write_frames`."""
    row = row_of(format)
    assert info.sequence is not None
    formats.check_sequence(row, info.sequence, info.frames, name=name)
    course = _Course(frames, info, row, name)
    with encoding(name, row):
        _WRITERS[row.name](course, file, record, quality)
        file.flush()
    return tuple(course.notes)


class _Course:
    """The frames on their way into a format: counted, converted to what it holds, losses noted once."""

    def __init__(self, frames: Iterator[Frame], info: ImageInfo, row: OutputFormat, name: str) -> None:
        self.info = info
        self.row = row if info.sequence == "pages" else replace(row, gray_bits=(8,), color_bits=(8,))
        self.name = name
        self.notes: list[str] = []
        self._frames = frames
        self._taken = 0

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame = next(self._frames, None)
        if (frame is None) != (self._taken == self.info.frames):
            raise InputError("A file was changed by another program.", hint="Run it again.")
        if frame is None:
            raise StopIteration
        self._taken += 1
        formats.check_size(self.row, frame.picture.size, name=self.name)
        colored = None if self.info.sequence == "pages" else not _stays_gray(frame.picture, self.row)
        picture, notes = fitted(frame.picture, self.row, colored=colored)
        self.note(notes)
        return replace(frame, picture=picture)

    def note(self, notes: list[str]) -> None:
        self.notes += [note for note in notes if note not in self.notes]


def _stays_gray(picture: Picture, row: OutputFormat) -> bool:
    """Return whether a frame has one channel in an animation, whose frames are all stored alike.

    A GIF may begin with a grey one.
    """
    return row.name == "png" and picture.is_gray and picture.format == "PNG"


def _write_apng(course: _Course, file: IO[bytes], record: Record | None, quality: int | None) -> None:
    writer: ApngWriter | None = None
    channels = 0
    for frame in course:
        picture = frame.picture
        if writer is None:
            said, lost = kept(picture, course.row, record)
            course.note(lost)
            writer = ApngWriter(file, course.info.frames, course.info.plays, said)
            channels = 1 if _stays_gray(picture, course.row) else 3
            channels += picture.alpha is not None or course.info.has_alpha
        writer.add(_with_channels(picture, channels), frame.duration_ms)
    assert writer is not None
    writer.close()


def _write_gif(course: _Course, file: IO[bytes], record: Record | None, quality: int | None) -> None:
    writer: GifWriter | None = None
    for frame in course:
        if writer is None:
            said, lost = kept(frame.picture, course.row, record)
            course.note(lost)
            writer = GifWriter(file, course.info.plays, said)
        writer.add(frame.picture, frame.duration_ms)
    assert writer is not None
    writer.close()
    course.note(writer.lost)


def _write_tiff(course: _Course, file: IO[bytes], record: Record | None, quality: int | None) -> None:
    writer = TiffWriter(file, course.info.frames, course.name)
    for number, frame in enumerate(course):
        said, lost = kept(frame.picture, course.row, None if number else record)
        course.note(lost)
        writer.add(frame.picture, said)


def _write_with_pillow(course: _Course, file: IO[bytes], record: Record | None, quality: int | None) -> None:
    film = _Film(course)
    said, lost = kept(film.first, course.row, record)
    course.note(lost)
    options = pillow_options(said, course.row, quality, is_gray=False)
    if course.row.name == "webp":
        options["loop"] = min(course.info.plays, 65535)
        options["minimize_size"] = False
    elif course.info.plays:
        course.note([f"{course.row.name} does not say how often it is to be shown: it loops for ever."])
    target = cast(IO[bytes], Stream(file))
    film.save(target, course.row.pillow_name, save_all=True, duration=film.durations, **options)
    next(course, None)  # raises if there are more than should be


_WRITERS: dict[str, Callable[[_Course, IO[bytes], Record | None, int | None], None]] = {
    "png": _write_apng,
    "gif": _write_gif,
    "tiff": _write_tiff,
    "webp": _write_with_pillow,
    "avif": _write_with_pillow,
}


class _Film(Image.Image):
    """What Pillow takes for an opened animation: each frame is asked for when its turn has come, and once."""

    def __init__(self, course: _Course) -> None:
        super().__init__()
        self._course = course
        self._number = -1
        self.n_frames = course.info.frames
        self.is_animated = True
        self.durations: list[int] = []  # Pillow looks at each after its frame
        self.first = self._advance()

    def seek(self, frame: int) -> None:
        """Go to a frame: the one that is shown, or the next; back to the first is understood as done."""
        if frame >= self.n_frames:
            raise EOFError
        if frame == self._number + 1:
            self._advance()

    def tell(self) -> int:
        """Return the number of the frame, 0 where it has come to the end."""
        return 0 if self._number + 1 == self.n_frames else self._number

    def _advance(self) -> Picture:
        frame = next(self._course)
        self._number += 1
        channels = 3 + (frame.picture.alpha is not None or self._course.info.has_alpha)
        image = arrays.to_image(_with_channels(frame.picture, channels))
        self.im, self._mode, self._size = image.im, image.mode, image.size
        self.durations.append(min(round(frame.duration_ms), _WEBP_LONGEST_MS))
        return frame.picture


def _with_channels(picture: Picture, channels: int) -> Pixels:
    """Return a picture [H, W, channels], 1 to 4; what is missing is added: three colours for grey, alpha."""
    pixels: Any = picture.color
    if channels > 2 and picture.is_gray:
        pixels = np.repeat(pixels, 3, axis=2)
    if channels in (1, 3):
        return cast(Pixels, pixels)
    alpha = picture.alpha
    if alpha is None:
        alpha = np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)
    return interleaved(replace(picture, color=pixels, alpha=alpha))
