"""Files appear whole or not at all, and what was there stays, whatever happens."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from upscale.errors import ExitCode, OutputError
from upscale.images import atomic
from upscale.images.formats import FORMATS
from upscale.images.picture import Picture
from upscale.images.write import write

PICTURE = Picture(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
ROWS = [row for row in FORMATS.values() if row.is_available]
KEPT = b"somebody's only copy"


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def refused(path, **options):
    with pytest.raises(OutputError) as caught:
        write(PICTURE, path, **options)
    error = caught.value
    assert error.exit_code == ExitCode.OUTPUT
    assert error.message.startswith(str(path)) and error.message.endswith(".")
    return error


def without_links(monkeypatch, number):
    """Have a file system without hard links, which says so by an error of that number."""

    def link(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "hardlink_to", link)


@pytest.fixture
def no_links(monkeypatch):
    without_links(monkeypatch, errno.EPERM)


@pytest.fixture(params=[None, errno.EPERM, errno.EINVAL], ids=["links", "no links", "no links on Windows"])
def either(request, monkeypatch):
    if request.param:
        without_links(monkeypatch, request.param)


@pytest.mark.usefixtures("either")
class TestTargets:
    def test_new_file(self, tmp_path):
        write(PICTURE, tmp_path / "out.png")
        assert names(tmp_path) == ["out.png"]

    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_existing_file_is_kept(self, tmp_path, suffix):
        path = tmp_path / f"out{suffix}"
        path.write_bytes(KEPT)
        error = refused(path)
        assert "exists already" in error.message and "--overwrite" in error.hint
        assert path.read_bytes() == KEPT
        assert names(tmp_path) == [path.name]

    def test_overwrite(self, tmp_path):
        path = tmp_path / "out.png"
        path.write_bytes(KEPT)
        write(PICTURE, path, overwrite=True)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert names(tmp_path) == ["out.png"]

    def test_file_that_appears_while_we_work(self, tmp_path):
        path = tmp_path / "out.png"
        with (
            pytest.raises(OutputError, match="exists already"),
            atomic.new_file(path, overwrite=False) as file,
        ):
            file.write(b"ours")
            path.write_bytes(KEPT)
        assert path.read_bytes() == KEPT
        assert names(tmp_path) == ["out.png"]

    def test_race(self, tmp_path):
        """Of many writers at once exactly one wins, and the file is one writer's, whole."""
        path = tmp_path / "out.bin"
        results, barrier = [], threading.Barrier(8)

        def work(number):
            try:
                with atomic.new_file(path, overwrite=False) as file:
                    file.write(bytes([number]) * 100_000)
                    barrier.wait()
                results.append(number)
            except OutputError:
                pass

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 1
        assert path.read_bytes() == bytes(results) * 100_000
        assert names(tmp_path) == ["out.bin"]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_nothing_is_there_before_it_is_whole(self, tmp_path, overwrite):
        path = tmp_path / "out.bin"
        with atomic.new_file(path, overwrite=overwrite) as file:
            file.write(b"half")
            file.flush()
            assert not path.exists()
            (temporary,) = names(tmp_path)
            assert temporary.startswith(".out.bin.") and temporary.endswith(atomic.TEMPORARY_SUFFIX)
        assert names(tmp_path) == ["out.bin"]

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, MemoryError])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_interrupted(self, tmp_path, stop, overwrite):
        path = tmp_path / "out.bin"
        if overwrite:
            path.write_bytes(KEPT)
        with pytest.raises(stop), atomic.new_file(path, overwrite=overwrite) as file:
            file.write(b"half")
            raise stop
        assert names(tmp_path) == (["out.bin"] if overwrite else [])
        assert not overwrite or path.read_bytes() == KEPT


def test_interrupted_in_the_last_moment(tmp_path, no_links, monkeypatch):
    """The reserved name must not stay behind as an empty file."""

    def replace(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write(PICTURE, tmp_path / "out.png")
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
@pytest.mark.usefixtures("either")
def test_mode_is_that_of_a_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write(PICTURE, tmp_path / "out.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.png").stat().st_mode) == 0o666 & ~mask


class TestRefusals:
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_folder(self, tmp_path, overwrite):
        (tmp_path / "out.png").mkdir()
        assert "is a folder" in refused(tmp_path / "out.png", overwrite=overwrite).message
        assert names(tmp_path / "out.png") == []

    def test_missing_folder(self, tmp_path):
        assert "its folder does not exist" in refused(tmp_path / "none" / "out.png").message
        assert names(tmp_path) == []

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_below_a_file(self, tmp_path, overwrite):
        (tmp_path / "file").write_bytes(KEPT)
        assert (
            "is a file, not a folder" in refused(tmp_path / "file" / "out.png", overwrite=overwrite).message
        )
        assert (tmp_path / "file").read_bytes() == KEPT

    def test_impossible_names(self, tmp_path):
        assert "too long" in refused(tmp_path / ("n" * 300 + ".png")).message
        with pytest.raises(OutputError, match="not a possible file name"):
            write(PICTURE, tmp_path / "a\0b.png")

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_devices_are_not_replaced(self, overwrite):
        if not Path("/dev/null").exists():
            pytest.skip("no /dev/null")
        error = refused(Path("/dev/null"), format="png", overwrite=overwrite)
        assert "not a regular file" in error.message
        assert not Path("/dev/null").is_file()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_unwritable_folder(self, tmp_path):
        tmp_path.chmod(0o500)
        try:
            assert "permission denied" in refused(tmp_path / "out.png").message
        finally:
            tmp_path.chmod(0o700)

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.EACCES, "permission denied"),
            (errno.EROFS, "read-only"),
            (errno.ENOSPC, "disk is full"),
            (errno.EDQUOT, "quota"),
            (errno.EFBIG, "larger than is allowed"),
            (errno.EIO, os.strerror(errno.EIO)),
        ],
    )
    def test_what_the_system_says(self, tmp_path, monkeypatch, number, words):
        def refuse(*args):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(atomic.os, "open", refuse)
        assert words in refused(tmp_path / "out.png").message
        assert names(tmp_path) == []


def test_longest_possible_name(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    write(PICTURE, path)
    assert names(tmp_path) == [path.name]


def test_symbolic_links_stay_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.png", tmp_path / "link.png"
    real.write_bytes(KEPT)
    link.symlink_to(real)
    assert "exists already" in refused(link).message
    write(PICTURE, link, overwrite=True)
    assert link.is_symlink()
    assert real.read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path / "elsewhere") == ["real.png"]
    circle = tmp_path / "circle.png"
    circle.symlink_to(circle)
    assert "circle" in refused(circle).message
    nowhere = tmp_path / "nowhere.png"
    nowhere.symlink_to(tmp_path / "unplugged" / "real.png")
    with pytest.raises(OutputError, match="nowhere.png cannot be written"):
        atomic.check_target(nowhere, overwrite=False)


def test_temporary_names_are_of_the_systems_encoding(monkeypatch):
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    name = atomic._temporary_name("für.png")
    assert name.startswith(".fr.png.") and name.isascii()


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from upscale.errors import OutputError
from upscale.images.picture import Picture
from upscale.images.write import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
picture = Picture(np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8))
for path in map(Path, sys.argv[1:]):
    try:
        write(picture, path, overwrite=True)
    except OutputError as error:
        print(error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits")
def test_disk_full(tmp_path):
    """A real limit on file sizes in a process of its own: no format may take a short write for a good one."""
    paths = [tmp_path / f"out{row.suffix}" for row in ROWS]
    for path in paths:
        path.write_bytes(KEPT)
    run = subprocess.run(
        [sys.executable, "-c", DISK_FULL, *paths], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        f"{path} cannot be written: the file would be larger than is allowed here." for path in paths
    ]
    assert all(path.read_bytes() == KEPT for path in paths)
    assert names(tmp_path) == sorted(path.name for path in paths)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_space_left(row, tmp_path, monkeypatch):
    """Bytes go to /dev/full, which answers as a full disk does: at the latest when the file is closed."""
    real = os.open

    def full(path, flags, mode=0o777):
        os.close(real(path, flags, mode))  # the temporary file, to be cleaned up
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(atomic.os, "open", full)
    assert "the disk is full" in refused(tmp_path / f"out{row.suffix}").message
    assert names(tmp_path) == []


CTRL_C = """
import os, signal, sys, time
from pathlib import Path
from upscale.images.atomic import new_file
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell began it in the background
with new_file(Path(sys.argv[1]), overwrite=True) as file:
    file.write(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_a_real_process(tmp_path):
    path = tmp_path / "out.png"
    path.write_bytes(KEPT)
    process = subprocess.Popen(
        [sys.executable, "-c", CTRL_C, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    assert names(tmp_path) == ["out.png"]
    assert path.read_bytes() == KEPT


# --- what killed processes left -----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX systems")
class TestSweep:
    def test_leftovers_go_and_nothing_else(self, tmp_path):
        kept = ["a.png", ".a.png.upscale-part", ".a.png.0123456g.upscale-part", "a.png.01234567.upscale-part"]
        for name in [*kept, ".a.png.01234567.upscale-part", ".\n.89abcdef.upscale-part"]:
            (tmp_path / name).write_bytes(KEPT)
        (tmp_path / ".dir.01234567.upscale-part").mkdir()
        (tmp_path / ".link.01234567.upscale-part").symlink_to("a.png")
        assert atomic.sweep(tmp_path) == 2
        assert names(tmp_path) == sorted([*kept, ".dir.01234567.upscale-part", ".link.01234567.upscale-part"])

    def test_file_that_is_being_written_stays(self, tmp_path):
        with atomic.new_file(tmp_path / "a.png", overwrite=False) as file:
            assert atomic.sweep(tmp_path) == 0
            file.write(KEPT)
        assert names(tmp_path) == ["a.png"] and (tmp_path / "a.png").read_bytes() == KEPT

    def test_long_names_are_known_too(self, tmp_path):
        with atomic.new_file(tmp_path / ("ü" * 120 + ".png"), overwrite=False):
            (name,) = names(tmp_path)
        (tmp_path / name).touch()
        assert atomic.sweep(tmp_path) == 1

    def test_folder_that_is_not_there(self, tmp_path):
        assert atomic.sweep(tmp_path / "none") == 0

    def test_without_locks_nothing_is_removed_and_writing_works(self, tmp_path, monkeypatch):
        def flock(*args):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(atomic.fcntl, "flock", flock)
        (tmp_path / ".a.png.01234567.upscale-part").touch()
        assert atomic.sweep(tmp_path) == 0
        write(PICTURE, tmp_path / "a.png")
        assert names(tmp_path) == [".a.png.01234567.upscale-part", "a.png"]

    def test_sweep_between_creating_and_locking(self, tmp_path, monkeypatch):
        """The file is gone when the lock is got: another one is made."""
        flock, swept = atomic.fcntl.flock, []

        def meddling(file, how):
            if not swept:
                swept.append(1)
                Path(file.name).unlink()
            flock(file, how)

        monkeypatch.setattr(atomic.fcntl, "flock", meddling)
        write(PICTURE, tmp_path / "a.png")
        assert swept and names(tmp_path) == ["a.png"]


def test_unfinished_files_can_be_given_up(tmp_path):
    """Whose writers then fail; those that have ended are not concerned."""
    write(PICTURE, tmp_path / "a.png")
    with (
        pytest.raises(OutputError),
        atomic.new_file(tmp_path / "b.png", overwrite=False) as file,
    ):
        file.write(b"half")
        atomic.discard_unfinished()
        assert names(tmp_path) == ["a.png"]
    assert names(tmp_path) == ["a.png"]
    atomic.discard_unfinished()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO])
def test_disk_that_cannot_or_will_not_sync(code, tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    if code == errno.EINVAL:  # a file system without it
        write(PICTURE, tmp_path / "a.png")
        assert names(tmp_path) == ["a.png"]
    else:
        refused(tmp_path / "a.png")
        assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["写真" * 40 + ".png", "é" * 125 + ".png", "x" * 251 + ".png"])
def test_longest_names_are_cut_between_characters(name, tmp_path):
    with atomic.new_file(tmp_path / name, overwrite=False) as file:
        file.write(b"whole")
        temporary = names(tmp_path)[0]
        assert temporary.encode("utf-8") and len(os.fsencode(temporary)) <= 255
    assert names(tmp_path) == [name]
