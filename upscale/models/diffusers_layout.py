"""Models as diffusers lays them out -> a `ModelConfig` and where its weights are. Imports neither library.

Two kinds of upscaler are known. A U-Net of 6 channels in and 3 out on the picture itself: a folder with its
`config.json`, or the pair `super_res_first` and `super_res_last` of Karlo, whose `model_index.json` names
more parts that are not needed. And latent super-resolution: a `model_index.json` with a U-Net and a VQ model.
The scheduler's config tells the noise levels; samplers, levels and tiles are ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscale.errors import WeightsError
from upscale.models.config import MAX_JSON_BYTES, ModelConfig

COMPONENT_FILE = "config.json"
INDEX_FILE = "model_index.json"
SCHEDULER_FILE = "scheduler_config.json"
WEIGHTS_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
CLASS = "_class_name"
UNET, VQ = "UNet2DModel", "VQModel"
PAIR = ("super_res_first", "super_res_last")

SCALE = 4  # of models on the picture: their configs do not say it, Karlo's is 4
OVERLAP_PX = 64  # of HR on each side of a tile's core; the networks are not local, so tiles are blended
STEPS = {"UnCLIPScheduler": 7}  # what the pipelines take; 100 for others
# What a U-Net without a scheduler beside it was trained with: Karlo's, the only ones that are told of.
UNCLIP = {CLASS: "UnCLIPScheduler", "beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 1000}
SAMPLERS = {
    "UnCLIPScheduler": "ddpm",
    "DDPMScheduler": "ddpm",
    "DDIMScheduler": "ddim",
    "PNDMScheduler": "ddim",
    "LMSDiscreteScheduler": "ddim",
    "EulerDiscreteScheduler": "ddim",
    "EulerAncestralDiscreteScheduler": "ddpm",
    "DPMSolverMultistepScheduler": "dpmpp_2m",
}
CLIPPING = {"UnCLIPScheduler", "DDPMScheduler", "DDIMScheduler"}  # which say whether they do
# Entries of schedulers that change what is sampled, and are off as a rule.
OTHER_LEVELS = (
    *("trained_betas", "thresholding", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
    *("use_flow_sigmas", "use_lu_lambdas"),
)
BETAS = {"linear": "linear", "scaled_linear": "quad", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
# Entries of configs that change nothing of what is computed here.
IDLE = {
    UNET: {"sample_size", "num_train_timesteps"},
    VQ: {"sample_size", "scaling_factor", "lookup_from_codebook", "force_upcast"},
}
OPEN = {"attention_head_dim", "mid_block_type"}  # where None is not the same as nothing said
LEVELS = {"block_out_channels", "down_block_types", "up_block_types"}

Get = Callable[[str], Path | None]
"""A path in the model's folder, or beside it (`../x`) -> where that file is; None if there is none."""


@dataclass(frozen=True)
class Layout:
    """A model in the format of diffusers.

    Attributes:
        config: How it is built and sampled.
        parts: The network's parts, each with its folder in the model's folder, empty for that itself.
    """

    config: ModelConfig
    parts: Mapping[str, str]


def in_folder(folder: Path) -> Get:
    """Return how files of a local folder are found.

    Raises (when called):
        WeightsError: The folder may not be entered.
    """

    def get(name: str) -> Path | None:
        path = folder / name
        try:
            return path if path.is_file() else None
        except OSError as error:
            raise WeightsError(f"The model's file {path} cannot be read ({error.strerror}).") from None

    return get


def recognise(get: Get) -> bool:
    """Return whether there is a model of this format; it may be one that cannot be used."""
    config = get(COMPONENT_FILE)
    if config is not None:
        try:
            return CLASS in _table(config)
        except WeightsError:  # who reads it says so
            return False
    return get(INDEX_FILE) is not None


def read(get: Get, name: str) -> Layout:
    """Return what the configs of a model say.

    Args:
        get: Where its files are.
        name: What it is called, in the config and in messages.

    Raises:
        WeightsError: It is no upscaler that this version knows, or a config is missing or absurd.
    """
    if get(COMPONENT_FILE) is not None:
        unet = _component(get, "", UNET, name)
        layout = Layout(_pixel(get, unet, name), {"unet": ""})
    else:
        layout = _pipeline(get, name)
    # Holds it to what any config is held to.
    return Layout(layout.config.checked(name), layout.parts)


def weights(layout: Layout, get: Get, name: str) -> dict[str, Path]:
    """Return the weights file of each part.

    Raises:
        WeightsError: One is missing.
    """
    found: dict[str, Path] = {}
    for part, folder in layout.parts.items():
        paths = [_in(folder, file) for file in WEIGHTS_FILES]
        path = next(filter(None, map(get, paths)), None)
        if path is None:
            raise WeightsError(f"The model {name} has no {' or '.join(paths)}.", hint="Get the model again.")
        found[part] = path
    return found


def _pipeline(get: Get, name: str) -> Layout:
    path = get(INDEX_FILE)
    if path is None:
        raise WeightsError(f"The model {name} has neither {COMPONENT_FILE} nor {INDEX_FILE}.")
    index = _table(path)

    def has(part: str, kind: str) -> bool:
        entry = index.get(part)
        return isinstance(entry, list) and len(entry) == 2 and entry[1] == kind

    if all(has(part, UNET) for part in PAIR):
        unet, last = (_component(get, part, UNET, name) for part in PAIR)
        if unet != last:
            raise WeightsError(f"{' and '.join(PAIR)} of {name} are not of one kind.")
        return Layout(_pixel(get, unet, name, last_step=True), dict(zip(("unet", "last"), PAIR, strict=True)))
    if has("unet", UNET) and has("vqvae", VQ):
        unet, vqvae = _component(get, "unet", UNET, name), _component(get, "vqvae", VQ, name)
        return Layout(_latent(get, unet, vqvae, name), {"unet": "unet", "vqvae": "vqvae"})
    raise WeightsError(
        f"{name} is a {_shown(index.get(CLASS))} of diffusers, which is not an upscaler of a known kind.",
        hint=f"Known are U-Nets ({UNET}) on pictures, and latent super-resolution with a {VQ}.",
    )


def _pixel(get: Get, unet: Mapping[str, Any], name: str, *, last_step: bool = False) -> ModelConfig:
    """Return the config of a model that diffuses the picture itself."""
    told = (SCHEDULER_FILE, "scheduler/" + SCHEDULER_FILE)
    beside = ("super_res_scheduler/" + SCHEDULER_FILE, "../super_res_scheduler/" + SCHEDULER_FILE)
    path = next(filter(None, map(get, (*told, *beside))), None)
    scheduler = dict(UNCLIP) if path is None else _table(path)
    sampling = _sampling(scheduler, name)
    clips = scheduler.get("clip_sample", True) and scheduler.get("clip_sample_range", 1) == 1
    if scheduler[CLASS] in CLIPPING and not clips:
        raise WeightsError(f"The scheduler of {name} does not clip to [-1, 1], which this version does.")
    return ModelConfig(
        name=name,
        arch="unet2d",
        network={**unet, **({"last_step": True} if last_step else {})},
        scale=SCALE,
        target="image",
        halo_px=OVERLAP_PX // SCALE,
        **sampling,
    )


def _latent(get: Get, unet: Mapping[str, Any], vqvae: Mapping[str, Any], name: str) -> ModelConfig:
    """Return the config of a model that diffuses a latent of the LR image's size."""
    path = get("scheduler/" + SCHEDULER_FILE)
    if path is None:
        raise WeightsError(
            f"The model {name} has no scheduler/{SCHEDULER_FILE}.", hint="Get the model again."
        )
    scheduler = _table(path)
    if scheduler.get("clip_sample", False):
        raise WeightsError(f"The scheduler of {name} clips latents, which this version does not.")
    levels = vqvae.get("block_out_channels")
    if not isinstance(levels, list) or not 2 <= len(levels) <= 5:  # scales of 2 to 16
        raise WeightsError(f"The autoencoder of {name} does not enlarge by 2, 4, 8 or 16.")
    scale = 2 ** (len(levels) - 1)
    return ModelConfig(
        name=name,
        arch="latent_unet2d",
        network={"unet": unet, "vqvae": vqvae},
        scale=scale,
        target="latent",
        halo_px=OVERLAP_PX // min(scale, 4),
        **_sampling(scheduler, name),
    )


def _sampling(scheduler: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the fields of `ModelConfig` that a scheduler's config decides."""
    kind = scheduler.get(CLASS)
    betas = scheduler.get("beta_schedule", "linear")
    prediction = scheduler.get("prediction_type", "epsilon")
    length = scheduler.get("num_train_timesteps", 1000)
    unclip = kind == "UnCLIPScheduler"
    spacing = "linspace" if unclip else scheduler.get("timestep_spacing", "leading")
    unknown = [
        f"{entry} {_shown(value)}"
        for entry, value, right in (
            ("class", kind, _one_of(kind, SAMPLERS)),
            ("beta_schedule", betas, _one_of(betas, BETAS)),
            ("prediction_type", prediction, _one_of(prediction, PREDICTIONS)),
            ("timestep_spacing", spacing, isinstance(spacing, str)),
            ("num_train_timesteps", length, isinstance(length, int) and 2 <= length <= 100_000),
            *((entry, scheduler.get(entry), not scheduler.get(entry)) for entry in OTHER_LEVELS),
        )
        if not right
    ]
    if unknown:
        raise WeightsError(
            f"The scheduler of {name} is of a kind that this version does not know ({unknown[0]})."
        )
    return {
        "prediction": PREDICTIONS[prediction],
        "level": "timestep",
        "grid": {
            "name": "discrete",
            "betas": BETAS[betas],
            "length": length,
            "start": scheduler.get("beta_start", 1e-4),
            "end": scheduler.get("beta_end", 0.02),
            "spacing": spacing,
            "offset": scheduler.get("steps_offset", 0),
            "zero_snr": bool(scheduler.get("rescale_betas_zero_snr", False)),
        },
        "steps": min(length, STEPS.get(str(kind), 100)),
        "sampler": SAMPLERS[str(kind)],
    }


def _component(get: Get, folder: str, kind: str, name: str) -> dict[str, Any]:
    """Return the config of a network without what changes nothing."""
    path = get(_in(folder, COMPONENT_FILE))
    if path is None:
        raise WeightsError(f"The model {name} has no {_in(folder, COMPONENT_FILE)}.", hint="Get it again.")
    table = _table(path)
    if table.get(CLASS) != kind:
        raise WeightsError(
            f"{path} describes a {_shown(table.get(CLASS))} of diffusers, where a {kind} is needed."
        )
    if not table.keys() >= LEVELS:
        raise WeightsError(f"{path} does not tell the levels of its network.", hint="Get the model again.")
    channels = table.get("in_channels"), table.get("out_channels")
    if kind == UNET and channels != (6, 3):
        raise WeightsError(
            f"{name} does not upscale: it reads {_shown(channels[0])} channels and makes "
            f"{_shown(channels[1])}, where 6 and 3 are needed."
        )
    return {
        entry: value
        for entry, value in table.items()
        # What newer versions add changes nothing where it is off.
        if not entry.startswith("_") and entry not in IDLE[kind] and not (value is None and entry not in OPEN)
    }


def _table(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_JSON_BYTES + 1)  # whatever its size, that is enough to refuse it
        table = json.loads(text) if len(text) <= MAX_JSON_BYTES else None
    except OSError as error:
        raise WeightsError(f"The model's file {path} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:  # neither UTF-8 nor JSON
        told = str(error)[:200]
        raise WeightsError(f"{path} is not valid JSON ({told}).", hint="Get the model again.") from None
    if not isinstance(table, dict):
        raise WeightsError(f"{path} is not a config of diffusers.", hint="Get the model again.")
    return table


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _one_of(value: Any, table: Mapping[str, Any]) -> bool:
    return isinstance(value, str) and value in table


def _shown(value: Any) -> str:
    return str(value)[:60]
