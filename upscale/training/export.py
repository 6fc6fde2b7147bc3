"""A run's averaged weights -> a model folder in `weights/` and its row in the catalogue."""

from __future__ import annotations

from pathlib import Path

from upscale import networks
from upscale.errors import UsageError
from upscale.models import checkpoint
from upscale.models.config import ModelConfig
from upscale.training import objectives, state
from upscale.training.recipe import Recipe


def export(
    recipe: Recipe,
    run: Path,
    folder: Path,
    *,
    steps: int = 4,
    sampler: str = "ddim",
    power: float | None = None,
    told: float = 1.0,
    fidelity: float = 0.0,
    halo_px: int = 16,
    stage_noise: float = 0.0,
) -> Path:
    """Write the EMA weights of a run as float16 with their config; return the weights file.

    Args:
        recipe: What the run was made with.
        run: Folder of the run.
        folder: Model folder to write; its name becomes the model's.
        steps: Default number of steps, chosen by measurement.
        sampler: Default sampler.
        power: Of a trigonometric grid of noise levels; None takes the objective's.
        told: Factor on the sigma that the network is told, over a whole run; chosen by measurement.
        fidelity: Default share of the first estimate; likewise.
        halo_px: Halo that tiles need, measured.
        stage_noise: Conditioning augmentation between stages.

    Raises:
        InputError: There is no state in that folder.
        UsageError: It was made with another recipe's network.
    """
    network = networks.get(recipe.arch).build(recipe.network)
    try:
        network.load_state_dict(state.read(run / "state.pt")["ema"])
    except (KeyError, RuntimeError) as error:
        raise UsageError(f"The run in {run} does not fit the recipe: {error}") from None
    entries = {"residual_std": recipe.residual_std, **objectives.of(recipe).config(recipe)}
    if power is not None and entries["grid"]["name"] == "trigonometric":
        entries["grid"]["power"] = power
    config = ModelConfig(
        name=folder.name,
        arch=recipe.arch,
        network=recipe.network,
        scale=recipe.scale,
        told=told,
        fidelity=fidelity,
        steps=steps,
        sampler=sampler,
        halo_px=halo_px,
        stage_noise=stage_noise,
        **entries,
    )
    return checkpoint.save(config, network, folder)
