"""From noise to an image: samplers over falling sigmas. They know a `Denoiser` and nothing else.

In x = x0 + sigma * eps every sampler here is one rule: keep a part of the present noise, put the estimate in
place of the rest, add fresh noise,

    x' = D + keep * (x - D) + fresh * z,

with D the estimate of x0 (first order) or its extrapolation from the last two (second order). Torch is used
but not imported, so that names can be checked while planning.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from upscale.diffusion.schedule import sigma_to_gamma
from upscale.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from upscale.diffusion.denoiser import Denoiser

Noise = Callable[[int], "Tensor"]
"""k -> unit Gaussian like x, for the step from sigmas[k] to sigmas[k + 1]; asked at most once for each k."""

OnStep = Callable[[int], None]
"""Called with k after the estimate at sigmas[k], 0 to n-1; it may raise to cancel."""


@dataclass(frozen=True)
class Chain:
    """What a sampler walks along; the fields are the arguments of `sample`."""

    denoiser: Denoiser
    x: Tensor
    sigmas: Sequence[float]
    noise: Noise
    on_step: OnStep | None = None

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.sigmas, self.sigmas[1:], strict=False))
        assert falling and self.sigmas[-1] > 0 and self.sigmas[0] < math.inf, self.sigmas

    def estimate(self, x: Tensor, k: int) -> Tensor:
        """Return the estimate of x0 from x at sigmas[k]."""
        x0 = self.denoiser(x, self.sigmas[k])
        if self.on_step is not None:
            self.on_step(k)
        return x0

    def move(self, x: Tensor, estimate: Tensor, k: int, split: Split) -> Tensor:
        """Return x at sigmas[k + 1] from x at sigmas[k] by the module's rule; neither argument is changed."""
        keep, fresh = split(self.sigmas[k], self.sigmas[k + 1])
        moved = estimate.lerp(x, keep)
        return moved.add_(self.noise(k), alpha=fresh) if fresh > 0 else moved


Split = Callable[[float, float], tuple[float, float]]
"""(sigma, sigma_next) -> (keep, fresh), the two numbers of the module's rule."""


@dataclass(frozen=True)
class Sampler:
    """A row of `SAMPLERS`.

    Attributes:
        run: Walks a chain and returns x0; one network evaluation per sigma.
        stochastic: Whether it asks for noise between the steps.
        summary: One line for help texts.
    """

    run: Callable[[Chain], Tensor]
    stochastic: bool
    summary: str


SAMPLERS: dict[str, Sampler] = {}

Walk = TypeVar("Walk", bound=Callable[..., "Tensor"])


def sampler(name: str, *, stochastic: bool) -> Callable[[Walk], Walk]:
    """Register a sampler under `name`; its docstring's first line is the summary."""

    def register(run: Walk) -> Walk:
        assert name not in SAMPLERS, name
        SAMPLERS[name] = Sampler(run, stochastic, (run.__doc__ or "").partition("\n")[0])
        return run

    return register


def get(name: str) -> Sampler:
    """Return the sampler of that name.

    Raises:
        UsageError: There is none; the hint names the nearest.
    """
    if name not in SAMPLERS:
        near = difflib.get_close_matches(name, SAMPLERS, n=1)
        guess = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"There is no sampler {name!r}.", hint=f"{guess}Choose from {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]


def sample(
    name: str,
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return the image x0 that a sampler makes of x.

    The estimate at the last sigma is the result, as in a DDPM chain: nothing is added after it.

    Args:
        name: A key of `SAMPLERS`.
        denoiser: Called once per sigma.
        x: x0 + sigmas[0] * eps, of any shape and floating dtype; left as it is.
        sigmas: Strictly falling, above 0, without the final 0.
        noise: Unit Gaussian like x for each step k; deterministic samplers do not call it.
        on_step: Called with k after the estimate at sigmas[k]; it may raise to cancel.

    Raises:
        UsageError: There is no such sampler.
    """
    return get(name).run(Chain(denoiser, x, sigmas, noise, on_step))


@sampler("ddpm", stochastic=True)
def ddpm(chain: Chain) -> Tensor:
    """Ancestral sampling with the posterior's variance, as most SR3 programs do.

    Ho et al., arXiv 2006.11239, equations 6 and 7. Exact for any number of steps where only one image is
    possible.
    """
    return _first_order(chain, _ancestral(eta=1.0))


@sampler("ddpm_beta", stochastic=True)
def ddpm_beta(chain: Chain) -> Tensor:
    """Ancestral sampling with the variance beta, as the SR3 paper has it; more noise than ddpm.

    Saharia et al., arXiv 2104.07636, equation 11. Exact for any number of steps where data are unit
    Gaussians.
    """

    def split(sigma: float, sigma_next: float) -> tuple[float, float]:
        # The paper's y is sqrt(gamma) x, so its beta is beta / gamma_next here; 1 - beta = gamma /
        # gamma_next.
        ratio = sigma_to_gamma(sigma) / sigma_to_gamma(sigma_next)
        return (sigma_next / sigma) ** 2, math.sqrt((sigma**2 - sigma_next**2) * ratio)

    return _first_order(chain, split)


@sampler("ddim", stochastic=False)
def ddim(chain: Chain, eta: float = 0.0) -> Tensor:
    """Deterministic, first order; smooth at few steps.

    Song et al., arXiv 2010.02502, equations 12 and 16; in sigmas, Euler's method on the probability flow.
    `eta`, 0 to 1, is the share of fresh noise: 1 is `ddpm`.
    """
    return _first_order(chain, _ancestral(eta))


@sampler("dpmpp_2m", stochastic=False)
def dpmpp_2m(chain: Chain) -> Tensor:
    """Deterministic, second order from the last two estimates; sharper than ddim at few steps.

    DPM-Solver++(2M), Lu et al., arXiv 2211.01095, algorithm 2.
    """
    return _second_order(chain, _ancestral(eta=0.0))


@sampler("dpmpp_2m_sde", stochastic=True)
def dpmpp_2m_sde(chain: Chain) -> Tensor:
    """Ancestral, second order from the last two estimates; better than ddpm at few steps.

    SDE-DPM-Solver++(2M), Lu et al., arXiv 2211.01095.
    """
    return _second_order(chain, _ancestral(eta=1.0))


def _ancestral(eta: float) -> Split:
    """Kept and fresh noise add up to sigma_next; the fresh part is eta times that of DDPM's posterior."""

    def split(sigma: float, sigma_next: float) -> tuple[float, float]:
        ratio = sigma_next / sigma
        share = eta * math.sqrt(1 - ratio * ratio)  # of sigma_next
        return ratio * math.sqrt(1 - share * share), sigma_next * share

    return split


def _first_order(chain: Chain, split: Split) -> Tensor:
    x = chain.x
    x0 = chain.estimate(x, 0)
    for k in range(len(chain.sigmas) - 1):
        x = chain.move(x, x0, k, split)
        x0 = chain.estimate(x, k + 1)
    return x0


def _second_order(chain: Chain, split: Split) -> Tensor:
    x, previous, h_previous = chain.x, None, math.nan
    x0 = chain.estimate(x, 0)
    for k in range(len(chain.sigmas) - 1):
        h = math.log(chain.sigmas[k] / chain.sigmas[k + 1])  # difference of half the log SNR
        # D = (1 + 1/2r) x0 - (1/2r) previous with r = h_previous / h; the first step has only one estimate.
        ahead = x0 if previous is None else previous.lerp(x0, 1 + h / (2 * h_previous))
        x = chain.move(x, ahead, k, split)
        previous, h_previous = x0, h
        del ahead  # one image less in memory while the network runs
        x0 = chain.estimate(x, k + 1)
    return x0
