"""`upscale models`: which models there are, whether they are whole, and how others become ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upscale.cli.guard import explain, guarded
from upscale.errors import ExitCode, UpscaleError, UsageError

if TYPE_CHECKING:
    from upscale.models.inventory import Item
    from upscale.models.remote import Remote

SCHEMA = 1
MIB = 1 << 20

models = typer.Typer(
    no_args_is_help=True, help="See, check, convert and publish models.", rich_markup_mode="rich"
)

Name = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A name, a folder, or owner/repo on the Hub.", show_default=False),
]
Offline = Annotated[
    bool, typer.Option("--offline", metavar="", help="Do not contact the Hub; use only what is cached.")
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.", metavar="")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the details of errors.", metavar="")]


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
def info(*, model: Name, offline: Offline = False, json: Json = False, verbose: Verbose = False) -> int:
    """Show what a model is, how it is run, and its licence; reads the card of one on the Hub."""
    from upscale.models import hub
    from upscale.models.access import FREE
    from upscale.models.inventory import inspect, look_up

    item = inspect(model) if offline or hub.forbidden() else look_up(model, FREE)
    if json:
        _print_json("model", item)
        return ExitCode.OK
    lines = {
        "summary": item.summary or None,
        "models": ", ".join(item.stages),
        "scale": _scale(item) or None,
        "licence": item.licence,
        "its terms": item.restricts,
        "its text": item.licence_url,
        "size": _mib(item) and f"{_mib(item)} MiB",
        "where": item.where,
        "weights": item.weights,
        "SHA-256": item.sha256,
        "revision": "not pinned: what its main branch holds" if item.unpinned else None,
    }
    if (config := item.config) is not None:
        grid = dict(config.grid)
        name = grid.pop("name")
        lines |= {
            "network": f"{config.arch}, predicts {config.prediction} of the {config.target}",
            "sampling": f"{config.steps} steps of {config.sampler}",
            "noise levels": f"{name} " + ", ".join(f"{key} {value}" for key, value in grid.items()),
            "halo": f"{config.halo_px} pixels",
        }
    lines |= {name: f"{figure:g}" for name, figure in item.figures.items()}
    _echo(item.name)
    for label, value in lines.items():
        if value:
            _echo(f"  {label:<12} {value}")
    return ExitCode.OK


@models.command("path")
@guarded
def path(*, model: Name, verbose: Verbose = False) -> int:
    """Print where a model's weights are."""
    from upscale.models.inventory import present

    print(present(model).weights, flush=True)
    return ExitCode.OK


@models.command("pull")
@guarded
def pull(
    *,
    model: Name,
    offline: Offline = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", metavar="", help="Accept its licence without being asked.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Show only errors.")] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Download a model from the Hub, or update it, for use offline.

    [bold cyan]upscale models pull owner/repo@revision:subfolder[/]  (revision and subfolder may be left out)
    """
    from upscale.cli.fetching import asking, telling
    from upscale.models import catalog
    from upscale.models.access import Access
    from upscale.models.inventory import inspect, present

    for name in catalog.stages(model):
        remote = catalog.on_hub(name)
        if remote is not None:

            def download(remote: Remote = remote) -> None:
                with telling(bars=not (quiet or json)) as tell:
                    remote.pull(Access(offline, accept_licence, tell))

            asking(download, may_ask=not json)
            item = inspect(name)
        else:
            item = present(name)
        if json:
            _print_json("model", item)
        elif not quiet:
            _echo(f"{item.name}: {item.where}, {_mib(item)} MiB")
    return ExitCode.OK


@models.command("rm")
@guarded
def remove(*, model: Name, verbose: Verbose = False) -> int:
    """Remove a downloaded model from the cache."""
    from upscale.models import catalog, hub

    remote = catalog.on_hub(model)
    if remote is None:
        catalog.find(model)  # says so if there is no such model
        raise UsageError(
            f"{model} was not downloaded, so there is nothing to remove.",
            hint="Embedded models belong to the package; folders of yours are yours to remove.",
        )
    freed = hub.remove(remote.reference)
    _echo(f"{model}: removed, {freed / MIB:.1f} MiB")
    return ExitCode.OK


@models.command("verify")
@guarded
def verify_models(
    *,
    model: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Default: all on this computer.", show_default=False),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Read every byte of models and compare it with what was published."""
    from upscale.models import catalog
    from upscale.models.inventory import here, verify

    codes = []
    names = [part for wanted in model for part in catalog.stages(wanted)] if model else here()
    for name in names:
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
            proof = "as published" if item.sha256 else "whole, as far as can be told"
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
    """Convert a checkpoint of the community's SR3 implementation.

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


@models.command("push")
@guarded
def push_model(
    *,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model's folder, or an embedded name.", show_default=False),
    ],
    repo: Annotated[
        str, typer.Argument(metavar="OWNER/REPO", help="The destination on the Hub.", show_default=False)
    ],
    private: Annotated[
        bool, typer.Option("--private", metavar="", help="Make the repository private if it is created.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Only show what would be sent.")
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Publish a model of yours on the Hub, with its card; others then use it as --model owner/repo.

    [bold cyan]upscale models push my-model/ me/my-model[/]

    The folder holds config.json, model.safetensors and a README.md that states the licence. Log in before,
    with a token that may write: hf auth login
    """
    from upscale.cli.console import say
    from upscale.models.publish import check_online, prepare, push

    publication = prepare(model, repo)
    sizes = publication.sizes
    for name in publication.left_out:
        say(f"{name} is left out: it is no part of a model's folder.", label="Note: ", style="yellow")
    if dry_run and not json:
        _echo(f"{model} -> {repo}")
        for name, size in sizes.items():
            _echo(f"  {name:<24} {size:>12,} bytes")
    if dry_run:
        address = None
    else:
        check_online(repo)
        say(f"Sending {len(sizes)} files, {sum(sizes.values()) / MIB:.1f} MiB, to {repo}.", style="dim")
        address = push(publication, private=private)
    if json:
        kind = "planned" if dry_run else "pushed"
        _print_line({"type": kind, "name": model, "repo": repo, "files": sizes, "commit": address})
    elif not dry_run:
        _echo(f"{model} -> {address}")
        _echo(f"Use it: upscale photo.jpg --model {repo}")
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
        licence = item.licence or ""
        cells = (item.name, _scale(item), _mib(item), licence, item.where, figures, item.summary)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    if not console.file.isatty():  # a file or a pipe has no width to fold to
        console.width = 1000
    console.print(table)


def _scale(item: Item) -> str:
    return "" if item.scale is None else f"{item.scale}x"


def _mib(item: Item) -> str:
    return "" if item.size is None else f"{item.size / MIB:.1f}"


def _print_json(kind: str, item: Item) -> None:
    from dataclasses import asdict

    line = {name: value for name, value in vars(item).items() if name != "config"}
    line["weights"] = None if item.weights is None else str(item.weights)
    line["config"] = None if item.config is None else asdict(item.config)
    _print_line({"type": kind, **line, "figures": dict(item.figures)})


def _print_line(line: dict[str, Any]) -> None:
    import json

    print(json.dumps({"schema": SCHEMA, **line}, ensure_ascii=True), flush=True)


def _echo(text: str) -> None:
    from upscale.cli.console import printable

    print(printable(text), flush=True)


def _worst(codes: list[ExitCode]) -> ExitCode:
    return max(codes, default=ExitCode.OK)
