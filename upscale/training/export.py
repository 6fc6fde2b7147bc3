"""A run's averaged weights -> a model folder in `weights/` and its row in the catalogue."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from upscale.errors import UsageError
from upscale.models import checkpoint
from upscale.training import recipe as recipes
from upscale.training.averaged import config_of, network_of, weights_at
from upscale.training.recipe import Recipe


def export(
    recipe: Recipe,
    run: Path,
    folder: Path,
    *,
    steps: int = 4,
    sampler: str | None = None,
    power: float | None = None,
    told: float | None = None,
    fidelity: float = 0.0,
    cascade_fidelity: float | None = None,
    spoilt_fidelity: float | None = None,
    halo_px: int = 16,
    stage_noise: float = 0.0,
    overwrite: bool = False,
) -> Path:
    """Write the EMA weights of a run as float16 with their config; return the weights file.

    Args:
        recipe: What the run was made with.
        run: Folder of the run.
        folder: Model folder to write; its name becomes the model's.
        steps: Default number of steps, chosen by measurement.
        sampler: Default sampler; None takes the objective's.
        power: Of a trigonometric grid of noise levels; None takes the objective's.
        told: Factor on the sigma that the network is told, over a whole run; None takes the objective's.
        fidelity: Default fidelity; likewise.
        cascade_fidelity: The same for several stages; None for no difference.
        spoilt_fidelity: The same for noisy photos; None for no difference.
        halo_px: Halo that tiles need, measured.
        stage_noise: Conditioning augmentation between stages.
        overwrite: Whether a model that is there may be replaced.

    Raises:
        InputError: There is no state in that folder.
        UsageError: It was made with another recipe, as far as a model tells; its weights are infinite or no
            numbers; or no model can be so.
        OutputError: The folder holds a model already, or cannot be written.
    """
    checkpoint.check_free(folder, overwrite=overwrite)
    name = folder.resolve().name
    network = network_of(recipe, weights_at(run), f"The run in {run}")
    own, made_with = (config_of(of, name) for of in (recipe, recipes.of_run(run)))
    if not all(bool(weight.half().isfinite().all()) for weight in network.state_dict().values()):
        raise UsageError(
            f"The weights of the run in {run} are no numbers that float16 has.",
            hint="Their training went astray: go on with it, or begin again at a lower rate.",
        )
    apart = [name for name, value in asdict(own).items() if value != asdict(made_with)[name]]
    if apart:
        raise UsageError(
            f"The run in {run} was made with another recipe: with another {' and '.join(apart)}.",
            hint="Give the recipe that it was made with; its recipe.json tells.",
        )
    if power is not None and own.grid["name"] != "trigonometric":
        raise UsageError("The recipe's grid of noise levels has no power.", hint="Leave --power out.")
    config = config_of(
        recipe,
        name,
        **({} if power is None else {"grid": {**own.grid, "power": power}}),
        **({} if told is None else {"told": told}),
        **({} if sampler is None else {"sampler": sampler}),
        fidelity=fidelity,
        cascade_fidelity=cascade_fidelity,
        spoilt_fidelity=spoilt_fidelity,
        steps=steps,
        halo_px=halo_px,
        stage_noise=stage_noise,
    )
    return checkpoint.save(config, network, folder)
