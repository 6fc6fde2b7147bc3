"""A loaded model: LR tile and noise -> HR tile, whatever its architecture, target or prediction.

A `Restorer` binds a network to its config; `condition` prepares one LR image (or tile), `run` samples once,
and `samples` does so for as many noises as are asked for.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Required, TypedDict, Unpack

import torch
from torch import Tensor, nn

from upscale import networks
from upscale.diffusion import samplers
from upscale.diffusion.block_noise import BlockNoiseField
from upscale.diffusion.denoiser import Denoiser, retold
from upscale.diffusion.noise import INITIAL, Field, NoiseField
from upscale.diffusion.orientation import turned, turned_back
from upscale.diffusion.samplers import Noise, OnStep
from upscale.errors import WeightsError
from upscale.models import catalog, checkpoint
from upscale.models.access import FREE, Access
from upscale.models.conditioned import BoundNetwork, Conditioned, condition_on
from upscale.models.config import ModelConfig
from upscale.models.failure import is_of_device


class How(TypedDict, total=False):
    """The keyword arguments of `Restorer.samples`."""

    sampler: Required[str]
    steps: Required[int]
    start: float
    fidelity: float | Sequence[float]
    sigma_aug: float | Sequence[float]
    on_step: OnStep | None


class Restorer:
    """A network with its config, on a device.

    Attributes:
        network: The network, in `dtype`. Its weights stay as they are.
        bound: The same with its config, or what computes as it does faster.
        device: Where.
        fineness: Pixels that the network computes on each side of an LR pixel: 1 for a residual, or `scale`.
        noise_fineness: Points of noise on each side of an LR pixel: 1 for latents, or `scale`.
        multiple_of: Sides of an LR tile must be multiples of this.
        local: Whether tiles with a halo give exactly the untiled picture.
    """

    def __init__(
        self, config: ModelConfig, network: nn.Module, dtype: torch.dtype, device: torch.device
    ) -> None:
        arch = networks.get(config.arch)
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        arch.narrow(network, dtype)
        self.network = network
        self.bound = BoundNetwork(config, arch.runner(network), dtype)
        self.device = device
        self.local = arch.local
        self.fineness = 1 if config.target == "residual" else config.scale
        self.noise_fineness = 1 if config.target == "latent" else config.scale
        # Networks on the HR image say their multiple in HR pixels.
        multiple: Any = network.multiple_of
        self.multiple_of: int = multiple // math.gcd(
            multiple, config.scale if config.target == "image" else 1
        )

    @classmethod
    def load(cls, name: str, dtype: torch.dtype, device: torch.device, access: Access = FREE) -> Restorer:
        """Load the model `name`: a catalogue name, a folder, a file or a reference to the Hub.

        Raises:
            WeightsError: It cannot be found, verified or loaded.
            RuntimeError: The device has too little memory for it, fails, or lacks what it needs.
        """
        restorer = cls(*checkpoint.load(catalog.locate(name, access)), dtype, device)
        restorer._try_out(name)
        return restorer

    @property
    def config(self) -> ModelConfig:
        """What the weights say about themselves."""
        return self.bound.config

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in; everything around it is float32."""
        return self.bound.dtype

    def in_float32(self) -> Restorer:
        """Return a copy that computes in float32: the rescue when half precision overflows."""
        return Restorer(self.config, copy.deepcopy(self.network), torch.float32, self.device)

    def noise_field(self, seed: int, stage: int = 0) -> Field:
        """Return the noise that the model's process adds; it has `noise_fineness` points per LR pixel."""
        relay = self.config.relaying
        if relay is None or not relay.block:
            return NoiseField(seed, stage)
        return BlockNoiseField(seed, stage, relay.side, relay.block)

    def condition(self, lr: Tensor, sigma_aug: float | Sequence[float] = 0.0) -> Conditioned:
        """Prepare LR images [B, 3, h, w] in [-1, 1] float32, noise of std `sigma_aug` in them already."""
        return condition_on(lr, sigma_aug, self.bound)

    def restore(self, lr: Tensor, noise: Callable[[int], Tensor], **how: Unpack[How]) -> Tensor:
        """Return the HR image [B, 3, s h, s w] of one noise; as `samples`."""
        return next(self.samples(lr, [noise], **how))

    @torch.inference_mode()
    def samples(
        self,
        lr: Tensor,
        noises: Iterable[Callable[[int], Tensor]],
        *,
        sampler: str,
        steps: int,
        start: float = 1.0,
        fidelity: float | Sequence[float] = 0.0,
        sigma_aug: float | Sequence[float] = 0.0,
        on_step: OnStep | None = None,
    ) -> Iterator[Tensor]:
        """Yield HR images [B, 3, s h, s w] float32, nominally in [-1, 1], one for each noise.

        The first estimate of a run, out of pure noise, is the mean of all that the LR image may be; the end
        of the run is one of these. Between the two are their mixtures, see `diffusion.mixture`. A run that
        starts below pure noise takes the upsampled picture for the photo under that noise: its first estimate
        leans towards that picture and has grain.

        Each sees the picture another way up, of those that the network has learnt; the first as it is.

        Args:
            lr: [B, 3, h, w] in [-1, 1] float32, with noise of std `sigma_aug`.
            noises: `noise_field`'s [B, 3, n h, n w] with n the `noise_fineness`, for each step, and for
                `noise.INITIAL`.
            sampler: Name of a sampler.
            steps: Network evaluations.
            start: The time t of the first noise level, sigma = tan(pi t / 2). Below the grid's own a run
                starts from the upsampled picture with so much noise.
            fidelity: How near the result is to the first estimate, 0 to 1; of all images or of each.
            sigma_aug: Conditioning augmentation that the network is told, of all images or of each.
            on_step: Called after each evaluation; may raise to cancel.
        """
        sigmas = self.config.sigmas(steps, start)
        from_noise = sigmas[0] >= self.config.sigmas(steps)[0]  # a start above the grid is cut off
        shares = torch.as_tensor(fidelity, dtype=lr.dtype, device=lr.device).reshape(-1, 1, 1, 1)
        seen, conditioned = 0, self.condition(lr, sigma_aug)
        for way, noise in zip(itertools.cycle(range(self.config.ways_up)), noises, strict=False):
            if way != seen:
                seen, conditioned = way, self.condition(turned(lr, way), sigma_aug)
            image = self.run(
                conditioned,
                partial(_fresh, conditioned, noise, way),
                sigmas,
                sampler=sampler,
                told=self.config.told,
                fidelity=shares,
                from_noise=from_noise,
                on_step=on_step,
            )
            yield turned_back(image, way)

    @torch.inference_mode()
    def run(
        self,
        conditioned: Conditioned,
        noise: Noise,
        sigmas: Sequence[float],
        *,
        sampler: str,
        told: float,
        fidelity: Tensor,
        from_noise: bool = True,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return the HR images [B, 3, s h, s w] of one run along falling noise levels.

        Args:
            conditioned: What `condition` made of LR images.
            noise: In sampling space, for each step, and for `noise.INITIAL`.
            sigmas: The levels; each is an evaluation.
            sampler: Name of a sampler.
            told: As in `ModelConfig`.
            fidelity: [B or 1, 1, 1, 1], as in `samples`.
            from_noise: Whether it begins with pure noise; else with the upsampled picture in noise.
            on_step: As in `samples`.
        """
        relay = self.config.relaying
        evaluations = _Evaluations(
            conditioned, len(sigmas), from_noise=from_noise, keep_first=bool(fidelity.any())
        )
        if from_noise:
            x = noise(INITIAL) * self._start(sigmas[0])
        else:
            x = noise(INITIAL) * sigmas[0] + conditioned.upsampled
        x0 = samplers.sample(
            sampler,
            retold(evaluations, told, sigmas),
            x,
            sigmas,
            noise,
            on_step,
            blur=relay.blur if relay else None,
        )
        if evaluations.first is not None:
            x0 = conditioned.mixed(x0, evaluations.first, fidelity)
        return conditioned.image(x0)

    def _start(self, sigma: float) -> float:
        """Return the standard deviation of the pure noise that a run starts from.

        A discrete chain starts from unit noise in its own, variance-preserving units, wherever it ends.
        """
        return math.hypot(1.0, sigma) if self.config.grid["name"] == "discrete" else sigma

    @torch.inference_mode()
    def _try_out(self, name: str) -> None:
        """Restore the smallest picture there is: a config may promise what its network does not do."""
        side = self.multiple_of
        lr = torch.zeros(1, 3, side, side, dtype=torch.float32, device=self.device)
        noise = lr.new_zeros(1, 3, side * self.noise_fineness, side * self.noise_fineness)
        try:
            conditioned = self.condition(lr)
            image = conditioned.image(conditioned(conditioned.pack(noise), 1.0))
            fits = image.shape == (1, 3, side * self.config.scale, side * self.config.scale)
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            if is_of_device(error):
                raise
            fits = False
        if not fits:
            raise WeightsError(
                f"The config of the model {name} does not fit its network.", hint="Get the model again."
            )


class _Evaluations:
    """The `Denoiser` of one run: the first and the last evaluation may have weights of their own.

    Attributes:
        first: The first estimate, if it is to be kept.
    """

    def __init__(self, conditioned: Conditioned, count: int, *, from_noise: bool, keep_first: bool) -> None:
        self._denoisers: dict[int, Denoiser] = {}
        if count > 1:
            self._denoisers[count - 1] = conditioned.last
        if from_noise:
            self._denoisers[0] = conditioned.first
        self._between, self._keep_first = conditioned, keep_first
        self._done = 0
        self.first: Tensor | None = None

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the next estimate of x0."""
        x0 = self._denoisers.get(self._done, self._between)(x, sigma)
        self._done += 1
        if self._keep_first and self.first is None:
            self.first = x0
        return x0


def _fresh(conditioned: Conditioned, noise: Callable[[int], Tensor], way: int, step: int) -> Tensor:
    """Return the noise of a step, in sampling space, for a picture that is turned: it is turned as well."""
    return conditioned.pack(turned(noise(step), way))
