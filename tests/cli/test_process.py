"""The command in a process of its own: pipes, signals, terminals, full disks and forbidden places."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from upscale.errors import ExitCode

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX systems")

Process = Any
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]

# Shells start background jobs with SIGINT ignored, and a test run may be one.
# Whoever runs the tests may have the signals ignored: a shell of what runs behind it, nohup.
HEAR_SIGNALS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
SMALL_FILES_ONLY = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))"
NOBODY = 65534
# A tiny network may be through with a stage before the bars are drawn again.
LIVELY = "import upscale.cli.display; upscale.cli.display.REFRESHES_PER_S = 50"
# Loading torch takes seconds; what is not about the engine runs with one that interpolates.
QUICK = Path(__file__).with_name("quick_engine.py").read_text(encoding="utf-8")


def test_pipeline_of_two(process: Process, photo: Photo) -> None:
    first = process("-", "--scale", "2", "--format", "png", input=photo().read_bytes())
    second = process("-", "--scale", "2", "-q", input=first.stdout, before=QUICK)
    assert first.returncode == second.returncode == 0
    with Image.open(io.BytesIO(second.stdout)) as image:
        assert image.format == "PNG" and image.size == (48, 32)
    assert b"stdin -> stdout" in first.stderr and second.stderr == b""


def test_module_runs_like_the_command(photo: Photo, model: str) -> None:
    command = [sys.executable, "-m", "upscale", photo(), "--model", model, "--dry-run"]
    run = subprocess.run(command, capture_output=True, check=False)
    assert run.returncode == 0 and b"photo_4x.jpg" in run.stdout


def test_dry_run_does_not_load_torch(process: Process, photo: Photo) -> None:
    watch = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))"
    run = process(photo(), "--dry-run", before=watch)
    assert run.returncode == 0 and run.stderr.strip() == b"False"


# --- being stopped --------------------------------------------------------------------------------


def started(process: Process, *args: str | Path) -> subprocess.Popen[bytes]:
    """Start a run that would take minutes, and return once it has loaded the model."""
    child = subprocess.Popen(
        process.command_line(*args, "--steps", "2000", "--tile", "32", "-v", before=HEAR_SIGNALS),
        env=process.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stderr is not None
    assert child.stderr.readline().startswith(b"Using model tiny")
    time.sleep(0.2)
    assert child.poll() is None
    return child


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_signal_in_the_middle(
    sent: signal.Signals, code: int, process: Process, photo: Photo, tmp_path: Path, listing: Listing
) -> None:
    path = photo("a.png", size=(200, 200))
    (tmp_path / "a_4x.png").write_bytes(b"old")
    before = listing()
    child = started(process, path, "--overwrite")
    child.send_signal(sent)
    stdout, stderr = child.communicate(timeout=30)
    assert child.returncode == code
    assert stderr.decode().strip() == "Interrupted; no partial files were left." and stdout == b""
    assert listing() == before


# Writing ends two seconds after everything else has.
SLOW_DISK = (
    QUICK
    + """
import time
from upscale.images import atomic
def to_disk(file, old=atomic._to_disk):
    time.sleep(2)
    old(file)
atomic._to_disk = to_disk
"""
)


@pytest.mark.parametrize(
    ("sent", "code", "finished"),
    [
        ([signal.SIGINT] * 2, ExitCode.INTERRUPTED, True),
        ([signal.SIGINT, signal.SIGTERM], ExitCode.INTERRUPTED, True),
        ([signal.SIGTERM] * 2, ExitCode.TERMINATED, True),
        ([signal.SIGHUP], ExitCode.TERMINATED, True),
        ([signal.SIGINT] * 3, ExitCode.INTERRUPTED, False),
    ],
)
def test_signals_while_a_result_is_written(
    sent: list[signal.Signals],
    code: int,
    finished: bool,
    process: Process,
    photo: Photo,
    tmp_path: Path,
    listing: Listing,
) -> None:
    """What is being written is finished; the third one gives it up, and leaves nothing of it."""
    child = subprocess.Popen(
        process.command_line(photo("a.png"), "--json", before=HEAR_SIGNALS + SLOW_DISK),
        env=process.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not list(tmp_path.glob(".*.upscale-part")):
        assert child.poll() is None
        time.sleep(0.01)
    for number in sent:
        time.sleep(0.3)
        child.send_signal(number)
    stdout, stderr = child.communicate(timeout=30)
    assert child.returncode == code and "Interrupted; no partial files were left." in stderr.decode()
    assert set(listing()) == {"a.png", *(["a_4x.png"] if finished else [])}
    statuses = [json.loads(line).get("status") for line in stdout.splitlines()]
    assert statuses == (["done", None] if finished else [])


def test_signal_that_loses_a_writer(process: Process, photo: Photo, listing: Listing) -> None:
    """It comes while the writer's thread is being started: only the interpreter waits for that one then."""
    lost = """
import os, threading
def start(self, old=threading.Thread.start):
    old(self)
    if self.name.startswith("write_"):
        time.sleep(0.5)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        signal.raise_signal(signal.SIGINT)
threading.Thread.start = start
"""
    run = process(photo("a.png"), before=HEAR_SIGNALS + SLOW_DISK + lost)
    assert run.returncode == ExitCode.INTERRUPTED and set(listing()) == {"a.png"}
    said = run.stderr.decode()
    assert said.startswith("Interrupted; no partial files were left.") and "ignored" not in said


def test_hangup_is_ignored_where_it_was(process: Process, photo: Photo, tmp_path: Path) -> None:
    """As nohup has it."""
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    hang_up = SLOW_DISK.replace("time.sleep(2)", "signal.raise_signal(signal.SIGHUP)")
    run = process(photo("a.png"), before=ignore + hang_up)
    assert run.returncode == 0 and (tmp_path / "a_4x.png").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_leaves_is_no_error(unbuffered: str, process: Process, photo: Photo) -> None:
    child = subprocess.Popen(
        process.command_line(photo("a.png", size=(200, 200)), "-o", "-", before=QUICK),
        env={**process.environment(), "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(100)  # more is coming than a pipe holds
    child.stdout.close()
    stderr = child.stderr.read()
    assert child.wait(timeout=30) == ExitCode.BROKEN_PIPE
    assert stderr == b""
    child.stderr.close()


# --- terminals ------------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[int]:
    """The program's side of a terminal that nobody types at."""
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_stdin_on_a_terminal_is_refused_not_waited_for(process: Process, terminal: int) -> None:
    run = process("-", stdin=terminal)
    assert run.returncode == ExitCode.USAGE
    assert b"standard input, which is a terminal" in run.stderr and b"upscale - < photo.jpg" in run.stderr


def test_picture_to_a_terminal_is_refused(process: Process, photo: Photo, terminal: int) -> None:
    run = process(photo(), "-o", "-", capture_output=False, stdout=terminal, stderr=subprocess.PIPE)
    assert run.returncode == ExitCode.USAGE and b"would go to the terminal" in run.stderr


def test_stdin_needs_a_file_when_stdout_is_a_terminal(
    process: Process, photo: Photo, tmp_path: Path, terminal: int
) -> None:
    data = photo("a.png").read_bytes()
    to_terminal = {"capture_output": False, "stdout": terminal, "stderr": subprocess.PIPE, "input": data}
    run = process("-", **to_terminal)
    assert run.returncode == ExitCode.USAGE and b"no file for its result" in run.stderr
    assert process("-", "-o", tmp_path / "b.png", before=QUICK, **to_terminal).returncode == 0
    assert (tmp_path / "b.png").exists()


def on_terminal(command: list[str], env: dict[str, str]) -> tuple[int, str, str]:
    """Run with stderr on a terminal; return the exit code, stdout, and what the terminal got."""
    ours, theirs = pty.openpty()
    env = {**env, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
    child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not chunk:
                break
            shown += chunk
    assert child.stdout is not None
    stdout = child.stdout.read().decode()
    child.stdout.close()
    os.close(ours)
    return child.wait(timeout=10), stdout, shown.decode()


def test_progress_on_a_terminal(process: Process, photo: Photo) -> None:
    paths = photo("a.png", size=(70, 40)), photo("b.png")
    command = process.command_line(*paths, "--scale", "8", "--steps", "16", "--tile", "32", before=LIVELY)
    code, stdout, shown = on_terminal(command, process.environment())
    assert code == 0 and stdout == ""
    assert "stage 1 of 2, tile" in shown and "stage 2 of 2, tile" in shown
    assert "all files" in shown and "0 of 2 done" in shown and "%" in shown
    assert "a_8x.png" in shown and "b_8x.png" in shown


def test_quiet_shows_no_progress(process: Process, photo: Photo) -> None:
    command = process.command_line(photo(), "-q", before=QUICK)
    assert on_terminal(command, process.environment()) == (0, "", "")


def test_errors_are_red_on_a_terminal_only(process: Process, tmp_path: Path) -> None:
    command = process.command_line(tmp_path / "missing.jpg")
    env = {name: value for name, value in process.environment().items() if name != "NO_COLOR"}
    code, _, shown = on_terminal(command, env)
    assert code == ExitCode.INPUT and "\x1b[1;31mError: " in shown
    assert b"\x1b" not in process(tmp_path / "missing.jpg").stderr


# --- places that will not have it -----------------------------------------------------------------


def test_disk_that_gets_full(process: Process, photo: Photo, listing: Listing) -> None:
    """A limit on the size of files stands for the full disk; the system answers the same way."""
    path = photo("a.png", size=(40, 40))
    path.with_name("a_4x.png").write_bytes(b"old")
    before = listing()
    run = process(path, "--overwrite", before=QUICK + SMALL_FILES_ONLY)
    assert run.returncode == ExitCode.OUTPUT
    assert b"a_4x.png cannot be written: " in run.stderr and b"Traceback" not in run.stderr
    assert listing() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_behind_stdout(unbuffered: str, process: Process, photo: Photo, listing: Listing) -> None:
    path = photo("a.png", size=(4, 4))
    before = listing()
    with Path("/dev/full").open("wb") as full:
        env = {**process.environment(), "PYTHONUNBUFFERED": unbuffered}
        run = process(
            path, "-o", "-", before=QUICK, env=env, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert run.returncode == ExitCode.OUTPUT
    assert run.stderr.decode().startswith("Error: Standard output cannot be written: the disk is full.")
    assert b"Traceback" not in run.stderr and b"Exception ignored" not in run.stderr
    assert listing() == before


FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs the device that is always full")
WAYS_TO_PRINT = (["a.png", "--dry-run"], ["info", "a.png"], ["models", "list"], ["--help"], ["--version"])


def closed_pipe() -> int:
    """Return the end to write to of a pipe whose reader has gone."""
    theirs, ours = os.pipe()
    os.close(theirs)
    return ours


@needs_full
@pytest.mark.parametrize("args", WAYS_TO_PRINT, ids=" ".join)
def test_full_disk_behind_text(args: list[str], process: Process, photo: Photo, tmp_path: Path) -> None:
    photo("a.png")
    to = {"cwd": tmp_path, "capture_output": False, "stderr": subprocess.PIPE, "defaults": False}
    with FULL.open("wb") as full:
        run = process(*args, stdout=full, **to)
    assert run.returncode == ExitCode.OUTPUT
    assert run.stderr.decode().startswith("Error: Standard output cannot be written: the disk is full.")
    assert b"Traceback" not in run.stderr and b"Exception ignored" not in run.stderr


@pytest.mark.parametrize("args", WAYS_TO_PRINT, ids=" ".join)
def test_reader_of_text_that_has_gone(
    args: list[str], process: Process, photo: Photo, tmp_path: Path
) -> None:
    photo("a.png")
    pipe = closed_pipe()
    to = {"cwd": tmp_path, "capture_output": False, "stderr": subprocess.PIPE, "defaults": False}
    run = process(*args, stdout=pipe, **to)
    os.close(pipe)
    assert run.returncode == ExitCode.BROKEN_PIPE and run.stderr == b""


@needs_full
@pytest.mark.parametrize("full", [True, False])
def test_messages_that_cannot_be_printed_stop_nothing(
    full: bool, process: Process, photo: Photo, tmp_path: Path
) -> None:
    paths = photo("a.png"), tmp_path / "missing.png", photo("b.png")
    stderr = os.open(FULL, os.O_WRONLY) if full else closed_pipe()
    to = {"capture_output": False, "stdout": subprocess.PIPE, "stderr": stderr, "before": QUICK}
    assert process(*paths, "-v", **to).returncode == ExitCode.PARTIAL
    assert (tmp_path / "a_4x.png").exists() and (tmp_path / "b_4x.png").exists()
    assert process(tmp_path / "missing.png", **to).returncode == ExitCode.INPUT
    assert process("--nonsense", **to).returncode == ExitCode.USAGE
    os.close(stderr)


def test_names_that_the_encoding_has_not(process: Process, photo: Photo) -> None:
    path = photo("日本×.png")
    for args in ([path, "--dry-run"], ["info", path], ["--help"]):
        for odd in ({"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}):
            run = process(*args, env={**process.environment(), **odd}, defaults=False)
            assert run.returncode == 0, run.stderr
            assert args == ["--help"] or b"\\u65e5\\u672c" in run.stdout.replace(b"\n", b"")


def test_forced_colours_move_nothing_in_a_file(process: Process, photo: Photo, tmp_path: Path) -> None:
    paths = [photo(name * 30 + ".png") for name in "ab"]
    env = {**process.environment(), "FORCE_COLOR": "1", "COLUMNS": "60"}
    run = process(*paths, before=QUICK, env=env)
    assert run.returncode == 0 and len(run.stderr.splitlines()) == 2
    assert not re.search(rb"\x1b\[[^m]*[A-Zln]", run.stderr)
    planned = process(*paths, "--overwrite", "--dry-run", env=env).stdout.decode()
    assert all(str(path) in planned for path in paths)  # not folded


@pytest.fixture
def ordinary(model: str) -> Iterator[tuple[Path, str]]:
    """A folder that everybody can enter, and code that makes a process an ordinary user's (root may do all).

    Interpreter and packages may lie where only root can read, so a run that fails imports everything before.
    """
    folder = Path(tempfile.mkdtemp(prefix="upscale-test-"))
    before = "pass"
    if os.geteuid() == 0:
        folder.chmod(0o755)
        warm = str(folder / "warm.png")
        Image.new("L", (2, 2)).save(warm)
        before = (
            "import os\n"
            "from upscale.cli.app import app\n"
            f"try: app([{warm!r}, 'missing', '-q', '--dry-run', '--model', {model!r}])\n"
            "except SystemExit as end: assert end.code == 7\n"
            f"os.setgid({NOBODY}); os.setuid({NOBODY})"
        )
    shutil.copytree(model, folder / "model")
    for path in (folder / "model", *(folder / "model").iterdir()):
        path.chmod(0o755)
    yield folder, before
    shutil.rmtree(folder)


def test_unreadable_file(process: Process, photo: Photo, ordinary: tuple[Path, str]) -> None:
    folder, before = ordinary
    path = Path(shutil.copy(photo(), folder))
    path.chmod(0)
    run = process(path, "--model", folder / "model", before=before)
    assert run.returncode == ExitCode.INPUT
    assert b"photo.jpg may not be read: permission denied" in run.stderr and b"Traceback" not in run.stderr


def test_unreadable_file_among_those_asked_about(
    process: Process, photo: Photo, ordinary: tuple[Path, str]
) -> None:
    folder, before = ordinary
    paths = [Path(shutil.copy(photo(name), folder)) for name in ("a.png", "b.png")]
    paths[0].chmod(0)
    paths[1].chmod(0o644)
    run = process("info", *paths, before=before, defaults=False)
    assert run.returncode == ExitCode.PARTIAL and b"b.png: PNG" in run.stdout
    assert b"a.png may not be read: permission denied" in run.stderr


@pytest.mark.parametrize("output", ["existing/", "existing/new/deep/"])
def test_unwritable_folder_is_found_out_before_any_work(
    output: str, process: Process, photo: Photo, ordinary: tuple[Path, str]
) -> None:
    folder, before = ordinary
    path = Path(shutil.copy(photo(), folder))
    path.chmod(0o644)
    (folder / "existing").mkdir()
    (folder / "existing").chmod(0o555)
    run = process(path, "-v", "-o", f"{folder}/{output}", "--model", folder / "model", before=before)
    assert run.returncode == ExitCode.OUTPUT
    assert b"existing may not be written to" in run.stderr and b"Using model" not in run.stderr
    assert list((folder / "existing").iterdir()) == []


def test_folder_that_cannot_be_made_at_all(process: Process, photo: Photo, listing: Listing) -> None:
    path = photo()
    before = listing()
    run = process(path, "-o", f"{path}/out/")
    assert run.returncode == ExitCode.OUTPUT and b"is not a folder" in run.stderr
    assert listing() == before
