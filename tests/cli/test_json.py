"""`--json`: a line for each file and a summary, as docs/json.md promises, and nothing else on stdout."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscale.errors import DeviceError, ExitCode
from upscale.jobs import lines, steps
from upscale.jobs.report import Status

Cli = Callable[..., Any]
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]
Line = dict[str, Any]

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"


def parsed(result: Any) -> tuple[list[Line], Line]:
    """Return the lines of the files and the summary, whose sums have to be right."""
    *files, summary = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(line["schema"] == lines.SCHEMA and line["type"] == "file" for line in files)
    assert summary["schema"] == lines.SCHEMA and summary["type"] == "summary"
    assert summary["files"] == sum(summary[status] for status in Status)
    assert summary["exit_code"] == result.exit_code
    return files, summary


def test_each_way_to_end(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    good, old, torn = photo("good.png", size=(13, 7)), photo("old.png"), photo("torn.jpg", size=(64, 64))
    torn.write_bytes(torn.read_bytes()[:1500])
    photo("old_4x.png", size=(48, 32))
    result = cli(tmp_path / "missing.png", good, old, torn, "--skip-existing", "--json", "-q")
    files, summary = parsed(result)
    assert [line["status"] for line in files] == ["failed", "done", "skipped", "failed"]
    missing, done, skipped, failed = files

    assert missing["input"] == str(tmp_path / "missing.png")
    assert missing["error"] == {
        "code": 3,
        "name": "input",
        "message": f"{tmp_path / 'missing.png'} does not exist.",
        "hint": None,
    }
    assert [missing[key] for key in ("output", "input_size", "output_size", "format")] == [None] * 4
    assert done["output"] == str(tmp_path / "good_4x.png") and done["error"] is None
    assert done["input_size"] == [13, 7] and done["output_size"] == [52, 28] and done["format"] == "png"
    assert done["stages"] == [{"input_size": [13, 7], "output_size": [52, 28]}]
    assert done["model"] == "tiny" and done["seconds"] > 0
    assert skipped["output"] == str(tmp_path / "old_4x.png") and skipped["seconds"] == 0
    assert failed["output"] is None and failed["input_size"] == [64, 64]
    assert "damaged or incomplete" in failed["error"]["message"]

    counts = {"done": 1, "skipped": 1, "failed": 2, "cancelled": 0, "planned": 0}
    assert {key: summary[key] for key in counts} == counts
    assert summary["exit_code"] == ExitCode.PARTIAL and summary["error"] is None


def test_document_names_every_entry(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    files, summary = parsed(cli(photo(), tmp_path / "missing.png", "--json"))
    file_part, summary_part = DOCUMENT.read_text().split("## The summary")

    def entries(text: str) -> set[str]:
        rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
        return {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert all(set(line) == entries(file_part) for line in files)
    assert set(summary) == entries(summary_part)
    error = next(line["error"] for line in files if line["error"])
    assert all(f"`{key}`" in file_part for key in error)
    assert all(f"`{status}`" in file_part for status in Status)
    assert f"| `schema` | number | {lines.SCHEMA} |" in file_part


def test_left_alone_and_notes(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    photo("photos/a.gif")
    (tmp_path / "photos" / "notes.txt").touch()
    files, summary = parsed(cli(tmp_path / "photos", "--json", "--format", "jpg"))
    assert summary["left_alone"] == {".txt": 1} and files[0]["notes"] == []
    assert files[0]["format"] == "jpg"


def test_stages_are_those_that_were_taken(cli: Cli, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(60, 200, (24, 32, 3), dtype=np.uint8)
    soft, sharp = tmp_path / "soft.png", tmp_path / "sharp.png"
    Image.fromarray(noise).resize((128, 96), Image.Resampling.BICUBIC).save(soft)
    Image.fromarray(np.tile(noise, (4, 4, 1))).save(sharp)
    files, _ = parsed(cli(soft, sharp, "--scale", 4, "--json"))
    made, as_it_is = files
    assert made["shrunk"] > 1 and as_it_is["shrunk"] == 1
    assert as_it_is["stages"] == [{"input_size": [128, 96], "output_size": [512, 384]}]
    assert [stage["input_size"] for stage in made["stages"]] == [
        [round(128 / made["shrunk"]), round(96 / made["shrunk"])],
        [128, 96],
    ]


def test_names_of_all_kinds(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    names = ["a\nb.png", "\"'\\.png", "é😀.png", os.fsdecode(b"\xff.png")]
    result = cli(*(photo(name) for name in names), "--json")
    assert result.stdout.isascii()
    files, _ = parsed(result)
    assert [Path(line["input"]).name for line in files] == names


def test_fail_fast(cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    torn = photo("torn.jpg", size=(64, 64))
    torn.write_bytes(torn.read_bytes()[:1500])
    paths = photo("a.png"), torn, photo("b.png"), photo("c.png")
    before = listing()
    result = cli(*paths, "--fail-fast", "--json")
    files, summary = parsed(result)
    assert [line["status"] for line in files] == ["done", "failed", "cancelled", "cancelled"]
    assert files[2]["output"] is None
    assert summary["cancelled"] == 2 and result.exit_code == ExitCode.PARTIAL
    assert set(listing()) - set(before) == {"a_4x.png"}
    assert "2 files not begun, because of --fail-fast." in result.stderr


def test_fail_fast_begins_nothing_where_planning_fails(
    cli: Cli, photo: Photo, tmp_path: Path, listing: Listing
) -> None:
    path = photo("a.png")
    before = listing()
    result = cli(path, tmp_path / "missing.png", "--fail-fast", "--json", "-v")
    assert [line["status"] for line in parsed(result)[0]] == ["failed", "cancelled"]
    assert listing() == before and "Using model" not in result.stderr


def test_plan(cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    photo("a_4x.png", size=(48, 32))
    paths = photo("a.png"), photo("b.png"), tmp_path / "missing.png"
    before = listing()
    result = cli(*paths, "--dry-run", "--json", "--skip-existing")
    files, summary = parsed(result)
    assert [line["status"] for line in files] == ["skipped", "planned", "failed"]
    assert files[1]["output"] == str(tmp_path / "b_4x.png") and summary["planned"] == 1
    assert listing() == before


def test_plan_of_what_fail_fast_cancels(cli: Cli, photo: Photo, tmp_path: Path, listing: Listing) -> None:
    """It says what the run says."""
    photo("b_4x.png", size=(48, 32))
    args = (photo("a.png"), photo("b.png"), tmp_path / "missing.png", "--fail-fast", "--skip-existing")
    before = listing()
    files, summary = parsed(cli(*args, "--json", "--dry-run"))
    assert [line["status"] for line in files] == ["cancelled", "cancelled", "failed"]
    assert summary["cancelled"] == parsed(cli(*args, "--json"))[1]["cancelled"] == 2
    table = cli(*args, "--dry-run").stdout
    assert table.count("none: --fail-fast") == 2 and "forecast" not in table
    assert listing() == before


def test_inputs_that_fail_are_named_though_devices_are_missing(
    cli: Cli, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(options: object) -> None:
        raise DeviceError("There is no cuda:1.")

    monkeypatch.setattr("upscale.jobs.run.for_each_device", missing)
    wanted = ("--device", "cuda:0,cuda:1", "--json", "-q")
    files, summary = parsed(cli(tmp_path / "one.png", tmp_path / "two.png", *wanted))
    assert [line["status"] for line in files] == ["failed", "failed"]
    assert summary["exit_code"] == ExitCode.PARTIAL  # there was nothing for a device to do
    files, summary = parsed(cli(tmp_path / "one.png", photo("a.png"), *wanted))
    assert [line["status"] for line in files] == ["failed"] and summary["exit_code"] == ExitCode.DEVICE
    photo("a_4x.png", size=(48, 32))
    files, summary = parsed(cli(photo("a.png"), *wanted, "--skip-existing"))
    assert [line["status"] for line in files] == ["skipped"] and summary["exit_code"] == ExitCode.OK


def test_what_ends_everything_is_in_the_summary(cli: Cli, photo: Photo) -> None:
    result = cli(photo("a.png"), "--model", "nonsense", "--json")
    files, summary = parsed(result)
    assert files == [] and summary["files"] == 0 and summary["exit_code"] == ExitCode.WEIGHTS
    assert summary["error"]["name"] == "weights" and "nonsense" in summary["error"]["message"]
    assert "nonsense" in result.stderr


def test_bug_on_one_file(cli: Cli, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(steps, "read", stumble)
    ((line,), _) = parsed(cli(photo(), "--json"))
    assert line["error"] == {"code": 1, "name": "bug", "message": "ZeroDivisionError: oops", "hint": None}


@pytest.mark.parametrize("args", [["-o", "-"], ["-"]])
def test_picture_and_lines_cannot_share_stdout(args: list[str], cli: Cli, photo: Photo) -> None:
    path = photo()
    result = cli(*args, *([] if "-" in args[0:1] else [path]), "--json", stdin=path.read_bytes())
    assert result.exit_code == ExitCode.USAGE and "--json" in result.stderr and result.stdout == ""


# --- in a process of its own ------------------------------------------------------------------------------

# An engine that interpolates, and talks while it does: in Python, and past Python as libraries in C do.
QUICK = Path(__file__).with_name("quick_engine.py").read_text(encoding="utf-8")
CHATTY = (
    QUICK
    + """
import os

def upscale_many(self, *arguments, quietly=Upscaler.upscale_many):
    os.write(1, b"warning: something in C\\n")
    os.system("echo a child says hello")
    return quietly(self, *arguments)

Upscaler.__init__ = lambda self, **options: print("Loading, please wait")
Upscaler.upscale_many = upscale_many
"""
)
SAID = {"Loading, please wait", "warning: something in C", "a child says hello"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="descriptors and signals of POSIX systems")


@posix
def test_libraries_that_talk_do_not_spoil_the_lines(process: Any, photo: Photo) -> None:
    run = process(photo("a.png"), photo("b.png"), "--json", before=CHATTY)
    assert run.returncode == 0
    assert [json.loads(line)["type"] for line in run.stdout.splitlines()] == ["file", "file", "summary"]
    assert set(run.stderr.decode().splitlines()) >= SAID


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_libraries_that_talk_do_not_spoil_the_picture(unbuffered: str, process: Any, photo: Photo) -> None:
    path = photo("a.png")
    env = {**process.environment(), "PYTHONUNBUFFERED": unbuffered}
    run = process(path, "-o", "-", before=CHATTY, env=env)
    assert (
        run.returncode == 0 and run.stdout.startswith(b"\x89PNG") and run.stdout.endswith(b"IEND\xaeB`\x82")
    )
    assert set(run.stderr.decode().splitlines()) >= SAID


@posix
def test_reader_of_lines_that_leaves(process: Any, photo: Photo) -> None:
    paths = [photo(f"{number}.png") for number in range(3)]
    slow = (
        CHATTY
        + "import time\nold = Upscaler.upscale_many\n"
        + "Upscaler.upscale_many = lambda *a, **k: (time.sleep(0.3), old(*a, **k))[1]"
    )
    child = subprocess.Popen(
        process.command_line(*paths, "--json", "-q", before=slow),
        env=process.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stderr is not None
    assert json.loads(child.stdout.readline())["status"] == "done"
    child.stdout.close()
    stderr = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(timeout=30) == ExitCode.BROKEN_PIPE and set(stderr.splitlines()) == SAID


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_full_disk_behind_the_lines(process: Any, photo: Photo) -> None:
    with Path("/dev/full").open("wb") as full:
        run = process(
            photo(), "--json", "-q", before=CHATTY, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert run.returncode == ExitCode.OUTPUT
    assert b"Error: Standard output cannot be written: the disk is full." in run.stderr
    assert b"send it elsewhere" in run.stderr and b"Traceback" not in run.stderr


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_full_disk_behind_the_lines_of_many(process: Any, photo: Photo) -> None:
    """Found out while the engine works on the next one, which is not to blame."""
    paths = [photo(f"{number}.png", size=(12 + number, 8)) for number in range(5)]
    telling = CHATTY.replace(
        'os.write(1, b"warning',
        'time.sleep(0.2); progress(types.SimpleNamespace(message=None)); os.write(1, b"warning',
    )
    with Path("/dev/full").open("wb") as full:
        run = process(
            *paths,
            "--json",
            "-q",
            before="import time\n" + telling,
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert run.returncode == ExitCode.OUTPUT and b"bug" not in run.stderr


@posix
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_summary_after_signals(sent: signal.Signals, code: int, process: Any, photo: Photo) -> None:
    hang = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        + CHATTY
        + "import time\n"
        + "old = Upscaler.upscale_many\n"
        + "def hang(self, pictures, size, progress):\n"
        + "    while pictures[0].size == (5, 5):\n"
        + "        progress(types.SimpleNamespace(message=None))\n"
        + "        time.sleep(0.05)\n"
        + "    return old(self, pictures, size)\n"
        + "Upscaler.upscale_many = hang"
    )
    child = subprocess.Popen(
        process.command_line(
            photo("a.png"), photo("b.png", size=(5, 5)), photo("c.png"), "--json", before=hang
        ),
        env=process.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(0.2)
    child.send_signal(sent)
    rest, _ = child.communicate(timeout=30)
    assert child.returncode == code
    (summary,) = (json.loads(line) for line in rest.splitlines())
    assert json.loads(first)["status"] == "done"
    assert summary["exit_code"] == code and summary["done"] == 1 and summary["cancelled"] == 2


@posix
def test_signal_that_a_library_makes_an_error_of(process: Any, photo: Photo) -> None:
    """As torch does where it asks an object for its length, which it does all the time while it loads."""
    lost = """
import signal
def __init__(self, **options):
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        raise TypeError("could not determine the shape of an object") from None
Upscaler.__init__ = __init__
"""
    run = process(photo("a.png"), "--json", before=CHATTY + lost)
    assert run.returncode == json.loads(run.stdout)["exit_code"] == ExitCode.TERMINATED
    assert run.stderr.decode() == "Interrupted; no partial files were left.\n"
