"""How close and how lifelike: 4x results of photographs reduced by Pillow's bicubic, against bicubic.

python tests/benchmarks/quality.py PHOTOS [--lpips lpips_alex.safetensors]
    [--settings ddim:1,ddim:4:0,heun:16] [--model NAME]

A setting is sampler:steps, or sampler:steps:fidelity. The model's default is always scored.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import typer
from table import show

from upscale import Upscaler
from upscale.images.picture import Picture
from upscale.images.resize import resize
from upscale.metrics.consistency import consistency
from upscale.metrics.lpips import LPIPS
from upscale.metrics.psnr import psnr_y
from upscale.metrics.ssim import ssim_y
from upscale.options import DEFAULT_MODEL
from upscale.training.evaluate import distance, parse_settings, photographs

SCALE = 4


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet).")] = None,
    settings: Annotated[str, typer.Option(help="sampler:steps[:fidelity], with commas.")] = "ddim:1",
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.")] = None,
) -> None:
    """Score a model on a folder of photographs."""
    metric = LPIPS.from_file(lpips) if lpips else None
    upscalers = {"default": Upscaler(model)}
    for setting in parse_settings(settings):
        upscalers[str(setting)] = Upscaler(
            model, sampler=setting.sampler, steps=setting.steps, fidelity=setting.fidelity
        )
    rows: dict[str, list[list[float]]] = {}
    for index, (_, lr, hr) in enumerate(photographs(photos, SCALE)):
        if limit is not None and index >= limit:
            break
        size = (hr.shape[1], hr.shape[0])
        bicubic = resize(lr, size, resample="bicubic")
        results = {"bicubic": (bicubic, 0.0)}
        for name, upscaler in upscalers.items():
            began = time.perf_counter()
            results[name] = (upscaler.upscale(Picture(lr), size).color, time.perf_counter() - began)
        for name, (result, seconds) in results.items():
            rows.setdefault(name, []).append(
                [
                    psnr_y(result, hr, border=SCALE),
                    ssim_y(result, hr, border=SCALE),
                    float("nan") if metric is None else distance(metric, result, hr),
                    consistency(lr, result) * 1e5,
                    seconds,
                    float(np.abs(result.mean((0, 1)) - bicubic.mean((0, 1))).max()),
                ]
            )
    names = ("PSNR-Y", "SSIM-Y", "LPIPS", "consistency x1e5", "seconds")
    s = upscalers["default"].settings
    show(
        f"quality of {model} on {photos.name}, {len(rows['bicubic'])} photographs, 4x; "
        f"default: {s.sampler} {s.steps} f={s.fidelity:g}",
        [
            {
                "setting": name,
                **dict(zip(names, (fmean(c) for c in zip(*(r[:5] for r in row), strict=True)), strict=True)),
                "largest drift": max(r[5] for r in row),
            }
            for name, row in rows.items()
        ],
    )


if __name__ == "__main__":
    typer.run(main)
