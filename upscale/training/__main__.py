"""`python -m upscale.training`: train, evaluate and export the weights that ship with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from upscale.training import recipe as recipes
from upscale.training.data import Photos
from upscale.training.train import Report, train

app = typer.Typer(no_args_is_help=True, add_completion=False)
console = Console(stderr=True)


@app.callback()
def main() -> None:
    """Train, evaluate and export the weights that ship with the package."""


@app.command("train")
def train_command(
    recipe: Annotated[str, typer.Argument(help="Name of a committed recipe, or a .toml file.")],
    photos: Annotated[list[Path], typer.Argument(help="Folders of photographs.", exists=True, file_okay=False)],
    run: Annotated[Path, typer.Option(help="Folder of the run; what is found there is continued.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes all.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Stop at this total number of steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
    decay_from: Annotated[int | None, typer.Option(help="Step from which the rate decays to 0 at --steps.")] = None,
) -> None:
    """Train a model, or go on training it."""
    if threads:
        torch.set_num_threads(threads)
    chosen = recipes.load(recipe)
    images = Photos.load(photos, min_side=chosen.data.patch * chosen.scale, device=device)
    console.print(f"{len(images.images)} photos")

    def show(r: Report) -> None:
        console.print(
            f"step {r.step}  loss {r.loss:.4f} (high {r.loss_high or 0:.4f}, low {r.loss_low or 0:.4f})"
            f"  norm {r.norm:.3f}  skipped {r.skipped}  loading {r.loading:.1%}  {r.rate / 1e3:.1f} kpx/s"
        )

    train(
        chosen, images, run, device=device, steps=steps, minutes=minutes, decay_from=decay_from, on_report=show
    )


if __name__ == "__main__":
    app()
