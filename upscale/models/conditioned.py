"""One LR image made ready for a network: the `Denoiser` that samplers call, in the space they work in.

That space is the HR image for SR3's own target, the pixel-unshuffled residual at LR size for the embedded
models, and a latent at LR size for models that decode their picture from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.conditioning import augmentation_level, upsample_bicubic
from upscale.diffusion.denoiser import Denoiser
from upscale.diffusion.mixture import USUAL, mix

if TYPE_CHECKING:
    from upscale.models.restorer import Restorer


class Conditioned(Protocol):
    """One LR image made ready. Tensors are float32 on the restorer's device."""

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
        """Take noise [B, 3, H, W], over the restorer's grid for it, into sampling space."""
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


def condition_on(lr: Tensor, sigma_aug: float | Sequence[float], restorer: Restorer) -> Conditioned:
    """Return what `Restorer.condition` does."""
    if restorer.config.target == "residual":
        return _Residual(restorer, lr, sigma_aug)
    return _Latent(restorer, lr) if restorer.config.target == "latent" else _Image(restorer, lr)


class _Residual:
    """The target is (HR - bicubic(LR)) / std, pixel-unshuffled: [B, 3 s^2, h, w]."""

    def __init__(self, restorer: Restorer, lr: Tensor, sigma_aug: float | Sequence[float]) -> None:
        self._restorer, self._lr, self._sigma_aug = restorer, lr, sigma_aug
        self._config = restorer.config
        self._base = upsample_bicubic(lr, restorer.config.scale)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self._between(x, sigma)

    def first(self, x: Tensor, sigma: float) -> Tensor:
        network = self._restorer.runner.first
        if network is None:
            return self(x, sigma)
        # Noise says nothing of the photo; its mean leaves nothing of it in the estimate either.
        return self._first(torch.zeros_like(x), sigma)

    # A run of one evaluation asks for the first alone, and need not wait for other encoders.

    @cached_property
    def _first(self) -> Denoiser:
        step = self._restorer.runner.first
        return self._restorer.denoiser(
            self._features if step.encoder is None else self._seen_by(step), network=step
        )

    @cached_property
    def _between(self) -> Denoiser:
        return self._restorer.denoiser(self._features)

    @cached_property
    def last(self) -> Denoiser:
        return self._restorer.denoiser(self._features, network=self._restorer.runner.last)

    @cached_property
    def _features(self) -> Any:
        return self._seen_by(self._restorer.runner)

    def _seen_by(self, step: Any) -> Any:
        return _encoded(self._restorer, step, self._lr, self._sigma_aug)

    def pack(self, noise: Tensor) -> Tensor:
        # As the network's predictions lie in memory: a sum of two layouts takes many times as long.
        return F.pixel_unshuffle(noise, self._config.scale).contiguous(memory_format=torch.channels_last)

    def image(self, x0: Tensor) -> Tensor:
        return self._base + self._config.residual_std * F.pixel_shuffle(x0, self._config.scale)

    def mixed(self, drawn: Tensor, estimate: Tensor, fidelity: Tensor) -> Tensor:
        return mix(drawn, estimate, fidelity, self._config.scale, self._restorer.dtype)

    @property
    def upsampled(self) -> float:
        return 0.0


class _Image:
    """The target is the HR image itself, as in SR3: [B, 3, s h, s w], told the bicubic upsampling."""

    def __init__(self, restorer: Restorer, lr: Tensor) -> None:
        self.upsampled = upsample_bicubic(lr, restorer.config.scale)
        self._restorer = restorer
        self._denoiser = restorer.denoiser(restorer.narrow(self.upsampled), clamp=1.0)
        self.first = self.last = self._denoiser

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self._denoiser(x, sigma)

    def pack(self, noise: Tensor) -> Tensor:
        return noise

    def image(self, x0: Tensor) -> Tensor:
        return x0

    def mixed(self, drawn: Tensor, estimate: Tensor, fidelity: Tensor) -> Tensor:
        scale = self._restorer.config.scale
        ends = [F.pixel_unshuffle(x, scale) / USUAL for x in (drawn, estimate)]
        return USUAL * F.pixel_shuffle(mix(ends[0], ends[1], fidelity, scale, self._restorer.dtype), scale)


class _Latent:
    """The target is a latent [B, 3, h, w] that the network decodes; it is told the LR image itself."""

    def __init__(self, restorer: Restorer, lr: Tensor) -> None:
        self._restorer = restorer
        self._denoiser = self.first = self.last = restorer.denoiser(restorer.narrow(lr))

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self._denoiser(x, sigma)

    def pack(self, noise: Tensor) -> Tensor:
        return noise

    def image(self, x0: Tensor) -> Tensor:
        image: Tensor = self._restorer.runner.decode(x0)
        return image.float().clamp(-1.0, 1.0)

    def mixed(self, drawn: Tensor, estimate: Tensor, fidelity: Tensor) -> Tensor:
        return drawn.lerp(estimate, fidelity)

    @property
    def upsampled(self) -> Tensor:
        raise AssertionError("refused while planning: these models have no encoder")


def _encoded(restorer: Restorer, step: Any, lr: Tensor, sigma_aug: float | Sequence[float]) -> Any:
    """Return what a step makes of LR images; those of one level together: none depends on others."""
    sigmas = [sigma_aug] * len(lr) if isinstance(sigma_aug, int | float) else sigma_aug
    where: dict[float, list[int]] = {}
    for i, sigma in enumerate(sigmas):
        where.setdefault(sigma, []).append(i)
    parts = []
    for sigma, images in where.items():
        level = torch.full((1,), augmentation_level(sigma), device=lr.device)
        parts.append(step.encode(restorer.narrow(lr[images] if len(where) > 1 else lr), level))
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([i for images in where.values() for i in images]).argsort()
    whole = (torch.cat(tensors)[order.to(lr.device)] for tensors in zip(*parts, strict=True))
    return type(parts[0])(*(x.contiguous(memory_format=torch.channels_last) for x in whole))
