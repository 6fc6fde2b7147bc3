"""What is settled on before anything is upscaled: options, filled in with what suits the model."""

from __future__ import annotations

from dataclasses import dataclass

from upscale.engine import device as devices
from upscale.models.config import check_asked, color_fix_of, denoise_of, fidelity_of, shrink_of, steps_of
from upscale.models.restorer import Restorer
from upscale.options import EngineOptions

SPOILT = 0.2  # hidden as by JPEG of quality 60, or by noise of 10 levels of 255 that is told of


def settle(restorer: Restorer, options: EngineOptions) -> Settings:
    """Return what is settled on for one model.

    Raises:
        UsageError: It cannot do what is asked.
    """
    config = restorer.config
    check_asked(config, options)
    return Settings(
        model=config.name,
        device=str(restorer.device),
        dtype=devices.DTYPE_NAMES[restorer.dtype],
        sampler=options.sampler or config.sampler,
        steps=steps_of(config, options),
        fidelity=fidelity_of(config, options),
        cascade_fidelity=fidelity_of(config, options, followed=True),
        spoilt_fidelity=fidelity_of(config, options, spoilt=True),
        start=options.start,
        denoise=denoise_of(config, options),
        shrink=shrink_of(config, options),
        samples=options.samples,
        seed=options.seed,
        consistency=options.consistency,
        color_fix=color_fix_of([config], options.color_fix),
        tile_px=options.tile_px or devices.default_tile_px(restorer.device, restorer.fineness),
    )


@dataclass(frozen=True)
class Settings:
    """What an `Upscaler` settled on; `auto` and None resolved.

    Where the models of a cascade differ in their defaults, these are the first one's.

    Attributes:
        model: Name of the model; of a cascade all names, with commas between them.
        device: Device, as torch writes it.
        dtype: `fp32`, `bf16` or `fp16`.
        sampler: Name of the sampler.
        steps: Network evaluations per stage and sample.
        fidelity: How near the result is to the first step's estimate, 0 to 1.
        cascade_fidelity: The same in stages that another one follows.
        spoilt_fidelity: The same for a photo of which `SPOILT` or more is hidden, in the first stage.
        start: Noise level that a run begins at, 1 for pure noise.
        denoise: How much noise is taken out of the input, 0 to 1; None finds out how much there is.
        shrink: How many times smaller the input is made first; None finds out by how much it can be.
        samples: Samples that the result is the mean of.
        seed: Of the noise.
        consistency: Whether the result's reduction is made to be the input.
        color_fix: How colours are put right, a name in `color.FIXES`.
        tile_px: Side of a tile in input pixels, halo not counted.
    """

    model: str
    device: str
    dtype: str
    sampler: str
    steps: int
    fidelity: float
    cascade_fidelity: float
    spoilt_fidelity: float
    start: float
    denoise: float | None
    shrink: float | None
    samples: int
    seed: int
    consistency: bool
    color_fix: str
    tile_px: int

    def fidelity_for(self, hidden: float, *, followed: bool) -> float:
        """Return the fidelity for one photo in one stage.

        The more is hidden, the more of what the last step draws is made up: so it counts the less.

        Args:
            hidden: How much of the stage's input is hidden, 0 to 1, see `denoise.hidden_in`; what another
                stage has made hides nothing.
            followed: Whether another stage enlarges what it makes: then what it draws becomes things.
        """
        usual = self.cascade_fidelity if followed else self.fidelity
        return usual + min(1.0, hidden / SPOILT) * max(0.0, self.spoilt_fidelity - usual)
