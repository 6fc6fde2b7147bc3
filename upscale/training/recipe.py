"""A recipe: everything that decides what a training run makes, read from TOML and stored with the weights."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from upscale.diffusion import samplers
from upscale.errors import InputError, UsageError
from upscale.training.entries import Between, Count, Share, check
from upscale.training.precision import dtype_of

RECIPES = Path(__file__).parent / "recipes"
HALVED = 4  # sides of crops: networks halve them, and second stages what they are given

Memory = Annotated[float, Between(0, 0.999999)]  # of an average; at 1 nothing new would enter
Power = Annotated[float, Between(0.01, 10)]


@dataclass(frozen=True)
class Data:
    """Crops.

    Attributes:
        patch: An LR side in pixels.
        batch: How many make a step.
        shrink: Of all crops: those from reduced photos.
        shrink_max: By how much those are reduced at most; by 1 at least.
        turn: Of all crops: those that are turned on their heads, and those that are laid on their sides.
        among: Each is chosen among so many, in proportion to their detail: smooth ones teach little.
        recolored: Of all crops: those with channels exchanged and another brightness.
        gray: Of all crops: those without colour, half of these toned, as old photographs are.
        pages: Of all crops: those of pages, where there are some; JPEG alone may spoil them.
    """

    patch: Annotated[int, Between(12)] = 32
    batch: Count = 16
    shrink: Share = 0.35
    shrink_max: Annotated[float, Between(1)] = 2.0
    turn: Share = 0.5
    among: Count = 1
    recolored: Share = 0.0
    gray: Share = 0.0
    pages: Share = 0.0

    def __post_init__(self) -> None:
        """Raise `UsageError` on crops that cannot be halved."""
        if self.patch % HALVED:
            raise UsageError(
                f"[data] patch {self.patch} is no multiple of {HALVED}.",
                hint=f"Take {self.patch // HALVED * HALVED}.",
            )


@dataclass(frozen=True)
class Degradation:
    """How LR images are spoilt; see `degrade`, and `objective` for conditioning augmentation.

    Attributes:
        share: Of all examples: those that are not plain bicubic.
        jpeg_before: Of the spoilt ones: JPEG already before the reduction.
        poisson: Of the noisy ones: photons that are counted, in place of Gaussian noise of that strength.
        grain: Of the spoilt ones: noise that is alike in neighbouring pixels, in place of other noise.
        sharpen: Of the spoilt ones: unsharp masking before the last JPEG.
        webp: Of those that are compressed last: WebP in place of JPEG.
        soft: Of all examples, spoilt or not: those as soft as photos never reduced, or enlarged before.
        resampled: Of those not spoilt: those reduced by another filter than bicubic, see `OTHER_REDUCTIONS`.
        pages_jpeg: Of the pages, which are not spoilt otherwise: JPEG, as screenshots are sent.
        pages_quality: Lowest quality of that JPEG, up to 95.
        noise_share: Of all examples: conditioning augmentation by noise, of which the network is told.
        noise_max: Largest std of that noise in [-1, 1] units.
        noise_grain: Of that noise: grain.
        noise_jpeg: Of the examples with such noise: JPEG behind it, as phones save it.
        blur_share: Of all examples: conditioning augmentation by blur, of which it is not.
    """

    share: Share = 0.35
    jpeg_before: Share = 0.0
    poisson: Share = 0.0
    grain: Share = 0.0
    sharpen: Share = 0.0
    webp: Share = 0.0
    soft: Share = 0.0
    resampled: Share = 0.0
    pages_jpeg: Share = 0.0
    pages_quality: Annotated[int, Between(1, 95)] = 75
    noise_share: Share = 0.25
    noise_max: float = 0.2
    noise_grain: Share = 0.0
    noise_jpeg: Share = 0.0
    blur_share: Share = 0.0


@dataclass(frozen=True)
class Noise:
    """Which noise levels are trained: t = 1 - u^power, u uniform, sigma = tan(pi t / 2) up to sigma_max."""

    power: Power = 2.0
    sigma_max: Annotated[float, Between(0.01, 1e6)] = 100.0


@dataclass(frozen=True)
class Optimizer:
    """Linear warm-up and a constant rate, batches with outlying gradients left out, and EMA.

    `kind` is a key of `optimizers.OPTIMIZERS`. Muon has a `momentum` and the root mean square of its updates
    at a rate of 1, `relative` to the weight's or not; `betas` are those of AdamW, which it leaves some
    weights to.
    """

    kind: str = "adamw"
    lr: float = 1e-3
    betas: tuple[Memory, Memory] = (0.9, 0.99)
    momentum: Memory = 0.95
    update_rms: float = 0.2
    relative: bool = False
    weight_decay: float = 0.0
    warmup: int = 300
    clip: float = 0.5
    skip_above: Annotated[float, Between(1)] = 20.0
    ema: Memory = 0.999


@dataclass(frozen=True)
class Recovery:
    """When a run returns to its last good state; see `recovery`.

    A state is kept every `keep_every` steps. The run returns to it after `patience` outlying batches in a
    row, or when the mean of the last `smoothing` losses is `rise` times what it was there; each return
    multiplies the rate by `slower` until the next good state. After `returns` in vain it gives up.
    """

    keep_every: Count = 250
    patience: Count = 20
    smoothing: Count = 50
    rise: Annotated[float, Between(1)] = 1.5
    slower: Share = 0.5
    returns: int = 5


@dataclass(frozen=True)
class FirstStep:
    """How the first step learns on its own.

    Attributes:
        taught: Where it has teachers: which share of what it learns they say; photographs say the rest.
    """

    taught: Share = 0.85


@dataclass(frozen=True)
class LastStep:
    """The runs whose last step is trained: see `last_step`.

    `steps` are the numbers of steps to draw from, taken as `sampler`, a deterministic one, does, with a grid
    whose power is drawn, too, log-uniform between `power` / `power_spread` and `power` * `power_spread`: what
    has practised one power knows as many noise levels as there are numbers, and is uneven between them. The
    network is `told` less noise than there is; the score of patches counts `pixels` times beside those of
    VGG's four layers.
    `spread` is how much of the variety that is possible the score asks for; at 1 all of it.
    What a critic says counts `critic` times, 0 for none; its rate is `critic_rate` times the optimizer's. For
    the first `critic_alone` steps only the critic learns: what a new one says is wrong at first.
    A grid of the period of folded pixels, as photos have none, counts `grid` times: see `grid_apart`.
    `between` says whether the steps between the first and the last learn with it. `staged` is the share of
    examples that are given what the network itself makes of a smaller picture, as second stages are.
    """

    steps: tuple[Count, ...] = (2, 3, 4, 4, 6)
    sampler: str = "ddim"
    power: Power = 2.0
    power_spread: Annotated[float, Between(1, 10)] = 1.0
    told: Annotated[float, Between(0.1, 10)] = 1.0
    pixels: float = 1.0
    spread: Share = 1.0
    grid: float = 0.0
    between: bool = False
    critic: float = 0.0
    critic_rate: float = 6.0
    critic_alone: int = 0
    staged: Share = 0.0

    def __post_init__(self) -> None:
        """Refuse runs that cannot be practised.

        Raises:
            UsageError: There is no such sampler, or it draws noise between the steps; or there are no numbers
                of steps.
        """
        if samplers.get(self.sampler).stochastic:
            raise UsageError(
                f"runs cannot be practised with the sampler {self.sampler}, which draws noise between steps.",
                hint="Take a deterministic one for [last_step] sampler, such as dpmpp_2m.",
            )
        if not self.steps:
            raise UsageError("[last_step] steps name no number of steps.", hint="Take such as [2, 3, 4].")


@dataclass(frozen=True)
class Chain:
    """The training schedule of SR3 as published: `length` betas of a kind, from `start` to `end`."""

    betas: str = "linear"
    length: Count = 2000
    start: Share = 1e-6
    end: Share = 1e-2


@dataclass(frozen=True)
class Relay:
    """The process of Relay Diffusion; see `diffusion.relay.Relay`.

    `sigma_low` is the noise at LR size, in standard deviations of the residual, that hides what the picture
    below lacks: runs start with the noise that is as strong at HR size.
    """

    block: Annotated[float, Between(0, 10)] = 0.15
    blur_max: Annotated[float, Between(0, 100)] = 3.0
    length: Annotated[float, Between(0.01, 0.99)] = 0.93
    sigma_low: float = 0.5


@dataclass(frozen=True)
class Recipe:
    """A whole run. See the comments in `recipes/*.toml`; `objective` is a key of `objectives.OBJECTIVES`.

    Weights whose names begin with one of `frozen` stay as they are, whatever the objective trains.
    """

    arch: str
    scale: Annotated[int, Between(2, 16)]
    residual_std: Annotated[float, Between(1e-6, 1e3)]
    network: dict[str, Any]
    seed: Annotated[int, Between(0, 10**12)] = 1
    dtype: str = "bf16"
    objective: str = "residual_v"
    frozen: tuple[str, ...] = ()
    data: Data = field(default_factory=Data)
    degradation: Degradation = field(default_factory=Degradation)
    noise: Noise = field(default_factory=Noise)
    optimizer: Optimizer = field(default_factory=Optimizer)
    recovery: Recovery = field(default_factory=Recovery)
    first_step: FirstStep = field(default_factory=FirstStep)
    last_step: LastStep = field(default_factory=LastStep)
    chain: Chain = field(default_factory=Chain)
    relay: Relay = field(default_factory=Relay)

    def freezes(self, name: str) -> bool:
        """Return whether the weight of that name, or all whose names begin so, stay as they are."""
        return name.startswith(tuple(self.frozen))


def load(name: str) -> Recipe:
    """Return the recipe in the file `name`, or the committed one of that name.

    Raises:
        UsageError: There is no such recipe, or it has unknown or missing entries.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise UsageError(
            f"There is no recipe {name!r}.", hint=f"Known: {known}; or give a .toml file."
        ) from None
    except OSError as error:
        raise UsageError(f"Recipe {path} cannot be read ({error.strerror}).") from None
    except ValueError as error:  # neither TOML nor UTF-8
        raise UsageError(f"Recipe {path} is not valid TOML: {error}.") from None
    return from_table(table, f"Recipe {path}")


def of_run(run: Path) -> Recipe:
    """Return the recipe that a run's folder holds.

    Raises:
        InputError: There is none, or a damaged one.
    """
    path = run / "recipe.json"
    try:
        return from_table(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, RecursionError, UsageError) as error:
        raise InputError(f"{path} cannot be read ({error}).", hint="Give the folder of a run.") from None


def from_table(table: dict[str, Any], where: str) -> Recipe:
    """Return the recipe of nested plain values; `where` they are from is for messages.

    Raises:
        UsageError: There are unknown or missing entries, or ones that cannot be.
    """
    hints = get_type_hints(Recipe)
    sections: dict[str, Any] = {key: kind for key, kind in hints.items() if dataclasses.is_dataclass(kind)}
    try:
        for key, section in sections.items():
            if table.get(key) is not None:
                check(section, table[key])
                table[key] = section(**table[key])
        check(Recipe, table)
        recipe = Recipe(**table)
        dtype_of(recipe.dtype)
        return recipe
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{where} does not fit: {error}.") from None
    except UsageError as error:
        raise UsageError(f"{where} does not fit: {error.message}", hint=error.hint) from None


def as_table(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as nested plain values, to be stored beside what it made."""
    return dataclasses.asdict(recipe)
