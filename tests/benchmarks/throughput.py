"""What 100 small pictures cost in one call, beside what the engine alone costs and beside 100 single calls.

python tests/benchmarks/throughput.py [--count 100] [--side 96] [--repeat 3] [--singles 3] [--profile FILE]

Everything runs on one thread. Processor seconds are what is compared, because a busy machine does not change
them much: on one core nothing hides behind anything else, and all that is no engine is overhead.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from command import run
from PIL import Image
from table import show

from upscale.options import DEFAULT_MODEL

TOP = Path(__file__).parents[2]
# Counts the engine's processor time within the command itself, and when everything is loaded.
COUNTING = """
import atexit, sys, time
from upscale.engine import upscaler

spent, calls, loaded = [], [], []
load, many = upscaler.Upscaler.__init__, upscaler.Upscaler.upscale_many

def counted_load(self, *args, **options):
    load(self, *args, **options)
    loaded.append(time.process_time())

def counted_many(self, pictures, *args):
    began = time.thread_time()
    try:
        return many(self, pictures, *args)
    finally:
        spent.append(time.thread_time() - began)
        calls.append(len(pictures))

upscaler.Upscaler.__init__ = counted_load
upscaler.Upscaler.upscale_many = counted_many
atexit.register(lambda: print("counted", sum(spent), loaded[0], max(calls), file=sys.stderr))
from upscale.cli.main import main
main()
"""


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    count: Annotated[int, typer.Option(help="Pictures in the folder.", min=1)] = 100,
    side: Annotated[int, typer.Option(help="Side of each in pixels.", min=1, max=299)] = 96,
    repeat: Annotated[int, typer.Option(help="Runs to take the least of.", min=1)] = 3,
    singles: Annotated[
        int, typer.Option(help="Single calls; the least, times --count, is shown.", min=1)
    ] = 3,
    profile: Annotated[Path | None, typer.Option(help="Write a profile of one more run here.")] = None,
) -> None:
    """Make a folder of pictures and upscale it in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photos"
        source.mkdir()
        for number, picture in enumerate(_crops(count, side)):
            picture.save(source / f"{number:03}.jpg", quality=90)
        wanted = ["--model", model, "-q"]
        runs = [_run([str(source), "-o", f"{folder}/out{n}", *wanted]) for n in range(repeat)]
        alone = [_run([str(source / "000.jpg"), "-o", f"{folder}/{n}.jpg", *wanted]) for n in range(singles)]
        if profile is not None:
            command = [sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "upscale"]
            subprocess.run([*command, str(source), "-o", f"{folder}/profiled", *wanted], check=True)
    least = min(runs, key=lambda run: float(run["cpu"]))
    single = min(alone, key=lambda run: float(run["cpu"]))
    work = least["cpu"] - least["started"]
    row = {
        "pictures": f"{count} of {side} px",
        "at once": least["at once"],
        "folder s": least["cpu"],
        "engine s": least["engine"],
        "start s": least["started"],
        "overhead %": 100 * (work / least["engine"] - 1),
        "with start %": 100 * (least["cpu"] / least["engine"] - 1),
        "wall s": min(run["wall"] for run in runs),
        "single calls s": count * single["cpu"],
        "times faster": count * single["cpu"] / least["cpu"],
    }
    show(f"throughput of {model}", [row])


def _crops(count: int, side: int) -> list[Image.Image]:
    crops = []
    photos = [
        Image.open(TOP / "examples" / f"{name}.jpg").convert("RGB") for name in ("astronaut", "chelsea")
    ]
    for number in range(count):
        photo = photos[number % 2]
        left = 37 * number % (photo.width - side)
        top = 53 * number % (photo.height - side)
        crops.append(photo.crop((left, top, left + side, top + side)))
    return crops


def _run(arguments: list[str]) -> dict[str, Any]:
    """Run the command and return its seconds: on the clock, of the processor, and of these in the engine."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr)
    _, engine, started, at_once = done.stderr.split()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall": wall,
        "cpu": cpu,
        "engine": float(engine),
        "started": float(started),
        "at once": int(at_once),
    }


if __name__ == "__main__":
    run(main)
