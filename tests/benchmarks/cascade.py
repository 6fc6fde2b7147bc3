"""Cascades: conditioning augmentation between the stages, against the truth at 8x and 16x, and without it.

Photographs are reduced by Pillow's bicubic and enlarged again, with noise of several levels on the input of
the stages after the first (CDM, arXiv 2106.15282; `stage_noise` in a model's config), and with --consistency.
At 4x there is one stage: that row shows whether the consistency is below bicubic's. The texture
(`metrics.spectrum`) needs no truth; the photographs' own is given beside it.

python tests/benchmarks/cascade.py [PHOTOS] [--lpips lpips_alex.safetensors] [--noise 0,0.02,0.05,0.1]
    [--limit 4] [--log scores.jsonl]
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from scores import Scorer, Scores, Way
from table import show

from upscale.models import catalog
from upscale.options import DEFAULT_MODEL

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
    log: Annotated[Path | None, typer.Option(help="Scores of each picture, kept for the next run.")] = None,
) -> None:
    """Score cascades on a folder of photographs."""
    levels = [float(level) for level in noise.split(",")]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        noisy = {level: _with_noise(model, level, Path(folder)) for level in {0.0, *levels}}
        for scale in map(int, scales.split(",")):
            scorer = Scorer(photos, scale, lpips, limit, log, least_lr_px=LEAST_LR_PX)
            rows.append(_row(scale, "the photo", scorer.truth()))
            rows.append(_row(scale, "bicubic", scorer.interpolated("bicubic")))
            for level in levels if scale > 4 else [0.0]:  # one stage: nothing to put noise on
                rows.append(_row(scale, f"noise {level:g}", scorer.of(Way(noisy[level], steps=steps))[1]))
            consistent = Way(noisy[0.0], steps=steps, consistency=True)
            rows.append(_row(scale, "noise 0, consistent", scorer.of(consistent)[1]))
    show(f"cascades of {model} on {photos.name}, {len(scorer.pairs)} photographs", rows)


def _row(scale: int, setting: str, scores: Scores) -> dict[str, Any]:
    return {
        "scale": scale,
        "setting": setting,
        "PSNR-Y": scores.psnr_y,
        "LPIPS": scores.lpips,
        "consistency x1e5": scores.consistency,
        "texture dB": scores.texture,
    }


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


if __name__ == "__main__":
    typer.run(main)
