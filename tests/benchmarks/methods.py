"""Every method against the others on the same photographs: which to use when.

python tests/benchmarks/methods.py PHOTOS --lpips lpips_alex.safetensors [--model NAME] [--relay NAME]
    [--parts samplers,fidelity] [--samplers ddim,heun] [--steps 1,4,50] [--noise 0,0.02] [--scales 8,16]
    [--settings ddim:1,dpmpp_2m:4:0.5] [--limit 4] [--log scores.jsonl] [--markdown tables.md]
    [--plot docs/fidelity.png]

The photographs are reduced by Pillow's bicubic and enlarged again. Parts, at 4x:
    samplers     all, at each number of steps, with the model's own fidelity
    fidelity     the dial; PSNR must rise along it
    starts       below pure noise
    samples      means of several, of the model's own steps and of one
    consistency  without and with back-projection
    color        without and with the corrections of colour
    relay        the models of SR3's process against one of Relay Diffusion's at equal network evaluations
and at the larger --scales:
    cascades     noise on the input of the stages after the first (CDM, arXiv 2106.15282; `stage_noise` in a
                 model's config), and consistency
The model's default is always scored, and what --settings names: [sampler:]steps[:fidelity], with commas.

A run of everything takes long; with --log it can be stopped, and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from command import run
from scores import INTERPOLATIONS, Scorer, Scores, Way
from table import show

from upscale.diffusion.samplers import SAMPLERS
from upscale.errors import UsageError
from upscale.options import COLOR_FIXES, DEFAULT_MODEL
from upscale.training.evaluation.evaluate import parse_settings

SCALE = 4
LEAST_LR_PX = 16  # a photograph that is smaller when reduced says nothing
ALSO_CALLED = {"euler_ancestral": "ddpm"}  # the same unless it is given a number
PARTS = ("samplers", "fidelity", "starts", "samples", "consistency", "color", "relay", "cascades")
FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
STARTS = (1.0, 0.98, 0.95, 0.9, 0.8, 0.6, 0.4)
START_STEPS = (1, 2, 3)
SAMPLES = (1, 2, 4, 8)
RELAY_STEPS = (1, 2, 4, 8, 16)

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    parts: list[str]
    samplers: list[str]
    steps: list[int]
    noise: list[float]
    settings: str
    relay: str | None


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    lpips: Annotated[Path | None, typer.Option(help="Weights of LPIPS (AlexNet).")] = None,
    model: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    relay: Annotated[str | None, typer.Option(help="A model of Relay Diffusion's process.")] = None,
    parts: Annotated[str, typer.Option(help="With commas.")] = ",".join(PARTS),
    samplers: Annotated[str, typer.Option(help="With commas.")] = ",".join(
        name for name in SAMPLERS if name not in ALSO_CALLED
    ),
    steps: Annotated[str, typer.Option(help="Of the samplers, with commas.")] = "1,2,3,4,8,50",
    noise: Annotated[str, typer.Option(help="Of cascades, std in [-1, 1] units.")] = "0,0.02,0.05,0.1",
    scales: Annotated[str, typer.Option(help="Of cascades, with commas.")] = "8,16",
    settings: Annotated[str, typer.Option(help="[sampler:]steps[:fidelity], with commas.")] = "",
    limit: Annotated[int | None, typer.Option(help="Only so many photographs.", min=1)] = None,
    log: Annotated[Path | None, typer.Option(help="Scores of each picture, kept for the next run.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="File for the tables as docs/ has them.")] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG for the dial's curve; needs matplotlib.")] = None,
) -> None:
    """Score every method on a folder of photographs."""
    chosen = [part for part in parts.split(",") if part]
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"There is no part {min(unknown)}: choose from {','.join(PARTS)}.")
    asked = Asked(
        chosen,
        samplers.split(","),
        [int(count) for count in steps.split(",")],
        [float(level) for level in noise.split(",")],
        settings,
        relay,
    )
    rows: list[Row] = []
    for scale in (SCALE, *map(int, scales.split(","))) if "cascades" in chosen else (SCALE,):
        scorer = Scorer(photos, scale, lpips, limit, log, LEAST_LR_PX)
        rows.append(_row(scale, "photo", Way("the photo"), scorer.truth()))
        for name in INTERPOLATIONS:
            rows.append(_row(scale, "interpolation", Way(name), scorer.interpolated(name)))
        for name in model or [DEFAULT_MODEL]:
            rows += _scored(scorer, list(_ways(name, asked) if scale == SCALE else _cascades(name, asked)))
    title = f"methods on {photos.name}" + (f", first {limit}" if limit is not None else "")
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


def _ways(model: str, asked: Asked) -> Iterator[tuple[str, Way]]:
    """Yield the parts at 4x with their ways; a single step is the same whatever the sampler."""
    yield "default", Way(model, denoise=None)
    own = Way(model, steps=2).settled()  # a single step has no fidelity
    for setting in parse_settings(asked.settings, own.sampler or "") if asked.settings else ():
        yield "settings", Way(model, setting.sampler, setting.steps, setting.fidelity)
    more = [count for count in asked.steps if count > 1]
    others = [asked.relay] if asked.relay is not None else []
    ways: dict[str, list[Way]] = {
        "samplers": [Way(model, steps=count) for count in asked.steps if count == 1]
        + [Way(model, sampler, count) for sampler in asked.samplers for count in more],
        "fidelity": [Way(model, fidelity=f) for f in sorted({*FIDELITIES, own.fidelity or 0.0})],
        "starts": [Way(model, steps=count, start=start) for count in START_STEPS for start in STARTS],
        "samples": [Way(model, steps=steps, samples=count) for steps in (None, 1) for count in SAMPLES],
        "consistency": [Way(model, consistency=on) for on in (False, True)],
        "color": [Way(model, color_fix=fix) for fix in COLOR_FIXES if fix != "auto"],
        "relay": [Way(name, steps=count) for count in RELAY_STEPS for name in (model, *others) if others],
    }
    yield from ((part, way) for part in asked.parts for way in ways.get(part, ()))


def _cascades(model: str, asked: Asked) -> Iterator[tuple[str, Way]]:
    yield from (("cascades", Way(model, stage_noise=level)) for level in asked.noise)
    yield "cascades", Way(model, consistency=True)


def _scored(scorer: Scorer, named: Sequence[tuple[str, Way]]) -> list[Row]:
    """Return the rows of some ways of one model; those that it does not have are left out."""
    rows: list[Row] = []
    _, one_step = scorer.of(Way(named[0][1].model, steps=1))
    for part, way in named:
        try:
            rows.append(_row(scorer.scale, part, *scorer.of(way), one_step.seconds))
        except UsageError as error:
            typer.echo(f"left out: {error.message}", err=True)
    return rows


def _row(scale: int, part: str, way: Way, scores: Scores, one_step_seconds: float = float("inf")) -> Row:
    return {
        "scale": scale,
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
    parts += [row["consistency"] and "consistent", row["color_fix"] != "auto" and f"color {row['color_fix']}"]
    parts += [row["stage_noise"] is not None and f"noise={row['stage_noise']:g}"]
    scores = dict(list(row.items())[-8:])
    way = " ".join(str(part) for part in parts if part)
    return {"scale": row["scale"], "part": row["part"], "model": row["model"], "way": way, **scores}


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
    if value is None or value != value:  # only nan differs from itself
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
    run(main)
