"""`upscale info`: what a picture is and how it was made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from upscale.errors import ExitCode
from upscale.version import __version__

Cli = Callable[..., Any]
Photo = Callable[..., Path]


@pytest.fixture
def info(cli: Cli) -> Cli:
    return lambda *args: cli("info", *args, defaults=False)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_result_tells_how_it_was_made(suffix: str, cli: Cli, info: Cli, photo: Photo, tmp_path: Path) -> None:
    large = tmp_path / f"large{suffix}"
    assert cli(photo(), "-o", large, "--seed", "7").exit_code == 0
    result = info(large)
    assert result.exit_code == 0 and result.stderr == ""
    first, *rest = result.stdout.splitlines()
    assert first.startswith(f"{large}: ") and "48x32, RGB, 8 bits" in first
    entries = dict(line.split(maxsplit=1) for line in rest)
    assert entries["model"] == "tiny" and entries["steps"] == "1" and entries["seed"] == "7"
    assert entries["version"] == __version__ and len(entries["weights"]) == 64


def test_photo_without_a_record(info: Cli, photo: Photo) -> None:
    path = photo("a.png", mode="L")
    assert info(path).stdout == f"{path}: PNG, 12x8, L, 8 bits per channel\n  no record of upscale\n"


def test_json(cli: Cli, info: Cli, photo: Photo) -> None:
    path = photo("a.png")
    assert cli(path).exit_code == 0
    one, other = map(json.loads, info(path, path.with_name("a_4x.png"), "--json").stdout.splitlines())
    assert one["record"] is None and one["size"] == [12, 8] and one["format"] == "PNG"
    assert other["record"]["model"] == "tiny" and other["schema"] == 1


def test_files_that_cannot_be_read(info: Cli, photo: Photo, tmp_path: Path) -> None:
    alone = info(tmp_path / "missing.png")
    assert alone.exit_code == ExitCode.INPUT and "does not exist" in alone.stderr and alone.stdout == ""
    both = info(tmp_path / "missing.png", photo("a.png"))
    assert both.exit_code == ExitCode.PARTIAL and "a.png: PNG" in both.stdout
    assert info().exit_code == ExitCode.USAGE


def test_hostile_records_are_printed_safely(info: Cli, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\n.jpg")
    ours = '<rdf:Description xmlns:upscale="urn:upscale:record:1/" upscale:model="a&#27;[31m&#10;b"/>'
    xmp = f"<rdf:RDF>{ours}</rdf:RDF>"
    Image.new("L", (2, 2)).save(path, xmp=xmp.encode())
    result = info(path)
    assert result.exit_code == 0 and "\x1b" not in result.stdout and len(result.stdout.splitlines()) == 2


def test_other_settings_are_told(cli: Cli, photo: Photo) -> None:
    paths = photo("a.png"), photo("b.png")
    assert cli(*paths).exit_code == 0
    result = cli(*paths, "--skip-existing", "--seed", "3")
    assert "a_4x.png exists already; skipped, though made with other settings (seed)." in result.stderr
    assert "2 of these were made with other settings; use --overwrite to redo them." in result.stderr
    assert "other settings" not in cli(*paths, "--skip-existing").stderr
