"""Animations and pages: every picture arrives, in its order, with what belongs to it, and leaves so."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence, features

from upscale.errors import InputError, OutputError
from upscale.images import extent, tiff
from upscale.images.formats import FORMATS
from upscale.images.picture import Metadata, Picture
from upscale.images.read import probe, read
from upscale.images.read_frames import read_frames
from upscale.images.sequence import Frame
from upscale.images.write_frames import encode_frames, write_frames

ANIMATED = [row for row in FORMATS.values() if row.sequence == "animation" and row.is_available]
SOURCES = [name for name in ("GIF", "WEBP", "PNG", "AVIF") if name != "AVIF" or features.check("avif")]
EXACT = ("gif", "png")
SIZE = (24, 16)
COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
DURATIONS = [40, 120, 200, 1000]


def drawing(number, *, alpha=False, size=SIZE):
    """A square that walks over a plain ground."""
    width, height = size
    color = np.full((height, width, 3), 60, np.uint8)
    color[4:12, 4 * number : 4 * number + 8] = COLORS[number % 4]
    hole = np.full((height, width), 255, np.uint8)
    if alpha:
        hole[:3] = 0
        hole[:, : 2 * number] = 0
    return Picture(color, hole if alpha else None)


def frames_of(count=4, **options):
    return [Frame(drawing(number, **options), DURATIONS[number % 4]) for number in range(count)]


def encoded(format, *, count=4, plays=0, alpha=False, **options):
    """What Pillow makes of it."""
    images = []
    for frame in frames_of(count, alpha=alpha):
        image = Image.fromarray(frame.picture.color)
        if alpha:
            image.putalpha(Image.fromarray(frame.picture.alpha))
        images.append(image)
    own = {
        "GIF": {"disposal": 2 * alpha, **({} if plays == 1 else {"loop": max(plays - 1, 0)})},
        "PNG": {"disposal": 1 * alpha, "loop": plays},
        "WEBP": {"lossless": True, "loop": plays},
    }.get(format, {})
    stream = io.BytesIO()
    first, *rest = images
    first.save(
        stream, format, save_all=True, append_images=rest, duration=DURATIONS[:count], **own, **options
    )
    return stream.getvalue()


def info_for(count=4, *, plays=0, alpha=False, sequence="animation"):
    return replace(probe(encoded("GIF")), frames=count, plays=plays, has_alpha=alpha, sequence=sequence)


def rewritten(frames, row, **options):
    stream = io.BytesIO()
    notes = encode_frames(iter(frames), info_for(len(frames), **options), stream, format=row)
    return stream.getvalue(), notes


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("format", SOURCES)
def test_frames_are_read_as_they_are_to_be_seen(format, alpha):
    data = encoded(format, alpha=alpha)
    info = probe(data)
    assert (info.frames, info.sequence, info.size) == (4, "animation", SIZE)
    frames = list(read_frames(data))
    assert [frame.duration_ms for frame in frames] == DURATIONS
    for number, frame in enumerate(frames):
        expected = drawing(number, alpha=alpha)
        seen = slice(None) if not alpha else expected.alpha > 0
        error = np.abs(frame.picture.color.astype(int) - expected.color)[seen]
        assert np.mean(error) < (8 if format == "AVIF" else 0.01)
        if alpha:
            assert np.abs(frame.picture.alpha.astype(int) - expected.alpha).mean() < 5


@pytest.mark.parametrize("plays", [0, 1, 2, 7])
@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_how_often_it_is_shown(format, plays):
    assert probe(encoded(format, plays=plays)).plays == plays


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("plays", [0, 1, 5])
@pytest.mark.parametrize("row", ANIMATED, ids=lambda row: row.name)
def test_frames_travel(row, plays, alpha, tmp_path):
    frames = frames_of(alpha=alpha)
    data, notes = rewritten(frames, row, plays=plays, alpha=alpha)
    info = probe(data)
    assert (info.frames, info.sequence, info.format) == (4, "animation", row.pillow_name)
    assert info.plays == (0 if row.name == "avif" else plays)
    assert any("loops for ever" in note for note in notes) == (row.name == "avif" and plays > 0)
    back = list(read_frames(data))
    assert [frame.duration_ms for frame in back] == DURATIONS
    for one, other in zip(frames, back, strict=True):
        seen = slice(None) if not alpha else one.picture.alpha > 0
        error = np.abs(one.picture.color.astype(int) - other.picture.color)[seen]
        assert np.mean(error) < (0.01 if row.name in EXACT else 12)
        if alpha:
            assert np.abs(other.picture.alpha.astype(int) - one.picture.alpha).mean() < 5
    path = tmp_path / f"a{row.suffix}"
    assert write_frames(iter(frames), info_for(plays=plays, alpha=alpha), path, format=row) == notes
    assert path.read_bytes() == data or row.name == "avif"


@pytest.mark.parametrize("row", ANIMATED, ids=lambda row: row.name)
def test_pillow_shows_the_same(row):
    """Our own writers against another reader, frame by frame, as a viewer does it."""
    data, _ = rewritten(frames_of(alpha=True), row, alpha=True)
    with Image.open(io.BytesIO(data)) as image:
        for number, frame in enumerate(ImageSequence.Iterator(image)):
            shown = np.asarray(frame.convert("RGBA")).astype(int)
            expected = drawing(number, alpha=True)
            assert np.abs(shown[..., 3] - expected.alpha).mean() < 5
            seen = expected.alpha > 0
            assert np.abs(shown[..., :3] - expected.color)[seen].mean() < (0.01 if row.name in EXACT else 12)


@pytest.mark.parametrize("row", ANIMATED, ids=lambda row: row.name)
def test_frames_are_asked_for_one_at_a_time(row):
    """Memory must not grow with their number."""
    alive = []

    class Kept(np.ndarray):
        pass

    def many():
        for number in range(40):
            array = drawing(number % 4).color.view(Kept)
            alive.append(__import__("weakref").ref(array))
            assert sum(ref() is not None for ref in alive) <= 5
            yield Frame(Picture(array), 50)

    encode_frames(many(), info_for(40), io.BytesIO(), format=row)


def test_metadata_travels_with_animations():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"></rdf:RDF></x:xmpmeta>'
    said = Metadata(exif=exif.tobytes(), xmp=xmp, dpi=(300, 300))
    frames = [replace(frame, picture=replace(frame.picture, metadata=said)) for frame in frames_of()]
    for row in ANIMATED:
        stream = io.BytesIO()
        record = {"model": "tiny"}
        encode_frames(iter(frames), info_for(), stream, format=row, record=record)
        data = stream.getvalue()
        assert probe(data).record == record
        back = read(data).metadata
        assert back.xmp is not None and b"xmpmeta" in back.xmp
        assert (back.exif is not None and b"Maker" in back.exif) == row.exif


def test_durations_of_a_gif_do_not_drift():
    frames = [Frame(drawing(number % 4), 1000 / 30) for number in range(30)]
    data, _ = rewritten(frames, "gif")
    assert sum(frame.duration_ms for frame in read_frames(data)) == 1000


def test_what_is_not_shown_at_all_is_shown_as_players_do():
    data, _ = rewritten([Frame(drawing(0), 0), Frame(drawing(1), 0)], "png")
    assert [frame.duration_ms for frame in read_frames(data)] == [100, 100]


def test_many_colours_in_a_gif_are_chosen_for_each_frame():
    y, x = np.mgrid[:64, :64]
    ramps = [np.stack([x * 4, y * 4, 0 * x], 2), np.stack([0 * x, x * 4, y * 4], 2)]
    frames = [Frame(Picture(ramp.astype(np.uint8)), 100) for ramp in ramps]
    data, notes = rewritten(frames, "gif")
    assert len(notes) == 1 and "256 colours" in notes[0]
    assert rewritten(frames_of(), "gif")[1] == ()
    for frame, ramp in zip(read_frames(data), ramps, strict=True):
        assert np.abs(frame.picture.color.astype(int) - ramp).mean() < 8


def test_the_picture_for_others_in_an_apng_is_no_frame():
    stream = io.BytesIO()
    images = [Image.new("RGB", (8, 8), color) for color in COLORS]
    images[0].save(stream, "PNG", save_all=True, append_images=images[1:], default_image=True, duration=50)
    info = probe(stream.getvalue())
    assert info.frames == 3
    assert [tuple(f.picture.color[0, 0]) for f in read_frames(stream.getvalue())] == COLORS[1:]


def test_frames_that_leave_the_screen_are_cut():
    data = bytearray(encoded("GIF"))
    data[6:10] = struct.pack("<HH", 20, 12)  # the screen; the first frame already is larger
    frames = list(read_frames(bytes(data)))
    assert {frame.picture.size for frame in frames} == {probe(bytes(data)).size}


@pytest.mark.parametrize("format", SOURCES)
def test_a_single_frame_is_a_picture(format):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, format)
    info = probe(stream.getvalue())
    assert (info.frames, info.sequence) == (1, None)
    assert len(list(read_frames(stream.getvalue()))) == 1


# --- pages --------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
PAGES = [
    Picture(RNG.integers(0, 255, (9, 7, 3), np.uint8), metadata=Metadata(dpi=(300, 300))),
    Picture(RNG.integers(0, 65535, (5, 11, 1), np.uint16), metadata=Metadata(xmp=b"<x/>")),
    Picture(RNG.integers(0, 65535, (5, 3, 3), np.uint16), RNG.integers(0, 65535, (5, 3), np.uint16)),
    Picture(RNG.integers(0, 255, (1, 1, 1), np.uint8), RNG.integers(0, 255, (1, 1), np.uint8)),
]


def document(pages=PAGES):
    data, notes = rewritten([Frame(page) for page in pages], "tiff", sequence="pages")
    assert notes == ()
    return data


def test_pages_differ_in_everything():
    data = document()
    info = probe(data)
    assert (info.frames, info.sequence, info.size) == (4, "pages", (7, 9))
    back = [frame.picture for frame in read_frames(data)]
    for one, other in zip(PAGES, back, strict=True):
        assert np.array_equal(one.color, other.color) and one.color.dtype == other.color.dtype
        assert (one.alpha is None and other.alpha is None) or np.array_equal(one.alpha, other.alpha)
        assert other.metadata.dpi == one.metadata.dpi and other.metadata.xmp == one.metadata.xmp
    with Image.open(io.BytesIO(data)) as image:
        assert [page.size for page in ImageSequence.Iterator(image)] == [page.size for page in PAGES]


@pytest.mark.parametrize("big", [False, True])
def test_other_programs_read_our_pages(big, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    if big:
        monkeypatch.setattr(tiff, "_CLASSIC_BYTES", 1000)
    data = document()
    assert data[2] == (43 if big else 42)
    assert [frame.picture.size for frame in read_frames(data)] == [page.size for page in PAGES]
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for page, picture in zip(file.pages, PAGES, strict=True):
            samples = page.asarray().reshape(*picture.color.shape[:2], -1)
            assert np.array_equal(samples[..., : picture.color.shape[2]], picture.color)


def test_pages_of_pillow():
    stream = io.BytesIO()
    images = [Image.fromarray(page.color) for page in (PAGES[0], PAGES[0])]
    images.append(images[0].convert("1"))
    images[0].save(stream, "TIFF", save_all=True, append_images=images[1:], compression="tiff_lzw")
    back = [frame.picture for frame in read_frames(stream.getvalue())]
    assert [page.is_gray for page in back] == [False, False, True]


def test_thumbnails_are_no_pages():
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for kind in (0, 1, 0, 2):
            writer.write(np.full((4, 4), 10 + kind, np.uint8), subfiletype=kind, metadata=None)
    assert probe(stream.getvalue()).frames == 3
    assert [int(f.picture.color[0, 0, 0]) for f in read_frames(stream.getvalue())] == [10, 10, 12]


def test_orientation_of_each_page():
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for orientation in (1, 6, 1):
            tags = [(274, 3, 1, orientation, True)]
            writer.write(np.zeros((4, 9), np.uint8), metadata=None, extratags=tags)
    assert [frame.picture.size for frame in read_frames(stream.getvalue())] == [(9, 4), (4, 9), (9, 4)]


# --- what can go wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", SOURCES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated(format, share):
    data = encoded(format)
    with pytest.raises(InputError):
        list(read_frames(data[: int(len(data) * share)]))


def test_a_document_cut_between_its_pages():
    data = document([PAGES[0]] * 3)
    second = struct.unpack_from("<I", data, 8 + 2 + 12 * struct.unpack_from("<H", data, 8)[0])[0]
    third = struct.unpack_from("<I", data, second + 2 + 12 * struct.unpack_from("<H", data, second)[0])[0]
    with pytest.raises(InputError, match="its end is missing"):
        list(read_frames(data[:third]))
    picture = read(data[:second])
    assert picture.notes == ("The file is damaged after its first picture; later ones may be lost.",)


def test_a_later_page_may_be_a_bomb():
    data = document([PAGES[0], Picture(np.zeros((300, 400, 1), np.uint8))])
    with pytest.raises(InputError, match=r"has 0\.12 megapixels.*page 2 of 2"):
        list(read_frames(data, max_mpix=0.1))


def test_counting_ends(monkeypatch):
    monkeypatch.setattr(extent, "MAX_FRAMES", 20)
    data = encoded("GIF")
    first = data.index(b"!\xf9")
    many = data[:first] + data[first:-1] * 100 + b";"
    assert probe(many).frames == 21
    assert probe(document([PAGES[3]] * 50)).frames == 21


@pytest.mark.parametrize("row", [FORMATS["png"], FORMATS["gif"], FORMATS["webp"]], ids=lambda row: row.name)
@pytest.mark.parametrize("count", [3, 5])
def test_another_number_of_frames_is_noticed(row, count, tmp_path):
    with pytest.raises(InputError, match="changed"):
        write_frames(iter(frames_of(count)), info_for(4), tmp_path / "a", format=row)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("row", FORMATS.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("sequence", ["animation", "pages"])
def test_formats_say_what_they_hold(row, sequence):
    if row.sequence == sequence or not row.is_available:
        pytest.skip("it does")
    with pytest.raises(OutputError, match=f"{row.name} cannot hold the 4") as caught:
        rewritten(frames_of(), row, sequence=sequence)
    assert "--first-frame" in caught.value.hint
