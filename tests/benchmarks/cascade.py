"""Cascades: conditioning augmentation between the stages, against the truth at 8x and 16x.

Photographs are reduced by Pillow's bicubic and enlarged again, with noise of several levels on the input of
the stages after the first (CDM, arXiv 2106.15282; `stage_noise` in a model's config), and with --consistency.
At 4x there is one stage: that row shows whether the consistency is below bicubic's.

python tests/benchmarks/cascade.py [PHOTOS] [--lpips lpips_alex.safetensors] [--noise 0,0.02,0.05,0.1]
"""

from __future__ import annotations

import json
import tempfile
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
from upscale.models import catalog
from upscale.options import DEFAULT_MODEL
from upscale.training.evaluate import photographs

EXAMPLES = Path(__file__).parents[2] / "examples"
LEAST_LR_PX = 16  # a photograph that is smaller when reduced says nothing


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)] = EXAMPLES,
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet).")] = None,
    scales: Annotated[str, typer.Option(help="With commas.")] = "4,8,16",
    noise: Annotated[
        str, typer.Option(help="Levels, std in [-1, 1] units, with commas.")
    ] = "0,0.02,0.05,0.1",
    steps: Annotated[int | None, typer.Option(help="Per stage.")] = None,
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.")] = None,
) -> None:
    """Score cascades on a folder of photographs."""
    metric = LPIPS.from_file(lpips) if lpips else None
    with tempfile.TemporaryDirectory() as folder:
        noisy = {level: _with_noise(model, level, Path(folder)) for level in map(float, noise.split(","))}
        upscalers = {f"noise {level:g}": Upscaler(name, steps=steps) for level, name in noisy.items()}
        upscalers["noise 0, consistent"] = Upscaler(
            _with_noise(model, 0.0, Path(folder)), steps=steps, consistency=True
        )
    rows: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    for scale in map(int, scales.split(",")):
        for index, (_, lr, hr) in enumerate(photographs(photos, scale)):
            if (limit is not None and index >= limit) or min(lr.shape[:2]) < LEAST_LR_PX:
                continue
            size = (hr.shape[1], hr.shape[0])
            results = {"bicubic": resize(lr, size, resample="bicubic")}
            for name, upscaler in upscalers.items():
                if scale <= 4 and name not in ("noise 0", "noise 0, consistent"):
                    continue  # one stage: nothing to put noise on
                results[name] = upscaler.upscale(Picture(lr), size).color
            for name, result in results.items():
                distance = float("nan") if metric is None else _distance(metric, result, hr)
                scores = (psnr_y(result, hr, border=scale), distance, consistency(lr, result) * 1e5)
                rows.setdefault((scale, name), []).append(scores)
    title = f"cascades of {model} on {photos.name}, {len(rows[next(iter(rows))])} photographs"
    names = ("PSNR-Y", "LPIPS", "consistency x1e5")
    show(
        title,
        [
            {
                "scale": scale,
                "setting": name,
                **dict(zip(names, map(fmean, zip(*scores, strict=True)), strict=True)),
            }
            for (scale, name), scores in rows.items()
        ],
    )


def _with_noise(model: str, level: float, folder: Path) -> str:
    """Return a model folder with the same weights and another `stage_noise`."""
    location = catalog.locate(model)
    made = folder / f"noise-{level:g}"
    made.mkdir(exist_ok=True)
    config = json.loads(catalog.read_config(location).to_json()) | {"stage_noise": level}
    (made / "config.json").write_text(json.dumps(config))
    weights = made / "model.safetensors"
    if not weights.exists():
        weights.write_bytes(location.weights.read_bytes())
    return str(made)


@torch.inference_mode()
def _distance(metric: LPIPS, a: Pixels, b: Pixels) -> float:
    one, other = (torch.from_numpy(p.astype(np.float32) / 255).permute(2, 0, 1)[None] for p in (a, b))
    return float(metric(one, other))


if __name__ == "__main__":
    typer.run(main)
