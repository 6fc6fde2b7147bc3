"""Folders, lists, second runs: `upscale DIR`, in this process and killed in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from upscale.errors import ExitCode

Cli = Callable[..., Any]
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]


@pytest.fixture
def folder(photo: Photo, tmp_path: Path) -> Path:
    """`photos` with three pictures on two levels, and what else lies in folders."""
    for name in ("photos/a.png", "photos/b.jpg", "photos/sub/c.png"):
        photo(name)
    for name in ("Thumbs.db", ".DS_Store", "notes.txt", ".hidden.png"):
        (tmp_path / "photos" / name).write_bytes(b"no picture")
    return tmp_path / "photos"


def made(listing: dict[str, str], before: dict[str, str]) -> list[str]:
    """Return the files that are new; the others must not have changed."""
    assert {name: listing[name] for name in before} == before
    return sorted(set(listing) - set(before))


def test_tree_is_kept(cli: Cli, folder: Path, tmp_path: Path, listing: Listing) -> None:
    before = listing()
    result = cli(folder, "-o", tmp_path / "big", "--recursive")
    assert result.exit_code == 0 and result.stdout == ""
    assert made(listing(), before) == ["big/a_4x.png", "big/b_4x.jpg", "big/sub/c_4x.png"]
    assert "Ignored: 1 .db, 1 .txt, 2 hidden." in result.stderr


def test_one_level(cli: Cli, folder: Path, tmp_path: Path, listing: Listing) -> None:
    before = listing()
    assert cli(folder, "-o", tmp_path / "big").exit_code == 0
    assert made(listing(), before) == ["big/a_4x.png", "big/b_4x.jpg"]


def test_second_run_does_what_is_missing(cli: Cli, folder: Path, tmp_path: Path, listing: Listing) -> None:
    command = (folder, "-o", tmp_path / "big", "-r")
    assert cli(*command).exit_code == 0
    before = listing()
    (tmp_path / "big" / "b_4x.jpg").unlink()
    result = cli(*command)
    assert result.exit_code == 0 and set(listing()) == set(before)
    assert "1 file made, 2 skipped: their results exist already." in result.stderr
    assert f"a.png: {tmp_path / 'big' / 'a_4x.png'} exists already; skipped." in result.stderr
    nothing = cli(*command, "-q")
    assert nothing.exit_code == 0 and nothing.output == ""


def test_results_beside_the_photos_are_known_again(cli: Cli, folder: Path, listing: Listing) -> None:
    before = listing()
    assert cli(folder, "-r").exit_code == 0
    once = listing()
    assert made(once, before) == ["photos/a_4x.png", "photos/b_4x.jpg", "photos/sub/c_4x.png"]
    again = cli(folder, "-r")
    assert again.exit_code == 0 and listing() == once
    assert "3 results of upscale" in again.stderr
    assert cli(folder, "-r", "--scale", "2").exit_code == 0  # nor are they enlarged to another size
    assert made(listing(), once) == ["photos/a_2x.png", "photos/b_2x.jpg", "photos/sub/c_2x.png"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--suffix", "_big"], ["photos/a_big.png", "photos/b_big.jpg"]),
        (
            ["--output-template", "{parent}/big/{stem}-{scale}{suffix}"],
            ["photos/big/a-4.png", "photos/big/b-4.jpg"],
        ),
    ],
)
def test_other_names_are_known_again_too(
    options: list[str], names: list[str], cli: Cli, folder: Path, listing: Listing
) -> None:
    before = listing()
    assert cli(folder, *options).exit_code == 0
    once = listing()
    assert made(once, before) == names
    assert cli(folder, *options).exit_code == 0 and listing() == once


def test_results_inside_the_folder(cli: Cli, folder: Path, listing: Listing) -> None:
    command = (folder, "-r", "-o", folder / "big", "--suffix", "")
    before = listing()
    assert cli(*command).exit_code == 0
    once = listing()
    assert made(once, before) == ["photos/big/a.png", "photos/big/b.jpg", "photos/big/sub/c.png"]
    assert cli(*command).exit_code == 0 and listing() == once


def test_patterns(cli: Cli, folder: Path, tmp_path: Path, listing: Listing) -> None:
    before = listing()
    assert cli(folder, "-r", "-o", tmp_path / "big", "--include", "*.PNG", "--exclude", "sub").exit_code == 0
    assert made(listing(), before) == ["big/a_4x.png"]


def test_same_name_of_two_formats(
    cli: Cli, folder: Path, photo: Photo, tmp_path: Path, listing: Listing
) -> None:
    photo("photos/a.bmp")
    before = listing()
    assert cli(folder, "-o", tmp_path / "big", "--format", "webp").exit_code == 0
    assert made(listing(), before) == ["big/a_bmp_4x.webp", "big/a_png_4x.webp", "big/b_4x.webp"]


def test_same_name_as_that_of_two_formats(
    cli: Cli, folder: Path, photo: Photo, tmp_path: Path, listing: Listing
) -> None:
    """`a_png.jpg` is there as well: it gives way like the others, and nothing is refused."""
    photo("photos/a.bmp")
    photo("photos/a_png.jpg")
    before = listing()
    assert cli(folder, "-o", tmp_path / "big", "--format", "webp").exit_code == 0
    assert made(listing(), before) == [f"big/{name}_4x.webp" for name in ("a_bmp", "a_png", "a_png_jpg", "b")]


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_folder_of_nothing_but_results_says_what_to_do(
    options: list[str], cli: Cli, photo: Photo, tmp_path: Path
) -> None:
    path = photo("photos/a.png")
    assert cli(path).exit_code == 0
    path.unlink()
    result = cli(tmp_path / "photos", *options)
    assert result.exit_code == 0 and "Ignored: 1 result of upscale." in result.stderr
    assert "Name the files themselves to enlarge them once more." in result.stderr
    assert cli(tmp_path / "photos", *options, "-q").output == ""


@pytest.mark.parametrize("options", [[], ["--suffix", "_big"]])
def test_results_told_apart_are_known_again(
    options: list[str], cli: Cli, photo: Photo, tmp_path: Path, listing: Listing
) -> None:
    """In a format without room for a record."""
    photo("photos/a.png")
    photo("photos/a.jpg")
    command = (tmp_path / "photos", "--format", "bmp", *options)
    assert cli(*command).exit_code == 0
    once = listing()
    again = cli(*command)
    assert again.exit_code == 0 and listing() == once and "2 results of upscale" in again.stderr


def test_one_broken_picture(cli: Cli, folder: Path, tmp_path: Path, listing: Listing) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    before = listing()
    result = cli(folder, "-o", tmp_path / "big")
    assert result.exit_code == ExitCode.PARTIAL
    assert made(listing(), before) == ["big/a_4x.png", "big/b_4x.jpg"]
    assert "1 of 3 files failed:" in result.stderr and "broken.png is not a picture" in result.stderr


def test_folder_cannot_go_to_one_file_or_pipe(
    cli: Cli, folder: Path, tmp_path: Path, listing: Listing
) -> None:
    (tmp_path / "file.png").write_bytes(b"x")
    before = listing()
    for output in ("-", tmp_path / "file.png"):
        assert cli(folder, "-o", output, "--include", "a.png").exit_code == ExitCode.USAGE
    assert listing() == before


def test_dry_run_tells_what_exists(cli: Cli, folder: Path, tmp_path: Path, listing: Listing) -> None:
    assert cli(folder, "-o", tmp_path / "big").exit_code == 0
    before = listing()
    result = cli(folder, "-o", tmp_path / "big", "--dry-run", "-r")
    assert result.exit_code == 0 and listing() == before
    (line,) = (line for line in result.stdout.splitlines() if "a.png" in line)
    assert "it exists" in line and "c_4x.png" in result.stdout


def test_dry_run_tells_what_exists_made_otherwise(cli: Cli, folder: Path, tmp_path: Path) -> None:
    cli(folder, "-o", tmp_path / "big", "--seed", "1")
    planned = cli(folder, "-o", tmp_path / "big", "--dry-run").stdout
    assert "none: it exists, made with other settings (seed)" in " ".join(planned.split())
    assert "1 step, " in cli(folder, "--dry-run").stdout


def test_dry_run_tells_what_is_left_alone(cli: Cli, folder: Path) -> None:
    assert cli(folder, "--dry-run").stderr == "Ignored: 1 .db, 1 .txt, 1 folder, 2 hidden.\n"
    assert cli(folder, "--dry-run", "-q").stderr == ""


# --- lists ------------------------------------------------------------------------------------------------


def test_list_from_stdin_with_odd_names(cli: Cli, photo: Photo, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a\nb.png", "sub/'\" é.png", "-dash.png", os.fsdecode(b"\xff.png")]
    for name in names:
        photo(name)
    data = b"".join(os.fsencode(name) + b"\0" for name in names)
    result = cli("--files-from", "-", "-0", "-o", "big/", stdin=data)
    assert result.exit_code == 0, result.stderr
    expected = {os.fsencode(f"big/{name[:-4]}_4x.png") for name in names}
    assert {os.fsencode(path) for path in Path("big").rglob("*.png")} == expected
    assert cli("--files-from", "-", "-0", "-o", "big/", stdin=data).exit_code == 0


def test_list_from_a_file_beside_names(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{photo('a.png')}\n\n{photo('b.png')}\n")
    result = cli(photo("c.png"), "--files-from", tmp_path / "list.txt", "-o", tmp_path / "big")
    assert result.exit_code == 0
    assert sorted(p.name for p in (tmp_path / "big").iterdir()) == ["a_4x.png", "b_4x.png", "c_4x.png"]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["-0"], ExitCode.USAGE, "--files-from"),
        (["--files-from", "-", "-"], ExitCode.USAGE, "both a list and a picture"),
        (["--files-from", "missing.txt"], ExitCode.INPUT, "missing.txt cannot be read: No such file"),
        (["--files-from", os.devnull], ExitCode.INPUT, "names no file"),
        (["--files-from", "."], ExitCode.INPUT, "cannot be read: Is a directory"),
    ],
)
def test_lists_that_are_none(options: list[str], code: int, sentence: str, cli: Cli) -> None:
    result = cli(*options, stdin=b"")
    assert result.exit_code == code and sentence in result.stderr


@pytest.mark.parametrize(
    "data", [b"a.png\0b.png\0", "a.png\r\n".encode("utf-16")], ids=["find", "PowerShell"]
)
def test_lists_written_otherwise(data: bytes, cli: Cli) -> None:
    result = cli("--files-from", "-", stdin=data)
    assert result.exit_code == ExitCode.INPUT
    assert "The list - has zero bytes in it." in result.stderr and "Give -0" in result.stderr


# --- results that exist -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "names", "replaced"),
    [
        ([], ExitCode.OUTPUT, [], False),
        (["--on-conflict", "fail"], ExitCode.OUTPUT, [], False),
        (["--skip-existing"], ExitCode.OK, [], False),
        (["--on-conflict", "skip"], ExitCode.OK, [], False),
        (["--overwrite"], ExitCode.OK, [], True),
        (["--on-conflict", "overwrite"], ExitCode.OK, [], True),
        (["--on-conflict", "rename"], ExitCode.OK, ["a_4x-1.png"], False),
    ],
)
def test_existing_result(
    options: list[str], code: int, names: list[str], replaced: bool, cli: Cli, photo: Photo, listing: Listing
) -> None:
    path = photo("a.png")
    Image.new("RGB", (48, 32), "red").save(path.with_name("a_4x.png"))
    before = listing()
    assert cli(path, *options).exit_code == code
    after = listing()
    assert sorted(set(after) - set(before)) == names
    assert (after["a_4x.png"] != before["a_4x.png"]) == replaced


def test_renaming_goes_on(cli: Cli, photo: Photo, listing: Listing) -> None:
    paths = photo("a.png"), photo("b.png")
    for _ in range(3):
        assert cli(*paths, "--on-conflict", "rename").exit_code == 0
    assert {"a_4x.png", "a_4x-1.png", "a_4x-2.png", "b_4x-2.png"} <= set(listing())


@pytest.mark.parametrize("content", ["nothing", "text", "cut", "size", "format"])
def test_only_whole_results_count(content: str, cli: Cli, photo: Photo, listing: Listing) -> None:
    path, target = photo("a.png"), photo("a_4x.png", size=(48, 32))
    if content == "nothing":
        target.write_bytes(b"")  # after a power cut
    elif content == "text":
        target.write_text("no picture")
    elif content == "cut":
        target.write_bytes(target.read_bytes()[:-20])
    elif content == "size":
        photo("a_4x.png", size=(48, 31))
    else:
        photo("a_4x.jpg", size=(48, 32)).replace(target)
    before = listing()
    result = cli(path, "--skip-existing")
    if content == "nothing":
        assert result.exit_code == 0 and listing() != before
    else:
        assert result.exit_code == ExitCode.OUTPUT and listing() == before
        assert "exists already" in result.stderr and "--overwrite" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--overwrite", "--skip-existing"],
        ["--overwrite", "--on-conflict", "rename"],
        ["--on-conflict", "ask"],
    ],
)
def test_wishes_that_make_no_sense(options: list[str], cli: Cli, photo: Photo) -> None:
    assert cli(photo(), *options).exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "options",
    [
        ["--suffix", "a/b"],
        ["--suffix", "_big", "--output-template", "{stem}{suffix}"],
        ["--output-template", "{stem}.png"],
        ["--output-template", "{stem.__class__}{suffix}"],
        ["--output-template", "{0}{suffix}"],
        ["--output-template", "{stem!r}{suffix}"],
        ["--output-template", "{stem:>99999999999}{suffix}"],
        ["--output-template", "{stem{suffix}"],
        ["--output-template", ""],
        ["--suffix", "_big", "-o", "large.png"],
    ],
)
def test_names_that_make_no_sense(options: list[str], cli: Cli, photo: Photo, listing: Listing) -> None:
    path = photo()
    before = listing()
    assert cli(path, *options).exit_code == ExitCode.USAGE
    assert listing() == before


# --- killed -----------------------------------------------------------------------------------------------

# An engine that interpolates, and whose third result takes for ever to write once half of it is in the file.
QUICK = Path(__file__).with_name("quick_engine.py").read_text(encoding="utf-8")
STUCK = """
import time
from upscale.images import write
encode, calls = write.encode, []

def stuck(picture, file, **options):
    calls.append(picture)
    notes = encode(picture, file, **options)
    if len(calls) == 3:
        file.flush()
        print("stuck", file=sys.stderr, flush=True)
        time.sleep(600)
    return notes

write.encode = stuck
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and file locks of POSIX systems")
def test_killed_and_run_again(process: Any, folder: Path, tmp_path: Path, listing: Listing) -> None:
    """Two of three are done, the third is half-written; meanwhile and afterwards another run goes on."""
    command = (folder, "-r", "-o", tmp_path / "big", "-q")
    before = listing()
    child = subprocess.Popen(
        process.command_line(*command, before=QUICK + STUCK),
        env=process.environment(),
        stderr=subprocess.PIPE,
    )
    assert child.stderr is not None
    try:
        while child.stderr.readline().strip() != b"stuck":
            assert child.poll() is None
        time.sleep(0.05)
        partial = list((tmp_path / "big").rglob("*.upscale-part"))
        assert len(partial) == 1

        beside = process(folder, "-o", tmp_path / "big", "-r", "--exclude", "c.png", before=QUICK)
        assert beside.returncode == 0 and partial[0].exists()  # its writer lives
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stderr.close()
    assert partial[0].exists()
    again = process(*command[:-1], before=QUICK)
    assert again.returncode == 0
    assert b"Removed 1 unfinished file of an earlier run." in again.stderr
    assert b"1 file made, 2 skipped" in again.stderr
    assert made(listing(), before) == ["big/a_4x.png", "big/b_4x.jpg", "big/sub/c_4x.png"]


@pytest.mark.parametrize("device", ["cpu,cpu", "cpu,cpu,cpu"])
def test_several_devices(device: str, cli: Cli, folder: Path, tmp_path: Path) -> None:
    """The results, their order and the exit code are those of one; a bad file is still one bad file."""
    (folder / "bad.png").write_bytes(b"no picture")
    several = cli(folder, "-r", "-o", tmp_path / "several", "--device", device, "--json", "-q")
    one = cli(folder, "-r", "-o", tmp_path / "one", "--json", "-q")
    assert several.exit_code == one.exit_code == ExitCode.PARTIAL

    def inputs(result: Any) -> list[str]:
        return [json.loads(line).get("input") for line in result.stdout.splitlines()]

    assert inputs(several) == inputs(one) and len(inputs(one)) == 5
    for path in (tmp_path / "one").rglob("*.*"):
        name = path.relative_to(tmp_path / "one")
        assert path.read_bytes() == (tmp_path / "several" / name).read_bytes()


def test_devices_that_make_no_sense(cli: Cli, folder: Path, listing: Listing) -> None:
    before = listing()
    result = cli(folder, "--device", "cpu,gpu")
    assert result.exit_code == ExitCode.USAGE and "'gpu' in --device cpu,gpu is unknown" in result.stderr
    assert listing() == before
