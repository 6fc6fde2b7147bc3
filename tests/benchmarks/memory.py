"""Peak memory of the command line on a large photo: 12 megapixels at 4x. More steps do not change the peak.

python tests/benchmarks/memory.py [--width 4000] [--height 3000] [--steps 1] [--scale 8] [--format tiff]
    [--stand-in]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from command import run
from PIL import Image
from table import show

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"

REAL = "from upscale.cli.main import main; main()"
STAND_IN = (
    """
from upscale.diffusion.conditioning import upsample_bicubic
from upscale.models.restorer import Restorer
Restorer.samples = lambda self, lr, noises, **_: (upsample_bicubic(lr, self.config.scale) for _ in noises)
"""
    + REAL
)


def main(
    width: Annotated[int, typer.Option()] = 4000,
    height: Annotated[int, typer.Option()] = 3000,
    scale: Annotated[int, typer.Option()] = 4,
    steps: Annotated[int, typer.Option()] = 1,
    dtype: Annotated[str, typer.Option()] = "auto",
    format: Annotated[str, typer.Option()] = "jpg",
    stand_in: Annotated[
        bool,
        typer.Option(help="Interpolate instead of running the network."),
    ] = False,
) -> None:
    """Run the command in a process of its own and ask the system what it took."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "large.jpg"
        with Image.open(PHOTO) as image:
            image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(source, quality=90)
        start = time.perf_counter()
        result = Path(folder) / f"result.{format}"
        command = [sys.executable, "-c", STAND_IN if stand_in else REAL, str(source), "-o", str(result)]
        command += ["--scale", str(scale), "--steps", str(steps), "--dtype", dtype]
        ahead = subprocess.run([*command, "--dry-run", "--json"], check=True, stdout=subprocess.PIPE)
        foretold = json.loads(ahead.stdout.splitlines()[0])["forecast"]["memory_bytes"]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        size = result.stat().st_size
    row = {
        "network": not stand_in,
        "dtype": dtype,
        "format": format,
        "output Mpx": width * height * scale**2 / 1e6,
        "output GB": size / 1e9,
        "input Mpx": width * height / 1e6,
        "scale": scale,
        "steps": steps,
        "seconds": seconds,
        "peak MiB": peak,
        "foretold MiB": foretold / 2**20,
    }
    show("memory of a large photo", [row])


if __name__ == "__main__":
    run(main)
