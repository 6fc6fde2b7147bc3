"""Every method against the others on the same photographs, 4x: which to use when.

python tests/benchmarks/methods.py PHOTOS --lpips lpips_alex.safetensors [--model NAME] [--relay NAME]
    [--parts samplers,fidelity,starts,samples,consistency,relay] [--samplers ddim,heun] [--steps 1,4,50]
    [--settings ddim:1,dpmpp_2m:4:0.5] [--limit 4] [--log scores.jsonl] [--markdown tables.md]
    [--plot docs/fidelity.png]

Parts: samplers (all, at each number of steps, with the model's own fidelity), fidelity (the dial; PSNR must
rise along it), starts (below pure noise), samples (means of several), consistency (back-projection), relay
(the models of SR3's process against one of Relay Diffusion's at equal network evaluations). The model's
default is always scored, and what --settings names: sampler:steps, or sampler:steps:fidelity.

A run of everything takes long; with --log it can be stopped, and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from scores import INTERPOLATIONS, Scorer, Scores, Way
from table import show

from upscale.diffusion.samplers import SAMPLERS
from upscale.errors import UsageError
from upscale.options import DEFAULT_MODEL
from upscale.training.evaluate import parse_settings

SCALE = 4
ALSO_CALLED = {"euler_ancestral": "ddpm"}  # the same unless it is given a number
PARTS = ("samplers", "fidelity", "starts", "samples", "consistency", "relay")
FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
STARTS = (1.0, 0.98, 0.95, 0.9, 0.8, 0.6, 0.4)
START_STEPS = (1, 2, 4)
SAMPLES = (1, 2, 4, 8)
RELAY_STEPS = (1, 2, 4, 8, 16)

Row = dict[str, Any]


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet).")] = None,
    model: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    relay: Annotated[str | None, typer.Option(help="A model of Relay Diffusion's process.")] = None,
    parts: Annotated[str, typer.Option(help="With commas.")] = ",".join(PARTS),
    samplers: Annotated[str, typer.Option(help="With commas.")] = ",".join(
        name for name in SAMPLERS if name not in ALSO_CALLED
    ),
    steps: Annotated[str, typer.Option(help="Of the samplers, with commas.")] = "1,2,4,8,16,50",
    settings: Annotated[str, typer.Option(help="sampler:steps[:fidelity], with commas.")] = "",
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.")] = None,
    log: Annotated[Path | None, typer.Option(help="Scores of each picture, kept for the next run.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="File for the tables as docs/ has them.")] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG for the dial's curve; needs matplotlib.")] = None,
) -> None:
    """Score every method on a folder of photographs."""
    if unknown := set(parts.split(",")) - {"", *PARTS}:
        raise SystemExit(f"There is no part {min(unknown)}: choose from {','.join(PARTS)}.")
    scorer = Scorer(photos, SCALE, lpips, limit, log)
    models = model or [DEFAULT_MODEL]
    rows = [_row("photo", Way("the photo"), scorer.truth())]
    rows += [_row("interpolation", Way(name), scorer.interpolated(name)) for name in INTERPOLATIONS]
    for name in models:
        named = [("default", Way(name))]
        for setting in parse_settings(settings) if settings else ():
            named.append(("settings", Way(name, setting.sampler, setting.steps, setting.fidelity)))
        counts = [int(count) for count in steps.split(",")]
        for part in parts.split(","):
            named += [(part, way) for way in _ways(part, name, samplers.split(","), counts)]
        if relay is not None and "relay" in parts.split(","):
            named += [("relay", Way(each, steps=count)) for count in RELAY_STEPS for each in (name, relay)]
        rows += _scored(scorer, named)
    title = f"methods on {photos.name}, {len(scorer.pairs)} photographs, {SCALE}x"
    show(title, rows, [_short(row) for row in rows])
    if markdown is not None:
        markdown.write_text("\n\n".join(_markdown(rows)) + "\n")
    for default in [row for row in rows if row["part"] == "default"]:
        name = default["model"]
        dial = [row for row in rows if (row["part"], row["model"]) == ("fidelity", name)]
        if dial and plot is not None:
            _draw(dial, default["fidelity"], plot)
        if falls := [b["fidelity"] for a, b in pairwise(dial) if b["PSNR-Y"] <= a["PSNR-Y"]]:
            raise SystemExit(f"PSNR of {name} falls at fidelity {falls}")


def _ways(part: str, model: str, samplers: Sequence[str], counts: Sequence[int]) -> Iterator[Way]:
    """Yield what belongs to a part; a single step is the same whatever the sampler."""
    if part == "samplers":
        yield from (Way(model, steps=1) for count in counts if count == 1)
        yield from (Way(model, sampler, count) for sampler in samplers for count in counts if count > 1)
    elif part == "fidelity":
        own = Way(model).upscaler().settings.fidelity
        yield from (Way(model, fidelity=f) for f in sorted({*FIDELITIES, own}))
    elif part == "starts":
        yield from (Way(model, steps=count, start=start) for count in START_STEPS for start in STARTS)
    elif part == "samples":
        yield from (Way(model, samples=count) for count in SAMPLES)
    elif part == "consistency":
        yield from (Way(model, consistency=on) for on in (False, True))


def _scored(scorer: Scorer, named: Sequence[tuple[str, Way]]) -> list[Row]:
    """Return the rows of some ways of one model; those that it does not have are left out."""
    rows: list[Row] = []
    _, one_step = scorer.of(Way(named[0][1].model, steps=1))
    for part, way in named:
        try:
            rows.append(_row(part, *scorer.of(way), one_step.seconds))
        except UsageError as error:
            typer.echo(f"left out: {error.message}", err=True)
    return rows


def _row(part: str, way: Way, scores: Scores, one_step_seconds: float = float("inf")) -> Row:
    return {
        "part": part,
        **asdict(way),
        "PSNR-Y": scores.psnr_y,
        "SSIM-Y": scores.ssim_y,
        "LPIPS": scores.lpips,
        "consistency x1e5": scores.consistency,
        "texture dB": scores.texture,
        "drift": scores.drift,
        "seconds": scores.seconds,
        "x one step": scores.seconds / one_step_seconds,
    }


def _short(row: Row) -> Row:
    """Return a row with its way in one cell, and nothing said of what is as always."""
    parts = [row["sampler"], row["steps"], row["fidelity"] is not None and f"f={row['fidelity']:g}"]
    parts += [
        row["start"] < 1 and f"start={row['start']:g}",
        row["samples"] > 1 and f"mean of {row['samples']}",
    ]
    parts += [row["consistency"] and "consistent"]
    scores = dict(list(row.items())[-8:])
    return {"part": row["part"], "model": row["model"], "way": " ".join(str(p) for p in parts if p), **scores}


def _markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Yield grids for the parts that vary two settings, and a row for each way of the others."""
    cells = {
        "PSNR-Y / LPIPS": lambda row: f"{row['PSNR-Y']:.2f} / {row['LPIPS']:.3f}",
        "consistency x1e5 / largest drift": lambda row: f"{row['consistency x1e5']:.2f} / {row['drift']:.2f}",
        "texture, dB": lambda row: f"{row['texture dB']:.1f}",
        "seconds / times one step": lambda row: f"{row['seconds']:.2f} / {row['x one step']:.1f}",
    }
    for model in dict.fromkeys(row["model"] for row in rows):
        for part, down, across in (("samplers", "sampler", "steps"), ("starts", "steps", "start")):
            chosen = [row for row in rows if (row["part"], row["model"]) == (part, model)]
            for title, cell in cells.items() if chosen else ():
                yield f"{model}, {part}: {title}\n\n{_grid(chosen, down, across, cell)}"
    rest = [_short(row) for row in rows if row["part"] not in ("samplers", "starts")]
    yield _table(list(rest[0]), [[_text(value) for value in row.values()] for row in rest])


def _grid(rows: Sequence[Row], down: str, across: str, cell: Callable[[Row], str]) -> str:
    columns = sorted({row[across] for row in rows})
    found = {(row[down], row[across]): cell(row) for row in rows}
    heads = dict.fromkeys(row[down] for row in rows)
    return _table(
        [down, *(f"{across} {column:g}" for column in columns)],
        [[str(head), *(found.get((head, column), "") for column in columns)] for head in heads],
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["--"] * len(heads), *rows))


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _draw(rows: Sequence[Row], default: float, plot: Path) -> None:
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
