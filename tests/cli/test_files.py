"""`upscale FILE...` in this process: what is written, said and returned."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from upscale.errors import ExitCode
from upscale.jobs import steps

Cli = Callable[..., Any]
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def test_one_photo(cli: Cli, photo: Photo) -> None:
    path = photo(size=(13, 7))
    result = cli(path, "--scale", "8")
    assert result.exit_code == 0 and result.stdout == ""
    assert size_of(path.with_name("photo_8x.jpg")) == (104, 56)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{path} -> {path.with_name('photo_8x.jpg')} (13x7 -> 104x56, ")


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        (["--scale", "2.5"], "photo_2.5x.jpg", (30, 20)),
        (["-s", "1"], "photo_1x.jpg", (12, 8)),
        (["--width", "30"], "photo_30x20.jpg", (30, 20)),
        (["--height", "30"], "photo_45x30.jpg", (45, 30)),
        (["--long-side", "36"], "photo_36x24.jpg", (36, 24)),
        (["--size", "100x24"], "photo_36x24.jpg", (36, 24)),
        (["--megapixels", "0.0024"], "photo_60x40.jpg", (60, 40)),
        (["--format", "webp"], "photo_4x.webp", (48, 32)),
    ],
)
def test_ways_of_saying_how_large(
    options: list[str], name: str, size: tuple[int, int], cli: Cli, photo: Photo
) -> None:
    path = photo()
    assert cli(path, *options).exit_code == 0
    assert size_of(path.with_name(name)) == size


def test_output_file_picks_the_format(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    assert cli(photo(), "-o", tmp_path / "large.png").exit_code == 0
    with Image.open(tmp_path / "large.png") as image:
        assert image.format == "PNG"


def test_output_folder_is_made(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    assert cli(photo("a.png"), photo("b.png"), "-o", f"{tmp_path}/deep/out/", "-q").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "deep" / "out").iterdir()) == ["a_4x.png", "b_4x.png"]


def test_quality_changes_the_size(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    path = photo(size=(40, 40))
    assert cli(path, "-o", tmp_path / "low.jpg", "--quality", "10").exit_code == 0
    assert cli(path, "-o", tmp_path / "high.jpg", "--quality", "100").exit_code == 0
    assert (tmp_path / "low.jpg").stat().st_size < (tmp_path / "high.jpg").stat().st_size / 2


def test_quiet_says_nothing_but_errors(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    assert cli(photo(), "--quiet").output == ""
    assert "does not exist" in cli(tmp_path / "missing.jpg", "--quiet").stderr


def test_verbose_says_what_is_used(cli: Cli, photo: Photo) -> None:
    result = cli(photo(), "-v")
    assert "model tiny" in result.stderr and "device cpu" in result.stderr and "steps 1" in result.stderr


def test_notes_are_shown_unless_quiet(cli: Cli, photo: Photo) -> None:
    path = photo("clear.png", mode="RGBA")
    with Image.open(path) as image:
        image.putalpha(100)
        image.save(path)
    assert "laid on white" in cli(path, "--format", "jpg").stderr
    assert cli(path, "--format", "jpg", "-q", "--overwrite").stderr == ""


def test_several_with_a_bad_one(cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    good, other = photo("good.png"), photo("other.png")
    before = listing()
    result = cli(good, tmp_path / "missing.png", other)
    assert result.exit_code == ExitCode.PARTIAL
    assert set(listing()) - set(before) == {"good_4x.png", "other_4x.png"}
    assert {name: listing()[name] for name in before} == before
    assert "1 of 3 files failed:" in result.stderr
    assert result.stderr.splitlines()[-1].strip() == f"{tmp_path / 'missing.png'} does not exist."


def test_traceback_only_when_asked_for(cli: Cli, tmp_path: Path) -> None:
    assert "Traceback" not in cli(tmp_path / "missing.png").stderr
    assert "Traceback" in cli(tmp_path / "missing.png", "-v").stderr


def test_bug_is_called_one(cli: Cli, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(steps, "read", stumble)
    result = cli(photo())
    assert result.exit_code == ExitCode.BUG
    assert "This is a bug in upscale: ZeroDivisionError: oops" in result.stderr
    assert "Traceback" not in result.stderr and "-v" in result.stderr
    assert "Traceback" in cli(photo(), "-v").stderr


# --- pipes ----------------------------------------------------------------------------------------


def test_stdin_to_stdout(cli: Cli, photo: Photo, listing: Listing) -> None:
    data = photo("a.png").read_bytes()
    before = listing()
    result = cli("-", stdin=data)
    assert result.exit_code == 0
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert image.format == "PNG" and image.size == (48, 32)
    assert result.stderr.startswith("stdin -> stdout (12x8 -> 48x32")
    assert listing() == before


def test_stdin_with_a_format(cli: Cli, photo: Photo) -> None:
    result = cli("-", "--format", "jpg", "-q", stdin=photo("a.png").read_bytes())
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert image.format == "JPEG"


def test_stdin_to_a_file_whose_suffix_picks_the_format(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    result = cli("-", "-o", tmp_path / "b.webp", stdin=photo("a.png").read_bytes())
    assert result.exit_code == 0 and result.stdout == ""
    with Image.open(tmp_path / "b.webp") as image:
        assert image.format == "WEBP"


def test_file_to_stdout(cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo("a.png")
    before = listing()
    result = cli(path, "-o", "-")
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert image.size == (48, 32)
    assert listing() == before


@pytest.mark.parametrize("formats", [("JPEG", "JPEG"), ("PNG", "JPEG"), ("WEBP", "PNG")])
def test_several_pictures_in_one_pipe(formats: tuple[str, str], cli: Cli, listing: Listing) -> None:
    stream = io.BytesIO()
    for format in formats:
        part = io.BytesIO()
        Image.new("RGB", (9, 9), "red").save(part, format)
        stream.write(part.getvalue())
    result = cli("-", stdin=stream.getvalue())
    assert result.exit_code == ExitCode.INPUT and result.stdout == ""
    assert "Several pictures came from standard input" in result.stderr and "--files-from" in result.stderr
    assert listing() == {}


# --- metadata -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("strip", [False, True])
def test_metadata_is_kept_unless_stripped(strip: bool, format: str, cli: Cli, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">Secret</rdf:RDF>'
    Image.new("RGB", (12, 8)).save(
        tmp_path / "a.jpg", exif=exif, dpi=(300, 300), icc_profile=profile, xmp=xmp
    )
    large = tmp_path / f"large.{format}"
    assert cli(tmp_path / "a.jpg", "-o", large, *["--strip-metadata"] * strip).exit_code == 0
    with Image.open(large) as image:
        found = image.getexif()
        kept = (found.get(0x010F), found.get_ifd(0x8769).get(0x9003), found.get_ifd(0x8825).get(1))
        assert image.info["icc_profile"] == profile
        assert kept == ((None, None, None) if strip else ("Camera", "2020:01:02 03:04:05", "N"))
        assert ("dpi" in image.info and image.info["dpi"][0] > 299) == (not strip and format != "webp")
    for word in (b"Secret", b"Camera", b"2020:01:02", b"urn:upscale"):
        assert (word in large.read_bytes()) == (not strip), word


# --- the plan, shown ------------------------------------------------------------------------------


def test_dry_run_shows_the_plan_and_creates_nothing(
    cli: Cli, photo: Photo, tmp_path: Path, listing: Listing
) -> None:
    paths = photo("a.png", size=(13, 7)), photo("with a long name that must not be cut.jpg")
    before = listing()
    result = cli(*paths, "--scale", "8", "-o", f"{tmp_path}/out/", "--dry-run")
    assert result.exit_code == 0 and result.stderr == ""
    row = next(line for line in result.stdout.splitlines() if "a.png" in line)
    assert "13x7 -> 52x28; 26x14 -> 104x56" in row and "104x56" in row
    assert str(tmp_path / "out" / "a_8x.png") in row
    assert "with a long name that must not be cut_8x.jpg" in result.stdout
    assert (
        "model tiny, 1 step, fidelity 0, denoise auto, shrink auto, sampler ddim, seed 0, device cpu"
        in result.stdout
    )
    assert listing() == before and not (tmp_path / "out").exists()


def test_dry_run_tells_what_would_fail(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    path = photo("a.png")
    photo("a_4x.png")
    alone = cli(path, "--dry-run")
    assert alone.exit_code == ExitCode.OUTPUT and "exists already" in alone.stderr and alone.stdout == ""
    both = cli(path, photo("b.png"), "--dry-run")
    assert both.exit_code == ExitCode.PARTIAL and "b_4x.png" in both.stdout
