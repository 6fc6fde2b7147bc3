"""The main command, `upscale FILE...`: options in, a request out."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from upscale.cli.guard import guarded
from upscale.cli.values import (
    parse_conflict,
    parse_denoise,
    parse_fidelity,
    parse_shrink,
    parse_size,
    parse_tile,
)
from upscale.cli.wanted import Wanted
from upscale.options import (
    COLOR_FIXES,
    CONFLICTS,
    DEFAULT_SCALE,
    DTYPES,
    MAX_SAMPLES,
    MAX_SCALE,
    MAX_SHRINK,
    MAX_STEPS,
    MIN_SCALE,
    MIN_TILE_PX,
    PRESETS,
    EngineOptions,
    FileOptions,
    FolderOptions,
    TargetSize,
)
from upscale.version import __version__

# The panels of --help, in this order.
Size = partial(typer.Option, rich_help_panel="How large (one of these)", show_default=False)
Result = partial(typer.Option, rich_help_panel="Where the result goes", show_default=False)
Folders = partial(typer.Option, rich_help_panel="Folders and lists", show_default=False)
Look = partial(typer.Option, rich_help_panel="How it looks")
Computer = partial(typer.Option, rich_help_panel="How this computer works on it")
Talk = partial(typer.Option, rich_help_panel="What is shown", metavar="")  # flags have no value to name


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"upscale {__version__}", flush=True)
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
            f"Default if no size is given: {DEFAULT_SCALE:g}.",
        ),
    ] = TargetSize.scale,
    size: Annotated[
        str | None,
        Size(metavar="WxH", help="The largest size that fits into this, as in 3840x2160."),
    ] = None,
    width: Annotated[
        int | None, Size(metavar="PX", help="Output width; the height in proportion.")
    ] = TargetSize.width,
    height: Annotated[
        int | None, Size(metavar="PX", help="Output height; the width in proportion.")
    ] = TargetSize.height,
    long_side: Annotated[
        int | None, Size(metavar="PX", help="Length of the longer side.")
    ] = TargetSize.long_side,
    megapixels: Annotated[
        float | None, Size(metavar="MP", help="Total size in millions of pixels.")
    ] = TargetSize.megapixels,
    output: Annotated[
        str | None,
        Result(
            "--output",
            "-o",
            metavar="FILE|FOLDER|-",
            help="A file, a folder (ending in / it is created), or - for a pipe. "
            "Default: beside the photo, as photo_4x.jpg.",
        ),
    ] = None,
    format: Annotated[
        str | None, Result(metavar="NAME", help="File format: jpg, png, webp, … Default: the photo's own.")
    ] = FileOptions.format,
    quality: Annotated[
        int | None,
        Result(metavar="1-100", help="For lossy formats such as jpg and webp: higher is better and larger."),
    ] = FileOptions.quality,
    suffix: Annotated[
        str | None,
        Result(metavar="TEXT", help="Appended to the photo's name instead of _4x, as in --suffix _big."),
    ] = FileOptions.suffix,
    output_template: Annotated[
        str | None,
        Result(
            metavar="TEXT",
            help="The whole name, as in '{parent}/{stem}_{scale}x{suffix}'; also {size}, {width}, {height}, "
            "{model}, {seed}.",
        ),
    ] = FileOptions.output_template,
    first_frame: Annotated[
        bool,
        Result(
            "--first-frame",
            metavar="",
            help="Use only the first frame of an animation, page of a document.",
        ),
    ] = FileOptions.first_frame,
    strip_metadata: Annotated[
        bool,
        Result(
            "--strip-metadata",
            metavar="",
            help="Drop EXIF, location, dates, captions and the record; keep only the colour profile.",
        ),
    ] = FileOptions.strip_metadata,
    overwrite: Annotated[
        bool, Result("--overwrite", metavar="", help="Replace files that exist already.")
    ] = False,
    skip_existing: Annotated[
        bool,
        Result(
            "--skip-existing",
            metavar="",
            help="Skip photos whose result exists already (the default for folders and lists).",
        ),
    ] = False,
    on_conflict: Annotated[
        str | None,
        Result(
            metavar="|".join(CONFLICTS),
            help="What to do if the result exists; rename adds -1, -2, … to its name.",
        ),
    ] = FileOptions.on_conflict,
    dry_run: Annotated[
        bool, Result("--dry-run", metavar="", help="Only show what would be done; nothing is written.")
    ] = False,
    recursive: Annotated[
        bool, Folders("--recursive", "-r", metavar="", help="Include subfolders; -o keeps their structure.")
    ] = FolderOptions.recursive,
    include: Annotated[
        list[str] | None,
        Folders(metavar="PATTERN", help="Only files matching this, as in '*.jpg'. May be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        Folders(metavar="PATTERN", help="No files or folders matching this, as in 'raw' or '2019/*'."),
    ] = None,
    files_from: Annotated[
        str | None, Folders(metavar="FILE|-", help="Read the photos' names from a list, one per line.")
    ] = None,
    null: Annotated[
        bool,
        Folders("--null", "-0", metavar="", help="Names in the list end with a zero byte (find -print0)."),
    ] = False,
    steps: Annotated[
        int | None,
        Look(
            metavar="N",
            help="How often each part is refined. 1 is quickest and stays closest to the photo; a few more "
            f"bring texture and take longer (up to {MAX_STEPS}). Default: what suits the model.",
        ),
    ] = EngineOptions.steps,
    preset: Annotated[
        str | None,
        Look(
            metavar="|".join(PRESETS),
            help="faithful invents the least, vivid brings the most texture. Default: balanced.",
            show_default=False,
        ),
    ] = None,
    fidelity: Annotated[
        float | None,
        Look(
            metavar="0-1",
            help="Like --preset, as a number from vivid (0) to faithful (1).",
            show_default=False,
        ),
    ] = EngineOptions.fidelity,
    start: Annotated[
        float,
        Look(
            metavar="0-1",
            help="The noise to start from: 1 is pure noise; with less, as in 0.8, it starts from the softly "
            "enlarged photo under noise, and is calmer.",
        ),
    ] = EngineOptions.start,
    denoise: Annotated[
        str,
        Look(
            metavar="auto|0-1",
            help="How much noise to remove: 0 none, 0.2 for typical grain of a phone in dim light, 1 the "
            "most. auto measures how noisy the photo is.",
        ),
    ] = "auto",
    shrink: Annotated[
        str,
        Look(
            metavar=f"auto|1-{MAX_SHRINK}",
            help="Reduce the photo this many times first, because it is softer than its pixels: out of "
            "focus, a fine scan, or enlarged before. 1 takes it as it is. auto measures how soft it is.",
        ),
    ] = "auto",
    samples: Annotated[
        int,
        Look(
            metavar="N",
            help=f"Average this many results, up to {MAX_SAMPLES}: closer to the photo, smoother, and that "
            "many times slower.",
        ),
    ] = EngineOptions.samples,
    uncertainty: Annotated[
        str | None,
        Look(
            metavar="FILE",
            help="With --samples: a map of where they differ, which is what the model invented.",
            show_default=False,
        ),
    ] = FileOptions.uncertainty,
    seed: Annotated[
        int,
        Look(
            metavar="N",
            help="The same number gives the same picture, another one different fine texture.",
        ),
    ] = EngineOptions.seed,
    consistency: Annotated[
        bool,
        Look(
            "--consistency",
            metavar="",
            show_default=False,
            help="Make the result match the photo when it is reduced again. For clean photos only: noise and "
            "JPEG artifacts would be kept, and text and drawings as screens show them get dotted edges.",
        ),
    ] = EngineOptions.consistency,
    color_fix: Annotated[
        str,
        Look(
            metavar="|".join(COLOR_FIXES),
            help="Take the colours from the photo if the model shifts them: their mean, or all but the fine "
            "texture (wavelet). auto does what the model needs.",
        ),
    ] = EngineOptions.color_fix,
    model: Annotated[
        str,
        Look(
            metavar="NAME|PATH|REPO",
            help="The trained model: a name (see: upscale models list), a model's folder or file, or "
            "owner/repo on the Hugging Face Hub. One for each stage, with commas: first,second.",
        ),
    ] = EngineOptions.model,
    sampler: Annotated[
        str | None,
        Look(
            metavar="NAME",
            help="How the steps are taken: ddim, dpmpp_2m, ddpm, …; ddim@0.5 is between ddim and ddpm. "
            "Default: what suits the model.",
        ),
    ] = EngineOptions.sampler,
    device: Annotated[
        str,
        Computer(
            metavar="auto|all|cpu|cuda[:N]|mps",
            help="Where to compute; auto takes a graphics card if there is one. Several share the files: all "
            "or cuda:0,cuda:1.",
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
            "memory; the picture stays the same with most models.",
        ),
    ] = "auto",
    max_input_mpix: Annotated[
        float,
        Computer(
            metavar="MP",
            help="Refuse photos with more million pixels (protects against decompression bombs).",
        ),
    ] = FileOptions.max_input_mpix,
    offline: Annotated[
        bool,
        Computer(
            "--offline",
            metavar="",
            help="Never download; embedded models and those downloaded before still work.",
        ),
    ] = EngineOptions.offline,
    accept_licence: Annotated[
        bool,
        Computer(
            "--accept-licence",
            metavar="",
            help="Accept the licence of a model to download without being asked.",
        ),
    ] = EngineOptions.accept_licence,
    fail_fast: Annotated[
        bool, Result("--fail-fast", metavar="", help="Start no more photos after the first failure.")
    ] = False,
    json: Annotated[
        bool, Talk("--json", help="One line of JSON per file on stdout, and a summary at the end.")
    ] = False,
    quiet: Annotated[bool, Talk("--quiet", "-q", help="Show only errors.")] = False,
    verbose: Annotated[bool, Talk("--verbose", "-v", help="Show settings and details of errors.")] = False,
    version: Annotated[
        bool, Talk("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> int:
    """Enlarge photos 2 to 16 times and make them sharp.

    [bold cyan]upscale photo.jpg --scale 8[/]  writes photo_8x.jpg beside it.

    Give files or folders; - reads one photo from a pipe. It works offline: photos never leave this computer.
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
        consistency=consistency,
        color_fix=color_fix,
        device=device,
        dtype=dtype,
        tile_px=parse_tile(tile),
        fidelity=parse_fidelity(fidelity, preset),
        start=start,
        denoise=parse_denoise(denoise),
        shrink=parse_shrink(shrink),
        samples=samples,
        map_uncertainty=uncertainty is not None,
        offline=offline,
        accept_licence=accept_licence,
    )
    file_options = FileOptions(
        format=format,
        quality=quality,
        on_conflict=parse_conflict(on_conflict, overwrite=overwrite, skip_existing=skip_existing),
        suffix=suffix,
        output_template=output_template,
        first_frame=first_frame,
        uncertainty=uncertainty,
        strip_metadata=strip_metadata,
        max_input_mpix=max_input_mpix,
    )
    folder_options = FolderOptions(recursive, tuple(include or ()), tuple(exclude or ()))
    wanted = Wanted(tuple(files or ()), files_from, null, output).settled(dry_run=dry_run, json=json)

    from upscale.cli import session  # Pillow and rich, which --help and wrong options need not wait for
    from upscale.jobs.request import Request

    inputs = wanted.gather(folder_options)
    request = Request(
        inputs.sources,
        wanted.output,
        size_options,
        engine_options,
        file_options,
        fail_fast=fail_fast,
        left_alone=inputs.left_alone,
    )
    talk = session.Talk(quiet=quiet, verbose=verbose, json=json)
    if dry_run:
        return session.show(request, talk)
    return session.work(request, talk)
