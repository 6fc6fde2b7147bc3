"""Animations and documents through the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from upscale.errors import ExitCode
from upscale.images.read import probe

SIZE = (12, 8)
DURATIONS = [50, 150, 300]
NOISE = np.random.default_rng(0).integers(0, 256, (4, SIZE[1], SIZE[0], 3), np.uint8)


def animation(path: Path, count: int = 3) -> Path:
    first, *rest = (Image.fromarray(levels) for levels in NOISE[:count])
    own = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=DURATIONS[:count], loop=0, **own)
    return path


def document(path: Path) -> Path:
    pages = [Image.fromarray(NOISE[0]), Image.fromarray(NOISE[1]).resize((5, 20)).convert("L")]
    pages[0].save(path, save_all=True, append_images=pages[1:], dpi=(300, 300))
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_every_frame(suffix: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    """The same kind of file comes out, and every frame is what it would be alone."""
    result = cli(animation(tmp_path / f"cat{suffix}"), "-o", tmp_path / f"out{suffix}")
    assert result.exit_code == 0, result.stderr
    assert "12x8 -> 48x32, 3 frames" in result.stderr
    with Image.open(tmp_path / f"out{suffix}") as image:
        shown = []
        for frame in ImageSequence.Iterator(image):
            levels = np.asarray(frame.convert("RGB"))
            shown.append((frame.info["duration"], levels))
    assert [duration for duration, _ in shown] == DURATIONS
    for number, (_, levels) in enumerate(shown):
        Image.fromarray(NOISE[number]).save(tmp_path / "alone.png")
        assert cli(tmp_path / "alone.png", "-q", "--overwrite").exit_code == 0
        with Image.open(tmp_path / "alone_4x.png") as alone:
            error = np.abs(levels.astype(int) - np.asarray(alone)).mean()
        assert error < {".png": 0.6 if number else 0.01, ".webp": 12, ".gif": 16}[suffix]
    assert probe(tmp_path / f"out{suffix}").record is not None


def test_pages(cli: Callable[..., Any], tmp_path: Path) -> None:
    assert cli(document(tmp_path / "a.tif"), "--scale", "2.5").exit_code == 0
    with Image.open(tmp_path / "a_2.5x.tif") as image:
        pages = [(page.size, page.mode, page.info.get("dpi")) for page in ImageSequence.Iterator(image)]
    assert pages == [((30, 20), "RGB", (300.0, 300.0)), ((12, 50), "L", (300.0, 300.0))]


def test_pages_scale_by_the_factor_of_the_first(cli: Callable[..., Any], tmp_path: Path) -> None:
    assert cli(document(tmp_path / "a.tif"), "--width", "24", "-o", tmp_path / "b.tif").exit_code == 0
    with Image.open(tmp_path / "b.tif") as image:
        assert [page.size for page in ImageSequence.Iterator(image)] == [(24, 16), (10, 40)]


@pytest.mark.parametrize("name", ["cat.gif", "a.tif"])
def test_first_frame(name: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    path = animation(tmp_path / name) if name == "cat.gif" else document(tmp_path / name)
    result = cli(path, "--first-frame", "-o", f"{tmp_path}/out/")
    assert result.exit_code == 0 and "Note" not in result.stderr
    (made,) = (tmp_path / "out").iterdir()
    assert made.suffix == (".png" if name == "cat.gif" else ".tif") and probe(made).frames == 1


@pytest.mark.parametrize(
    ("name", "format", "able"), [("cat.gif", "jpg", "png or webp"), ("a.tif", "webp", "tiff")]
)
def test_formats_that_hold_one_picture(
    name: str, format: str, able: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    path = animation(tmp_path / name) if name == "cat.gif" else document(tmp_path / name)
    result = cli(path, "--format", format)
    assert result.exit_code == ExitCode.OUTPUT
    assert (
        f"{format} cannot hold the" in result.stderr
        and able in result.stderr
        and "--first-frame" in result.stderr
    )
    assert list(tmp_path.iterdir()) == [path]
    assert cli(path, "--format", format, "--first-frame").exit_code == 0


def test_number_of_frames_is_said(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = animation(tmp_path / "cat.webp")
    assert "12x8, 3 frames" in cli(path, "--dry-run").stdout
    line = json.loads(cli(path, "--json").stdout.splitlines()[0])
    assert (line["frames"], line["status"]) == (3, "done")
    assert "3 frames" in cli("info", path, defaults=False).stdout
    info = json.loads(cli("info", "--json", tmp_path / "cat_4x.webp", defaults=False).stdout)
    assert (info["frames"], info["sequence"]) == (3, "animation")


def test_finished_before(cli: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    animation(folder / "cat.webp")
    document(folder / "a.tif")
    assert cli(folder, "-o", tmp_path / "out").exit_code == 0
    again = cli(folder, "-o", tmp_path / "out")
    assert again.exit_code == 0 and "2 skipped" in again.stderr
    other = cli(folder, "-o", tmp_path / "out", "--first-frame")
    assert other.exit_code == ExitCode.PARTIAL and "3 frames, not 1" in other.stderr


def test_result_with_fewer_pages_is_not_finished(cli: Callable[..., Any], tmp_path: Path) -> None:
    assert cli(document(tmp_path / "a.tif")).exit_code == 0
    path = animation(tmp_path / "a.tif")
    again = cli(path, "--skip-existing")
    assert again.exit_code == ExitCode.OUTPUT and "2 frames, not 3" in again.stderr


def test_through_a_pipe(cli: Callable[..., Any], tmp_path: Path) -> None:
    data = animation(tmp_path / "cat.gif").read_bytes()
    result = cli("-", "--format", "webp", stdin=data)
    assert result.exit_code == 0
    assert probe(result.stdout_bytes).frames == 3
    assert cli("-", stdin=data + data).exit_code == ExitCode.INPUT


def test_damage_in_a_later_frame(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The frames before it are gone with it: nothing half-made stays."""
    path = animation(tmp_path / "cat.png")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"fdAT")
    data[at + 8 : at + 40] = bytes(32)
    path.write_bytes(data)
    result = cli(path)
    assert result.exit_code == ExitCode.INPUT and "frame 3 of 3" in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_disk_full_in_a_later_frame(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upscale.images import png

    written = []

    def deflated(pixels: Any) -> Any:
        written.append(pixels)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        return iter([b""])

    monkeypatch.setattr(png, "deflated", deflated)
    path = animation(tmp_path / "cat.png")
    result = cli(path)
    assert result.exit_code == ExitCode.OUTPUT and "disk is full" in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_frames_that_stand_still_are_computed_once(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upscale.engine.upscaler import Upscaler

    computed: list[Any] = []
    upscale_many = Upscaler.upscale_many

    def counting(self: Any, pictures: Any, *args: Any) -> Any:
        computed.extend(pictures)
        return upscale_many(self, pictures, *args)

    monkeypatch.setattr(Upscaler, "upscale_many", counting)
    stream = io.BytesIO()
    first, second = (Image.fromarray(levels) for levels in NOISE[:2])
    first.save(stream, "TIFF", save_all=True, append_images=[first, second, second])
    (tmp_path / "a.tif").write_bytes(stream.getvalue())
    assert cli(tmp_path / "a.tif").exit_code == 0
    assert len(computed) == 2 and probe(tmp_path / "a_4x.tif").frames == 4


def test_strip_metadata(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = document(tmp_path / "a.tif")
    assert cli(path, "--strip-metadata").exit_code == 0
    with Image.open(tmp_path / "a_4x.tif") as image:
        for page in ImageSequence.Iterator(image):
            assert not {282, 283, 700, 305} & set(page.tag_v2)
