"""From noise to an image: samplers over falling sigmas. They know a `Denoiser` and nothing else.

In x = x0 + sigma * eps every sampler here is one rule: keep a part of the present noise, put the estimate in
place of the rest, add fresh noise,

    x' = D + keep * (x - D) + fresh * z,

with D the estimate of x0 (first order), or made of two estimates (second order). A run of n steps is n
network evaluations, whichever sampler: those that evaluate twice a step take a step over two sigmas.

A process that blurs (`diffusion.relay`) has x = B x0 + sigma * n with B falling from one sigma to the next,
and the same rule: x' = B' D + keep * (x - B D) + fresh * z.

Torch is used but not imported, so that names can be checked while planning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from upscale.diffusion.schedule import sigma_to_gamma
from upscale.errors import UsageError, choices

if TYPE_CHECKING:
    from torch import Tensor

    from upscale.diffusion.denoiser import Denoiser

Noise = Callable[[int], "Tensor"]
"""k -> unit Gaussian like x, for the step from sigmas[k] to sigmas[k + 1]; asked at most once for each k."""

OnStep = Callable[[int], None]
"""Called with k after the network's k-th evaluation, 0 to n-1; it may raise to cancel."""


Blur = Callable[["Tensor", float], "Tensor"]
"""(x0, sigma) -> what the process leaves of x0 at that sigma, besides the noise."""


@dataclass(frozen=True)
class Chain:
    """What a sampler walks along; the fields are the arguments of `sample`."""

    denoiser: Denoiser
    x: Tensor
    sigmas: Sequence[float]
    noise: Noise
    on_step: OnStep | None = None
    blur: Blur | None = None

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.sigmas, self.sigmas[1:], strict=False))
        assert falling and self.sigmas[-1] > 0 and self.sigmas[0] < math.inf, self.sigmas

    def estimate(self, x: Tensor, k: int, evaluation: int | None = None) -> Tensor:
        """Return the estimate of x0 from x at sigmas[k]; the run's k-th evaluation unless told otherwise."""
        x0 = self.denoiser(x, self.sigmas[k])
        if self.on_step is not None:
            self.on_step(k if evaluation is None else evaluation)
        return x0

    def move(self, x: Tensor, estimate: Tensor, k: int, split: Split, to: int | None = None) -> Tensor:
        """Return x at sigmas[to] from x at sigmas[k] by the module's rule; neither argument is changed.

        `to` is k + 1 unless given.
        """
        sigma, sigma_next = self.sigmas[k], self.sigmas[k + 1 if to is None else to]
        keep, fresh = split(sigma, sigma_next)
        if self.blur is None:
            moved = estimate.lerp(x, keep)
        else:
            moved = self.blur(estimate, sigma_next).add_(x - self.blur(estimate, sigma), alpha=keep)
        return moved.add_(self.noise(k), alpha=fresh) if fresh > 0 else moved

    def moved_by(self, change: Tensor, k: int, split: Split, to: int) -> Tensor:
        """Return what `move` gives more when its estimate is larger by `change`."""
        sigma, sigma_next = self.sigmas[k], self.sigmas[to]
        keep, _ = split(sigma, sigma_next)
        if self.blur is None:
            return change * (1 - keep)
        return self.blur(change, sigma_next).sub_(self.blur(change, sigma), alpha=keep)


Split = Callable[[float, float], tuple[float, float]]
"""(sigma, sigma_next) -> (keep, fresh), the two numbers of the module's rule."""


@dataclass(frozen=True)
class Number:
    """What a sampler may be told behind its name, as in `ddim@0.5`.

    Attributes:
        name: Of the argument of the sampler's function.
        low: Smallest value.
        high: Largest value.
    """

    name: str
    low: float
    high: float


ETA = Number("eta", 0.0, 1.0)  # share of fresh noise: 0 none, 1 as much as DDPM's posterior has
SHARE = Number("share", 0.0, 0.99)
KAPPA = Number("kappa", 0.01, 1000.0)


@dataclass(frozen=True)
class Sampler:
    """A row of `SAMPLERS`.

    Attributes:
        run: Walks a chain and returns x0; one network evaluation per sigma.
        stochastic: Whether it asks for noise between the steps.
        summary: One line for help texts.
        number: What it may be told behind its name; None: nothing.
    """

    run: Callable[..., Tensor]
    stochastic: bool
    summary: str
    number: Number | None = None


SAMPLERS: dict[str, Sampler] = {}

Walk = TypeVar("Walk", bound=Callable[..., "Tensor"])


def sampler(name: str, *, stochastic: bool, number: Number | None = None) -> Callable[[Walk], Walk]:
    """Register a sampler under `name`; its docstring's first line is the summary."""

    def register(run: Walk) -> Walk:
        assert name not in SAMPLERS, name
        SAMPLERS[name] = Sampler(run, stochastic, (run.__doc__ or "").partition("\n")[0], number)
        return run

    return register


def get(name: str) -> Sampler:
    """Return the sampler of that name, which may carry its number: `ddim@0.5` is ddim with eta 0.5.

    Raises:
        UsageError: There is none, or it takes no such number; the hint names what there is.
    """
    plain, at, text = name.partition("@")
    if plain not in SAMPLERS:
        raise UsageError(f"There is no sampler {plain!r}.", hint=choices(plain, SAMPLERS))
    row = SAMPLERS[plain]
    if not at:
        return row
    number = row.number
    if number is None:
        takers = ", ".join(name for name, row in SAMPLERS.items() if row.number)
        raise UsageError(f"The sampler {plain} takes no number ({name!r}).", hint=f"These do: {takers}.")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not number.low <= value <= number.high:
        raise UsageError(
            f"{name!r} says no {number.name} for the sampler {plain}.",
            hint=f"Write {plain}@ and a number from {number.low:g} to {number.high:g}.",
        )
    return replace(row, run=partial(row.run, **{number.name: value}), stochastic=value > 0)


def sample(
    name: str,
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    on_step: OnStep | None = None,
    blur: Blur | None = None,
) -> Tensor:
    """Return the image x0 that a sampler makes of x.

    The estimate at the last sigma is the result, as in a DDPM chain: nothing is added after it.

    Args:
        name: A key of `SAMPLERS`, its number behind it or not, as `get` takes it.
        denoiser: Called as many times as there are sigmas.
        x: x0 + sigmas[0] * eps, of any shape and floating dtype; left as it is.
        sigmas: Strictly falling, above 0, without the final 0.
        noise: Unit Gaussian like x for each step k; deterministic samplers do not call it.
        on_step: Called with k after the k-th evaluation of the denoiser; it may raise to cancel.
        blur: What the process does to x0 besides adding noise; None for SR3's, which does nothing.

    Raises:
        UsageError: There is no such sampler.
    """
    return get(name).run(Chain(denoiser, x, sigmas, noise, on_step, blur))


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


@sampler("ddim", stochastic=False, number=ETA)
def ddim(chain: Chain, eta: float = 0.0) -> Tensor:
    """Deterministic, first order; smooth at few steps.

    Song et al., arXiv 2010.02502, equations 12 and 16; in sigmas, Euler's method on the probability flow.
    `eta`, 0 to 1, is the share of fresh noise: 1 is `ddpm`.
    """
    return _first_order(chain, _ancestral(eta))


@sampler("euler_ancestral", stochastic=True, number=ETA)
def euler_ancestral(chain: Chain, eta: float = 1.0) -> Tensor:
    """Euler's method with fresh noise, as other programs call it: ddpm; euler_ancestral@0 is ddim.

    `sample_euler_ancestral` of k-diffusion. A step down to sigma_down and noise back up to sigma_next is DDIM
    with the same eta (Song et al., arXiv 2010.02502, equation 16) in x = x0 + sigma * eps.
    """
    return _first_order(chain, _ancestral(eta))


@sampler("resshift", stochastic=True, number=KAPPA)
def resshift(chain: Chain, kappa: float = 2.0) -> Tensor:
    """ResShift's posterior: as ddpm at low noise, nearer to ddim at high noise.

    Yue et al., arXiv 2307.12348, equation 7: from x_t = x0 + eta_t (y - x0) + kappa sqrt(eta_t) eps, where y
    is the upsampled picture, its posterior keeps eta_next / eta of x_t. (x_t - eta_t y) / (1 - eta_t) is x0 +
    sigma * eps with sigma = kappa sqrt(eta) / (1 - eta), free of y: so the rule holds for any model here.
    Its own chain is the grid `resshift` with the same kappa; the larger kappa, the more noise is fresh.
    """

    def root(sigma: float) -> float:  # sqrt(eta), from sigma (1 - eta) = kappa sqrt(eta)
        return 2 * sigma / (kappa + math.sqrt(kappa * kappa + 4 * sigma * sigma))

    def split(sigma: float, sigma_next: float) -> tuple[float, float]:
        # keep is (eta_next / eta) (1 - eta) / (1 - eta_next), and 1 - eta = kappa sqrt(eta) / sigma.
        ratio = root(sigma_next) / root(sigma)
        return sigma_next / sigma * ratio, sigma_next * math.sqrt(1 - ratio * ratio)

    return _first_order(chain, split)


@sampler("heun", stochastic=False)
def heun(chain: Chain) -> Tensor:
    """Deterministic, second order from two evaluations a step; a step spans two of the levels.

    The trapezoid on the probability flow (Karras et al., arXiv 2206.00364, algorithm 1), but with log sigma
    for the time, in which estimates change evenly: in sigma itself, runs of up to 16 evaluations from sigma
    100 go far astray (photographs, 4 evaluations: 28.6 dB instead of 30.1). Levels between two that are
    visited only serve to count: n levels are n evaluations; with an even n the first step is Euler's.
    """
    return _two_evaluations(chain, _ancestral(eta=0.0))


@sampler("relay", stochastic=True, number=SHARE)
def relay(chain: Chain, share: float = 0.2) -> Tensor:
    """Heun with a fixed share of fresh noise in every step, as Relay Diffusion samples.

    Teng et al., arXiv 2309.03350, algorithm 1, whose eta is `share`: of the noise left after a step so much
    is fresh. Its slopes are averaged as in `heun`.
    """

    def split(sigma: float, sigma_next: float) -> tuple[float, float]:
        return sigma_next / sigma * math.sqrt(1 - share * share), sigma_next * share

    return _two_evaluations(chain, split)


def _two_evaluations(chain: Chain, split: Split) -> Tensor:
    n = len(chain.sigmas)
    x, at, evaluation = chain.x, 0, 1
    x0 = chain.estimate(x, 0)
    while at < n - 1:
        to = at + (1 if at == 0 and n % 2 == 0 else 2)
        guess = chain.move(x, x0, at, split, to)
        ahead = chain.estimate(guess, to, evaluation)
        evaluation += 1
        if to - at == 1:
            x, x0 = guess, ahead
        else:
            # D is linear in log sigma between the two estimates; this is its mean as the flow weighs it.
            ratio = chain.sigmas[to] / chain.sigmas[at]
            share = 1 / (1 - ratio) + 1 / math.log(ratio)
            x = guess.add_(chain.moved_by(ahead.sub(x0).mul_(share), at, split, to))
            x0 = chain.estimate(x, to, evaluation)
            evaluation += 1
        at = to
    return x0


@sampler("dpmpp_2m", stochastic=False)
def dpmpp_2m(chain: Chain) -> Tensor:
    """Deterministic, second order from the last two estimates; sharper than ddim at few steps.

    DPM-Solver++(2M), Lu et al., arXiv 2211.01095, algorithm 2.
    """
    return _second_order(chain, _ancestral(eta=0.0))


@sampler("dpmpp_2m_sde", stochastic=True, number=ETA)
def dpmpp_2m_sde(chain: Chain, eta: float = 1.0) -> Tensor:
    """Ancestral, second order from the last two estimates; better than ddpm at few steps.

    SDE-DPM-Solver++(2M), Lu et al., arXiv 2211.01095. With `eta` 0 it is `dpmpp_2m`.
    """
    return _second_order(chain, _ancestral(eta))


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
