"""`upscale models`: which models there are, whether they are whole, and how others become ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upscale.cli.guard import explain, guarded
from upscale.errors import ExitCode, UpscaleError

if TYPE_CHECKING:
    from upscale.models.inventory import Item

SCHEMA = 1
MIB = 1 << 20

models = typer.Typer(no_args_is_help=True, help="See, check and convert models.", rich_markup_mode="rich")

Name = Annotated[
    str, typer.Argument(metavar="MODEL", help="A name, or a model's folder.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="A line of JSON for each.", metavar="")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="The details of errors.", metavar="")]


@models.command("list")
@guarded
def list_models(*, json: Json = False, verbose: Verbose = False) -> int:
    """Show the models that --model knows by name."""
    from upscale.models import catalog
    from upscale.models.inventory import inspect

    items, codes = [], []
    for name in catalog.load():
        try:
            items.append(inspect(name))
        except UpscaleError as error:
            codes.append(explain(error, verbose=verbose))
    if json:
        for item in items:
            _print_json("model", item)
    elif items:
        _print_table(items)
    return _worst(codes)


@models.command("info")
@guarded
def info(*, model: Name, json: Json = False, verbose: Verbose = False) -> int:
    """Show what a model is and how it is run."""
    from upscale.models.inventory import inspect

    item = inspect(model)
    if json:
        _print_json("model", item, network=dict(item.config.network), grid=dict(item.config.grid))
        return ExitCode.OK
    config = item.config
    grid = dict(config.grid)
    lines = {
        "summary": item.summary or None,
        "scale": f"{config.scale}x",
        "licence": item.licence,
        "size": f"{item.size / MIB:.1f} MiB",
        "where": item.where,
        "weights": str(item.weights),
        "SHA-256": item.sha256,
        "network": f"{config.arch}, predicts {config.prediction} of the {config.target}",
        "sampling": f"{config.steps} steps of {config.sampler}",
        "noise levels": f"{grid.pop('name')} " + ", ".join(f"{key} {value}" for key, value in grid.items()),
        "halo": f"{config.halo_px} pixels",
        **{name: f"{figure:g}" for name, figure in item.figures.items()},
    }
    _echo(item.name)
    for label, value in lines.items():
        if value is not None:
            _echo(f"  {label:<12} {value}")
    return ExitCode.OK


@models.command("path")
@guarded
def path(*, model: Name, verbose: Verbose = False) -> int:
    """Print where a model's weights are."""
    from upscale.models import catalog

    typer.echo(catalog.locate(model).weights)
    return ExitCode.OK


@models.command("verify")
@guarded
def verify_models(
    *,
    model: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Without one, all of the list.", show_default=False),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Read every byte of models and compare it with what was published."""
    from upscale.models import catalog
    from upscale.models.inventory import verify

    codes = []
    for name in model or catalog.load():
        try:
            item = verify(name)
        except UpscaleError as error:
            codes.append(explain(error, verbose=verbose, about=name))
            if json:
                _print_line({"type": "verify", "name": name, "ok": False, "error": error.message})
            continue
        if json:
            _print_line({"type": "verify", "name": name, "ok": True, "sha256": item.sha256})
        else:
            proof = "as published" if item.sha256 else "whole; nobody published what it must hash to"
            _echo(f"{name}: {proof}")
    return _worst(codes)


@models.command("convert")
@guarded
def convert_model(
    *,
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE.pth", help="A checkpoint of Janspiry's SR3.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="The model's new folder.", show_default=False),
    ],
    config: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="What the project was run with.", show_default=False),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, max=16, help="Upscaling factor, where the JSON has none."),
    ] = None,
    norm_groups: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Groups of the normalisation, where the JSON has none."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace a model that is there.")
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Make a model of ours from a checkpoint of the community's SR3.

    [bold cyan]upscale models convert I640000_E37_gen.pth --config sr_sr3_16_128.json -o sr3-faces-8x[/]

    The checkpoint is a pickle; only its numbers are read, nothing in it is executed.
    """
    from upscale.models.janspiry import Recipe, convert, read_recipe, with_options

    recipe = read_recipe(config) if config is not None else Recipe()
    recipe = with_options(recipe, norm_groups=norm_groups, scale=scale)
    made = convert(checkpoint, output, recipe, overwrite=overwrite)
    if json:
        _print_line({"type": "converted", "name": made.name, "folder": str(output), "scale": made.scale})
    else:
        _echo(f"{checkpoint} -> {output} ({made.scale}x, {made.steps} steps of {made.sampler})")
        _echo(f"Use it: upscale photo.jpg --model {output}")
    return ExitCode.OK


def _print_table(items: list[Item]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from upscale.cli.console import printable

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE)
    for heading in ("Name", "Scale", "MiB", "Licence", "Where", "Figures", ""):
        number = heading in ("Scale", "MiB")
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for item in items:
        figures = ", ".join(f"{name} {figure:g}" for name, figure in item.figures.items())
        size = f"{item.size / MIB:.1f}"
        cells = (
            item.name,
            f"{item.config.scale}x",
            size,
            item.licence or "",
            item.where,
            figures,
            item.summary,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    if not console.is_terminal:  # a file or a pipe has no width to fold to
        console.width = 1000
    console.print(table)


def _print_json(kind: str, item: Item, **more: Any) -> None:
    config = item.config
    _print_line(
        {
            "type": kind,
            "name": item.name,
            "summary": item.summary,
            "where": item.where,
            "weights": str(item.weights),
            "size": item.size,
            "sha256": item.sha256,
            "licence": item.licence,
            "figures": dict(item.figures),
            "scale": config.scale,
            "arch": config.arch,
            "target": config.target,
            "prediction": config.prediction,
            "steps": config.steps,
            "sampler": config.sampler,
            **more,
        }
    )


def _print_line(line: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps({"schema": SCHEMA, **line}, ensure_ascii=True))


def _echo(text: str) -> None:
    from upscale.cli.console import printable

    typer.echo(printable(text))


def _worst(codes: list[ExitCode]) -> ExitCode:
    return max(codes, default=ExitCode.OK)
