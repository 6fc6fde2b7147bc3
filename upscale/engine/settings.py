"""What is settled on before anything is upscaled: what is asked for, filled in with what suits the model.

The one place where a model's config and the options meet. Planning, records, forecasts and the engine itself
all read what it says. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from upscale.diffusion import samplers
from upscale.errors import UsageError
from upscale.models.config import ModelConfig
from upscale.options import COLOR_FIXES, EngineOptions

SPOILT = 0.2  # hidden as by JPEG of quality 60, or by noise of 10 levels of 255 that is told of


@dataclass(frozen=True)
class Settings:
    """How a model is used, or how an `Upscaler` uses its models.

    Where the models of a cascade differ in their defaults, an `Upscaler`'s are the first one's.

    Attributes:
        model: Name of the model; of a cascade all names, with commas between them.
        scale: Upscaling factor of one pass.
        device: Device, as torch writes it; before a model is loaded, as it is asked for.
        dtype: `fp32`, `bf16` or `fp16`; likewise.
        tile_px: Side of a tile in input pixels, halo not counted; before a model is loaded, None for auto.
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
    """

    model: str
    scale: int
    device: str
    dtype: str
    tile_px: int | None
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


def settle_stages(models: Sequence[ModelConfig], options: EngineOptions) -> tuple[Settings, ...]:
    """Return what is settled on for the models of a cascade, in the order of its stages.

    Raises:
        UsageError: One cannot do what is asked, or there is no such sampler.
    """
    if options.denoise and models[0].target != "residual":  # it alone sees the photo
        raise UsageError(
            f"The model {models[0].name} has no --denoise: it cannot be told how noisy the photo is.",
            hint="Leave it out, or take another --model.",
        )
    return tuple(settle(model, options) for model in models)


def settle(model: ModelConfig, options: EngineOptions) -> Settings:
    """Return what is settled on for one model.

    Raises:
        UsageError: It cannot do what is asked, or there is no such sampler.
    """
    if options.sampler is not None:
        samplers.get(options.sampler)  # raises if there is none
    if options.fidelity and model.prediction == "epsilon":
        raise UsageError(
            f"The model {model.name} has no --fidelity: it predicts noise, and knows nothing in its "
            "first step.",
            hint="The mean of several --samples is closer to the photo.",
        )
    if options.start < 1 and (model.process == "relay" or model.target == "latent"):
        why = (
            "it starts from the enlarged photo in any case"
            if model.process == "relay"
            else "what it refines is no picture yet, so an enlarged photo is no start for it"
        )
        raise UsageError(f"The model {model.name} has no --start: {why}.", hint="Leave --start out.")
    fidelity = _first_given(options.fidelity, model.fidelity)
    # Where only the first estimate counts, no other is made.
    steps = 1 if fidelity == 1 else options.steps or model.steps
    model.sigmas(steps, options.start)  # raises if there are not so many
    # A model does with its input what is found in it; consistency takes the input at its word.
    judges = model.target == "residual" and not options.consistency
    return Settings(
        model=model.name,
        scale=model.scale,
        device=options.device,
        dtype=options.dtype,
        tile_px=options.tile_px,
        sampler=options.sampler or model.sampler,
        steps=steps,
        fidelity=fidelity,
        cascade_fidelity=_first_given(options.fidelity, model.cascade_fidelity, model.fidelity),
        spoilt_fidelity=_first_given(options.fidelity, model.spoilt_fidelity, model.fidelity),
        start=options.start,
        denoise=options.denoise if judges else 0.0,
        shrink=options.shrink if judges or options.shrink is not None else 1.0,
        samples=options.samples,
        seed=options.seed,
        consistency=options.consistency,
        color_fix=model.color_fix if options.color_fix == "auto" else options.color_fix,
    )


def joined(values: Iterable[object]) -> str:
    """Return what the models of a cascade have for a setting: `6`, or `6,4` where they differ."""
    texts = [str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else ",".join(texts)


def joint_color_fix(models: Sequence[Settings]) -> str:
    """Return how the colours of a cascade's result are put right: the most that one of its models needs."""
    return max((model.color_fix for model in models), key=COLOR_FIXES.index)


def or_auto(value: float | None) -> str:
    """Return a setting as it is shown and recorded: `auto` where it depends on the input."""
    return "auto" if value is None else f"{value:g}"


def _first_given(*values: float | None) -> float:
    return next(value for value in values if value is not None)
