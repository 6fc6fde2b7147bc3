"""A folder of everything that files can have wrong, given to the command as a person would.

One process takes the whole corpus, under a limit of memory and time, with an engine that changes nothing.
No file may crash, hang or bloat it; what cannot be read is refused by name; what is written has the right
content. `-m slow` takes the corpus in full; `-s` shows the counts.
"""

from __future__ import annotations

import io
import json
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from upscale.errors import ExitCode
from upscale.images.picture import Picture
from upscale.images.write import encode

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names and limits of POSIX systems")

Process = Any
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF")
SIZE = (61, 47)
SECONDS_PER_FILE = 5.0
# The picture comes out as it went in, so that what is written can be compared with what was read.
# Linux's ru_maxrss begins with the peak of the process that started this one: VmHWM is this one's own.
SAME = (
    Path(__file__).with_name("quick_engine.py").read_text(encoding="utf-8")
    + """
import atexit, pathlib, re, resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

def peak():
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

atexit.register(lambda: print("peak", peak(), file=sys.stderr))

def upscale_many(self, pictures, size, progress=None):
    assert all(picture.size == size for picture in pictures)
    return pictures

Upscaler.upscale_many = upscale_many
"""
)
MAX_PEAK_KIB = 1 << 20


def encoded(format: str, **options: Any) -> bytes:
    """Return a picture with flat and noisy parts."""
    levels = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    levels[10:40, 10:50] = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, format, **options)
    return stream.getvalue()


# --- the corpus -------------------------------------------------------------------------------------------


def truncated(step: int) -> Iterator[tuple[str, bytes]]:
    """Cut at every `step` per cent."""
    for format in FORMATS:
        data = encoded(format)
        for percent in range(0, 100, step):
            yield f"cut-{format}-{percent:02}.{format.lower()}", data[: len(data) * percent // 100]


def flipped(count: int) -> Iterator[tuple[str, bytes]]:
    """Flip one to eight bits, half of the times in the headers."""
    for format in FORMATS:
        data = encoded(format)
        rng = random.Random(format)
        for number in range(count):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 8)):
                place = rng.randrange(min(len(data), 600) if number % 2 else len(data))
                damaged[place] ^= 1 << rng.randrange(8)
            yield f"flip-{format}-{number:03}.{format.lower()}", bytes(damaged)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, depth: int = 8, color: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    pixels = zlib.compress(bytes(min(10**6, (1 + 3 * width) * height)))
    parts = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(*entries: tuple[int, int, int, int], following: int = 0, size: tuple[int, int] = (4, 4)) -> bytes:
    """Return a grey TIFF whose IFD, at 8, has further entries (tag, type, count, value) and a next IFD."""
    usual = [(256, 4, 1, size[0]), (257, 4, 1, size[1]), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
             (273, 4, 1, 400), (277, 3, 1, 1), (278, 4, 1, size[1]), (279, 4, 1, 16)]  # fmt: skip
    rows = sorted({entry[0]: entry for entry in (*usual, *entries)}.values())
    ifd = struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows)
    return (b"II*\0\x08\0\0\0" + ifd + struct.pack("<I", following)).ljust(400, b"\0") + bytes(range(16))


def exif(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)
    return b"Exif\0\0" + block


def crafted() -> Iterator[tuple[str, bytes]]:
    """Files that somebody has thought about."""
    bomb = zlib.compress(bytes(50 << 20), 9)
    good = encoded("PNG")
    yield "bomb.png", png(100_000, 100_000)
    yield "bomb-gray.png", png(2**31 - 1, 2**31 - 1, depth=1, color=0)
    yield "bomb-text.png", png(4, 4, chunk(b"zTXt", b"Comment\0\0" + bomb))
    yield "bomb-itxt.png", png(4, 4, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb))
    yield "bomb-icc.png", png(4, 4, chunk(b"iCCP", b"icc\0\0" + bomb))
    yield "bomb.gif", b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\0;"
    yield (
        "bomb.bmp",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 60, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "bomb.ppm", b"P6 99999999 99999999 255\n" + bytes(100)
    yield "bomb.pgm", b"P5 " + b"9" * 5000 + b" 1 255\n"
    yield "bomb.tiff", tiff(size=(2**31, 2**31))
    yield "bomb.tga", struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 65535, 65535, 24, 0) + bytes(50)
    yield "empty.png", png(0, 0)
    yield "no-pixels.png", good[: good.index(b"IDAT") - 4] + chunk(b"IEND", b"")
    yield "huge-chunk.png", good[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + good[33:]
    yield "many-chunks.png", good[:33] + chunk(b"tEXt", b"a\0b") * 20_000 + good[33:]
    yield (
        "much-text.png",
        good[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000))) * 200 + good[33:],
    )
    yield "apng-lies.png", good[:33] + chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + good[33:]

    yield "ifd-loop.tiff", tiff(following=8)
    yield "ifd-far.tiff", tiff(following=2**32 - 1)
    yield "ifd-itself.tiff", tiff((34665, 4, 1, 8), (34853, 4, 1, 8), (330, 4, 1, 8))
    yield "count.tiff", tiff((270, 2, 2**32 - 1, 0), (700, 1, 2**31, 8), (34675, 7, 2**32 - 1, 8))
    yield "strips.tiff", tiff((273, 4, 2**30, 8), (279, 4, 2**30, 8))
    yield "bits.tiff", tiff((258, 3, 1, 65535))
    yield "zero-rows.tiff", tiff((278, 4, 1, 0))
    yield "samples.tiff", tiff((277, 3, 1, 65535))
    yield "tile.tiff", tiff((322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 400), (325, 4, 1, 16))

    for number in (0, 9, 99, 65535):
        yield f"orientation-{number}.jpg", encoded("JPEG", exif=exif((0x112, 3, 1, number)))
    for name, block in {
        "loop": exif((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), following=8),
        "far": exif((0x8769, 4, 1, 2**32 - 1), (0x8825, 4, 1, 2**32 - 1), (0x10F, 2, 100, 2**32 - 1)),
        "count": exif((0x10F, 2, 2**32 - 1, 26), (0x11A, 5, 2**31, 26)),
        "types": exif((0x112, 2, 4, 0), (0x10F, 12, 1, 26), (0x11A, 99, 1, 0), (0x9003, 7, 1, 26)),
        "zero": exif((0x11A, 5, 1, 26), (0x11B, 5, 1, 26), (0x128, 3, 1, 2)) + bytes(40),
        "cut": exif((0x112, 3, 1, 6))[:20],
        "text": b"Exif\0\0" + b"x" * 1000,
        "many": exif(*((tag, 3, 1, tag) for tag in range(1, 4000))),
    }.items():
        yield f"exif-{name}.jpg", encoded("JPEG", exif=block)
        yield f"exif-{name}.png", good[:33] + chunk(b"eXIf", block[6:]) + good[33:]
        yield f"exif-{name}.webp", encoded("WEBP", exif=block)
    for name, profile in {
        "noise": random.Random(0).randbytes(3000),
        "zeros": bytes(500),
        "length": struct.pack(">I", 2**32 - 1) + b"lcms" + bytes(120),
        "head": b"\0\0\0\x80" + bytes(32) + b"acsp" + bytes(88),
    }.items():
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            yield f"icc-{name}.{format.lower()}", encoded(format, icc_profile=profile)
    yield "icc-no-zlib.png", good[:33] + chunk(b"iCCP", b"icc\0\0not deflated") + good[33:]
    yield (
        "xmp.jpg",
        encoded("JPEG", xmp=b"<!DOCTYPE x [<!ENTITY a '" + b"&a;" * 9999 + b"'>]>" + b"\xff" * 99),
    )
    yield "xmp-deep.jpg", encoded("JPEG", xmp=b"<a " * 20_000)
    yield "riff.webp", b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 40
    yield "riff-loop.webp", encoded("WEBP")[:12] + b"ANIM\0\0\0\0" * 5000
    yield "ftyp.avif", struct.pack(">I", 2**31) + b"ftypavif" + bytes(99)
    yield "entries.ico", b"\0\0\1\0\xff\xff" + b"\xff" * 999
    yield "layers.psd", b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\4\0\0\0\4\0\x08\0\3" + b"\xff" * 40
    yield "nothing.jpg", b""
    yield "diary.jpg", b"Dear diary,\n"
    yield "zeros.png", bytes(5000)
    yield "page.jpg", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "archive.jpg", b"PK\x03\x04" + bytes(99)
    yield "script.tiff", b"#!/bin/sh\nrm -rf ~\n"
    yield "postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"


def misnamed() -> Iterator[tuple[str, bytes]]:
    """Good pictures under names of another format, or of no kind."""
    for format in FORMATS:
        for suffix in ("jpg", "png", "gif", "tga"):
            yield f"good-{format}.{suffix}", encoded(format)
    stem = "good-name-"
    for name in (
        "a\nb",
        "'\"`$(id)",
        "é😀",
        "-dash",
        "--help",
        os.fsdecode(b"\xff\xfe"),
        "%s{0}[b]",
        "\x1b[2J",
        " ",
    ):
        yield f"{stem if name[0] != '-' else ''}{name}.png", encoded("PNG")
    yield "good-" + "n" * 243 + ".png", encoded("PNG")  # 252 bytes: its result's name needs no more than 255


# --- several pictures, and 16 bits ------------------------------------------------------------------------

SEQUENCES = {"GIFs": "gif", "WEBPs": "webp", "PNGs": "png", "PNG16": "png", "TIFF16": "tiff"}
PAGES = {"TIFFs": "tiff"}


@cache
def sequence(kind: str) -> bytes:
    """Return three pictures in one file, or one of 16 bits."""
    levels = np.random.default_rng(1).integers(0, 65535, (3, SIZE[1], SIZE[0], 3), np.uint16)
    levels[:, :20] = 9000
    stream = io.BytesIO()
    if kind.endswith("16"):
        encode(Picture(levels[0]), stream, format=kind[:-2].lower())
    else:
        first, *rest = (Image.fromarray((frame >> 8).astype(np.uint8)) for frame in levels)
        first.save(stream, kind[:-1], save_all=True, append_images=rest, duration=70)
    return stream.getvalue()


def damaged(kinds: Mapping[str, str], step: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Cut at every `step` per cent, and `count` times with flipped bits."""
    for kind, suffix in kinds.items():
        data = sequence(kind)
        yield f"good-{kind}.{suffix}", data
        for percent in range(0, 100, step):
            yield f"cut-{kind}-{percent:02}.{suffix}", data[: len(data) * percent // 100]
        rng = random.Random(kind)
        for number in range(count):
            flipped = bytearray(data)
            for _ in range(rng.randint(1, 8)):
                place = rng.randrange(min(len(data), 900) if number % 2 else len(data))
                flipped[place] ^= 1 << rng.randrange(8)
            yield f"flip-{kind}-{number:03}.{suffix}", bytes(flipped)


def crafted_animations() -> Iterator[tuple[str, bytes]]:
    gif, apng, webp = sequence("GIFs"), sequence("PNGs"), sequence("WEBPs")
    begins = gif.index(b"!\xf9")
    frame = b"!\xf9\4\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    yield "bomb-frames.gif", gif[:begins] + frame * 400_000 + b";"
    yield "bomb-frames-no-end.gif", gif[:begins] + frame * 400_000
    second = gif.index(b"!\xf9", begins + 1)
    huge = bytearray(gif)
    at = huge.index(b",", second)
    huge[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    yield "bomb-second.gif", bytes(huge)
    far = bytearray(gif)
    at = far.index(b",", second)
    far[at + 1 : at + 5] = b"\xff\xff\xff\xff"
    yield "bomb-place.gif", bytes(far)
    yield "good-zero-duration.gif", gif.replace(b"\4\x04\x07\0", b"\4\x04\0\0")
    yield "no-frames.gif", gif[:begins] + b";"
    yield "blocks.gif", gif[:begins] + b"!\xff\x0bXMP DataXMP" + b"<x>" * 99_999
    yield "loops.gif", gif[:begins] + b"!\xff\x0bNETSCAPE2.0\3\1\xff\xff\0" * 1000 + gif[begins:]

    control = apng.rindex(b"fcTL") - 4
    for name, fields in {
        "wide": (1, 100_000, 100_000, 0, 0, 1, 1, 0, 0),
        "outside": (1, 10, 10, 2**31 - 1, 2**31 - 1, 1, 1, 0, 0),
        "never": (1, *SIZE, 0, 0, 0, 0, 9, 9),
    }.items():
        body = struct.pack(">IIIIIHHBB", *fields)
        yield f"fctl-{name}.png", apng[:control] + chunk(b"fcTL", body) + apng[control + 38 :]
    for frames in (0, 1, 9, 10_001, 2**32 - 1):
        yield f"frames-{frames}.png", apng.replace(apng[33:53], chunk(b"acTL", struct.pack(">II", frames, 0)))
    yield "frames-missing.png", apng[:control] + chunk(b"IEND", b"")

    place = webp.rindex(b"ANMF")
    for name, size in {"wide": b"\xff\xff\xff\xff\xff\xff", "none": bytes(6)}.items():
        yield f"anmf-{name}.webp", webp[: place + 14] + size + webp[place + 20 :]
    deep = sequence("PNG16")
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 16, 6, 0, 0, 0)
    yield "bomb.16.png", deep[:8] + chunk(b"IHDR", header) + deep[33:]
    yield "bomb.ppm", b"P6 99999 99999 65535\n" + bytes(100)
    yield "short.ppm", b"P6 99 99 65535\n" + bytes(100)
    yield "white.ppm", b"P6 1 1 256\n" + b"\xff" * 6


def crafted_documents() -> Iterator[tuple[str, bytes]]:
    data = tiff(following=416) + tiff()[8:400].replace(struct.pack("<I", 400), struct.pack("<I", 400))
    yield "good-two.tiff", data
    for name, entries in {
        "bomb.page": [(256, 4, 1, 2**20), (257, 4, 1, 2**20)],
        "far": [(273, 4, 1, 2**31)],
        "bits": [(258, 3, 1, 77)],
    }.items():
        yield f"{name}.tiff", tiff(following=416) + tiff(*entries)[8:400]
    yield "loop.tiff", tiff(following=416) + tiff(following=8)[8:400]
    page = struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 4)
    chain = b"".join(page + struct.pack("<I", 416 + 18 * (number + 1)) for number in range(30_000))
    yield "bomb.chain.tiff", tiff(following=416) + chain + bytes(4)
    wide = struct.pack("<H", 65535) + bytes(12 * 65535)
    chain = b"".join(wide + struct.pack("<I", 416 + 786_426 * (number + 1)) for number in range(30))
    yield "entries.tiff", tiff(following=416) + chain
    inner = [(330, 4, 300, 416)]
    yield "inner.tiff", tiff(*inner, following=8) + struct.pack("<300I", *range(416, 2816, 8))


# --- the test ---------------------------------------------------------------------------------------------


def pixels(source: Path | bytes) -> np.ndarray[Any, Any]:
    """Return all pictures in a file, one below the other."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return np.concatenate([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)])


def work_off(
    process: Process, folder: Path, corpus: Iterator[tuple[str, bytes]], format: str = "png"
) -> dict[str, int]:
    """Give a corpus to the command and check everything that must hold for every file."""
    inputs, results = folder / "in", folder / "out"
    inputs.mkdir()
    names = set()
    for name, data in corpus:
        assert name not in names
        names.add(name)
        (inputs / name).write_bytes(data)
    began = time.perf_counter()
    command = process.command_line(
        inputs, "-o", results, "--scale", "1", "--suffix", "", "--format", format, "--json", before=SAME
    )
    run = subprocess.run(
        command, env=process.environment(), capture_output=True, check=False, timeout=30 + 0.5 * len(names)
    )
    took = time.perf_counter() - began
    stderr = run.stderr.decode(errors="replace")
    assert run.returncode == ExitCode.PARTIAL, stderr[-2000:]
    assert "Traceback" not in stderr and "bug in upscale" not in stderr
    assert "\x1b" not in stderr, "names of files reach the terminal raw"
    peak = int(stderr.split()[-1])
    assert peak < MAX_PEAK_KIB

    *lines, summary = [json.loads(line) for line in run.stdout.splitlines()]
    assert {Path(line["input"]).name for line in lines} == names and summary["files"] == len(names)
    assert all(line["seconds"] < SECONDS_PER_FILE for line in lines)
    written = set()
    for line in lines:
        name = Path(line["input"]).name
        if line["status"] == "failed":
            assert line["error"]["name"] == "input", line
            assert not name.startswith(("good", "-", "icc-", "orientation", "exif")), line
            assert str(inputs / name) in line["error"]["message"], line
            continue
        assert line["status"] == "done" and not name.startswith(("bomb.", "bomb-gray")), line
        written.add(Path(line["output"]).name)
        levels = pixels(Path(line["output"]))
        width, height = line["output_size"]
        assert line["input_size"] == [width, height]
        if format == "png":
            assert levels.shape[:2] == (height * line["frames"], width), name
        if name.startswith("cut-"):  # what is missing was no picture: the pixels are all there
            kind = name.split("-")[1]
            whole = encoded(kind) if kind in FORMATS else sequence(kind)
            assert np.array_equal(levels, pixels(whole)), name
    assert written == {path.name for path in results.iterdir()}  # nothing else, no temporary file
    counts = {"tried": len(names), "read": summary["done"], "refused": summary["failed"], "crashed": 0}
    figures = ", ".join(f"{kind} {number}" for kind, number in counts.items())
    print(f"\nhostile files: {figures}; {took:.1f} s, peak {peak / 1024:.0f} MiB")
    return counts


def corpus(*parts: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    for part in parts:
        yield from part


def test_hostile_folder(process: Process, tmp_path: Path) -> None:
    counts = work_off(process, tmp_path, corpus(truncated(4), flipped(40), crafted(), misnamed()))
    assert counts["tried"] > 400 and counts["refused"] > 100 and counts["read"] > 100


@pytest.mark.slow
def test_hostile_folder_in_full(process: Process, tmp_path: Path) -> None:
    counts = work_off(process, tmp_path, corpus(truncated(1), flipped(400), crafted(), misnamed()))
    assert counts["tried"] > 2500


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_hostile_animations(process: Process, tmp_path: Path, full: bool) -> None:
    files = corpus(damaged(SEQUENCES, *((1, 400) if full else (10, 25))), crafted_animations())
    counts = work_off(process, tmp_path, files)
    assert counts["tried"] > 180 and counts["refused"] > 50 and counts["read"] > 50


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_hostile_documents(process: Process, tmp_path: Path, full: bool) -> None:
    files = corpus(damaged(PAGES, *((1, 400) if full else (5, 60))), crafted_documents())
    counts = work_off(process, tmp_path, files, "tiff")
    assert counts["tried"] > 80 and counts["refused"] > 20 and counts["read"] > 5


def test_two_processes_into_one_folder(process: Process, tmp_path: Path) -> None:
    """Both end well, every result is whole, and nothing is left over."""
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number}.png").write_bytes(encoded("PNG"))
    command = process.command_line(
        tmp_path / "in", "-o", tmp_path / "out", "--scale", "1", "--json", "-q", before=SAME
    )
    both = [subprocess.Popen(command, env=process.environment(), stdout=subprocess.PIPE) for _ in range(2)]
    summaries = [json.loads(child.communicate(timeout=60)[0].splitlines()[-1]) for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert sum(summary["done"] for summary in summaries) == 12
    assert sum(summary["skipped"] for summary in summaries) == 12
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{n}_1x.png" for n in range(12)
    )
    assert all(
        (pixels(path) == pixels(tmp_path / "in" / "0.png")).all() for path in (tmp_path / "out").iterdir()
    )


@pytest.mark.parametrize(
    "name", ["-dash.png", "--help.png", "a\nb.png", "'\"$(id).png", os.fsdecode(b"\xff.png")]
)
def test_odd_names_on_the_command_line(
    name: str, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(encoded("PNG"))
    assert cli("-q", "-o", "out/", "--", name).exit_code == 0
    assert [path.name for path in Path("out").iterdir()] == [f"{name[:-4]}_4x.png"]


def test_longest_name(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".png")
    path.write_bytes(encoded("PNG"))
    result = cli(path)
    assert result.exit_code == ExitCode.OUTPUT and "the name is too long" in result.stderr
    into_new = cli(path, "-o", f"{tmp_path}/new/", "--dry-run")
    assert into_new.exit_code == ExitCode.OUTPUT and "the name is too long" in into_new.stderr
    assert cli(path, "-o", tmp_path / "short.png").exit_code == 0
