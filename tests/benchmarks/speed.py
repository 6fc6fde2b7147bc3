"""Speed here: 512x512 -> 2048x2048 with default steps, and how near it is to what convolutions can do.

python tests/benchmarks/speed.py [--model NAME] [--repeat N] [--dtypes bf16,fp32] [--side 512]

Takes about two minutes on two cores. The peak is that of a large 3x3 convolution, timed right before and
after each run, because machines are noisy; the share of it is of useful work, halos of tiles not counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from command import run
from PIL import Image
from table import show
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from upscale import Upscaler
from upscale.engine.device import DTYPES
from upscale.options import DEFAULT_MODEL

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SMALL_PX = 128  # side of the part that work is counted on: one tile, so without halo


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    repeat: Annotated[int, typer.Option(help="Runs to take the median of.", min=1)] = 2,
    dtypes: Annotated[str, typer.Option(help="With commas.")] = "bf16,fp32",
    side: Annotated[int, typer.Option(help="Of the photo in pixels.", min=1, max=512)] = 512,
) -> None:
    """Time a model."""
    with Image.open(PHOTO) as image:
        photo = image.convert("RGB").crop((0, 0, side, side))
    part = photo.crop((0, 0, min(SMALL_PX, side), min(SMALL_PX, side)))
    rows: list[dict[str, Any]] = []
    for dtype in dtypes.split(","):
        upscaler = Upscaler(model, dtype=dtype, device="cpu")
        per_pixel = _flop(upscaler, part) / (part.width * part.height)  # the first run, which takes longer
        share = _convolution_share(upscaler, part)
        times, peaks = [], [_convolution_peak(dtype)]
        for _ in range(repeat):
            times.append(_seconds(partial(upscaler, photo, 4)))
            peaks.append(_convolution_peak(dtype))
        flop = per_pixel * photo.width * photo.height
        near = [(before + after) / 2 for before, after in zip(peaks, peaks[1:], strict=False)]
        rows.append(
            {
                "dtype": dtype,
                "steps": upscaler.settings.steps,
                "threads": torch.get_num_threads(),
                "seconds": median(times),
                "s per output Mpx": median(times) / (16 * photo.width * photo.height / 1e6),
                "in convolutions": share,
                "MFLOP per LR px": per_pixel / 1e6,
                "GFLOP/s": flop / median(times) / 1e9,
                "peak GFLOP/s": median(near) / 1e9,
                "share of peak": median(flop / t / peak for t, peak in zip(times, near, strict=True)),
            }
        )
    show(f"speed of {model}, {side}x{side} -> {4 * side}x{4 * side}, CPU", rows)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _flop(upscaler: Upscaler, photo: Image.Image) -> float:
    operators: Any = torch.ops.mkldnn  # what torch's own table does not know
    fused = (operators._convolution_pointwise, operators._convolution_pointwise_)
    with FlopCounterMode(display=False, custom_mapping=dict.fromkeys(fused, _fused_flop)) as counter:
        upscaler(photo, 4)
    return float(counter.get_total_flops())


def _fused_flop(_: Any, second: Any, third: Any, *rest: Any, out_shape: Sequence[int], **more: Any) -> int:
    """Count a convolution that has something else in it; where that is a sum, the weight comes third."""
    weight = third if third is not None and len(third) == 4 else second
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def _convolution_share(upscaler: Upscaler, photo: Image.Image) -> float:
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        upscaler(photo, 4)
    events = trace.key_averages()
    convolutions = sum(e.self_cpu_time_total for e in events if "convolution" in e.key)
    return float(convolutions / sum(e.self_cpu_time_total for e in events))


def _convolution_peak(dtype: str) -> float:
    """Return the FLOP/s of a large 3x3 convolution: 256 channels, 96x96 pixels."""
    x = torch.randn(1, 256, 96, 96).to(DTYPES[dtype], memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3).to(DTYPES[dtype], memory_format=torch.channels_last)
    with torch.inference_mode():
        best = min(_seconds(lambda: F.conv2d(x, weight, padding=1)) for _ in range(8))
    return 2 * 9 * 256 * 256 * 96 * 96 / best


if __name__ == "__main__":
    run(main)
