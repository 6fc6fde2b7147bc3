"""A record goes into every format that can keep it, disturbs nothing, and is found again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale.images.formats import FORMATS
from upscale.images.picture import Metadata, Picture
from upscale.images.read import probe, read
from upscale.images.record import find_record, with_record, without_record
from upscale.images.write import write

ROWS = [row for row in FORMATS.values() if row.is_available]
RECORD = {"version": "1.2.3", "model": "a \"b\" <c> & 'd' é😀", "steps": "4"}
PIXELS = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)
FOREIGN = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="Cat"/>'
    b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


@pytest.mark.parametrize("xmp", [None, FOREIGN], ids=["alone", "with others"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_kept_by_every_format_with_xmp(row, xmp, tmp_path):
    path = tmp_path / f"a{row.suffix}"
    notes = write(Picture(PIXELS, metadata=Metadata(xmp=xmp)), path, record=RECORD)
    assert probe(path).record == (RECORD if row.xmp else None)
    assert bool(notes) == (not row.xmp and xmp is not None)  # a record that cannot be kept is no loss
    assert read(path).metadata.xmp == (xmp if row.xmp else None)  # and is not the photo's own


def test_record_of_the_input_does_not_stay(tmp_path):
    write(Picture(PIXELS), tmp_path / "a.png", record=RECORD)
    write(read(tmp_path / "a.png"), tmp_path / "b.png", record={"steps": "1"})
    write(read(tmp_path / "b.png"), tmp_path / "c.png")
    assert probe(tmp_path / "b.png").record == {"steps": "1"}
    assert probe(tmp_path / "c.png").record is None


def test_packets_without_a_place_stay_as_they_are(tmp_path):
    odd = b"<x>no RDF</x>"
    assert with_record(odd, RECORD) is None
    write(Picture(PIXELS, metadata=Metadata(xmp=odd)), tmp_path / "a.png", record=RECORD)
    assert read(tmp_path / "a.png").metadata.xmp == odd and probe(tmp_path / "a.png").record is None


def test_packet_that_would_get_too_long_for_jpeg(tmp_path):
    long = FOREIGN.replace(b"Cat", b"C" * (65500 - len(FOREIGN)))
    notes = write(Picture(PIXELS, metadata=Metadata(xmp=long)), tmp_path / "a.jpg", record=RECORD)
    assert notes == () and read(tmp_path / "a.jpg").metadata.xmp == long


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True), st.text(max_size=200), max_size=9)
)
def test_any_text_comes_back_or_is_replaced(record):
    packet = with_record(FOREIGN, record)
    assert packet is not None and without_record(packet.decode()).encode() == FOREIGN
    found = find_record(packet)
    assert found is not None and set(found) == set(record)
    for name, value in record.items():
        fit = "".join(c if c.isprintable() else "?" for c in value)
        assert "".join(c if c.isprintable() else "?" for c in found[name]) == fit


@pytest.mark.parametrize(
    "packet",
    [
        None,
        b"",
        "",
        7,
        b"\xff\xfe",
        FOREIGN,
        b'<rdf:Description xmlns:upscale="urn:upscale:record:1/"',
        "<" * 9999,
    ],
)
def test_nothing_to_find(packet):
    assert find_record(packet) is None


def test_absurd_values_are_cut():
    assert find_record(with_record(None, {"model": "x" * 10**6})) == {"model": "x" * 200}
