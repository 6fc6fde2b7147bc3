"""Large pictures through the command: on disk, streamed, killed, and on a disk that fills up."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Process = Callable[..., subprocess.CompletedProcess[bytes]]
Photo = Callable[..., Path]

# Whatever has a thousand bytes is large here.
LARGE = """
from upscale.images import large, scratch
scratch.DISK_FROM_BYTES = large.STREAM_FROM_PX = 1000
"""

TELLING = """
import sys
from upscale.images import tiff
def add(self, picture, metadata, add=tiff.TiffWriter.add):
    print("written from disk:", scratch.is_mapped(picture.color), file=sys.stderr)
    add(self, picture, metadata)
tiff.TiffWriter.add = add
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_large_and_small_are_the_same_picture(process: Process, photo: Photo, tmp_path: Path) -> None:
    path = photo(size=(60, 40))
    assert process(path, "--scale", "8", "-o", tmp_path / "small.png").returncode == 0
    run = process(path, "--scale", "8", "-o", tmp_path / "large.tif", before=LARGE + TELLING)
    assert run.returncode == 0 and b"written from disk: True" in run.stderr, run.stderr
    with Image.open(tmp_path / "small.png") as small, Image.open(tmp_path / "large.tif") as large:
        assert np.array_equal(np.asarray(small), np.asarray(large))


def test_a_large_picture_in_a_pipe(process: Process, photo: Photo, tmp_path: Path) -> None:
    data = photo("a.png", size=(60, 40)).read_bytes()
    run = process("-", "--scale", "4", "--format", "png", before=LARGE, input=data)
    assert run.returncode == 0 and run.stdout.startswith(b"\x89PNG")
    (tmp_path / "out.png").write_bytes(run.stdout)
    with Image.open(tmp_path / "out.png") as image:
        image.load()
        assert image.size == (240, 160)


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_full_disk_while_canvases_are_made(
    process: Process, photo: Photo, tmp_path: Path, temporary: Path
) -> None:
    """A limit on file sizes stands in for the full disk: no SIGBUS, but a sentence and exit code 4."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
    run = process(photo(size=(60, 40)), "-o", tmp_path / "out.png", before=LARGE + limit)
    assert run.returncode == 4
    assert b"temporary files cannot be written to" in run.stderr and b"TMPDIR" in run.stderr
    assert not (tmp_path / "out.png").exists() and list(temporary.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_in_the_middle(process: Any, photo: Photo, tmp_path: Path, temporary: Path) -> None:
    slow = LARGE + (
        "import time\n"
        "from upscale.engine.stage import Stage\n"
        "Stage._place = lambda *_: (open("
        f"{str(tmp_path / 'tiles')!r}, 'w').close(), time.sleep(60))\n"
    )
    path = photo(size=(90, 40))
    arguments = (path, "--tile", "32", "-o", tmp_path / "out.png")
    child = subprocess.Popen(process.command_line(*arguments, before=slow), env=process.environment())
    deadline = time.monotonic() + 90
    while not (tmp_path / "tiles").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert list(temporary.iterdir()) == [] and not (tmp_path / "out.png").exists()
    assert process(*arguments, before=LARGE).returncode == 0
    assert list(temporary.iterdir()) == []


def test_results_beyond_the_input_limit_are_left_alone(
    process: Process, photo: Photo, tmp_path: Path
) -> None:
    """They are no inputs that are too large: a second run on the folder has nothing to do."""
    photo("in/a.png", size=(40, 30))
    common = (tmp_path / "in", "--suffix", "_big", "--max-input-mpix", "0.005")
    for expected in ("-> ", "skipped"):
        run = process(*common)
        assert run.returncode == 0 and expected in run.stderr.decode(), run.stderr
