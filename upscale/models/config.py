"""What a weights file says about itself: everything needed to run it, as plain data (no torch).

Stored as `config.json` beside the weights and again in the safetensors metadata, so that either file
suffices.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from upscale.diffusion import samplers
from upscale.diffusion.relay import Relay
from upscale.diffusion.schedule import make_grid, time_to_sigma
from upscale.errors import UsageError, WeightsError
from upscale.options import COLOR_FIXES

PROCESSES = ("sr3", "relay")
TARGETS = ("residual", "image", "latent")
PREDICTIONS = ("epsilon", "v", "x0")  # as in `diffusion.denoiser`, which imports torch
LEVELS = ("sqrt_gamma", "trigonometric", "timestep")  # likewise
WAYS = (1, 2, 8)  # upright; mirrored too; turned by quarters as well: `way` in `diffusion.orientation`
MAX_NUMBER = 100_000  # in a network or grid table: no honest size comes near it
MAX_BLOCKS = 256  # of a kind: layers are laid out one by one, which takes time even without storage
MAX_LEVELS = 8  # each doubles the smallest picture that a network takes
MAX_ENTRIES = 64  # of a table
MAX_NESTING = 8  # of tables and lists
MAX_JSON_BYTES = 1_000_000


DEFAULT_GRID: Mapping[str, float | str] = {"name": "trigonometric", "power": 2.0, "sigma_max": 100.0}


@dataclass(frozen=True)
class ModelConfig:
    """How to build, condition and sample a model.

    Attributes:
        name: Its name.
        arch: Architecture, a file of the networks room.
        network: What that architecture's `build` takes.
        scale: Upscaling factor of one pass.
        process: How: `sr3` adds noise; `relay` blurs as well, and starts from the upsampled picture.
        relay: Of the process `relay`: the fields of `diffusion.relay.Relay`.
        target: What is diffused: the `residual` to the bicubic upsampling, pixel-unshuffled, the `image`, or
            a `latent` as large as the LR image, from which the network decodes the image.
        prediction: What the network predicts, a key of `diffusion.denoiser.PREDICTIONS`.
        level: How it is told the noise level: a key of `diffusion.denoiser.LEVELS`, or `timestep`, the index
            in the chain of a `discrete` grid.
        residual_std: Standard deviation of the residual in [-1, 1] units; 1 for images.
        grid: Which noise levels the sampler visits: `name` of a grid in `diffusion.schedule` and its
            parameters.
        told: Factor on the sigma that the network is told, over a whole run (`diffusion.denoiser.retold`).
        fidelity: How near results are to the first estimate by default, 0 to 1; see `Restorer.samples`.
        cascade_fidelity: The same in stages that another one follows, which enlarges what they make up; None
            for no difference.
        spoilt_fidelity: The same for a photo in which noise or the marks of JPEG hide the detail; None for no
            difference. See `engine.settings.Settings.fidelity_for`.
        steps: Default number of network evaluations.
        sampler: Default sampler.
        halo_px: Input pixels that a tile needs around it.
        ways_up: How many ways up it learnt pictures, one of `WAYS`: its samples take turns.
        color_fix: How the colours of its results are put right, a name in `engine.color`.
        stage_noise: Conditioning augmentation of the stages after the first: std in [-1, 1] units.
    """

    name: str
    arch: str
    network: Mapping[str, Any]
    scale: int
    process: str = "sr3"
    relay: Mapping[str, Any] = field(default_factory=dict)
    target: str = "residual"
    prediction: str = "v"
    level: str = "trigonometric"
    residual_std: float = 1.0
    grid: Mapping[str, float | str] = field(default_factory=lambda: dict(DEFAULT_GRID))
    told: float = 1.0
    fidelity: float = 0.0
    cascade_fidelity: float | None = None
    spoilt_fidelity: float | None = None
    steps: int = 4
    sampler: str = "ddim"
    halo_px: int = 16
    stage_noise: float = 0.0
    ways_up: int = 1
    color_fix: str = "none"

    @property
    def relaying(self) -> Relay | None:
        """The process, where it is one that blurs; raises `TypeError` or `ValueError` on odd numbers."""
        return Relay(**{"side": self.scale, **self.relay}) if self.process == "relay" else None

    @property
    def _other_fidelities(self) -> tuple[float | None, ...]:
        return self.cascade_fidelity, self.spoilt_fidelity

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        """Return the falling noise levels of a run of `steps` evaluations.

        Args:
            steps: How many.
            start: The time t of the first level, sigma = tan(pi t / 2); 1 for all that the grid has.

        Raises:
            UsageError: The grid cannot have so many.
        """
        parameters = dict(self.grid)
        ceiling = time_to_sigma(start) if start < 1 else math.inf
        return make_grid(str(parameters.pop("name")), steps, ceiling=ceiling, **parameters)

    def to_json(self) -> str:
        """Return the config as JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> ModelConfig:
        """Read what `to_json` wrote.

        Args:
            text: The JSON.
            where: The file, for messages.

        Raises:
            WeightsError: It is not JSON, has missing or unknown entries, or absurd values.
        """
        if len(text) > MAX_JSON_BYTES:
            raise WeightsError(f"{where} is too long for a model config.", hint="Get the model again.")
        try:
            table = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{where} is not valid JSON ({error}).", hint="Get the model again.") from None
        if not isinstance(table, dict):
            raise WeightsError(f"{where} is not a model config.", hint="Get the model again.")
        try:
            config = cls(**table)
        except TypeError as error:
            raise WeightsError(
                f"{where} does not describe a model that this version knows ({error}).",
                hint="It may be made by a newer version: update upscale.",
            ) from None
        config._check(where)
        return config

    def checked(self, where: str) -> ModelConfig:
        """Return the config as it is read again, held to what every file's is held to.

        Raises:
            WeightsError: It has absurd values.
        """
        return self.from_json(self.to_json(), where)

    def _check(self, where: str) -> None:
        shallow = _shallow([self.network, self.grid, self.relay], MAX_NESTING)
        leaves = _leaves([self.network, self.grid]) if shallow else []
        numbers = [v for v in leaves if isinstance(v, int | float)]
        sound = (
            shallow
            and all(isinstance(getattr(self, f.name), str) for f in fields(self) if f.type == "str")
            and isinstance(self.network, Mapping)
            and isinstance(self.grid, Mapping)
            and isinstance(self.grid.get("name"), str)
            and all(abs(v) <= MAX_NUMBER for v in numbers)
            and all(_of_honest_depth(name, value) for name, value in self.network.items())
            and isinstance(self.scale, int)
            and 2 <= self.scale <= 16
            and self.process in PROCESSES
            and isinstance(self.relay, Mapping)
            and self.target in TARGETS
            and self.prediction in PREDICTIONS
            and self.level in LEVELS
            and (self.level != "timestep" or self.grid["name"] == "discrete")
            and _within(self.residual_std, 1e-6, 1e3)
            and _within(self.told, 0.1, 10)
            and _within(self.fidelity, 0, 1)
            and all(share is None or _within(share, 0, 1) for share in self._other_fidelities)
            and not (
                any((self.fidelity, *self._other_fidelities)) and self.prediction == "epsilon"
            )  # whose first estimate is nothing
            and isinstance(self.steps, int)
            and 1 <= self.steps <= 2000
            and isinstance(self.halo_px, int)
            and 0 <= self.halo_px <= 512
            and _within(self.stage_noise, 0, 1)
            and isinstance(self.ways_up, int)
            and self.ways_up in WAYS
            and self.color_fix in COLOR_FIXES[1:]
            and self._can_be_sampled()
            and not (self.grid.get("zero_snr") and self.prediction == "epsilon")  # noise is all there is
        )
        if not sound:
            raise WeightsError(f"{where} has values out of range.", hint="Get the model again.")

    def _can_be_sampled(self) -> bool:
        try:
            samplers.get(self.sampler)
            relay = self.relaying
            sigmas = self.sigmas(self.steps)
        except (UsageError, TypeError, ValueError, ArithmeticError):
            return False
        if relay is not None and (self.target != "residual" or relay.side != self.scale):
            return False
        return all(_within(sigma, 1e-9, 1e9) for sigma in sigmas) and sigmas == sorted(
            set(sigmas), reverse=True
        )


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high  # which no NaN is


def _shallow(value: Any, levels: int) -> bool:
    """Return whether tables and lists are nested so deep at most."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return levels >= 0 and all(_shallow(v, levels - 1) for v in inner)


def _of_honest_depth(name: str, value: Any) -> bool:
    if isinstance(value, Mapping):
        return len(value) <= MAX_ENTRIES and all(_of_honest_depth(*item) for item in value.items())
    if isinstance(value, list | tuple):
        return len(value) <= MAX_LEVELS
    counts = name.endswith(("blocks", "layers_per_block"))
    return not (counts and isinstance(value, int | float)) or value <= MAX_BLOCKS


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for v in value.values() for leaf in _leaves(v)]
    if isinstance(value, list | tuple):
        return [leaf for v in value for leaf in _leaves(v)]
    return [value]
