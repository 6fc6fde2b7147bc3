"""Bad input: always an `InputError` whose sentence names the file, never another exception."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PpmImagePlugin, features

from upscale.errors import ExitCode, InputError
from upscale.images.formats import FORMATS
from upscale.images.read import probe, read

FORMATS_READ = ["JPEG", "PNG", "TIFF", "BMP", "GIF", "PPM", "TGA", "SGI"]
FORMATS_READ += ["WEBP"] if features.check("webp") else []
FORMATS_READ += ["AVIF"] if FORMATS["avif"].is_available else []
FORMATS_READ += ["JPEG2000"] if features.check("jpg_2000") else []


def encoded(format):
    noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format)
    return stream.getvalue()


ENCODED = {format: encoded(format) for format in FORMATS_READ}


def refused(source, use=read):
    """Return the error that reading raises; its message has to be one clear sentence with the file's name."""
    with pytest.raises(InputError) as caught:
        use(source)
    error = caught.value
    assert error.exit_code == ExitCode.INPUT
    assert error.message.startswith("standard input" if isinstance(source, bytes) else str(source))
    assert error.message.endswith(".") and not error.message.endswith("..")
    assert "\n" not in error.message and "<_io" not in error.message
    return error


@pytest.mark.parametrize("use", [probe, read])
class TestPaths:
    def test_missing(self, tmp_path, use):
        assert "does not exist" in refused(tmp_path / "none.jpg", use).message

    def test_folder(self, tmp_path, use):
        error = refused(tmp_path, use)
        assert "is a folder" in error.message and error.hint

    def test_below_a_file(self, tmp_path, use):
        (tmp_path / "file").write_bytes(b"x")
        assert "part of its path is a file" in refused(tmp_path / "file" / "photo.jpg", use).message

    def test_empty(self, tmp_path, use):
        path = tmp_path / "empty.jpg"
        path.touch()
        assert "is empty (0 bytes)" in refused(path, use).message

    def test_name_too_long(self, tmp_path, use):
        assert "too long" in refused(tmp_path / ("n" * 300), use).message

    def test_impossible_name(self, use):
        with pytest.raises(InputError, match="not a possible file name"):
            use(Path("a\0b"))

    def test_link_to_nowhere_and_circles(self, tmp_path, use):
        (tmp_path / "dangling").symlink_to(tmp_path / "none")
        (tmp_path / "circle").symlink_to(tmp_path / "circle")
        assert "does not exist" in refused(tmp_path / "dangling", use).message
        assert "cannot be opened" in refused(tmp_path / "circle", use).message

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_pipes_and_devices_are_not_waited_for(self, tmp_path, use):
        os.mkfifo(tmp_path / "pipe")
        error = refused(tmp_path / "pipe", use)
        assert "not a regular file" in error.message and "Give -" in error.hint

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_permission(self, tmp_path, use):
        path = tmp_path / "secret.png"
        path.write_bytes(ENCODED["PNG"])
        path.chmod(0)
        assert "permission denied" in refused(path, use).message


def test_permission_denied_whoever_asks(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(ENCODED["PNG"])

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", denied)
    assert "permission denied" in refused(path).message


def test_disk_error_while_reading(tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    path.write_bytes(ENCODED["PNG"])

    class Failing(io.BytesIO):
        def read(self, *args):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(path), "open", lambda *args: Failing())
    assert refused(path).message == f"{path} cannot be read: Input/output error."


def test_place_where_no_file_can_be(tmp_path):
    """Looking there is refused by the system, but it is the file that is at fault."""
    path = tmp_path / "photo.tif"
    path.write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**62) + bytes(100))
    assert "is damaged or incomplete" in refused(path).message


def test_nothing_on_standard_input():
    with pytest.raises(InputError, match="Nothing came from standard input"):
        read(b"")


@pytest.mark.parametrize(
    "data", [b"hello, world\n", b"\0" * 1000, b"%PDF-1.4 ...", b"P", b"\xff\xd8", b"GIF89a"]
)
def test_not_a_picture(data, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for use in (probe, read):
        refused(path, use)
        refused(data, use)
    assert path.read_bytes() == data
    assert "is not a picture" in refused(b"hello, world\n").message


@pytest.mark.parametrize(
    "data", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", b"GRIB\0\0\0\x01"]
)
def test_drawings_and_containers_are_refused(data):
    """Nobody starts Ghostscript on files from the internet."""
    assert "which cannot be read" in refused(data).message


def tiff(tags, signature=b"", order="<", strip=b"\0"):
    """Return a grey picture of one pixel."""
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: len(strip), **tags}
    start = 8 + len(signature)
    tags[273] = start + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(f"{order}HHLL", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}L", start) + signature
    return head + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + strip


def test_raw_files_are_refused():
    """Else their previews would be enlarged; a copy of the picture inside another one does no harm."""
    for data in (tiff({254: 1, 330: 8}), tiff({}, b"CR\2\0\0\0\0\0")):
        error = refused(data)
        assert "raw file" in error.message and "Develop" in (error.hint or "")
    for data in (tiff({}), tiff({254: 1}), tiff({254: 0, 330: 8})):
        assert read(data).size == (1, 1)


@pytest.mark.parametrize("compression", [1, 8])
def test_numbers_whose_bytes_pillow_would_swap_twice(compression):
    number = struct.pack(">f", 0.5)
    data = tiff(
        {258: 32, 259: compression, 339: 3},
        order=">",
        strip=number if compression == 1 else zlib.compress(number),
    )
    if compression == 1:
        assert read(data).color.item() == 32768
    else:
        assert "big-endian" in refused(data).message


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("format", FORMATS_READ)
def test_truncated(format, share, tmp_path):
    data = ENCODED[format]
    path = tmp_path / "cut.img"
    path.write_bytes(data[: int(len(data) * share)])
    refused(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_truncated_says_so():
    assert "damaged or incomplete (image file is truncated" in refused(ENCODED["JPEG"][:900]).message


@pytest.mark.parametrize("format", FORMATS_READ)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes(format, data):
    """Whatever a decoder makes of damaged bytes: a picture or an `InputError`."""
    damaged = bytearray(ENCODED[format])
    for _ in range(data.draw(st.integers(1, 12))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 1500)))] = data.draw(st.integers(0, 255))
    try:
        probe(bytes(damaged), max_mpix=1)
        read(bytes(damaged), max_mpix=1)
    except InputError as error:
        assert error.message.startswith("standard input")


@given(
    st.binary(max_size=200),
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0", b"MM\0*", b"BM", b"P6 "]),
)
@settings(max_examples=100, deadline=None)
def test_random_bytes_behind_a_signature(data, signature):
    try:
        read(signature + data, max_mpix=1)
    except InputError as error:
        assert error.message.startswith("standard input")


@pytest.mark.parametrize(
    "error",
    [
        OSError("odd"), SyntaxError("odd"), ValueError("odd"), struct.error("odd"), EOFError("odd"),
        IndexError("odd"), KeyError("odd"), OverflowError("odd"), zlib.error("odd"), TypeError("odd"),
        AssertionError("odd"), RecursionError("odd"), NotImplementedError("odd"), RuntimeError("odd\nlines"),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_a_decoder_raises(error, monkeypatch):
    def load(self):
        raise error

    monkeypatch.setattr(PpmImagePlugin.PpmImageFile, "load", load)
    message = refused(ENCODED["PPM"]).message
    assert "is damaged or incomplete" in message
    assert "odd" in message or type(error).__name__ in message


def test_out_of_memory(monkeypatch):
    def load(self):
        raise MemoryError

    monkeypatch.setattr(PpmImagePlugin.PpmImageFile, "load", load)
    assert "more memory" in refused(ENCODED["PPM"]).message


def test_ctrl_c_is_not_swallowed(monkeypatch):
    def load(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(PpmImagePlugin.PpmImageFile, "load", load)
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(KeyboardInterrupt):
        read(ENCODED["PPM"])
    assert before == Image.MAX_IMAGE_PIXELS
