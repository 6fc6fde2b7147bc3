"""How a picture was made, kept in its XMP packet: found again when a run is repeated, and by `upscale info`.

XMP because every format that keeps metadata at all keeps it, several programs may write into one packet,
and nothing of the photo's own (EXIF Software is the camera's) has to make room. Knows nothing of what is
recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from xml.sax.saxutils import quoteattr

Record = Mapping[str, str]  # names in small letters, digits and _; values in any letters

_NAMESPACE = "urn:upscale:record:1/"  # a name, not an address
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_HEAD = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
_FOOT = "</rdf:RDF></x:xmpmeta>"
# Nothing is tried again where it does not end: hostile packets would take hours.
_OURS = re.compile(rf'<rdf:Description (?>[^<>]*?xmlns:upscale="{re.escape(_NAMESPACE)}")[^<>]*+(?<=/)>')
_ENTRY = re.compile(r"""\supscale:([a-z][a-z0-9_]{0,31})=(?:"([^"]*)"|'([^']*)')""")
_END = re.compile(r"</(?:[\w.-]+:)?RDF\s*>")
_MAX_CHARS = 200  # of a value; a file from elsewhere may say anything
_UNFIT = re.compile(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, less line breaks and tabs


def with_record(xmp: bytes | None, record: Record) -> bytes | None:
    """Return an XMP packet with a record in place of any older one; None where it has no place for it."""
    text = without_record(xmp.decode("utf-8", "replace")) if xmp else ""
    text = text or _HEAD + _FOOT
    ends = list(_END.finditer(text))
    if not ends:
        return None
    entries = "".join(
        f" upscale:{name}={quoteattr(_UNFIT.sub('?', value))}" for name, value in record.items()
    )
    ours = f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="" xmlns:upscale="{_NAMESPACE}"{entries}/>'
    at = ends[-1].start()
    return (text[:at] + ours + text[at:]).encode()


def without_record(text: str) -> str:
    """Return an XMP packet without any record; empty if it was made for the record alone."""
    rest = _OURS.sub("", text)
    return "" if rest == _HEAD + _FOOT and rest != text else rest


def find_record(xmp: bytes | str | None) -> dict[str, str] | None:
    """Return the record in an XMP packet, None without one.

    Never raises; values are cut where absurdly long.
    """
    if not isinstance(xmp, bytes | str):
        return None
    text = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp
    ours = _OURS.search(text)
    if ours is None:
        return None
    return {name: unescape(double or single)[:_MAX_CHARS] for name, double, single in _ENTRY.findall(ours[0])}
