"""What files say besides their pixels, all the way from one file to the next."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, IptcImagePlugin, PngImagePlugin, TiffImagePlugin, features

from upscale.images import png
from upscale.images.formats import FORMATS
from upscale.images.picture import Metadata, Picture
from upscale.images.read import probe, read
from upscale.images.write import encode

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, MAKE, EXIF_IFD, GPS_IFD, INTEROP_IFD, IFD1 = 0x0112, 0x010F, 0x8769, 0x8825, 0xA005, -1
DATE, VERSION, MAKER_NOTE, WIDTH, HEIGHT, AREA = 0x9003, 0x9000, 0x927C, 0xA002, 0xA003, 0x9214
PER_SENSOR_X, INTEROP_WIDTH = 0xA20E, 0x1001
WITH_EXIF = [row for row in FORMATS.values() if row.exif and row.is_available]
EXIF_SOURCES = [row.pillow_name for row in WITH_EXIF]


NOTE = b"what only the maker understands"


def camera_exif(orientation=1):
    exif = Image.Exif()
    exif[MAKE], exif[0x0131], exif[ORIENTATION] = "Camera & Sons", "Software 1.0", orientation
    exif[EXIF_IFD] = {
        VERSION: b"0232", DATE: "2024:05:06 07:08:09", WIDTH: 4, HEIGHT: 6, AREA: (1, 2), MAKER_NOTE: NOTE,
        0x829A: (1.0 / 64), PER_SENSOR_X: 4.5, INTEROP_IFD: {1: "R98", INTEROP_WIDTH: 4},
    }  # fmt: skip
    exif[GPS_IFD] = {1: "N", 2: (47.0, 22.0, 11.5)}
    return exif


def saved(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def rewritten(picture, row, size=(21, 9)):
    """Write a picture of another size with this picture's metadata, and open it with Pillow alone."""
    pixels = np.zeros((size[1], size[0], picture.color.shape[2]), np.uint8)
    stream = io.BytesIO()
    notes = encode(Picture(pixels, metadata=picture.metadata), stream, format=row)
    image = Image.open(stream)
    return image, notes


@pytest.mark.parametrize("row", WITH_EXIF, ids=lambda row: row.name)
@pytest.mark.parametrize("source", EXIF_SOURCES)
def test_exif_travels(source, row):
    picture = read(saved(Image.new("RGB", (6, 4)), source, exif=camera_exif().tobytes()))
    assert picture.notes == ()
    image, notes = rewritten(picture, row)
    exif = image.getexif()
    assert notes == ()
    assert exif[0x0131] == "Software 1.0" and exif[MAKE].startswith("Camera")
    assert ORIENTATION not in exif
    sub = exif.get_ifd(EXIF_IFD)
    assert sub[DATE] == "2024:05:06 07:08:09" and sub[VERSION] == b"0232" and sub[MAKER_NOTE] == NOTE
    assert float(sub[0x829A]) == pytest.approx(1 / 64)
    assert (sub[WIDTH], sub[HEIGHT]) == (21, 9)
    assert AREA not in sub and PER_SENSOR_X not in sub
    stored = TiffImagePlugin.ImageFileDirectory_v2(exif.head, group=EXIF_IFD)
    exif.fp.seek(exif[EXIF_IFD])
    stored.load(exif.fp)
    assert stored.tagtype[MAKER_NOTE] == 7  # UNDEFINED
    if source != "TIFF":  # Pillow's own TIFF, the source here, has no sound one
        assert exif.get_ifd(INTEROP_IFD) == {1: "R98"}
    assert [float(value) for value in exif.get_ifd(GPS_IFD)[2]] == [47.0, 22.0, 11.5]
    image.load()
    assert image.size == (21, 9)


def test_thumbnail_is_dropped():
    """A hand-made EXIF block whose IFD1 holds a JPEG thumbnail."""
    thumbnail = saved(Image.new("RGB", (8, 8), (255, 0, 0)), "JPEG")
    make = b"Maker\0"
    ifd0 = struct.pack("<HHHII", 1, MAKE, 2, len(make), 26 + 42) + struct.pack("<I", 26)
    ifd1 = struct.pack("<H", 3) + struct.pack("<HHII", 0x0103, 3, 1, 6)
    ifd1 += struct.pack("<HHII", 0x0201, 4, 1, 26 + 42 + 6) + struct.pack(
        "<HHII", 0x0202, 4, 1, len(thumbnail)
    )
    ifd1 += struct.pack("<I", 0)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + ifd0 + ifd1 + make + thumbnail
    data = saved(Image.new("RGB", (4, 4)), "JPEG", exif=block)
    assert Image.open(io.BytesIO(data)).getexif().get_ifd(IFD1)[0x0201]  # it is there to begin with

    picture = read(data)
    assert thumbnail not in picture.metadata.exif
    image, _ = rewritten(picture, "jpg")
    assert image.getexif()[MAKE] == "Maker"
    assert image.getexif().get_ifd(IFD1) == {}


@pytest.mark.parametrize("format", EXIF_SOURCES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(format, orientation):
    y, x = np.mgrid[:24, :40]
    original = Image.fromarray(np.stack([x * 6, y * 10, 0 * x], -1).astype(np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    tagged = original.copy()
    tagged.info["exif"] = exif.tobytes()
    data = saved(original, format, exif=exif)  # Pillow's AVIF takes the tag out of `exif`
    expected = np.asarray(ImageOps.exif_transpose(tagged)).astype(int)
    picture = read(data)
    assert probe(data).size == picture.size == ((40, 24) if orientation < 5 else (24, 40))
    assert np.abs(picture.color - expected).max() < 25
    again = io.BytesIO()
    encode(picture, again, format="png")
    assert np.array_equal(read(again.getvalue()).color, picture.color)


def test_orientation_behind_the_pixels_of_a_png():
    """Legal, if rare: probe and read have to agree on the size."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = saved(Image.new("L", (5, 3)), "PNG")
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = data[:-12] + chunk + data[-12:]
    assert probe(data).size == read(data).size == (3, 5)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_absurd_orientation_is_upright(orientation):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Maker"
    data = saved(Image.new("L", (5, 3)), "JPEG", exif=exif)
    assert probe(data).size == read(data).size == (5, 3)
    assert ORIENTATION not in rewritten(read(data), "jpg")[0].getexif()


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0garbage that is no TIFF header",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x01" * 40,
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\xff\xff\xff\xff\0\0\0\0",
        b"Exif\0\0",
    ],
)
def test_absurd_exif_does_not_cost_the_picture(block):
    data = saved(Image.new("RGB", (5, 3), (9, 9, 9)), "JPEG", exif=block)
    picture = read(data)
    assert picture.size == probe(data).size == (5, 3)
    assert len(picture.notes) <= 1
    image, notes = rewritten(picture, "jpg")
    assert image.size == (21, 9) and notes == ()


def test_an_exif_field_of_the_wrong_kind_is_dropped_alone():
    """ImageDescription as rationals with a denominator of 0, and much the like, from one broken camera."""
    exif = camera_exif()
    data = bytearray(saved(Image.new("RGB", (5, 3)), "JPEG", exif=exif))
    at = data.find(struct.pack(">HH", DATE, 2))
    data[at + 2 : at + 4] = struct.pack(">H", 5)  # ASCII becomes RATIONAL
    picture = read(bytes(data))
    image, _ = rewritten(picture, "jpg")
    assert image.getexif()[0x0131] == "Software 1.0"


def test_too_much_exif_for_jpeg_is_reported():
    exif = Image.Exif()
    exif[EXIF_IFD] = {MAKER_NOTE: b"x" * 70_000}
    picture = read(saved(Image.new("RGB", (5, 3)), "PNG", exif=exif))
    image, notes = rewritten(picture, "jpg")
    assert notes == ("jpg cannot hold the EXIF data.",)
    assert len(image.getexif()) == 0
    assert rewritten(picture, "png")[1] == ()


def test_broken_exif_of_an_api_user_is_reported():
    picture = Picture(np.zeros((2, 2, 3), np.uint8), metadata=Metadata(exif=b"nonsense" * 5))
    assert rewritten(picture, "jpg")[1] == ("The EXIF data is damaged and was dropped.",)


# --- ICC, resolution, XMP -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row", [row for row in FORMATS.values() if row.icc and row.is_available], ids=lambda r: r.name
)
def test_icc_travels(row):
    picture = read(saved(Image.new("RGB", (5, 3)), "PNG", icc_profile=SRGB))
    image, notes = rewritten(picture, row)
    assert image.info["icc_profile"] == SRGB
    assert notes == ()
    gray = Picture(np.zeros((2, 2, 1), np.uint8), metadata=picture.metadata)
    image, notes = rewritten(gray, row)
    assert not image.info.get("icc_profile")
    assert notes == ("The colour profile is for RGB, does not fit a greyscale picture and was dropped.",)


def gray_profile():
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, 563)  # gamma 2.2
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 16)
    header = bytearray(128)
    header[8:12], header[12:24], header[36:40] = bytes((2, 0x40, 0, 0)), b"mntrGRAYXYZ ", b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    profile = bytes(header) + tags + white + curve
    return struct.pack(">I", len(profile)) + profile[4:]


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profile_stays_with_grey(mode):
    profile = gray_profile()
    data = saved(Image.new(mode, (4, 4)), "PNG", icc_profile=profile)
    picture = read(data)
    assert picture.metadata.icc_profile == profile and picture.notes == ()
    stream = io.BytesIO()
    encode(picture, stream, format="png")
    assert Image.open(stream).info["icc_profile"] == profile


def test_broken_png_profile_is_noted():
    good = saved(Image.new("RGB", (4, 4)), "PNG")
    body = b"iCCPname\0\0not deflated"
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    picture = read(good[:33] + chunk + good[33:])
    assert picture.notes == ("The colour profile is broken and was dropped.",)


@pytest.mark.parametrize(
    "row", [row for row in FORMATS.values() if row.dpi and row.is_available], ids=lambda r: r.name
)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "BMP"])
def test_dpi_travels(source, row):
    picture = read(saved(Image.new("RGB", (5, 3)), source, dpi=(300, 150)))
    assert picture.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    assert rewritten(picture, row)[0].info["dpi"] == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("row", [r for r in FORMATS.values() if r.is_available], ids=lambda r: r.name)
def test_dpi_is_kept_or_said_to_be_lost(row):
    stream = io.BytesIO()
    picture = Picture(np.zeros((3, 5, 3), np.uint8), metadata=Metadata(dpi=(300, 150)))
    said = any("resolution" in note for note in encode(picture, stream, format=row))
    assert (read(stream.getvalue()).metadata.dpi is None) == said


@pytest.mark.skipif(not features.check("webp"), reason="Pillow without WebP")
def test_dpi_of_formats_that_have_only_exif():
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 100.0, 50.0, 3  # per centimetre
    picture = read(saved(Image.new("RGB", (5, 3)), "WEBP", exif=exif))
    assert picture.metadata.dpi == pytest.approx((254, 127))


@pytest.mark.parametrize("dpi", [(0, 0), (1e9, 1e9)])
def test_absurd_dpi_is_ignored(dpi):
    assert read(saved(Image.new("RGB", (5, 3)), "TIFF", dpi=dpi)).metadata.dpi is None


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description xmlns:dc="d"'
    ' tiff:Orientation="6" exif:PixelXDimension=\'400\' dc:title="Größe">'
    "<tiff:ImageWidth>400</tiff:ImageWidth><xmp:Thumbnails>AAAA</xmp:Thumbnails><xap:Thumbnails><a/></xap:Thumbnails><dc:rights>me</dc:rights>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
).encode()
XMP_CLEAN = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description xmlns:dc="d"'
    ' dc:title="Größe">'
    "<dc:rights>me</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>"
).encode()


def with_xmp(format, packet):
    image = Image.new("RGB", (5, 3))
    if format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        return saved(image, "PNG", pnginfo=text)
    if format == "TIFF":
        return saved(image, "TIFF", tiffinfo={700: packet})
    return saved(image, format, xmp=packet)


XMP_ROWS = [row for row in FORMATS.values() if row.xmp and row.is_available]


@pytest.mark.parametrize("row", XMP_ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF"])
def test_xmp_travels_without_what_is_stale(source, row):
    picture = read(with_xmp(source, XMP))
    assert picture.metadata.xmp == XMP_CLEAN
    pixels = np.zeros((9, 21, 3), np.uint8)
    stream = io.BytesIO()
    assert encode(Picture(pixels, metadata=picture.metadata), stream, format=row) == ()
    assert read(stream.getvalue()).metadata.xmp == XMP_CLEAN
    if row.name != "gif":  # which Pillow does not look for
        packet = Image.open(stream).info["xmp"]
        assert (packet.encode() if isinstance(packet, str) else packet) == XMP_CLEAN


def test_orientation_that_only_xmp_knows_is_applied_at_most_once():
    """Newer versions of Pillow heed it, older ones do not."""
    data = with_xmp("JPEG", XMP)
    picture = read(data)
    assert picture.size == probe(data).size
    stream = io.BytesIO()
    encode(picture, stream, format="jpg")
    assert read(stream.getvalue()).size == picture.size


def test_xmp_that_cannot_stay_is_dropped_with_a_note():
    picture = read(with_xmp("JPEG", b"\xff\xfe<\0x\0"))
    assert picture.metadata.xmp is None
    assert len(picture.notes) == 1 and "XMP" in picture.notes[0]


@pytest.mark.parametrize(
    "said",
    [
        ' GCamera:MicroVideo="1" GCamera:MicroVideoOffset="4096">',
        ' Camera:MotionPhoto="1"><Container:Directory><rdf:Seq><rdf:li/></rdf:Seq></Container:Directory>',
        ' hdrgm:Version="1.0"><GContainer:Directory rdf:parseType="Resource"> </GContainer:Directory >',
        "><hdrgm:Version>1.0</hdrgm:Version>",
    ],
)
def test_xmp_does_not_promise_what_a_phone_had_appended(said):
    """A gain map or a film; the caption stays."""
    picture = read(with_xmp("JPEG", f'<rdf:Description dc:title="Sea"{said}</rdf:Description>'.encode()))
    assert picture.metadata.xmp == b'<rdf:Description dc:title="Sea"></rdf:Description>'
    assert len(picture.notes) == 1 and "film" in picture.notes[0]


@pytest.mark.parametrize(
    "packet",
    [
        b"<xmp:Thumbnails>" * 4000 + b" tiff:Orientation='" * 50 + b"<tiff:Orientation>" * 50,
        b"<xmp:Thumbnails></xmp:Thumbnails>" * 300_000,
        b"<Container:Directory/>" * 300_000,
        b"<rdf:Description" + b' xmlns:upscale="urn:upscale:record:1/"' * 10_000,
    ],
)
def test_hostile_xmp_takes_no_time(packet):
    started = time.process_time()
    assert read(with_xmp("TIFF", packet)).size == (5, 3)
    assert time.process_time() - started < 5


def test_orientation_in_a_damaged_packet_turns_no_result():
    """Pillow finds it wherever it stands."""
    picture = read(with_xmp("PNG", XMP.replace(b' tiff:Orientation="6"', b'0tiff:Orientation="6"')))
    stream = io.BytesIO()
    encode(picture, stream, format="png")
    assert picture.size == read(stream.getvalue()).size == (3, 5)


@pytest.mark.parametrize("row", WITH_EXIF, ids=lambda row: row.name)
def test_exif_text_keeps_its_bytes(row):
    """The standard says ASCII; cameras and programs write UTF-8 and Latin-1."""
    texts = {0x010E: "Zürich © 日本".encode(), 0x013B: "José Müller".encode("latin-1"), MAKE: b"Plain"}
    lens = "Objektiv für Nähe".encode()
    exif = Image.Exif()
    for tag, text in texts.items():
        exif[tag] = "?" * len(text)
    exif[EXIF_IFD] = {0xA434: "!" * len(lens)}
    block = exif.tobytes()
    for tag in sorted(texts):  # stored in this order
        block = block.replace(b"?" * len(texts[tag]) + b"\0", texts[tag] + b"\0", 1)
    block = block.replace(b"!" * len(lens), lens)
    picture = read(saved(Image.new("RGB", (5, 3)), "JPEG", exif=block))
    assert not picture.notes
    stream = io.BytesIO()
    encode(picture, stream, format=row)
    again = io.BytesIO()  # and once more
    encode(read(stream.getvalue()), again, format=row)
    for data in (stream.getvalue(), again.getvalue()):
        found = Image.open(io.BytesIO(data)).getexif()
        assert {tag: found[tag].encode("latin-1") for tag in texts} == texts
        assert found.get_ifd(EXIF_IFD)[0xA434].encode("latin-1") == lens


def test_no_resolution_is_made_up():
    """Pillow says 72 dots per inch of a JPEG with EXIF that says nothing of them."""
    data = saved(Image.new("RGB", (5, 3)), "JPEG", exif=camera_exif().tobytes())
    assert Image.open(io.BytesIO(data)).info["dpi"] == (72, 72)
    assert read(data).metadata.dpi is None
    assert read(saved(Image.new("RGB", (5, 3)), "JPEG", dpi=(300, 300))).metadata.dpi == (300, 300)


def test_resolution_that_is_text_costs_the_resolution_alone():
    exif = Image.Exif()
    exif[MAKE], exif[0x011A], exif[0x011B] = "Camera", 72.0, 72.0
    block = exif.tobytes()
    for tag in (0x011A, 0x011B):  # a rational of 8 bytes becomes as many letters
        rational, text = (struct.pack(">HHI", tag, kind, count) for kind, count in ((5, 1), (2, 8)))
        assert rational in block
        block = block.replace(rational, text)
    picture = read(saved(Image.new("RGB", (5, 3)), "PNG", exif=block))
    assert picture.metadata.dpi is None and picture.metadata.exif is not None
    assert b"Camera" in picture.metadata.exif


# --- text fields --------------------------------------------------------------------------------------------

FIELDS = (("Title", "Zürich"), ("parameters", "a cat, 日本, steps: 20"), ("Comment", "by hand"))


def with_texts(format, pixels=None):
    """Return a file with text fields, or those of them that it can hold."""
    stream = io.BytesIO()
    said = Metadata(texts=FIELDS if format == "png" else FIELDS[2:])
    picture = Picture(np.full((6, 5, 3), 90, np.uint8) if pixels is None else pixels, metadata=said)
    assert encode(picture, stream, format=format) == ()
    return stream.getvalue()


@pytest.mark.parametrize("bits", [8, 16])
def test_text_fields_of_a_png_travel(bits):
    data = with_texts("png", np.full((6, 5, 3), 90, f"uint{bits}"))
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert tuple(image.text.items()) == FIELDS
    picture = read(data)
    assert picture.metadata.texts == FIELDS and picture.notes == ()


def test_blocks_that_pillow_shows_as_texts_are_none():
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n 4\n00000000\n")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add_text("Author", "Ada")
    assert read(saved(Image.new("RGB", (5, 3)), "PNG", pnginfo=info)).metadata.texts == (("Author", "Ada"),)


@pytest.mark.parametrize("format", ["jpg", "gif"])
def test_comments_travel(format):
    data = with_texts(format)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["comment"] == b"by hand"
    assert read(data).metadata.texts == FIELDS[2:]
    long = Metadata(texts=(("Comment", "é" * 300),))
    stream = io.BytesIO()
    encode(Picture(np.zeros((4, 4, 3), np.uint8), metadata=long), stream, format=format)
    assert read(stream.getvalue()).metadata.texts == long.texts


@pytest.mark.parametrize("comment", [b"", b"\0", "Nähe".encode("latin-1")])
def test_comments_of_any_kind_are_read(comment):
    texts = read(saved(Image.new("RGB", (5, 3)), "JPEG", comment=comment)).metadata.texts
    assert texts == ((("Comment", "Nähe"),) if len(comment) > 1 else ())


@pytest.mark.parametrize("row", [r for r in FORMATS.values() if r.is_available], ids=lambda r: r.name)
def test_texts_that_a_format_cannot_hold_are_said(row):
    picture = read(with_texts("png"))
    notes = encode(picture, io.BytesIO(), format=row)
    assert notes == (() if row.name == "png" else (f"{row.name} cannot hold the text fields.",))


def test_comment_too_long_for_a_segment_is_said():
    picture = Picture(np.zeros((4, 4, 3), np.uint8), metadata=Metadata(texts=(("Comment", "x" * 70000),)))
    assert encode(picture, io.BytesIO(), format="jpg") == ("jpg cannot hold the text fields.",)


# --- colours described by other means -----------------------------------------------------------------------


def png_with(*chunks):
    data = saved(Image.new("RGB", (5, 3), "red"), "PNG")
    head = 8 + 25  # signature and IHDR
    return data[:head] + b"".join(png.chunk(*each) for each in chunks) + data[head:]


SRGB_CHUNKS = (
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
)


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        (SRGB_CHUNKS, False),
        (((b"gAMA", struct.pack(">I", 100000)),), True),
        (((b"gAMA", struct.pack(">I", 100000)), (b"sRGB", b"\0")), False),
        (((b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),), True),
        (((b"cICP", b"\x01\x0d\0\x01"),), False),
        (((b"cICP", b"\x09\x10\0\x01"),), True),
        (((b"cICP", b"\x09\x10\0\x01"), (b"gAMA", struct.pack(">I", 100000))), True),
    ],
)
def test_colours_of_a_png_that_are_not_srgb_are_said(chunks, said):
    picture = read(png_with(*chunks))
    assert len(picture.notes) == said and (not said or "sRGB" in picture.notes[0])


@pytest.mark.skipif(not FORMATS["avif"].is_available, reason="Pillow without AVIF")
@pytest.mark.parametrize(("primaries", "said"), [(1, False), (12, True)])
def test_colours_of_an_avif_that_are_not_srgb_are_said(primaries, said):
    data = bytearray(saved(Image.new("RGB", (8, 8), "red"), "AVIF"))
    place = data.find(b"colrnclx")
    assert place > 0
    struct.pack_into(">H", data, place + 8, primaries)
    assert len(read(bytes(data)).notes) == said


def test_part_of_the_xmp_that_is_elsewhere_is_said():
    packet = b"<x:xmpmeta xmpNote:HasExtendedXMP='0123' tiff:Make='Camera'/>"
    picture = read(with_xmp("JPEG", packet))
    assert picture.metadata.xmp == b"<x:xmpmeta tiff:Make='Camera'/>"
    assert len(picture.notes) == 1 and "XMP" in picture.notes[0]


@pytest.mark.parametrize("name", ["bmp", "ppm"])
def test_what_plain_formats_lose_is_reported(name, linear_rgb):
    picture = Picture(
        np.full((4, 4, 3), 64, np.uint8),
        metadata=Metadata(exif=camera_exif().tobytes(), icc_profile=linear_rgb, xmp=XMP_CLEAN),
    )
    stream = io.BytesIO()
    notes = encode(picture, stream, format=name)
    assert len(notes) == 4
    assert all(word in " ".join(notes) for word in ("EXIF", "XMP", "profile", "RGB was converted to sRGB"))
    assert np.abs(read(stream.getvalue()).color.astype(int) - 137).max() <= 1


# --- IPTC ---------------------------------------------------------------------------------------------------

IPTC = b"".join(
    struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text
    for number, text in ((0, b"\0\2"), (5, b"Title"), (80, b"By-line"), (120, "Größe".encode()))
)


def photoshop(*resources):
    data = b"Photoshop 3.0\0"
    for number, body in resources:
        data += b"8BIM" + struct.pack(">H2xI", number, len(body)) + body + bytes(len(body) % 2)
    return b"\xff\xed" + struct.pack(">H", len(data) + 2) + data


IPTC_ROWS = [row for row in FORMATS.values() if row.iptc]
IPTC_SOURCES = {
    "JPEG": lambda: saved(
        Image.new("RGB", (5, 3)),
        "JPEG",
        extra=photoshop((0x0425, b"digest"), (0x0404, IPTC), (0x040B, b"url")),
    ),
    "TIFF": lambda: saved(Image.new("RGB", (5, 3)), "TIFF", tiffinfo={33723: IPTC}),
    "TIFF in words": lambda: in_words(),
}


def in_words():
    """As Photoshop writes it: LONG, filled up to four bytes."""
    data = bytearray(IPTC_SOURCES["TIFF"]())
    for kind in (1, 7):
        at = data.find(struct.pack("<HHI", 33723, kind, len(IPTC)))
        if at >= 0:
            data[at : at + 8] = struct.pack("<HHI", 33723, 4, len(IPTC) // 4)
    return bytes(data)


@pytest.mark.parametrize("row", IPTC_ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("source", IPTC_SOURCES)
def test_iptc_travels(source, row):
    picture = read(IPTC_SOURCES[source]())
    whole = len(IPTC) // 4 * 4 if source == "TIFF in words" else len(IPTC)
    assert picture.metadata.iptc == IPTC[:whole]
    stream = io.BytesIO()
    large = Picture(np.zeros((9, 21, 3), np.uint8), metadata=picture.metadata)
    assert encode(large, stream, format=row) == ()
    assert read(stream.getvalue()).metadata.iptc == IPTC[:whole]
    if row.name == "jpg":
        fields = IptcImagePlugin.getiptcinfo(Image.open(stream))
        assert fields[(2, 5)] == b"Title" and fields[(2, 80)] == b"By-line"


@pytest.mark.parametrize(
    "row",
    [row for row in FORMATS.values() if row not in IPTC_ROWS and row.is_available],
    ids=lambda r: r.name,
)
def test_iptc_that_cannot_be_kept_is_noted(row):
    picture = read(IPTC_SOURCES["JPEG"]())
    assert encode(picture, io.BytesIO(), format=row) == (f"{row.name} cannot hold the IPTC data.",)


@pytest.mark.parametrize("body", [b"", b"no records", b"\x1c"])
def test_absurd_iptc(body):
    data = saved(Image.new("RGB", (5, 3)), "JPEG", extra=photoshop((0x0404, body)))
    picture = read(data)
    assert picture.metadata.iptc == (body if body == b"\x1c" else None) and picture.notes == ()
    assert read(data[:20] + data[20:].replace(b"8BIM", b"8BIX", 1)).size == (5, 3)


# --- all of it ----------------------------------------------------------------------------------------------

EVERYTHING = Metadata(
    exif=camera_exif().tobytes(), icc_profile=SRGB, dpi=(300.0, 300.0), xmp=XMP_CLEAN, iptc=IPTC
)
WORDS = [b"Camera", b"2024:05:06", b"maker understands", b"GPS", b"By-line", b"dc:rights", b"Photoshop"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "row", [row for row in FORMATS.values() if row.is_available], ids=lambda row: row.name
)
def test_the_table_keeps_what_it_promises(row, dtype):
    """Each block arrives or is reported missing, at any depth, and without metadata none of it is there."""
    pixels = np.full((9, 21, 3), 40, dtype)
    stream = io.BytesIO()
    notes = " ".join(encode(Picture(pixels, metadata=EVERYTHING), stream, format=row))
    back = read(stream.getvalue()).metadata
    assert (back.exif is not None) == row.exif != ("EXIF" in notes)
    assert (back.xmp == XMP_CLEAN) == row.xmp != ("XMP" in notes)
    assert (back.iptc == IPTC) == row.iptc != ("IPTC" in notes)
    assert (back.icc_profile == SRGB) == row.icc
    if row.dpi or row.exif:
        assert back.dpi == pytest.approx((300, 300), abs=0.02)
    if row.exif:
        exif = Image.Exif()
        exif.load(back.exif)
        assert exif.get_ifd(EXIF_IFD)[DATE] == "2024:05:06 07:08:09" and exif.get_ifd(GPS_IFD)[1] == "N"

    bare = io.BytesIO()
    encode(Picture(pixels, metadata=Metadata(icc_profile=SRGB)), bare, format=row)
    assert not [word for word in WORDS if word in bare.getvalue()]
    assert read(bare.getvalue()).metadata == Metadata(icc_profile=SRGB if row.icc else None)
