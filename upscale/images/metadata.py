"""What a file says besides its pixels: taken up, cleaned of what upscaling makes untrue, given out again.

Orientation is applied to the pixels and removed here; thumbnails and everything about how the old file was
stored goes; pixel sizes are written anew. What cannot be understood is dropped with a note, never fatal: the
picture counts.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

from upscale.images import color, guard, record
from upscale.images.picture import COMMENT, Metadata, Picture

_Tags = dict[int, Any]

_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_ORIENTATION = ExifTags.Base.Orientation
_X_RESOLUTION, _Y_RESOLUTION = ExifTags.Base.XResolution, ExifTags.Base.YResolution
_UNIT = ExifTags.Base.ResolutionUnit
_WIDTH, _HEIGHT = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight

_GEO_TAGS = {33550, 33922, 34264, 34735, 34736, 34737}  # GeoTIFF: metres per pixel
# Tags of the first IFD that describe the old file's storage (TIFF 6.0), not the picture.
_STORAGE_TAGS = {
    254, 255, *range(256, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 301,
    *range(317, 326), 330, 332, 333, 334, *range(336, 343), 347, *range(512, 522), *range(529, 533),
    700, 33723, 34377, 34675, 37724,  # XMP (kept apart), IPTC, Photoshop's blocks, ICC (kept apart), layers
    *_GEO_TAGS,
    *range(50706, 51200),  # DNG
}  # fmt: skip
_STALE_EXIF_TAGS = {
    _WIDTH, _HEIGHT, _INTEROP, 0x9102,  # bits per pixel of the old file
    0x9214, 0xA214, 0xA20E, 0xA20F, 0xA210,  # subject's area and place in pixels; pixels per unit of sensor
}  # fmt: skip
_STALE_INTEROP_TAGS = {0x1001, 0x1002}  # width and height

_STALE_NAMES = (
    "(?:tiff:(?:Orientation|ImageWidth|ImageLength)|exif:Pixel[XY]Dimension|xmpNote:HasExtendedXMP"
    r"|G?Camera:(?:MicroVideo|MotionPhoto)\w*|hdrgm:\w+)"
)
_STALE_XMP = re.compile(rf"""\s?{_STALE_NAMES}\s?=\s?(?:"[^"]*"|'[^']*')|<({_STALE_NAMES})>[^<]*</\1>""")
_STALE_TREES = re.compile(
    r"<((?:xmp|xap):Thumbnails|\w*Container:Directory)\b[^<>]*>(?:[^<]++|<(?!/?\1\b))*+</\1\s*>"
)
_ADDED = re.compile(r"Container:Directory|Camera:MicroVideo|hdrgm:")  # what phones put behind a picture
_ADDED_TO_HEIF = "aux", "depth_images"  # in its `info`
_ADDED_LOST = "What comes with the picture (a gain map, depth or a film) was left out."
_IPTC_TAG, _IPTC_RESOURCE, _IPTC_MARK = 33723, 0x0404, b"\x1c"  # IIM 4.2, 1.5
_PNG_BLOCK = re.compile("XML:com\\.adobe\\.xmp|Raw profile type ")  # text fields that are no texts
_EXTENDED = "HasExtendedXMP"
_MAX_DPI = 65535  # what JPEG can hold; more is nonsense


class _Text(str):
    """Text that is written as the bytes it was read from.

    Pillow reads Latin-1 whatever the file has (UTF-8, mostly), and would write question marks.
    """

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "replace") -> bytes:
        """Return the bytes; the encoding that is asked for does not matter."""
        return super().encode("latin-1", errors)


@dataclass(frozen=True)
class Found:
    """What `collect` returns.

    Attributes:
        metadata: Cleaned, without the ICC profile: whether that fits is known only after decoding.
        icc_profile: As embedded, unchecked.
        orientation: EXIF orientation 1 to 8 that is still to be applied.
        notes: Sentences on what was dropped.
    """

    metadata: Metadata
    icc_profile: bytes | None
    orientation: int
    notes: tuple[str, ...]


def collect(image: Image.Image) -> Found:
    """Return what an opened image says, before `load` closes the file that a TIFF's EXIF lies in."""
    notes: list[str] = []
    orientation, dpi, block = 1, None, None
    try:
        exif = image.getexif()
        orientation = _orientation(image, exif)
        dpi = _exif_dpi(exif)
        block, complete = _serialise(*_unfold(exif), exif.endian)
        if not complete:
            notes.append("EXIF fields that make no sense were dropped.")
        if not _GEO_TAGS.isdisjoint(exif):
            notes.append("Where the pixels lie on the earth (GeoTIFF) was dropped.")
    except Exception:  # Pillow's parser raises whatever the damaged bytes lead to
        notes.append("The EXIF data is damaged and was dropped.")

    xmp, lost = _clean_xmp(image.info.get("xmp"))
    notes += lost
    if _ADDED_LOST not in notes and any(image.info.get(key) for key in _ADDED_TO_HEIF):
        notes.append(_ADDED_LOST)
    icc_profile = image.info.get("icc_profile")
    if "icc_profile" in image.info and not isinstance(
        icc_profile, bytes
    ):  # PNG whose profile does not inflate
        notes.append("The colour profile is broken and was dropped.")
        icc_profile = None
    if not _makes_up_dpi(image):
        dpi = _checked_dpi(image.info.get("dpi")) or dpi
    metadata = Metadata(exif=block, dpi=dpi, xmp=xmp, iptc=_iptc(image), texts=_texts(image))
    return Found(metadata, icc_profile or None, orientation, tuple(notes))


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation 1 to 8 of an opened image without decoding it; 1 for none and nonsense."""
    try:
        return _orientation(image, Image.Image.getexif(image))  # PNG's own getexif decodes the picture
    except Exception:
        return 1


def exif_for(picture: Picture, *, with_dpi: bool = False) -> bytes | None:
    """Return the EXIF block with the picture's size, cleaned again; None if there is none or it is broken.

    Args:
        picture: Whose metadata and size.
        with_dpi: Whether it says the resolution, for formats that have no other place for it.
    """
    dpi = picture.metadata.dpi if with_dpi else None
    if not picture.metadata.exif and dpi is None:
        return None
    try:
        with guard.quiet():
            exif = Image.Exif()
            if picture.metadata.exif:
                exif.load(picture.metadata.exif)
            first, sub, gps = _unfold(exif)
            if picture.metadata.exif:
                sub |= {_WIDTH: picture.size[0], _HEIGHT: picture.size[1]}
            if dpi is not None:
                first |= {_X_RESOLUTION: dpi[0], _Y_RESOLUTION: dpi[1], _UNIT: 2}  # per inch
            return _serialise(first, sub, gps, exif.endian)[0]
    except Exception:  # bytes from an API user
        return None


def icc_for(picture: Picture) -> tuple[bytes | None, list[str]]:
    """Return the picture's ICC profile if it fits its pixels, else None, and notes on why not."""
    return color.usable_profile(picture.metadata.icc_profile, gray=picture.is_gray)


def as_read(tags: Mapping[int, Any], *, inner: bool = False) -> dict[int, Any]:
    """Return tags, also those in directories of their own, that Pillow will write as it has read them.

    Bytes in these (`inner`) are of the type UNDEFINED (a maker's note, a comment) where Pillow does not know
    better: it would write BYTE, but of the type `bytearray` it knows nothing.
    """

    def value_as_read(value: Any) -> Any:
        if isinstance(value, str):
            return _Text(value)
        if isinstance(value, bytes) and inner:
            return (bytearray(value),)
        return as_read(value, inner=True) if isinstance(value, Mapping) else value

    return {tag: value_as_read(value) for tag, value in tags.items()}


def iptc_segment(iptc: bytes) -> bytes:
    """Return the APP13 segment that holds IPTC records in a JPEG: one Photoshop resource."""
    resource = b"8BIM" + struct.pack(">H2xI", _IPTC_RESOURCE, len(iptc)) + iptc + bytes(len(iptc) % 2)
    data = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(data) + 2) + data


def _iptc(image: Image.Image) -> bytes | None:
    """Return the IPTC records of an opened JPEG or TIFF; anything that does not begin like them is none."""
    resources = image.info.get("photoshop")
    found: Any = resources.get(_IPTC_RESOURCE) if isinstance(resources, dict) else None
    if image.format == "TIFF":  # as stored: Photoshop says that these are numbers of four bytes
        found = getattr(image.tag_v2, "_tagdata", {}).get(_IPTC_TAG)  # type: ignore[attr-defined]
    return found if isinstance(found, bytes) and found.startswith(_IPTC_MARK) else None


def _texts(image: Image.Image) -> tuple[tuple[str, str], ...]:
    """Return the text fields of a loaded PNG that hold nothing else, and the comment of a JPEG or GIF."""
    if image.format == "PNG":
        fields: Mapping[Any, Any] = getattr(image, "text", {})
        return tuple((key, text) for key, text in fields.items() if not _PNG_BLOCK.match(key))
    comment = image.info.get("comment") if image.format in ("JPEG", "MPO", "GIF") else None
    if not isinstance(comment, bytes) or not comment.strip(b"\0 "):
        return ()
    try:
        text = comment.decode("utf-8")
    except UnicodeDecodeError:
        text = comment.decode("latin-1")
    return ((COMMENT, text.rstrip("\0")),)


def _orientation(image: Image.Image, exif: Image.Exif) -> int:
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1  # its decoder has turned it as the codestream says, which goes before EXIF
    value = exif.get(_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _unfold(exif: Image.Exif) -> tuple[_Tags, _Tags, _Tags]:
    """Return the tags worth keeping of the first, the Exif (with Interop as a dict) and the GPS IFD."""
    dropped = _STORAGE_TAGS | {_ORIENTATION, _EXIF, _GPS, _INTEROP}
    first = {tag: exif[tag] for tag in list(exif) if tag not in dropped}
    sub = dict(exif.get_ifd(_EXIF))
    gps = dict(exif.get_ifd(_GPS))
    interop: _Tags = {}
    if _INTEROP in sub:
        try:
            found = exif.get_ifd(_INTEROP)
            interop = {tag: value for tag, value in found.items() if tag not in _STALE_INTEROP_TAGS}
        except Exception:  # its offset points nowhere: the rest is still good
            interop = {}
    sub = {tag: value for tag, value in sub.items() if tag not in _STALE_EXIF_TAGS}
    if interop:
        sub[_INTEROP] = interop
    return first, sub, gps


def _serialise(first: _Tags, sub: _Tags, gps: _Tags, endian: str | None) -> tuple[bytes | None, bool]:
    """Return an EXIF block of these tags (None without any), and whether all of them could be written."""

    def block(first: _Tags, sub: _Tags, gps: _Tags) -> bytes:
        exif = Image.Exif()
        exif.endian = endian
        for tag, value in as_read({**first, _EXIF: sub, _GPS: gps}).items():
            if value != {}:
                exif[tag] = value
        return exif.tobytes()

    def writable(tags: _Tags, place: int) -> _Tags:
        kept = {}
        for tag, value in tags.items():
            parts: list[_Tags] = [{}, {}, {}]
            parts[place] = {tag: value}
            try:
                block(*parts)
                kept[tag] = value
            except Exception:  # a value of the wrong kind for its tag
                continue
        return kept

    if not (first or sub or gps):
        return None, True
    try:
        return block(first, sub, gps), True
    except Exception:  # find the culprits
        first, sub, gps = writable(first, 0), writable(sub, 1), writable(gps, 2)
        return (block(first, sub, gps) if first or sub or gps else None), False


def _exif_dpi(exif: Image.Exif) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(exif.get(_UNIT, 2))
    found = _checked_dpi((exif.get(_X_RESOLUTION), exif.get(_Y_RESOLUTION)))
    return None if unit is None or found is None else _checked_dpi(value * unit for value in found)


def _makes_up_dpi(image: Image.Image) -> bool:
    """Return whether the resolution in `image.info` may be Pillow's own: 1 dpi of a TIFF, 72 of a JPEG."""
    if image.format in ("JPEG", "MPO"):
        return image.info.get("jfif_unit") not in (1, 2)  # per inch, per centimetre
    return image.format == "TIFF"


def _checked_dpi(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):  # also rationals with denominator 0
        return None
    if not all(math.isfinite(value) and 1 <= value <= _MAX_DPI for value in (x, y)):
        return None
    return x, y


def _clean_xmp(packet: Any) -> tuple[bytes | None, list[str]]:
    """Return the packet without what is stale (orientation, sizes, thumbnails), and notes on what is lost."""
    if not packet or not isinstance(packet, str | bytes):
        return None, []
    try:
        text = packet if isinstance(packet, str) else packet.decode("utf-8")
    except UnicodeDecodeError:
        return None, ["The XMP data is not UTF-8 and was dropped."]
    notes = ["Extended XMP data was dropped."] if _EXTENDED in text else []
    if _ADDED.search(text):
        notes.append(_ADDED_LOST)
    text = _STALE_TREES.sub("", _STALE_XMP.sub("", text))
    return record.without_record(text.rstrip("\0")).encode() or None, notes
