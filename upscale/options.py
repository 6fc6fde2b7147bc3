"""Every setting with its default and range, once.

The command line, the planner, the engine and the Python API all take their defaults from here. Values are
checked when an instance is made, so nothing downstream has to. Imports nothing heavy.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Integral, Real
from string import Formatter

from upscale.errors import UsageError, choices

DEFAULT_MODEL = "sr3-photo-4x"
DEFAULT_SCALE = 4.0
MIN_SCALE = 1.0
MAX_SCALE = 64.0
MAX_SIDE_PX = 10**9  # no picture is as wide; what is larger still cannot be computed with
MAX_STEPS = 2000
MAX_SAMPLES = 64
MAX_SHRINK = 8  # what is larger by more holds next to nothing
DENOISE_STD = 0.1  # of the noise that `denoise` 1 takes away, as a share of full scale: 25.5 levels of 255
PRESETS = {"faithful": 1.0, "balanced": None, "vivid": 0.0}  # --preset's names for --fidelity
MIN_TILE_PX = 32
MAX_SEED = 2**63 - 1
DEFAULT_MAX_INPUT_MPIX = 250.0
COLOR_FIXES = ("auto", "none", "mean", "wavelet")
DTYPES = ("auto", "fp32", "bf16", "fp16")
CONFLICTS = ("fail", "skip", "overwrite", "rename")
TEMPLATE_FIELDS = ("parent", "stem", "suffix", "scale", "size", "width", "height", "model", "seed")
DEVICES = ("auto", "all", "cpu", "cuda", "cuda:N", "mps")
ALL_DEVICES = "all"


@dataclass(frozen=True)
class TargetSize:
    """How large the result shall be. At most one of the fields is set; none means 4x.

    Attributes:
        scale: Factor on both sides, 1 to 64; the output is exactly `round(scale * input)`.
        width: Output width in pixels, height in proportion.
        height: Output height in pixels, width in proportion.
        long_side: Length of the longer output side in pixels.
        megapixels: Output area in millions of pixels.
        box: (width, height) in pixels that the output fits in, proportions kept.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    megapixels: float | None = None
    box: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Raise `UsageError` on more than one field or a value of a wrong kind or out of range."""
        _check_kind(self, Real, "a number", "scale", "width", "height", "long_side", "megapixels")
        try:
            good = self.box is None or list(map(_is_number, self.box)) == [True, True]
        except TypeError:  # a single number
            good = False
        if not good:
            raise UsageError(
                f"--size {self.box!r} is not a width and height.", hint="Write it as (1920, 1080)."
            )
        chosen = [name for name, value in vars(self).items() if value is not None]
        if len(chosen) > 1:
            names = " and ".join("--" + ("size" if n == "box" else n.replace("_", "-")) for n in chosen)
            raise UsageError(f"{names} exclude each other.", hint="Give one way of saying how large.")
        if self.scale is not None and not MIN_SCALE <= self.scale <= MAX_SCALE:  # nan fails both
            raise UsageError(
                f"--scale {self.scale:g} is out of range.",
                hint=f"It is a factor from {MIN_SCALE:g} (restores without enlarging) to {MAX_SCALE:g}; "
                "beyond that almost everything would be invented.",
            )
        for name in ("width", "height", "long_side"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_SIDE_PX:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{flag} {value} is out of range.", hint=f"It is from 1 to {MAX_SIDE_PX} pixels."
                )
        if self.megapixels is not None and not 0 < self.megapixels < math.inf:
            raise UsageError(f"--megapixels {self.megapixels:g} is out of range.", hint="It is above 0.")
        if self.box is not None and not all(1 <= side <= MAX_SIDE_PX for side in self.box):
            raise UsageError(
                f"--size {self.box[0]}x{self.box[1]} is out of range.",
                hint=f"Both sides are from 1 to {MAX_SIDE_PX} pixels.",
            )

    def resolve(self, width: int, height: int) -> tuple[int, int]:
        """Return the exact output (width, height) in pixels for an input of this size.

        Raises:
            UsageError: The request would shrink the picture or enlarge it more than 64 times.
        """
        scale = self.factor(width, height)
        if not MIN_SCALE <= scale <= MAX_SCALE:
            small = scale < MIN_SCALE
            why = "smaller than the input" if small else f"more than {MAX_SCALE:g} times the input"
            raise UsageError(
                f"The requested size is {why} ({width}x{height}, factor {scale:.3g}).",
                hint=f"Ask for a factor from {MIN_SCALE:g} to {MAX_SCALE:g}.",
            )
        return max(1, round(scale * width)), max(1, round(scale * height))

    def factor(self, width: int, height: int) -> float:
        """Return the factor on both sides for an input of this size; it may be out of range."""
        if self.width is not None:
            return self.width / width
        if self.height is not None:
            return self.height / height
        if self.long_side is not None:
            return self.long_side / max(width, height)
        if self.megapixels is not None:
            return math.sqrt(self.megapixels * 1e6 / (width * height))
        if self.box is not None:
            return min(self.box[0] / width, self.box[1] / height)
        return self.scale if self.scale is not None else DEFAULT_SCALE


@dataclass(frozen=True)
class EngineOptions:
    """How the pixels are made.

    Attributes:
        model: Name in the catalogue, model folder or `.safetensors` file, or `owner/repo` on the Hub;
            several with commas between them are for the stages of a cascade, the last for all that follow.
        steps: Network evaluations per stage, 1 to 2000; None takes the model's default.
        sampler: Name of a sampler; None takes the model's default.
        seed: Seed of the noise field, 0 to 2^63-1; same seed, same picture.
        consistency: Whether the result is changed so that reducing it gives the input again; for clean input.
        color_fix: How colours are put right, one of `COLOR_FIXES`; `auto` does what the model needs.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; for the command line also several with commas
            between them, or `all`: each takes the next files then.
        dtype: `auto`, `fp32`, `bf16` or `fp16`.
        tile_px: Side of a tile in input pixels of its stage, halo not counted; None chooses by memory.
        fidelity: 0 (most vivid) to 1 (closest to the photo: a single evaluation); None takes the model's
            default.
        denoise: How much noise is taken out of the input, 0 (none but what the model does of itself) to 1 (a
            standard deviation of `DENOISE_STD`); None finds out how much there is.
        shrink: How many times smaller the input is made first, 1 to `MAX_SHRINK`, because it is softer than
            its pixels; None finds out by how much it can be, and lose nothing.
        samples: How many samples are drawn, 1 to 64; the result is their mean.
        start: Noise level that a run begins at, above 0 to 1: the time t of sigma = tan(pi t / 2). At 1 it
            begins from pure noise, below that from the upsampled picture with so much noise.
        map_uncertainty: Whether a map of where the samples differ is made; takes at least 2.
        offline: Whether nothing is downloaded: a model of the Hub must be in the cache.
        accept_licence: Whether the user accepts the licence of a model that is downloaded.
    """

    model: str = DEFAULT_MODEL
    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    consistency: bool = False
    color_fix: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    tile_px: int | None = None
    fidelity: float | None = None
    denoise: float | None = None
    shrink: float | None = None
    samples: int = 1
    start: float = 1.0
    map_uncertainty: bool = False
    offline: bool = False
    accept_licence: bool = False

    def __post_init__(self) -> None:
        """Raise `UsageError` on a value of a wrong kind or out of range."""
        _check_kind(self, Integral, "a whole number", "steps", "seed", "samples", "tile_px")
        _check_kind(self, Real, "a number", "fidelity", "denoise", "shrink", "start")
        switches = "consistency", "map_uncertainty", "offline", "accept_licence"
        _check_kind(self, bool, "True or False", *switches)
        _check_kind(self, str, "a name", "model", "sampler", "device", "dtype", "color_fix")
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise UsageError(f"--steps {self.steps} is out of range.", hint=f"It is from 1 to {MAX_STEPS}.")
        if self.fidelity is not None and not 0 <= self.fidelity <= 1:  # nan fails both
            raise UsageError(f"--fidelity {self.fidelity:g} is out of range.", hint="It is from 0 to 1.")
        if self.denoise is not None and not 0 <= self.denoise <= 1:
            raise UsageError(
                f"--denoise {self.denoise:g} is out of range.", hint="It is from 0 to 1, or auto."
            )
        if self.denoise and self.consistency:
            raise UsageError(
                "--denoise and --consistency exclude each other.",
                hint="The one takes noise out of the photo, the other keeps it as it is.",
            )
        if self.shrink is not None and not 1 <= self.shrink <= MAX_SHRINK:  # nan fails both
            raise UsageError(
                f"--shrink {self.shrink:g} is out of range.", hint=f"It is from 1 to {MAX_SHRINK}, or auto."
            )
        if self.consistency and (self.shrink or 1) > 1:
            raise UsageError(
                "--shrink and --consistency exclude each other.",
                hint="The one takes the photo for softer than its pixels, the other keeps them.",
            )
        if self.fidelity == 1 and self.steps is not None and self.steps > 1:
            raise UsageError(
                f"--fidelity 1 (--preset faithful) takes a single step, not {self.steps}.",
                hint="Leave one of the two out.",
            )
        if not 0 < self.start <= 1:  # nan fails both
            raise UsageError(f"--start {self.start:g} is out of range.", hint="It is above 0, and at most 1.")
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise UsageError(
                f"--samples {self.samples} is out of range.", hint=f"It is from 1 to {MAX_SAMPLES}."
            )
        one_step = self.start == 1 and (self.fidelity == 1 or self.steps == 1)  # from a start they differ
        if self.map_uncertainty and (self.samples == 1 or one_step):
            raise UsageError(
                "--uncertainty needs several samples of several steps.",
                hint="As in --samples 8.",
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"--seed {self.seed} is out of range.", hint="It is from 0 to 2^63-1.")
        if self.tile_px is not None and self.tile_px < MIN_TILE_PX:
            raise UsageError(
                f"--tile {self.tile_px} is out of range.", hint=f"It is at least {MIN_TILE_PX}, or auto."
            )
        if self.color_fix not in COLOR_FIXES:
            raise UsageError(
                f"--color-fix {self.color_fix} is unknown.", hint=choices(self.color_fix, COLOR_FIXES)
            )
        devices_named(self.device)
        if self.dtype not in DTYPES:
            raise UsageError(f"--dtype {self.dtype} is unknown.", hint=choices(self.dtype, DTYPES))


@dataclass(frozen=True)
class FileOptions:
    """How files are read and written.

    Attributes:
        format: Output format by name (`jpg`, `png`, …); None takes it from the target's suffix or the input.
        quality: Encoder quality 1 to 100 for lossy formats; None takes the format's default.
        on_conflict: What becomes of an input whose output exists already, one of `CONFLICTS`; None fails for
            files that were named and skips for those of folders and lists.
        suffix: What is added to an input's name for its output's, instead of `_4x` and the like.
        output_template: The output's whole path with fields such as `{stem}`; it ends with `{suffix}`.
        first_frame: Whether only the first of a file's frames or pages is taken.
        uncertainty: File for the map of where samples differ; None for none.
        strip_metadata: Whether nothing but the colour profile is kept of what a file says besides its pixels.
        max_input_mpix: Refuse inputs with more megapixels than this (decompression bombs).
    """

    format: str | None = None
    quality: int | None = None
    on_conflict: str | None = None
    suffix: str | None = None
    output_template: str | None = None
    first_frame: bool = False
    uncertainty: str | None = None
    strip_metadata: bool = False
    max_input_mpix: float = DEFAULT_MAX_INPUT_MPIX

    def __post_init__(self) -> None:
        """Raise `UsageError` on a value out of range."""
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality} is out of range.", hint="It is from 1 to 100.")
        if not self.max_input_mpix > 0:
            raise UsageError(
                f"--max-input-mpix {self.max_input_mpix:g} is out of range.", hint="It is above 0."
            )
        if self.on_conflict is not None and self.on_conflict not in CONFLICTS:
            raise UsageError(
                f"--on-conflict {self.on_conflict} is unknown.", hint=choices(self.on_conflict, CONFLICTS)
            )
        if self.suffix is not None and self.output_template is not None:
            raise UsageError(
                "--suffix and --output-template exclude each other.", hint="Put the suffix in the template."
            )
        if self.suffix is not None and not {"/", "\\", "\0"}.isdisjoint(self.suffix):
            raise UsageError(
                f"--suffix {self.suffix!r} cannot be part of a name.", hint="It is a few letters, as in _big."
            )
        if self.output_template is not None:
            _check_template(self.output_template)


@dataclass(frozen=True)
class FolderOptions:
    """Which files of a folder are inputs.

    Attributes:
        recursive: Whether its folders are looked into as well.
        include: Patterns such as `*.jpg`; files that fit none are left alone. Empty takes all pictures.
        exclude: Patterns of files and folders that are left alone.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_kind(options: object, kind: type, what: str, *names: str) -> None:
    """Raise `UsageError` unless each of these fields is of a kind, or None where that is its default."""
    for name in names:
        value = getattr(options, name)
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits and (value is not None or getattr(type(options), name) is not None):
            flag = f"--{name.removesuffix('_px').replace('_', '-')}"
            raise UsageError(f"{flag} {value!r} is not {what}.", hint=f"Give {what}, or leave it out.")


def devices_named(device: str) -> tuple[str, ...]:
    """Return the devices of a list such as `cuda:0,cuda:1`; naming one twice gives it two engines.

    Raises:
        UsageError: One is unknown, or `auto` or `all` is not alone.
    """
    names = tuple(device.split(","))
    for name in names:
        if not re.fullmatch(r"auto|all|(cpu|mps)(:0)?|cuda(:[0-9]+)?", name):
            what = f"--device {device}" if len(names) == 1 else f"{name!r} in --device {device}"
            raise UsageError(
                f"{what} is unknown.",
                hint=f"Choose from {', '.join(DEVICES)}; several are written cuda:0,cuda:1.",
            )
    if len(names) > 1 and (alone := {"auto", ALL_DEVICES}.intersection(names)):
        raise UsageError(
            f"--device {device} is unclear: {min(alone)} stands alone.", hint="As in --device cuda:0,cuda:1."
        )
    return names


def _check_template(template: str) -> None:
    """Raise `UsageError` unless it is text with plain `{fields}` that we know, `{suffix}` at the end."""
    fields = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(
            f"--output-template {template} cannot be read ({error}).", hint=f"Its fields are {fields}."
        ) from None
    for _, name, spec, conversion in parts:
        if name is not None and (name not in TEMPLATE_FIELDS or spec or conversion):
            odd = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise UsageError(
                f"--output-template has no field {{{odd}}}.",
                hint=f"Its fields are {fields}; braces are written {{{{ and }}}}.",
            )
    if not parts or parts[-1][1] != "suffix":
        raise UsageError(
            f"--output-template {template} does not end with {{suffix}}.",
            hint="The suffix follows from the format: choose it with --format.",
        )
