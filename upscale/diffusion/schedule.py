"""How much noise there is when: beta schedules, gamma and sigma, sigma grids. Knows no images and no torch.

Everywhere x = x0 + sigma * eps. SR3 (arXiv 2104.07636) speaks of gamma = prod(1 - beta) and of
sqrt(gamma) x0 + sqrt(1 - gamma) eps, which is sqrt(gamma) * x with gamma = 1 / (1 + sigma^2). All numbers
here are float64: at sigma 150 a network's input and its told level must still be exact to float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from upscale.errors import UsageError, choices

T = TypeVar("T")
Float64 = npt.NDArray[np.float64]

MIN_GAMMA = 1e-10  # a chain may end at gamma 0 (jsd does), which no sigma expresses; this is sigma 1e5


# --- betas of discrete chains ---------------------------------------------------------------------------


def _power(steps: int, start: float, end: float, *, power: float) -> Float64:
    """Linear in beta^(1/power); power 2 is also called scaled_linear."""
    betas: Float64 = np.linspace(start ** (1 / power), end ** (1 / power), steps) ** power
    return betas


def _warmup(steps: int, start: float, end: float, *, fraction: float) -> Float64:
    """Linear over the first `fraction` of the steps, then constant."""
    betas = np.full(steps, end, dtype=np.float64)
    rising = int(steps * fraction)
    betas[:rising] = np.linspace(start, end, rising)
    return betas


def _jsd(steps: int, start: float, end: float) -> Float64:
    """1/T, 1/(T-1), ..., 1 (Sohl-Dickstein et al., arXiv 1503.03585); ends at gamma 0, has no parameters."""
    betas: Float64 = 1.0 / np.linspace(steps, 1, steps)
    return betas


def _cosine(steps: int, start: float, end: float) -> Float64:
    """Nichol and Dhariwal, arXiv 2102.09672, equation 17; has no parameters."""
    offset = 8e-3
    t = np.arange(steps + 1, dtype=np.float64) / steps + offset
    gammas = np.cos(t / (1 + offset) * math.pi / 2) ** 2
    betas: Float64 = np.clip(1 - gammas[1:] / gammas[:-1], 0, 0.999)
    return betas


BETAS: dict[str, Callable[[int, float, float], Float64]] = {
    "linear": partial(_power, power=1),
    "quad": partial(_power, power=2),
    "const": partial(_warmup, fraction=0),
    "warmup10": partial(_warmup, fraction=0.1),
    "warmup50": partial(_warmup, fraction=0.5),
    "jsd": _jsd,
    "cosine": _cosine,
}
"""(steps, first beta, last beta) -> betas [steps]. One row per kind."""


def make_betas(kind: str, steps: int, start: float = 1e-6, end: float = 1e-2) -> Float64:
    """Return the betas of a chain, [steps], index 0 next to the image.

    Args:
        kind: A key of `BETAS`.
        steps: Length T of the chain.
        start: First beta; `const`, `jsd` and `cosine` do not use it.
        end: Last beta; `jsd` and `cosine` do not use it.

    Raises:
        UsageError: There is no such kind.
    """
    return _lookup(BETAS, kind, "beta schedule")(steps, start, end)


def betas_to_gammas(betas: Float64) -> Float64:
    """Return gamma_t = prod_{s <= t} (1 - beta_s), [T], falling."""
    return np.cumprod(1.0 - betas, dtype=np.float64)


def with_zero_terminal_snr(gammas: Float64) -> Float64:
    """Return the gammas [T] shifted and scaled so that the last is 0: a chain that does begin at pure noise.

    Lin et al., arXiv 2305.08891, algorithm 1: linear in sqrt(gamma), the first stays. A chain whose last
    level still holds a little of the image, sampled from pure noise, keeps results near medium brightness. At
    gamma 0 the noise says nothing of the image: the model must predict v or x0.
    """
    roots = np.sqrt(gammas)
    rescaled: Float64 = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    return rescaled


# --- gamma and sigma ------------------------------------------------------------------------------------


def gamma_to_sigma(gamma: float) -> float:
    """Return sigma = sqrt((1 - gamma) / gamma); gamma in [0, 1], taken as `MIN_GAMMA` below that."""
    gamma = max(gamma, MIN_GAMMA)
    return math.sqrt((1 - gamma) / gamma)


def sigma_to_gamma(sigma: float) -> float:
    """Return gamma = 1 / (1 + sigma^2)."""
    return 1 / (1 + sigma * sigma)


def time_to_sigma(t: float) -> float:
    """Return sigma = tan(pi t / 2): t in [0, 1] is the cosine schedule's time, 0 for clean, 1 pure noise."""
    return math.tan(math.pi / 2 * t)


def sigma_to_time(sigma: float) -> float:
    """Return the t in [0, 1) with sigma = tan(pi t / 2)."""
    return math.atan(sigma) * 2 / math.pi


def draw_gammas(gammas: Float64, count: int, rng: np.random.Generator) -> Float64:
    """Return noise levels for training, [count]: SR3's p(gamma) = sum_t (1/T) U(gamma_{t-1}, gamma_t).

    So t is uniform over the chain and gamma uniform between the neighbours, with gamma_0 = 1 (section 2.4).
    """
    t = rng.integers(1, len(gammas) + 1, count)
    bounds = np.concatenate([[1.0], gammas])
    levels: Float64 = rng.uniform(bounds[t], bounds[t - 1])
    return levels


# --- sigma grids for sampling ---------------------------------------------------------------------------

GRIDS: dict[str, Callable[..., list[float]]] = {}
"""(steps, **its own parameters) -> strictly falling sigmas without the final 0, for `samplers.sample`.

All take `ceiling` as well: no level is above it, and all steps are spread over what is left.
"""


def grid(name: str) -> Callable[[Callable[..., list[float]]], Callable[..., list[float]]]:
    """Register a sigma grid under `name`."""

    def register(function: Callable[..., list[float]]) -> Callable[..., list[float]]:
        assert name not in GRIDS, name
        GRIDS[name] = function
        return function

    return register


def make_grid(
    name: str, steps: int, *, ceiling: float = math.inf, **parameters: float | str | bool
) -> list[float]:
    """Return `steps` strictly falling sigmas of a grid of `GRIDS`, without the final 0.

    Args:
        name: A key of `GRIDS`.
        steps: How many.
        ceiling: No sigma is above this. What the grid has below is walked in as many steps.
        parameters: The grid's own.

    Raises:
        UsageError: There is no such grid, or it cannot have so many steps.
    """
    return _lookup(GRIDS, name, "sigma grid")(steps, ceiling=ceiling, **parameters)


@grid("trigonometric")
def trigonometric_grid(
    steps: int,
    *,
    power: float = 1.0,
    sigma_max: float = 100.0,
    sigma_last: float = 0.0,
    ceiling: float = math.inf,
) -> list[float]:
    """Return sigma_i = tan(pi t_i / 2), t falling from that of `sigma_max` as a power of the step.

    t is the cosine schedule's time: sqrt(gamma) = cos(pi t / 2). Powers above 1 put more steps near pure
    noise. With `sigma_last` the last level is that: t_i = t_max - (t_max - t_last) (i/(n-1))^power. Without,
    t would reach 0 one step after the last: t_i = t_max (1 - (i/n)^power). Scaling t by t_max (0.9936 for
    sigma_max 100) instead of clamping sigma keeps the grid strictly falling for any number of steps. A single
    step is `sigma_max`.

    Raises:
        UsageError: `sigma_last` is not below `sigma_max`.
    """
    sigma_max = min(sigma_max, ceiling)
    _check_falls(sigma_max, sigma_last)
    t_max, t_last = sigma_to_time(sigma_max), sigma_to_time(sigma_last)
    intervals = max(1, steps - 1) if sigma_last else steps
    times = [t_max - (t_max - t_last) * (i / intervals) ** power for i in range(steps)]
    return [sigma_max, *(time_to_sigma(t) for t in times[1:])]


@grid("edm")
def edm_grid(
    steps: int,
    *,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    ceiling: float = math.inf,
) -> list[float]:
    """Return the grid of Karras et al., linear in sigma^(1/rho), both ends included.

    arXiv 2206.00364, equation 5. A single step is `sigma_max`.

    Raises:
        UsageError: `sigma_min` is not below `sigma_max`.
    """
    sigma_max = min(sigma_max, ceiling)
    _check_falls(sigma_max, sigma_min)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return [sigma_max, *((high + i / (steps - 1) * (low - high)) ** rho for i in range(1, steps))]


@grid("resshift")
def resshift_grid(
    steps: int,
    *,
    kappa: float = 2.0,
    power: float = 0.3,
    min_noise: float = 0.2,
    max_eta: float = 0.99,
    ceiling: float = math.inf,
) -> list[float]:
    """Return the levels of ResShift's chain, sigma = kappa sqrt(eta) / (1 - eta).

    Yue et al., arXiv 2307.12348, section 2.2: sqrt(eta) grows geometrically with a power of the step, from
    min(min_noise / kappa, min_noise) to `max_eta` (which bounds sqrt(eta) in the authors' program). A single
    step is the noisiest.

    Raises:
        UsageError: The ceiling is not above the last level.
    """
    first = min(min_noise / kappa, min_noise)
    if ceiling < math.inf:
        # The sqrt(eta) of that sigma: the positive root of sigma r^2 + kappa r - sigma.
        max_eta = min(max_eta, 2 * ceiling / (kappa + math.hypot(kappa, 2 * ceiling)))
        _check_falls(ceiling, kappa * first / (1 - first * first))
    shares = [((steps - 1 - i) / (steps - 1)) ** power if steps > 1 else 1.0 for i in range(steps)]
    roots = [first * (max_eta / first) ** share for share in shares]
    return [kappa * root / (1 - root * root) for root in roots]


@grid("discrete")
def discrete_grid(
    steps: int | None = None,
    *,
    betas: str = "linear",
    length: int = 2000,
    start: float = 1e-6,
    end: float = 1e-2,
    zero_snr: bool = False,
    spacing: str = "linspace",
    offset: int = 0,
    ceiling: float = math.inf,
) -> list[float]:
    """Return levels of a discrete chain from the noisiest to the cleanest.

    Args:
        steps: How many of the levels; None takes all. A single step is the noisiest.
        betas: Kind of the chain's beta schedule, a key of `BETAS`.
        length: Length T of the chain.
        start: First beta.
        end: Last beta.
        zero_snr: Whether the chain is rescaled by `with_zero_terminal_snr`.
        spacing: Which levels: a key of `SPACINGS`.
        offset: Added to the indices of `leading`.
        ceiling: The noisiest level is the first of the chain that is not above this.

    Raises:
        UsageError: More steps than levels, no such schedule, or no such spacing.
    """
    gammas = chain_gammas(betas=betas, length=length, start=start, end=end, zero_snr=zero_snr)
    # Of the chain as far as the ceiling; rounding must not lose the level that is the ceiling.
    length = sum(gamma_to_sigma(float(gamma)) <= ceiling * (1 + 1e-9) for gamma in gammas)
    if steps is None:
        steps = length
    if max(1, steps) > length:
        below = "" if ceiling == math.inf else f" up to {ceiling:.3g}"
        raise UsageError(
            f"{steps} steps are more than the {length} noise levels of this model{below}.",
            hint=f"Ask for at most {length} steps." if length else "Start from more noise.",
        )
    indices = _lookup(SPACINGS, spacing, "spacing")(steps, length, offset) if steps > 1 else [length - 1]
    return [gamma_to_sigma(float(gammas[t])) for t in indices]


def chain_gammas(
    *,
    betas: str = "linear",
    length: int = 2000,
    start: float = 1e-6,
    end: float = 1e-2,
    zero_snr: bool = False,
    **_: float | str,
) -> Float64:
    """Return the gammas [T] of the chain that a `discrete` grid with these parameters walks along."""
    gammas = betas_to_gammas(make_betas(betas, length, start, end))
    return with_zero_terminal_snr(gammas) if zero_snr else gammas


def _linspace(steps: int, length: int, offset: int) -> list[int]:
    """From the last index down to 0."""
    return [int(t) for t in np.linspace(0, length - 1, steps).round()[::-1]]


def _leading(steps: int, length: int, offset: int) -> list[int]:
    """Multiples of T // n, from 0 up, plus the offset as far as the chain goes."""
    stride = length // steps
    offset = max(0, min(offset, length - 1 - stride * (steps - 1)))
    return [stride * i + offset for i in reversed(range(steps))]


def _trailing(steps: int, length: int, offset: int) -> list[int]:
    """From the last index down in strides of T / n."""
    return [int(t) - 1 for t in np.arange(length, 0, -length / steps)[:steps].round()]


SPACINGS: dict[str, Callable[[int, int, int], list[int]]] = {
    "linspace": _linspace,
    "leading": _leading,
    "trailing": _trailing,
}
"""(steps above 1, length, offset) -> falling indices into a chain, by the names that diffusers uses.

Lin et al., arXiv 2305.08891, table 2. Added up in diffusers' order: halves are rounded as there.
"""


def _check_falls(first: float, last: float) -> None:
    if not 0 <= last < first:  # nan fails both
        raise UsageError(f"A noise grid cannot fall from {first:g} to {last:g}.")


def _lookup(table: dict[str, T], name: str, what: str) -> T:
    if name not in table:
        raise UsageError(f"There is no {what} {name!r}.", hint=choices(name, table))
    return table[name]
