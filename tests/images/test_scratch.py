"""Arrays on disk: they keep their values, take no memory when let go of, and never end in SIGBUS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from upscale.errors import OutputError
from upscale.images import scratch

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_large_arrays_go_to_disk_and_keep_their_values(dtype, monkeypatch, here):
    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 1000)
    small, large = scratch.empty((3, 4, 3), dtype), scratch.empty((300, 40, 3), dtype)
    assert not scratch.is_mapped(small) and scratch.is_mapped(large) and scratch.is_mapped(large[2:, :, 0])
    assert large.shape == (300, 40, 3) and large.dtype == dtype and large.flags.writeable
    values = np.random.default_rng(0).integers(0, 200, large.shape).astype(dtype)
    large[...] = values
    scratch.release(large, small)
    assert np.array_equal(large, values)
    assert list(here.iterdir()) == []  # no name, so that nothing can be left behind


@linux_only
def test_what_is_let_go_of_takes_no_memory(monkeypatch):
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 1 << 20)
    pixels = scratch.empty((64, 1 << 20), np.uint8)
    before = resident()
    pixels[...] = 7
    filled = resident()
    scratch.release(pixels[5:])
    assert filled - before > 60 << 20 and resident() - before < 4 << 20
    assert (pixels == 7).all()


def test_folders(monkeypatch, here):
    assert scratch.folder() == here
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    if Path("/var/tmp").is_dir():
        assert scratch.folder() == Path("/var/tmp")


def test_no_place_for_temporary_files(monkeypatch):
    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 10)
    monkeypatch.setattr(scratch, "folder", lambda: Path("/nonexistent"))
    with pytest.raises(OutputError, match=r"temporary files cannot be written to /nonexistent.*TMPDIR"):
        scratch.empty((10, 10), np.uint8)


@pytest.mark.parametrize("reserve", [True, False], ids=["fallocate", "zeros"])
@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_full_disk_is_an_error_and_no_signal(reserve, here):
    """A limit on file sizes stands in for the full disk; both are met when the room is taken."""
    code = f"""
import os, resource, numpy as np
from upscale.errors import OutputError
from upscale.images import scratch
if not {reserve} and hasattr(os, "posix_fallocate"):
    del os.posix_fallocate
scratch.DISK_FROM_BYTES = 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
scratch.empty((1000, 1000), np.uint8)[...] = 1
try:
    scratch.empty((1000, 2000), np.uint8)
except OutputError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "there is not enough room. Make room, or set TMPDIR" in result.stdout
    assert list(here.iterdir()) == []
