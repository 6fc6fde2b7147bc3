"""The main command, `upscale FILE...`: options in, a request out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from upscale.cli.guard import guarded
from upscale.cli.streams import read_stdin, stdout_is_terminal
from upscale.cli.values import parse_size, parse_tile
from upscale.errors import UsageError
from upscale.options import (
    DEFAULT_SCALE,
    DTYPES,
    MAX_SCALE,
    MAX_STEPS,
    MIN_SCALE,
    MIN_TILE_PX,
    EngineOptions,
    FileOptions,
    TargetSize,
)
from upscale.version import __version__

STDIN = STDOUT = "-"

# The panels of --help, in this order.
Size = partial(typer.Option, rich_help_panel="How large (one of these)", show_default=False)
Result = partial(typer.Option, rich_help_panel="Where the result goes", show_default=False)
Look = partial(typer.Option, rich_help_panel="How it looks")
Computer = partial(typer.Option, rich_help_panel="How this computer works on it")
Talk = partial(typer.Option, rich_help_panel="What is shown", metavar="")  # flags have no value to name


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"upscale {__version__}")
        raise typer.Exit


@guarded
def upscale_files(
    *,
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", hidden=True)] = None,
    scale: Annotated[
        float | None,
        Size(
            "--scale",
            "-s",
            metavar="FACTOR",
            help=f"How many times wider and higher, {MIN_SCALE:g} to {MAX_SCALE:g}; 2.5 is fine too. "
            f"Without any of these: {DEFAULT_SCALE:g}.",
        ),
    ] = TargetSize.scale,
    size: Annotated[
        str | None, Size(metavar="WxH", help="As large as fits into this many pixels, as in 3840x2160.")
    ] = None,
    width: Annotated[
        int | None, Size(metavar="PX", help="This wide; the height follows.")
    ] = TargetSize.width,
    height: Annotated[
        int | None, Size(metavar="PX", help="This high; the width follows.")
    ] = TargetSize.height,
    long_side: Annotated[
        int | None, Size(metavar="PX", help="The longer side this long.")
    ] = TargetSize.long_side,
    megapixels: Annotated[
        float | None, Size(metavar="MP", help="This many million pixels in all.")
    ] = TargetSize.megapixels,
    output: Annotated[
        str | None,
        Result(
            "--output",
            "-o",
            metavar="FILE|FOLDER|-",
            help="A file, a folder (with / at the end it is made), or - for a pipe. "
            "Without it: beside the photo, as photo_4x.jpg.",
        ),
    ] = None,
    format: Annotated[
        str | None, Result(metavar="NAME", help="File format: jpg, png, webp, … Without it: the photo's own.")
    ] = FileOptions.format,
    quality: Annotated[
        int | None,
        Result(metavar="1-100", help="For jpg, webp and the like: higher keeps more, in larger files."),
    ] = FileOptions.quality,
    overwrite: Annotated[
        bool, Result("--overwrite", metavar="", help="Replace files that exist already.")
    ] = FileOptions.overwrite,
    dry_run: Annotated[
        bool, Result("--dry-run", metavar="", help="Only show what would be done; nothing is written.")
    ] = False,
    steps: Annotated[
        int | None,
        Look(
            metavar="N",
            help="How often each part is refined. 1 is quickest and stays closest to the photo; more bring "
            f"finer texture and take longer (up to {MAX_STEPS}). Without it: what suits the model.",
        ),
    ] = EngineOptions.steps,
    seed: Annotated[
        int,
        Look(
            metavar="N",
            help="The same number gives the same picture, another one other fine texture.",
        ),
    ] = EngineOptions.seed,
    model: Annotated[
        str, Look(metavar="NAME|PATH", help="The trained model: a name, or a model's folder.")
    ] = EngineOptions.model,
    sampler: Annotated[
        str | None,
        Look(
            metavar="NAME",
            help="How the steps are taken: ddim, dpmpp_2m, ddpm, … Without it: what suits the model.",
        ),
    ] = EngineOptions.sampler,
    device: Annotated[
        str,
        Computer(
            metavar="auto|cpu|cuda[:N]|mps", help="What computes; auto takes a graphics card if there is one."
        ),
    ] = EngineOptions.device,
    dtype: Annotated[
        str, Computer(metavar="|".join(DTYPES), help="Precision; auto fits the device.")
    ] = EngineOptions.dtype,
    tile: Annotated[
        str,
        Computer(
            metavar="PX|auto",
            help=f"Work in squares of this many pixels, at least {MIN_TILE_PX}. Smaller needs less "
            "memory; the picture stays the same.",
        ),
    ] = "auto",
    max_input_mpix: Annotated[
        float,
        Computer(
            metavar="MP",
            help="Refuse photos of more million pixels (some files are made to fill your memory).",
        ),
    ] = FileOptions.max_input_mpix,
    quiet: Annotated[bool, Talk("--quiet", "-q", help="Nothing but errors.")] = False,
    verbose: Annotated[bool, Talk("--verbose", "-v", help="Settings, and the details of errors.")] = False,
    version: Annotated[
        bool, Talk("--version", callback=_print_version, is_eager=True, help="The version.")
    ] = False,
) -> int:
    """Enlarge photos 2 to 16 times and make them sharp.

    [bold cyan]upscale photo.jpg --scale 8[/]  writes photo_8x.jpg beside it.

    Give one FILE or many; - reads one from a pipe. It works offline: photos never leave this computer.
    """
    size_options = TargetSize(
        scale=scale,
        width=width,
        height=height,
        long_side=long_side,
        megapixels=megapixels,
        box=parse_size(size),
    )
    engine_options = EngineOptions(
        model=model,
        steps=steps,
        sampler=sampler,
        seed=seed,
        device=device,
        dtype=dtype,
        tile_px=parse_tile(tile),
    )
    file_options = FileOptions(
        format=format, quality=quality, overwrite=overwrite, max_input_mpix=max_input_mpix
    )
    names = files or []
    output = _where(names, output, dry_run=dry_run)

    from upscale.cli import session  # Pillow and rich, which --help and wrong options need not wait for
    from upscale.jobs.request import Request
    from upscale.jobs.source import Source

    sources = tuple(Source(data=read_stdin()) if name == STDIN else Source(Path(name)) for name in names)
    request = Request(sources, output, size_options, engine_options, file_options)
    if dry_run:
        return session.show(request, quiet=quiet, verbose=verbose)
    return session.work(request, quiet=quiet, verbose=verbose)


def _where(names: list[str], output: str | None, *, dry_run: bool) -> str | None:
    """Return `-o`, which for a picture from a pipe is the next pipe if there is one.

    Raises:
        UsageError: stdin is asked for twice, has no place to go, or a picture would go to a terminal.
    """
    if names.count(STDIN) > 1:
        raise UsageError("stdin was given twice.", hint="A pipe carries one picture: give - once.")
    if output is None and STDIN in names:
        if len(names) > 1:
            raise UsageError(
                "The picture from stdin has no folder for its result.",
                hint="Give -o FOLDER/ for the results, or upscale it alone.",
            )
        output = STDOUT
        if stdout_is_terminal() and not dry_run:
            raise UsageError(
                "The picture from stdin has no file for its result.",
                hint="Name one with -o FILE, or send it on: upscale - < photo.jpg > large.jpg",
            )
    elif output == STDOUT and stdout_is_terminal() and not dry_run:
        raise UsageError(
            "A picture would go to the terminal.",
            hint="Name a file with -o FILE, or send it on with > or |.",
        )
    return output
