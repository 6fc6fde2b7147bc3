"""One LR image made ready for a network: the `Denoiser` that samplers call, in the space they work in.

That space is the HR image for SR3's own target, the pixel-unshuffled residual at LR size for the embedded
models, and a latent at LR size for models that decode their picture from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion import schedule
from upscale.diffusion.conditioning import augmentation_level, upsample_bicubic
from upscale.diffusion.denoiser import LEVELS, Denoiser, Level, NetworkDenoiser, timestep_level
from upscale.diffusion.mixture import USUAL, mix
from upscale.models.config import ModelConfig


@dataclass(frozen=True)
class BoundNetwork:
    """A network with what its config says of it.

    Attributes:
        config: The config.
        runner: What computes as the network does, callable as its architecture says.
        dtype: What it computes in; everything around it is float32.
    """

    config: ModelConfig
    runner: Any
    dtype: torch.dtype

    def denoiser(self, condition: Any, clamp: float | None = None, network: Any = None) -> NetworkDenoiser:
        """Return the denoiser of the network, or of a part of its runner, with what it is told besides."""
        network = self.runner if network is None else network
        return NetworkDenoiser(
            lambda x, level: network(self.narrow(x), level, condition),
            prediction=self.config.prediction,
            level=self.level,
            clamp=clamp,
        )

    def narrow(self, x: Tensor) -> Tensor:
        """Return x as the network wants it: its dtype, channels last."""
        return x.to(self.dtype, memory_format=torch.channels_last)

    @cached_property
    def level(self) -> Level:
        """How the network is told the noise level."""
        if self.config.level == "timestep":
            chain: dict[str, Any] = {k: value for k, value in self.config.grid.items() if k != "name"}
            return timestep_level([float(gamma) for gamma in schedule.chain_gammas(**chain)])
        return LEVELS[self.config.level]


class Conditioned(Protocol):
    """One LR image made ready. Tensors are float32, on the network's device."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the estimate of x0 from x = x0 + sigma eps, both in sampling space."""
        ...

    def first(self, x: Tensor, sigma: float) -> Tensor:
        """Return the estimate from pure noise: the same, or of weights for that alone."""
        ...

    def last(self, x: Tensor, sigma: float) -> Tensor:
        """Return the result of a run of several evaluations: the same, or of weights for that alone."""
        ...

    def pack(self, noise: Tensor) -> Tensor:
        """Take noise [B, 3, H, W], `Restorer.noise_fineness` points per LR pixel, into sampling space."""
        ...

    def image(self, x0: Tensor) -> Tensor:
        """Return the HR image [B, 3, s h, s w], nominally in [-1, 1], for a result of sampling."""
        ...

    def mixed(self, drawn: Tensor, estimate: Tensor, fidelity: Tensor) -> Tensor:
        """Return the x0 between the end of a run and its first estimate, for a fidelity [B, 1, 1, 1]."""
        ...

    @property
    def upsampled(self) -> Tensor | float:
        """The x0 whose image is the bicubic upsampling."""
        ...


def condition_on(lr: Tensor, sigma_aug: float | Sequence[float], network: BoundNetwork) -> Conditioned:
    """Return what `Restorer.condition` does."""
    if network.config.target == "residual":
        return _Residual(network, lr, sigma_aug)
    return _Latent(network, lr) if network.config.target == "latent" else _Image(network, lr)


class _Residual:
    """The target is (HR - bicubic(LR)) / std, pixel-unshuffled: [B, 3 s^2, h, w]."""

    def __init__(self, network: BoundNetwork, lr: Tensor, sigma_aug: float | Sequence[float]) -> None:
        self._network, self._lr, self._sigma_aug = network, lr, sigma_aug
        self._config = network.config
        self._base = upsample_bicubic(lr, network.config.scale)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self._between(x, sigma)

    def first(self, x: Tensor, sigma: float) -> Tensor:
        network = self._network.runner.first
        if network is None:
            return self(x, sigma)
        # Noise says nothing of the photo; its mean leaves nothing of it in the estimate either.
        return self._first(torch.zeros_like(x), sigma)

    # A run of one evaluation asks for the first alone, and need not wait for other encoders.

    @cached_property
    def _first(self) -> Denoiser:
        step = self._network.runner.first
        return self._network.denoiser(
            self._features if step.encoder is None else self._seen_by(step), network=step
        )

    @cached_property
    def _between(self) -> Denoiser:
        return self._network.denoiser(self._features)

    @cached_property
    def last(self) -> Denoiser:
        return self._network.denoiser(self._features, network=self._network.runner.last)

    @cached_property
    def _features(self) -> Any:
        return self._seen_by(self._network.runner)

    def _seen_by(self, step: Any) -> Any:
        return _encoded(self._network, step, self._lr, self._sigma_aug)

    def pack(self, noise: Tensor) -> Tensor:
        # As the network's predictions lie in memory: a sum of two layouts takes many times as long.
        return F.pixel_unshuffle(noise, self._config.scale).contiguous(memory_format=torch.channels_last)

    def image(self, x0: Tensor) -> Tensor:
        return self._base + self._config.residual_std * F.pixel_shuffle(x0, self._config.scale)

    def mixed(self, drawn: Tensor, estimate: Tensor, fidelity: Tensor) -> Tensor:
        return mix(drawn, estimate, fidelity, self._config.scale, self._network.dtype)

    @property
    def upsampled(self) -> float:
        return 0.0


class _Image:
    """The target is the HR image itself, as in SR3: [B, 3, s h, s w], told the bicubic upsampling."""

    def __init__(self, network: BoundNetwork, lr: Tensor) -> None:
        self.upsampled = upsample_bicubic(lr, network.config.scale)
        self._network = network
        self._denoiser = network.denoiser(network.narrow(self.upsampled), clamp=1.0)
        self.first = self.last = self._denoiser

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self._denoiser(x, sigma)

    def pack(self, noise: Tensor) -> Tensor:
        return noise

    def image(self, x0: Tensor) -> Tensor:
        return x0

    def mixed(self, drawn: Tensor, estimate: Tensor, fidelity: Tensor) -> Tensor:
        scale = self._network.config.scale
        ends = [F.pixel_unshuffle(x, scale) / USUAL for x in (drawn, estimate)]
        return USUAL * F.pixel_shuffle(mix(ends[0], ends[1], fidelity, scale, self._network.dtype), scale)


class _Latent:
    """The target is a latent [B, 3, h, w] that the network decodes; it is told the LR image itself."""

    def __init__(self, network: BoundNetwork, lr: Tensor) -> None:
        self._network = network
        self._denoiser = self.first = self.last = network.denoiser(network.narrow(lr))

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self._denoiser(x, sigma)

    def pack(self, noise: Tensor) -> Tensor:
        return noise

    def image(self, x0: Tensor) -> Tensor:
        image: Tensor = self._network.runner.decode(x0)
        return image.float().clamp(-1.0, 1.0)

    def mixed(self, drawn: Tensor, estimate: Tensor, fidelity: Tensor) -> Tensor:
        return drawn.lerp(estimate, fidelity)

    @property
    def upsampled(self) -> Tensor:
        raise AssertionError("refused while planning: these models have no encoder")


def _encoded(network: BoundNetwork, step: Any, lr: Tensor, sigma_aug: float | Sequence[float]) -> Any:
    """Return what a step makes of LR images; those of one level together: none depends on others."""
    sigmas = [sigma_aug] * len(lr) if isinstance(sigma_aug, int | float) else sigma_aug
    where: dict[float, list[int]] = {}
    for i, sigma in enumerate(sigmas):
        where.setdefault(sigma, []).append(i)
    parts = []
    for sigma, images in where.items():
        level = lr.new_full((1,), augmentation_level(sigma))
        parts.append(step.encode(network.narrow(lr[images] if len(where) > 1 else lr), level))
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([i for images in where.values() for i in images]).argsort()
    whole = (torch.cat(tensors)[order.to(lr.device)] for tensors in zip(*parts, strict=True))
    return type(parts[0])(*(x.contiguous(memory_format=torch.channels_last) for x in whole))
