"""Photographs as they come: blurred, noisy, out of a JPEG; with as much noise taken out as `--denoise` says.

python tests/benchmarks/degraded.py PHOTOS --lpips lpips_alex.safetensors [--denoise 0,auto] [--fidelity 0.5]
    [--shrink 1] [--model NAME] [--reduce 2] [--crop 384] [--limit N] [--save FOLDER]
    [--kinds poor,clean,noise3,noise5,noise10,jpeg90,jpeg60,webp75,webp50,both,grain,film,luma,phone,soft,
    softer,softest,softer5,softest5,scan,enlarged,enlarged3,enlarged4,box,bilinear,lanczos,nearest]

A kind says what is done before the photograph is enlarged 4x again and compared with itself: blur (std in
pixels of the photograph), Pillow's bicubic reduction (`enlarged` times further than that, and back) or
another of its filters, Gaussian noise (std in levels of 255, each channel for itself), grain (the same, alike
in neighbouring pixels; `film` has no colours, `luma` has grain of brightness alone, `phone` the same and
JPEG), JPEG or WebP as Pillow writes it. The photograph's place in the folder is the seed.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import torch
import typer
from command import run
from PIL import Image
from table import show

from upscale import Upscaler
from upscale.cli.values import parse_denoise
from upscale.errors import InputError
from upscale.images.picture import Picture, Pixels
from upscale.images.pixels import from_float, to_float
from upscale.images.read import read
from upscale.images.resize import resize
from upscale.metrics.lpips import LPIPS
from upscale.metrics.psnr import psnr_y
from upscale.options import DEFAULT_MODEL
from upscale.training.evaluation.evaluate import distance, paths_of
from upscale.training.examples.blurs import blur
from upscale.training.examples.noises import grain

SCALE = 4
LEAST_PX = 16 * SCALE  # a smaller photograph says nothing when reduced
GRAIN_PX = 0.7  # std of the blur that it has gone through


@dataclass(frozen=True)
class Kind:
    """What is done to a photograph, in this order; 0 for nothing."""

    gray: bool = False
    luma: bool = False  # noise and grain that all channels share
    blur: float = 0.0
    reduction: str = "bicubic"
    enlarged: int = 1
    noise: float = 0.0
    grain: float = 0.0
    jpeg: int = 0
    webp: int = 0


KINDS = {
    "poor": Kind(blur=0.8, noise=5, jpeg=60),
    "clean": Kind(),
    "noise3": Kind(noise=3),
    "noise5": Kind(noise=5),
    "noise10": Kind(noise=10),
    "jpeg90": Kind(jpeg=90),
    "jpeg60": Kind(jpeg=60),
    "webp75": Kind(webp=75),
    "webp50": Kind(webp=50),
    "both": Kind(noise=5, jpeg=60),
    "grain": Kind(grain=8),
    "film": Kind(gray=True, luma=True, grain=8),
    "luma": Kind(luma=True, grain=8),
    "phone": Kind(luma=True, grain=8, jpeg=85),
    "soft": Kind(blur=4),
    "enlarged": Kind(enlarged=2),
    "softer": Kind(blur=6),
    "softest": Kind(blur=8),
    "softer5": Kind(blur=6, noise=5),
    "softest5": Kind(blur=8, noise=5),
    "scan": Kind(blur=6, gray=True, luma=True, grain=8),
    "enlarged3": Kind(enlarged=3),
    "enlarged4": Kind(enlarged=4),
    **{name: Kind(reduction=name) for name in ("box", "bilinear", "lanczos", "nearest")},
}


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    lpips: Annotated[Path, typer.Option(help="Weights of LPIPS (AlexNet).")],
    denoise: Annotated[str, typer.Option(help="auto or 0 to 1, with commas.")] = "0,auto",
    kinds: Annotated[str, typer.Option(help="With commas.")] = "poor",
    fidelity: Annotated[float | None, typer.Option(help="The model's own if not given.")] = None,
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    shrink: Annotated[
        float | None, typer.Option(help="Shrink so many times first; auto if not given.")
    ] = None,
    reduce: Annotated[int, typer.Option(help="Make the photographs smaller first.", min=1)] = 1,
    crop: Annotated[
        int, typer.Option(help="Take the middle of each, so many pixels wide; 0 for all.", min=0)
    ] = 0,
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.", min=1)] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for the pictures.")] = None,
) -> None:
    """Score a model on spoilt photographs."""
    chosen = kinds.split(",")
    if unknown := set(chosen) - set(KINDS):
        raise SystemExit(f"There is no kind {min(unknown)}: choose from {','.join(KINDS)}.")
    metric = LPIPS.from_file(lpips)
    upscalers = {
        name: Upscaler(model, denoise=parse_denoise(name), fidelity=fidelity, shrink=shrink)
        for name in denoise.split(",")
    }
    scores: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for index, path in enumerate(paths_of(photos)[:limit]):
        photo = _photograph(path, reduce, crop)
        size = (photo.shape[1], photo.shape[0])
        if min(size) < LEAST_PX:
            raise InputError(f"{path} is too small.", hint="Leave it out, or reduce or crop less.")
        for kind in chosen:
            hr = _without_color(photo) if KINDS[kind].gray else photo
            lr = spoilt(hr, KINDS[kind], index)
            results = {"bicubic": (resize(lr.color, size, resample="bicubic"), math.nan, math.nan)}
            for name, upscaler in upscalers.items():
                made = upscaler.upscale(lr, size)
                results[name] = (made.color, made.denoised, made.fidelity)
            for name, (color, *used) in results.items():
                score = (psnr_y(color, hr, border=SCALE), distance(metric, color, hr), *used)
                scores.setdefault((kind, name), []).append(score)
                if save is not None:
                    save.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(color).save(save / f"{path.stem}-{kind}-{name}.png")
    rows: list[dict[str, Any]] = []
    for (kind, name), of_photos in scores.items():
        psnr, apart, told, share = (fmean(values) for values in zip(*of_photos, strict=True))
        bicubic = [fmean(score[i] for score in scores[kind, "bicubic"]) for i in (0, 1)]
        rows.append(
            {
                "kind": kind,
                "denoise": name,
                "told": told,
                "fidelity": share,
                "PSNR-Y": psnr,
                "over bicubic, dB": psnr - bicubic[0],
                "LPIPS": apart,
                "below bicubic, %": 100 * (1 - apart / bicubic[1]),
            }
        )
    count = len(next(iter(scores.values())))
    show(f"{model} on {photos.name}, spoilt, {count} photographs, 4x", rows)


def spoilt(hr: Pixels, kind: Kind, seed: int) -> Picture:
    """Return what is given to be enlarged."""
    if kind.blur:
        x = torch.from_numpy(to_float(hr)).permute(2, 0, 1)[None]
        std = torch.tensor([kind.blur])
        x = blur(x, std, std, torch.zeros(1), radius=max(6, math.ceil(4 * kind.blur)))
        hr = from_float(x[0].permute(1, 2, 0).numpy(), np.uint8)
    size = (hr.shape[1] // SCALE, hr.shape[0] // SCALE)
    lr = resize(hr, (size[0] // kind.enlarged, size[1] // kind.enlarged), resample=kind.reduction)
    if kind.enlarged > 1:
        lr = resize(lr, size, resample="bicubic")
    if kind.noise:
        noise = np.random.default_rng(seed).normal(0, kind.noise, (*lr.shape[:2], 1 if kind.luma else 3))
        lr = np.clip(np.round(lr + noise), 0, 255).astype(np.uint8)
    if kind.grain:
        x = torch.from_numpy(to_float(lr)).permute(2, 0, 1)[None]
        level, std, gray = torch.tensor([kind.grain]), torch.tensor([GRAIN_PX]), torch.tensor([kind.luma])
        x = grain(x, level, std, gray, torch.Generator().manual_seed(seed))
        lr = from_float(x[0].permute(1, 2, 0).numpy(), np.uint8)
    for name, quality in (("JPEG", kind.jpeg), ("WEBP", kind.webp)):
        if quality:
            file = io.BytesIO()
            Image.fromarray(lr).save(file, name, quality=quality)
            return read(file.getvalue())
    return Picture(lr)


def _without_color(photo: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))


def _photograph(path: Path, reduce: int, crop: int) -> Pixels:
    with Image.open(path) as image:
        photo = image.convert("RGB")
    if reduce > 1:
        photo = photo.resize((photo.width // reduce, photo.height // reduce), Image.Resampling.LANCZOS)
    width, height = (min(side, crop or side) // SCALE * SCALE for side in photo.size)
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    return np.asarray(photo.crop((left, top, left + width, top + height)))


if __name__ == "__main__":
    run(main)
