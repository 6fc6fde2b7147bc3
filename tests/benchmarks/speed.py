"""Speed here: 512x512 -> 2048x2048 with default steps, and how near it is to what convolutions can do.

python tests/benchmarks/speed.py [--model NAME] [--repeat N]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from table import show
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from upscale import Upscaler
from upscale.engine.device import DTYPES
from upscale.options import DEFAULT_MODEL

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


def main(
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    repeat: Annotated[int, typer.Option(help="Runs to take the median of.")] = 3,
) -> None:
    """Time a model in fp32 and bf16."""
    with Image.open(PHOTO) as image:
        photo = image.convert("RGB")
    rows: list[dict[str, Any]] = []
    for dtype in ("bf16", "fp32"):
        upscaler = Upscaler(model, dtype=dtype, device="cpu")
        flop = _flop(upscaler, photo)
        times, peaks = [], []
        for _ in range(repeat):  # in turn, because machines are noisy
            peaks.append(_convolution_peak(dtype))
            times.append(_seconds(partial(upscaler, photo, 4)))
        seconds = median(times)
        rows.append(
            {
                "dtype": dtype,
                "steps": upscaler.settings.steps,
                "threads": torch.get_num_threads(),
                "seconds": seconds,
                "s per output Mpx": seconds / (4 * photo.width * 4 * photo.height / 1e6),
                "in convolutions": _convolution_share(upscaler, photo),
                "MFLOP per LR px": flop / (photo.width * photo.height) / 1e6,
                "GFLOP/s": flop / seconds / 1e9,
                "share of conv peak": median(flop / t / p for t, p in zip(times, peaks, strict=True)),
            }
        )
    show(f"speed of {model}, 512x512 -> 2048x2048, CPU", rows)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _flop(upscaler: Upscaler, photo: Image.Image) -> float:
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as trace:
        upscaler(photo, 4)
    return float(sum(event.flops for event in trace.key_averages()))


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
    typer.run(main)
