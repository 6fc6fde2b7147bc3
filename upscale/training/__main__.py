"""`python -m upscale.training`: train, evaluate and export the weights that ship with the package."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import torch
import typer
from rich.console import Console
from rich.table import Table

from upscale.diffusion import samplers
from upscale.errors import DeviceError, ExitCode, UpscaleError, UsageError, choices
from upscale.metrics.lpips import LPIPS
from upscale.models.digest import sha256_of
from upscale.models.restorer import Restorer
from upscale.training import recipe as recipes
from upscale.training.averaged import config_of, restorer_at
from upscale.training.evaluation.evaluate import (
    Setting,
    evaluate,
    parse_settings,
    paths_of,
    untiled,
    with_levels,
)
from upscale.training.evaluation.plot import plot
from upscale.training.evaluation.scores import Scoring, scorer
from upscale.training.evaluation.search import SPACE, Crops, Goal, parse_axis, search
from upscale.training.examples.pages import draw_pages
from upscale.training.examples.photos import Photos
from upscale.training.export import export
from upscale.training.loop.begin import load_teachers
from upscale.training.loop.display import display
from upscale.training.loop.state import State
from upscale.training.loop.train import train
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.precision import dtype_of

app = typer.Typer(no_args_is_help=True, add_completion=False)
console = Console(stderr=True)
SETTINGS = "Numbers of steps, [sampler:]steps[:fidelity] each, with commas; the model's sampler if not named."
P = ParamSpec("P")


def explained(command: Callable[P, None]) -> Callable[P, None]:
    """Make a command say in a sentence what its user can mend, and end with that error's exit code."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UpscaleError as error:
            told, code = str(error), error.exit_code
        except OSError as error:  # a folder that cannot be made, a full disk
            told, code = f"{error.filename or 'A file'}: {error.strerror or error}.", ExitCode.OUTPUT
        else:
            return
        console.print(f"Error: {told}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(int(code))

    return wrapper


def goal_of(score: str, lpips_weight: float, lpips: Path | None) -> Goal:
    """Return what `--score` and `--lpips-weight` ask for.

    Raises:
        UsageError: There is no such score, or the metric it needs is not given.
    """
    goals = {"psnr": Goal(1.0, 0.0), "lpips": Goal(0.0, 1.0), "sum": Goal(1.0, lpips_weight)}
    if score not in goals:
        raise UsageError(f"--score {score} is unknown.", hint=choices(score, goals))
    if goals[score].lpips and lpips is None:
        raise UsageError(f"--score {score} needs LPIPS.", hint="Give its weights with --lpips.")
    return goals[score]


def check_device(name: str) -> None:
    """Raise `DeviceError` if nothing can be computed there."""
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError) as error:
        told = str(error).split("\n")[0]
        raise DeviceError(f"The device {name} cannot be used ({told}).", hint="Take cpu or cuda.") from None


@app.callback()
def main() -> None:
    """Train, evaluate and export the weights that ship with the package."""


@app.command("train")
@explained
def train_command(
    recipe: Annotated[str, typer.Argument(help="Name of a committed recipe, or a .toml file.")],
    photos: Annotated[
        list[Path], typer.Argument(help="Folders of photographs.", exists=True, file_okay=False)
    ],
    run: Annotated[Path, typer.Option(help="Folder of the run; what is found there is continued.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes all.", min=0)] = 0,
    steps: Annotated[int | None, typer.Option(help="Stop at this total number of steps.", min=0)] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.", min=0)] = None,
    decay_from: Annotated[
        int | None, typer.Option(help="Step from which the rate decays to 0 at --steps.", min=0)
    ] = None,
    decay_minutes: Annotated[
        float | None,
        typer.Option(help="Minutes, the last of --minutes, in which the rate decays to 0.", min=0),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that make batches; with none, a thread does.", min=0)
    ] = 0,
    pages: Annotated[
        Path | None,
        typer.Option(
            help="Pages, as draw-pages makes them, for recipes that take a share.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    begin_with: Annotated[
        str | None, typer.Option(help="Weights to begin with: a run's folder, or a model by name or path.")
    ] = None,
    vgg: Annotated[
        Path | None, typer.Option(help="Features of VGG-16, safetensors, for the last step.")
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(help="A model by name or path, or a run's folder, that a first step learns from."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network: minutes first, then faster steps.")
    ] = False,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations, which scores.csv keeps.", min=1)
    ] = None,
    evaluate_on: Annotated[
        Path | None, typer.Option(help="Photographs to evaluate on.", exists=True, file_okay=False)
    ] = None,
    evaluate_settings: Annotated[str, typer.Option(help=SETTINGS)] = "1,4",
    evaluate_limit: Annotated[int | None, typer.Option(help="Only so many photographs.", min=1)] = None,
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet), to evaluate with.")] = None,
) -> None:
    """Train a model, or go on training it."""
    if (evaluate_every is None) != (evaluate_on is None):
        raise UsageError("--evaluate-every and --evaluate-on go together.", hint="Give both, or neither.")
    if evaluate_on is not None:
        paths_of(evaluate_on)  # not after so many steps
    if threads:
        torch.set_num_threads(threads)
    check_device(device)
    chosen = recipes.load(recipe)
    features = VGGFeatures(vgg, dtype_of(chosen.dtype)).to(device) if vgg else None
    teachers = load_teachers(teacher, chosen, device) if teacher else None
    metric = LPIPS.from_file(lpips) if lpips else None
    settings = parse_settings(evaluate_settings, config_of(chosen, run.name).sampler)
    kept = "cpu" if workers else device
    side = chosen.data.patch * chosen.scale
    images = Photos.load(photos, min_side=side, device=kept)  # last of all, as it may take minutes
    written = Photos.load([pages], min_side=side, device=kept) if pages else None
    console.print(f"{len(images.images)} photos")
    scores: Callable[[State], None] | None = None
    shown = display(console, steps, minutes)
    if evaluate_every is not None and evaluate_on is not None:
        scoring = Scoring(evaluate_every, evaluate_on, settings, metric, evaluate_limit)
        scores = scorer(chosen, run, scoring, device, shown.scored)

    def after(state: State) -> None:
        shown.stepped(state)
        if scores is not None:
            scores(state)

    with shown:
        train(
            chosen,
            images,
            run,
            device=device,
            steps=steps,
            minutes=minutes,
            decay_from=decay_from,
            decay_minutes=decay_minutes,
            begin_with=begin_with,
            vgg=features,
            teachers=teachers,
            compiled=compiled,
            workers=workers,
            pages=written,
            on_report=shown.reported,
            on_step=after,
        )


@app.command("evaluate")
@explained
def evaluate_command(
    model: Annotated[str, typer.Argument(help="A model by name or path, or the folder of a run.")],
    photos: Annotated[Path, typer.Argument(help="Folder of photographs.", exists=True, file_okay=False)],
    settings: Annotated[str, typer.Option(help=SETTINGS)] = "1,2,4,8",
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet), safetensors.")] = None,
    power: Annotated[float | None, typer.Option(help="Another power of the noise grid.")] = None,
    sigma_max: Annotated[float | None, typer.Option(help="Another first noise level.")] = None,
    sigma_last: Annotated[float | None, typer.Option(help="Another last noise level.")] = None,
    told: Annotated[float | None, typer.Option(help="Another factor on the level told.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.", min=1)] = None,
    dtype: Annotated[str, typer.Option(help="fp32 or bf16.")] = "bf16",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes all.", min=0)] = 0,
) -> None:
    """Print a model's scores beside bicubic's, and the same as one JSON line."""
    if threads:
        torch.set_num_threads(threads)
    computed = dtype_of(dtype)
    if (Path(model) / "state.pt").exists():
        restorer = restorer_at(Path(model), computed)
    else:
        restorer = Restorer.load(model, computed, torch.device("cpu"))
    chosen = [Setting(None), *parse_settings(settings, restorer.config.sampler)]
    levels = {"power": power, "sigma_max": sigma_max, "sigma_last": sigma_last}
    restorer.bound = replace(restorer.bound, config=with_levels(restorer.config, told, **levels))
    metric = LPIPS.from_file(lpips) if lpips else None
    scores = evaluate(untiled(restorer), restorer.config.scale, photos, chosen, metric, limit)
    table = Table("setting", "PSNR-Y", "LPIPS", "drift")
    for setting, score in scores.items():
        distance = "-" if score.lpips is None else f"{score.lpips:.4f}"
        table.add_row(str(setting), f"{score.psnr_y:.3f}", distance, f"{score.drift:.2f}")
    console.print(table)
    print(json.dumps({str(setting): asdict(score) for setting, score in scores.items()}))


@app.command("search-schedule")
@explained
def search_command(
    model: Annotated[str, typer.Argument(help="A model by name or path.")],
    photos: Annotated[
        Path,
        typer.Argument(
            help="Folder of photographs to search on, not to report on.", exists=True, file_okay=False
        ),
    ],
    steps: Annotated[int, typer.Option(help="Network evaluations.", min=1)],
    sampler: Annotated[str | None, typer.Option(help="Sampler; the model's own if not given.")] = None,
    score: Annotated[str, typer.Option(help="psnr, lpips or sum.")] = "sum",
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet), safetensors.")] = None,
    lpips_weight: Annotated[float, typer.Option(help="In a sum: dB that 1 of LPIPS counts for.")] = 20.0,
    crops: Annotated[int, typer.Option(help="Crops, one from each of so many photographs.", min=1)] = 4,
    side: Annotated[int, typer.Option(help="Side of a crop in pixels of the photograph.")] = 256,
    trials: Annotated[int, typer.Option(help="Schedules that cover the space.", min=1)] = 64,
    refine: Annotated[int, typer.Option(help="Schedules tried near the best one.", min=0)] = 32,
    power: Annotated[str | None, typer.Option(help="Power of the grid, LOW:HIGH or one number.")] = None,
    sigma_max: Annotated[str | None, typer.Option(help="First noise level, likewise.")] = None,
    sigma_last: Annotated[str | None, typer.Option(help="Last noise level, likewise.")] = None,
    told: Annotated[str | None, typer.Option(help="Factor on the level the network is told.")] = None,
    seed: Annotated[int, typer.Option(help="Of crops, noise and draws.", min=0)] = 0,
    show: Annotated[int, typer.Option(help="Rows of the table.", min=1)] = 10,
    dtype: Annotated[str, typer.Option(help="fp32 or bf16.")] = "bf16",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes all.", min=0)] = 0,
) -> None:
    """Search for the noise levels to visit in so many steps; print a table, and the best as one JSON line."""
    if threads:
        torch.set_num_threads(threads)
    goal = goal_of(score, lpips_weight, lpips)
    given = {"power": power, "sigma_max": sigma_max, "sigma_last": sigma_last, "told": told}
    space = {**SPACE, **{name: parse_axis(name, text) for name, text in given.items() if text is not None}}
    restorer = Restorer.load(model, dtype_of(dtype), torch.device("cpu"))
    chosen = sampler or restorer.config.sampler
    samplers.get(chosen)
    ready = Crops(restorer, photos, crops, side, seed, LPIPS.from_file(lpips) if lpips else None)
    console.print(f"Crops: {', '.join(ready.names)}", soft_wrap=True, highlight=False)
    found = search(
        ready,
        restorer,
        steps=steps,
        sampler=chosen,
        goal=goal,
        space=space,
        trials=trials,
        refine=refine,
        seed=seed,
    )
    table = Table("power", "sigma_max", "sigma_last", "told", "PSNR-Y", "LPIPS", "score")
    own = next(trial for trial in found if trial.schedule is None)
    for trial in dict.fromkeys([*found[:show], own]):
        s = trial.schedule
        numbers = ["the model's", "own", "", ""] if s is None else [f"{v:g}" for v in asdict(s).values()]
        distance = "-" if trial.lpips is None else f"{trial.lpips:.4f}"
        table.add_row(*numbers, f"{trial.psnr_y:.3f}", distance, f"{trial.score:.4f}")
    console.print(table)
    best = next(trial for trial in found if trial.schedule is not None)
    report: dict[str, Any] = {"model": restorer.config.name, "sampler": chosen, "steps": steps}
    report |= {"crops": ready.names, "goal": asdict(goal), "own": asdict(own), "best": asdict(best)}
    print(json.dumps({**report, "trials": [asdict(trial) for trial in found]}))


@app.command("export")
@explained
def export_command(
    recipe: Annotated[str, typer.Argument(help="The run's recipe.")],
    run: Annotated[Path, typer.Argument(help="Folder of the run.", exists=True, file_okay=False)],
    folder: Annotated[Path, typer.Argument(help="Model folder to write.")],
    steps: Annotated[int, typer.Option(help="Default number of steps.", min=1, max=2000)] = 4,
    sampler: Annotated[
        str | None, typer.Option(help="Default sampler; the one it was trained with if not given.")
    ] = None,
    power: Annotated[float | None, typer.Option(help="Power of the noise grid.")] = None,
    told: Annotated[
        float | None,
        typer.Option(help="Factor on the level told, over a whole run; the recipe's if not given."),
    ] = None,
    fidelity: Annotated[float, typer.Option(help="Default fidelity, 0 to 1.", min=0, max=1)] = 0.0,
    cascade_fidelity: Annotated[
        float | None, typer.Option(help="The same for several stages, if it differs.", min=0, max=1)
    ] = None,
    spoilt_fidelity: Annotated[
        float | None, typer.Option(help="The same for noisy photos, if it differs.", min=0, max=1)
    ] = None,
    halo: Annotated[int, typer.Option(help="Halo of tiles in input pixels.", min=0, max=512)] = 16,
    stage_noise: Annotated[
        float, typer.Option(help="Augmentation between stages, in [-1, 1] units.", min=0, max=1)
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there.")] = False,
) -> None:
    """Write a run's averaged weights as a model folder, and print its row for the catalogue."""
    weights = export(
        recipes.load(recipe),
        run,
        folder,
        steps=steps,
        sampler=sampler,
        power=power,
        told=told,
        fidelity=fidelity,
        cascade_fidelity=cascade_fidelity,
        spoilt_fidelity=spoilt_fidelity,
        halo_px=halo,
        stage_noise=stage_noise,
        overwrite=overwrite,
    )
    print(f'[{folder.resolve().name}]\nsha256 = "{sha256_of(weights)}"\nsize = {weights.stat().st_size}')


@app.command("draw-pages")
@explained
def draw_pages_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write, another one to train on.", file_okay=False)
    ],
    count: Annotated[int, typer.Option(help="Pages.", min=1)] = 48,
    side: Annotated[int, typer.Option(help="Their sides in pixels.", min=64)] = 512,
    font: Annotated[
        list[Path] | None, typer.Option(help="TrueType font; may be repeated. Pillow's if not given.")
    ] = None,
) -> None:
    """Draw pages of text and of figures, to train on beside photographs."""
    try:
        draw_pages(folder, count, side, font or ())
    except OSError as error:
        raise UsageError(
            f"Pages cannot be drawn into {folder}: {error}.", hint="Check the folder and the fonts."
        ) from None
    console.print(f"{count} pages in {folder}", markup=False, highlight=False, soft_wrap=True)


@app.command("plot")
@explained
def plot_command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", exists=True, file_okay=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to draw.")] = Path("training.png"),
) -> None:
    """Draw loss and scores of runs over their steps; needs matplotlib."""
    for run in plot(runs, output):
        console.print(f"{run} has no log yet.", markup=False, highlight=False, soft_wrap=True)
    console.print(str(output), markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app()
