"""`upscale info FILE...`: what a picture is, and how upscale made it if it did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upscale.cli.guard import explain, guarded
from upscale.errors import ExitCode, UpscaleError

if TYPE_CHECKING:
    from upscale.images.read import ImageInfo

SCHEMA = 1


@guarded
def info(
    *,
    files: Annotated[
        list[Path],
        # Typer would refuse all of them for one that may not be read.
        typer.Argument(metavar="FILE", help="Pictures.", show_default=False, readable=False),
    ],
    json: Annotated[bool, typer.Option("--json", help="One line of JSON for each.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the details of errors.")] = False,
) -> int:
    """Show what a picture is and how it was made.

    Results of upscale carry a record: model, weights, steps, sampler, seed, version and so on.
    """
    from upscale.images.read import probe

    codes = []
    for path in files:
        try:
            found = probe(path, max_mpix=float("inf"))
        except UpscaleError as error:
            codes.append(explain(error, verbose=verbose))
            continue
        if json:
            _print_json(path, found)
        else:
            _print(path, found)
    if not codes:
        return ExitCode.OK
    return codes[0] if len(files) == 1 else ExitCode.PARTIAL


def _print(path: Path, found: ImageInfo) -> None:
    from upscale.cli.console import printable
    from upscale.images.extent import MAX_FRAMES

    width, height = found.size
    lines = [f"{path}: {found.format}, {width}x{height}, {found.mode}, {found.bit_depth} bits per channel"]
    if found.frames > 1:
        kind = {"animation": "frames", "pages": "pages", None: "pictures"}[found.sequence]
        number = f"more than {MAX_FRAMES}" if found.frames > MAX_FRAMES else str(found.frames)
        lines[0] += f", {number} {kind}"
    if found.record is None:
        lines.append("  no record of upscale")
    else:
        lines += [f"  {name.replace('_', ' '):<13} {value}" for name, value in found.record.items()]
    for line in lines:
        print(printable(line), flush=True)


def _print_json(path: Path, found: ImageInfo) -> None:
    import json
    from dataclasses import asdict

    line: dict[str, Any] = {"schema": SCHEMA, "type": "info", "file": str(path), **asdict(found)}
    print(json.dumps(line, ensure_ascii=True), flush=True)
