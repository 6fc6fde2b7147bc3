"""Whatever is wrong: a clear sentence on stderr, the right code, nothing on stdout, and no file harmed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from upscale.errors import ExitCode

Cli = Callable[..., Any]
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]


def refused(result: Any, code: ExitCode, *sentences: str) -> None:
    """Check that a command failed as it should."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: "), result.stderr
    for sentence in sentences:
        assert sentence in result.stderr
    assert "Traceback" not in result.stderr


# --- files ----------------------------------------------------------------------------------------


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def truncated(path: Path, photo: Photo) -> Path:
    whole = photo(path.name, size=(64, 64)).read_bytes()
    return written(path, whole[: len(whole) // 2])


def bomb(path: Path) -> Path:
    """A PNG of a few hundred bytes that claims 100,000 x 100,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return written(
        path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


BAD_FILES: dict[str, tuple[Callable[[Path, Photo], Path], str]] = {
    "not an image": (lambda folder, photo: written(folder / "a.jpg", b"Dear diary,\n"), "is not a picture"),
    "truncated jpeg": (lambda folder, photo: truncated(folder / "a.jpg", photo), "is damaged or incomplete"),
    "truncated png": (lambda folder, photo: truncated(folder / "a.png", photo), "is damaged or incomplete"),
    "zero bytes": (lambda folder, photo: written(folder / "a.jpg", b""), "is empty (0 bytes)"),
    "folder": (lambda folder, photo: folder, "There is no picture in the folder"),
    "missing": (lambda folder, photo: folder / "a.jpg", "does not exist"),
    "bomb": (lambda folder, photo: bomb(folder / "a.png"), "the limit is 250 megapixels"),
    "pattern without a match": (lambda folder, photo: folder / "*.jpg", "does not exist"),
    "odd name": (lambda folder, photo: folder / os.fsdecode(b"\xff\n.jpg"), "\\xff\\n.jpg does not exist"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file(kind: str, cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    make, sentence = BAD_FILES[kind]
    path = make(tmp_path, photo)
    before = listing()
    refused(cli(path), ExitCode.INPUT, sentence)
    assert listing() == before


def test_limit_against_bombs_can_be_raised_and_lowered(cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo("a.png", size=(100, 80))
    before = listing()
    refused(cli(path, "--max-input-mpix", "0.007"), ExitCode.INPUT, "--max-input-mpix")
    assert listing() == before
    assert cli(path, "--max-input-mpix", "0.008", "--scale", "1").exit_code == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1)])
@pytest.mark.parametrize("scale", [1, 4, 16])
def test_thin_pictures_work(size: tuple[int, int], scale: int, cli: Cli, photo: Photo) -> None:
    path = photo("thin.png", size=size)
    assert cli(path, "--scale", scale).exit_code == 0
    with Image.open(path.with_name(f"thin_{scale}x.png")) as image:
        image.load()
        assert image.size == (size[0] * scale, size[1] * scale)


def test_empty_stdin(cli: Cli, listing: Listing) -> None:
    refused(cli("-", stdin=b""), ExitCode.INPUT, "Nothing came from standard input")
    assert listing() == {}


def test_stdin_that_is_no_picture(cli: Cli, listing: Listing) -> None:
    refused(cli("-", stdin=b"Dear diary,\n"), ExitCode.INPUT, "is not a picture")
    assert listing() == {}


# --- numbers and names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--scale", "0"], "--scale 0 is out of range."),
        (["--scale", "-2"], "--scale -2 is out of range."),
        (["--scale", "nan"], "--scale nan is out of range."),
        (["--scale", "inf"], "--scale inf is out of range."),
        (["--scale", "0.5"], "--scale 0.5 is out of range."),
        (["--scale", "1000"], "--scale 1000 is out of range."),
        (["--scale", "2", "--width", "80"], "--scale and --width exclude each other."),
        (["--width", "0"], "--width 0 is out of range."),
        (["--long-side", "-5"], "--long-side -5 is out of range."),
        (["--width", "6"], "smaller than the input (12x8, factor 0.5)"),
        (["--width", "6000"], "more than 64 times the input"),
        (["--size", "0x5"], "--size 0x5 is out of range."),
        (["--size", "huge"], "--size huge cannot be read."),
        (["--megapixels", "nan"], "--megapixels nan is out of range."),
        (["--megapixels", "0"], "--megapixels 0 is out of range."),
        (["--steps", "0"], "--steps 0 is out of range."),
        (["--steps", "2001"], "--steps 2001 is out of range."),
        (["--seed", "-1"], "--seed -1 is out of range."),
        (["--seed", str(2**63)], "is out of range."),
        (["--tile", "8"], "--tile 8 is out of range."),
        (["--tile", "large"], "--tile large cannot be read."),
        (["--dtype", "fp8"], "--dtype fp8 is unknown."),
        (["--device", "toaster"], "--device toaster is unknown."),
        (["--device", "cuda:x"], "--device cuda:x is unknown."),
        (["--quality", "0"], "--quality 0 is out of range."),
        (["--quality", "101"], "--quality 101 is out of range."),
        (["--max-input-mpix", "nan"], "--max-input-mpix nan is out of range."),
        (["--sampler", "dim"], "There is no sampler 'dim'."),
        (["--format", "mp4"], "cannot be written as mp4"),
        (["-o", "large.mp4"], "cannot be written as .mp4"),
        (["-o", "large.png", "--format", "jpg"], "contradict each other"),
        (["-o", ""], "-o was given an empty name."),
    ],
)
def test_value_out_of_range(
    options: list[str], sentence: str, cli: Cli, photo: Photo, listing: Listing
) -> None:
    path = photo()
    before = listing()
    refused(cli(path, *options), ExitCode.USAGE, sentence)
    assert listing() == before


def test_why_a_thousand_times_is_refused(cli: Cli, photo: Photo) -> None:
    assert "almost everything would be invented" in cli(photo(), "--scale", "1000").stderr


@pytest.mark.parametrize("options", [["--scale", "much"], ["--steps", "1.5"], ["--nonsense"], ["--scale"]])
def test_what_the_parser_refuses(options: list[str], cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo()
    before = listing()
    result = cli(path, *options)
    assert result.exit_code == ExitCode.USAGE and options[0] in result.stderr and result.stdout == ""
    assert listing() == before


def test_unknown_model(cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo()
    before = listing()
    refused(cli(path, "--model", "sr3-foto-4x"), ExitCode.WEIGHTS, "There is no model 'sr3-foto-4x'.")
    assert listing() == before


def test_nothing_to_do(cli: Cli) -> None:
    refused(cli(), ExitCode.USAGE, "Nothing to do: no file was given.", "upscale photo.jpg")


def test_empty_name(
    cli: Cli, photo: Photo, tmp_path: Path, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a script's empty variable; it does not mean the folder one is in."""
    monkeypatch.chdir(tmp_path)
    path = photo()
    before = listing()
    refused(cli(path, ""), ExitCode.USAGE, "A file was given an empty name.", "variable")
    assert listing() == before


# --- outputs --------------------------------------------------------------------------------------


def test_existing_output(cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo("a.png")
    photo("a_4x.png")
    before = listing()
    refused(cli(path), ExitCode.OUTPUT, "a_4x.png exists already.", "--overwrite")
    assert listing() == before
    assert cli(path, "--overwrite").exit_code == 0
    after = listing()
    assert after["a.png"] == before["a.png"] and after["a_4x.png"] != before["a_4x.png"]
    assert set(after) == set(before)


def test_output_onto_the_input(cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo("a.png")
    before = listing()
    refused(cli(path, "-o", path), ExitCode.OUTPUT, "is the input itself")
    assert listing() == before
    assert cli(path, "-o", path, "--overwrite").exit_code == 0
    assert set(listing()) == {"a.png"} and listing() != before


def test_clash_of_two_inputs(cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    one, other = photo("x/a.png"), photo("y/a.png")
    before = listing()
    refused(cli(one, other, "-o", f"{tmp_path}/out/"), ExitCode.USAGE, str(one), str(other), "a_4x.png")
    assert listing() == before and not (tmp_path / "out").exists()


def test_several_inputs_for_one_file(cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    paths = photo("a.png"), photo("b.png")
    before = listing()
    refused(cli(*paths, "-o", tmp_path / "c.png"), ExitCode.USAGE, "2 inputs", "with a slash at the end")
    refused(cli(*paths, "-o", "-"), ExitCode.USAGE, "2 inputs cannot all go to standard output")
    assert listing() == before


def test_stdin_among_others_needs_a_folder(cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    path = photo("a.png")
    before = listing()
    data = path.read_bytes()
    refused(cli("-", path, stdin=data), ExitCode.USAGE, "no folder for its result")
    refused(cli("-", "-", "-o", f"{tmp_path}/", stdin=data), ExitCode.USAGE, "was given twice")
    assert listing() == before
    assert cli("-", path, "-o", f"{tmp_path}/", stdin=data).exit_code == 0
    assert set(listing()) == {"a.png", "a_4x.png", "stdin_4x.png"}


def test_picture_too_long_for_its_format(cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo("long.jpg", size=(1100, 1))
    before = listing()
    refused(cli(path, "--scale", "64"), ExitCode.OUTPUT, "70400x64", "png")
    assert listing() == before


@pytest.mark.parametrize("scale", [1.0, math.nextafter(1, 2)])
def test_scale_of_one_restores(scale: float, cli: Cli, photo: Photo, tmp_path: Path) -> None:
    assert cli(photo(), "--scale", repr(scale), "-o", tmp_path / "same.png").exit_code == 0
    with Image.open(tmp_path / "same.png") as image:
        assert image.size == (12, 8)
