"""SIGKILL at any moment: what is there is whole, and the next run makes the rest and clears up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="SIGKILL, fork and file locks of POSIX systems"
)

Photo = Callable[..., Path]
KILLS = 20

# One process that has loaded everything but torch, and forks a run whenever it shall kill one: loading takes
# longer than the runs do. The engine interpolates, several pictures at once.
KILLER = (
    Path(__file__).with_name("quick_engine.py").read_text(encoding="utf-8")
    + """
import os, random, shutil, signal, time

def upscale_many(self, *arguments, at_once=Upscaler.upscale_many):
    time.sleep(0.01)
    return at_once(self, *arguments)

Upscaler.together = lambda self, size, target: 3
Upscaler.upscale_many = upscale_many
import upscale.cli.session, upscale.jobs.run
from PIL import Image
Image.init()
from upscale.cli.app import app

def begin(*arguments):
    child = os.fork()
    if child == 0:
        try:
            sys.argv[1:] = arguments
            app(prog_name="upscale")
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(99)
    return child

def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def hold(folder, partly):
    '''Every result that is there is the undisturbed run's; return how many are.'''
    names = [os.path.relpath(os.path.join(f, n), folder) for f, _, files in os.walk(folder) for n in files]
    results = [name for name in names if not name.endswith(".upscale-part")]
    assert partly or results == names, names
    for name in results:
        with open(f"{folder}/{name}", "rb") as one, open(f"{whole}/{name}", "rb") as other:
            assert one.read() == other.read(), name
    return len(results), len(names) - len(results)

*command, whole, torn, kills = sys.argv[1:]
began = time.perf_counter()
child = begin(*command, "-o", whole)
while not os.path.isdir(whole):
    time.sleep(0.001)
planned = time.perf_counter() - began
assert end(child) == 0
seconds = time.perf_counter() - began
generator, grown, left, killed, stretch, last = random.Random(0), set(), 0, 0, 1.0, 0
while killed < int(kills):
    child = begin(*command, "-o", torn)
    time.sleep(stretch * generator.uniform(0.5 * planned, planned + 0.3 * (seconds - planned)))
    os.kill(child, signal.SIGKILL)
    if end(child) != -signal.SIGKILL:  # it was done before: begin anew
        hold(torn, partly=False)
        shutil.rmtree(torn)
        stretch, last = 1.0, 0
        continue
    killed += 1
    results, parts = hold(torn, partly=True)
    grown.add(results)
    left += parts
    stretch, last = (1.15 * stretch if results == last else 1.0), results  # a busy machine plans longer
assert end(begin(*command, "-o", torn)) == 0
made = hold(torn, partly=False)[0]
assert made == hold(whole, partly=False)[0]
print(made, len(grown), left, flush=True)
os._exit(0)
"""
)


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
def test_killed_at_random_moments(
    devices: str, process: Any, photo: Photo, tmp_path: Path, listing: Callable[[], dict[str, str]]
) -> None:
    for number in range(36):
        suffix = ("png", "jpg", "webp")[number % 3]
        photo(f"photos/{number % 4}/{number}.{suffix}", size=(90, 60 + number % 2))
    before = listing()
    command = (
        "--device",
        devices,
        "-r",
        "-q",
        tmp_path / "photos",
        tmp_path / "whole",
        tmp_path / "torn",
        KILLS,
    )
    run = process(*map(str, command), before=KILLER)
    assert run.returncode == 0, run.stderr.decode()
    made, grown, left = map(int, run.stdout.split())
    assert made == 36 and grown > 2 and left > 0  # kills hit all kinds of moments
    assert {name: digest for name, digest in listing().items() if name in before} == before
