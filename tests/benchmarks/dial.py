"""The curve of `--fidelity`: from vivid to faithful, as a table and a plot.

python tests/benchmarks/dial.py PHOTOS --lpips lpips_alex.safetensors [--plot docs/fidelity.png]
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from table import show

from upscale import Upscaler
from upscale.images.picture import Picture
from upscale.metrics.lpips import LPIPS
from upscale.metrics.psnr import psnr_y
from upscale.options import DEFAULT_MODEL
from upscale.training.evaluate import distance, photographs

SCALE = 4
FIDELITIES = (0.0, 0.5, 0.75, 1.0)


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    lpips: Annotated[Path, typer.Option(help="Weights of LPIPS (AlexNet).")],
    model: Annotated[str, typer.Option()] = DEFAULT_MODEL,
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.")] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG to draw the curve into; needs matplotlib.")] = None,
) -> None:
    """Score the dial's positions; PSNR must rise all the way."""
    metric = LPIPS.from_file(lpips)
    default = Upscaler(model).settings.fidelity
    positions = {f: Upscaler(model, fidelity=f) for f in sorted({*FIDELITIES, default})}
    scores: dict[float, list[tuple[float, float]]] = {f: [] for f in positions}
    for index, (_, lr, hr) in enumerate(photographs(photos, SCALE)):
        if limit is not None and index >= limit:
            break
        for fidelity, upscaler in positions.items():
            result = upscaler.upscale(Picture(lr), (hr.shape[1], hr.shape[0])).color
            scores[fidelity].append((psnr_y(result, hr, border=SCALE), distance(metric, result, hr)))
    rows = [
        {"fidelity": f, "PSNR-Y": fmean(s[0] for s in row), "LPIPS": fmean(s[1] for s in row)}
        for f, row in scores.items()
    ]
    show(f"fidelity of {model} on {photos.name}, {len(scores[0.0])} photographs, 4x", rows)
    if plot is not None:
        _draw(rows, default, plot)
    falls = [b["fidelity"] for a, b in pairwise(rows) if b["PSNR-Y"] <= a["PSNR-Y"]]
    if falls:
        raise SystemExit(f"PSNR falls at fidelity {falls}")


def _draw(rows: list[dict[str, float]], default: float, plot: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    x, y = [row["LPIPS"] for row in rows], [row["PSNR-Y"] for row in rows]
    axes.plot(x, y, "o-", color="tab:blue")
    for row in rows:
        mark: dict[str, Any] = {"weight": "bold"} if row["fidelity"] == default else {}
        axes.annotate(
            f"  {row['fidelity']:.2g}" + (" (default)" if mark else ""), (row["LPIPS"], row["PSNR-Y"]), **mark
        )
    axes.set_xlabel("LPIPS (less is more like a photo)")
    axes.set_ylabel("PSNR-Y, dB (more is closer to the photo)")
    axes.set_title("--fidelity from 0 (vivid) to 1 (faithful)")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(plot, dpi=100)


if __name__ == "__main__":
    typer.run(main)
