"""Files walked from block to block without decoding: how many pictures, what lies where, and where they end.

Pillow counts the pictures of a GIF or TIFF by parsing every one of them, which takes minutes for a file made
to that end, and does not tell where a file ends.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

MAX_FRAMES = 10_000  # an hour of slides, five minutes of film; counting stops behind it

_MAX_BOXES = 10_000  # files have some dozens

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B  # GIF89a, appendix A
_GRAPHIC_CONTROL = b"\xf9"
_XMP, _XMP_TRAILER_BYTES = b"\xff\x0bXMP DataXMP", 258

_NEW_SUBFILE, _SUBFILE = 254, 255  # TIFF 6.0
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _SUB_IFDS = 273, 279, 324, 325, 330
_OTHER_IFDS = (34665, 34853, 40965)  # EXIF, GPS, interoperability
_TYPE_BYTES = dict(zip(range(1, 19), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8), strict=True))
_NUMBERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}
_MAX_ENTRIES = 4096  # of one directory; cameras and scanners write some dozens
_MAX_WORK = 4_000_000  # in numbers to look at: two seconds
_ENTRY_WORK = 10  # as many numbers as an entry takes time


def boxes(file: IO[bytes], start: int = 0, stop: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes of AVIF, HEIF, JPEG 2000 or JPEG XL between two places; ISO 14496-12, 4.2.

    Each is its kind, the place of its content and the one behind it, which may lie beyond the end of the
    file. What cannot be understood ends them.
    """
    stop = file.seek(0, io.SEEK_END) if stop is None else stop
    for _ in range(_MAX_BOXES):
        if start + 8 > stop:
            return
        file.seek(start)
        head = file.read(16)
        size, content = int.from_bytes(head[:4], "big"), start + 8
        if size == 1:  # a length in 8 bytes follows
            size, content = int.from_bytes(head[8:], "big"), start + 16
        end = start + size if size else stop  # 0 is all the rest
        if end < content:
            return
        yield head[4:8], content, end
        start = end


@dataclass(frozen=True)
class GifExtent:
    """What the blocks of a GIF say.

    Attributes:
        frames: Number of pictures, at most `MAX_FRAMES` + 1.
        transparent: Whether any of them has a transparent colour.
        end: Place behind the trailer; None where it is missing or was not looked for.
        xmp: Where the first XMP packet begins and ends; None without one.
    """

    frames: int
    transparent: bool
    end: int | None
    xmp: tuple[int, int] | None = None


def gif_extent(file: IO[bytes]) -> GifExtent:
    """Walk a GIF from its beginning; what cannot be understood ends it."""
    file.seek(0)
    head = file.read(13)
    if len(head) < 13:
        return GifExtent(0, False, None)
    _skip_palette(file, head[10])
    frames, transparent, xmp = 0, False, None
    while frames <= MAX_FRAMES and (kind := file.read(1)):
        if kind[0] == _TRAILER:
            return GifExtent(frames, transparent, file.tell(), xmp)
        if kind[0] == _IMAGE:
            descriptor = file.read(9)
            if len(descriptor) < 9:
                break
            frames += 1
            _skip_palette(file, descriptor[8])
            file.seek(1, io.SEEK_CUR)  # LZW code size
            _skip_blocks(file)
        elif kind[0] == _EXTENSION:
            place = file.tell()
            label = file.read(13)
            file.seek(place + 1)
            _skip_blocks(file)
            if label[:1] == _GRAPHIC_CONTROL:
                transparent |= bool(label[2:3] and label[2] & 1)
            elif label == _XMP and xmp is None:
                xmp = place + len(_XMP), max(file.tell() - _XMP_TRAILER_BYTES, place + len(_XMP))
    return GifExtent(frames, transparent, None, xmp)


def _skip_palette(file: IO[bytes], flags: int) -> None:
    if flags & 128:
        file.seek(3 << ((flags & 7) + 1), io.SEEK_CUR)


def _skip_blocks(file: IO[bytes]) -> None:
    while (size := file.read(1)) and size[0]:
        file.seek(size[0], io.SEEK_CUR)


@dataclass(frozen=True)
class TiffExtent:
    """What the directories of a TIFF say.

    Attributes:
        pages: Their places in the chain: the first, and all behind it that are no thumbnails or masks; at
            most `MAX_FRAMES` + 1.
        end: Place behind the last byte that anything points to.
        complete: False where the chain leads nowhere or back.
    """

    pages: tuple[int, ...]
    end: int
    complete: bool


def tiff_extent(file: IO[bytes]) -> TiffExtent:
    """Walk the directories of a TIFF or BigTIFF; what cannot be understood ends it."""
    return _TiffWalk(file).walk()


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    place: int  # of the value

    @property
    def end(self) -> int:
        return self.place + self.count * _TYPE_BYTES.get(self.kind, 0)


class _TiffWalk:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        head = self._at(0, 16)
        self._order = ">" if head.startswith(b"MM") else "<"
        self._big = head[2:4] in (b"+\0", b"\0+")
        self._first = self._number(head[8:16] if self._big else head[4:8])
        self._seen: set[int] = set()
        self._inner: list[int] = []  # directories that others contain
        self._end = 16 if self._big else 8
        self._budget = _MAX_WORK

    def walk(self) -> TiffExtent:
        pages: list[int] = []
        place, index = self._first, 0
        complete = place > 0
        while place and len(pages) <= MAX_FRAMES:
            entries, following = self._directory(place) if place not in self._seen else ({}, 0)
            if not entries:
                complete = False
                break
            if index == 0 or self._is_page(entries):
                pages.append(index)
            place, index = following, index + 1
        while self._inner and self._budget > 0:
            if (place := self._inner.pop()) not in self._seen:
                self._directory(place)
        if self._budget <= 0:  # nobody made this to be looked at
            return TiffExtent(tuple(range(MAX_FRAMES + 1)), self._end, complete)
        return TiffExtent(tuple(pages) or (0,), self._end, complete)

    def _is_page(self, entries: dict[int, _Entry]) -> bool:
        new = next(self._values(entries.get(_NEW_SUBFILE)), 0)
        return not new & 5 and next(self._values(entries.get(_SUBFILE)), 1) != 2  # reduced, mask; reduced

    def _directory(self, place: int) -> tuple[dict[int, _Entry], int]:
        """Return the entries at a place and where the next directory is; take in what they point to."""
        self._seen.add(place)
        head, size, inline = (8, 20, 8) if self._big else (2, 12, 4)
        count = self._number(self._at(place, head))
        if not 0 < count <= _MAX_ENTRIES:
            return {}, 0
        table = self._at(place + head, count * size + inline)
        self._budget -= _ENTRY_WORK * count
        if len(table) < count * size or self._budget <= 0:
            return {}, 0
        entries = {}
        layout = self._order + ("HHQQ" if self._big else "HHLL")
        where = place + head + size - inline
        for tag, kind, number, value in struct.iter_unpack(layout, table[: count * size]):
            outside = number * _TYPE_BYTES.get(kind, 0) > inline
            entries[tag] = _Entry(kind, number, value if outside else where)
            where += size
        self._end = max(self._end, place + head + len(table), *(entry.end for entry in entries.values()))
        for offsets, lengths in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
            for start, length in zip(
                self._values(entries.get(offsets)), self._values(entries.get(lengths)), strict=False
            ):
                self._end = max(self._end, start + length)
        for tag in (_SUB_IFDS, *_OTHER_IFDS):
            for inner in self._values(entries.get(tag)):
                self._inner.append(inner)
        return entries, self._number(table[count * size :])

    def _values(self, entry: _Entry | None) -> Iterator[int]:
        if entry is None or entry.kind not in _NUMBERS or entry.count > self._budget:
            return iter(())
        self._budget -= entry.count
        data = self._at(entry.place, entry.end - entry.place)
        whole = len(data) - len(data) % _TYPE_BYTES[entry.kind]
        return (value for (value,) in struct.iter_unpack(self._order + _NUMBERS[entry.kind], data[:whole]))

    def _at(self, place: int, size: int) -> bytes:
        try:
            self._file.seek(place)
            return self._file.read(size)
        except (OverflowError, ValueError):  # beyond what a file can be long
            return b""

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, "big" if self._order == ">" else "little")
