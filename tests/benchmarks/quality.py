"""How close and how lifelike: 4x results of photographs reduced by Pillow's bicubic, against bicubic.

python tests/benchmarks/quality.py PHOTOS [--lpips lpips_alex.safetensors] [--steps 1,2,4,8] [--model NAME]
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import torch
import typer
from table import show

from upscale import Upscaler
from upscale.images.picture import Picture, Pixels
from upscale.images.resize import resize
from upscale.metrics.consistency import consistency
from upscale.metrics.lpips import LPIPS
from upscale.metrics.psnr import psnr_y
from upscale.metrics.ssim import ssim_y
from upscale.options import DEFAULT_MODEL
from upscale.training.evaluate import photographs

SCALE = 4


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet).")] = None,
    steps: Annotated[str, typer.Option(help="Numbers of steps, with commas.")] = "1,2,4,8",
    sampler: Annotated[str | None, typer.Option()] = None,
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.")] = None,
) -> None:
    """Score a model on a folder of photographs."""
    metric = LPIPS.from_file(lpips) if lpips else None
    upscalers = [Upscaler(model, steps=int(n), sampler=sampler) for n in steps.split(",")]
    default = Upscaler(model).settings
    rows: dict[str, list[list[float]]] = {}
    for index, (_, lr, hr) in enumerate(photographs(photos, SCALE)):
        if limit is not None and index >= limit:
            break
        size = (hr.shape[1], hr.shape[0])
        bicubic = resize(lr, size, resample="bicubic")
        results = {"bicubic": bicubic}
        for upscaler in upscalers:
            s = upscaler.settings
            mark = " (default)" if (s.steps, s.sampler) == (default.steps, default.sampler) else ""
            results[f"{s.sampler} {s.steps}{mark}"] = upscaler.upscale(Picture(lr), size).color
        for name, result in results.items():
            drift = float(np.abs(result.mean((0, 1)) - bicubic.mean((0, 1))).max())
            distance = float("nan") if metric is None else _distance(metric, result, hr)
            rows.setdefault(name, []).append(
                [
                    psnr_y(result, hr, border=SCALE),
                    ssim_y(result, hr, border=SCALE),
                    distance,
                    consistency(lr, result) * 1e5,
                    drift,
                ]
            )
    names = ("PSNR-Y", "SSIM-Y", "LPIPS", "consistency x1e5")
    show(
        f"quality of {model} on {photos.name}, {len(rows['bicubic'])} photographs, 4x",
        [
            {
                "setting": name,
                **dict(zip(names, (fmean(c) for c in zip(*(r[:4] for r in row), strict=True)), strict=True)),
                "largest drift": max(r[4] for r in row),
            }
            for name, row in rows.items()
        ],
    )


@torch.inference_mode()
def _distance(metric: LPIPS, a: Pixels, b: Pixels) -> float:
    one, other = (torch.from_numpy(p.astype(np.float32) / 255).permute(2, 0, 1)[None] for p in (a, b))
    return float(metric(one, other))


if __name__ == "__main__":
    typer.run(main)
