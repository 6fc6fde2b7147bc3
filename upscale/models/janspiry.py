"""SR3 checkpoints of the community -> our layout: what the public re-implementation by Janspiry saves.

A checkpoint (`I640000_E37_gen.pth` and the like) is a pickled state dict: twelve buffers of the training
schedule, which sampling does not need, and `denoise_fn.*`, the U-Net. It is read with `weights_only=True`,
which builds tensors and executes nothing. Sizes follow from the tensors' shapes; the number of norm groups,
the scale and the noise levels do not, they are in the JSON the project was run with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from upscale.errors import UsageError, WeightsError
from upscale.models import checkpoint, pickled
from upscale.models.config import MAX_JSON_BYTES, ModelConfig
from upscale.models.tensors import Tensors

PREFIXES = ("module.", "denoise_fn.")
BUFFERS = {
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
}
NORM_GROUPS = 32  # what the project takes where its JSON says nothing
OVERLAP_PX = 64  # of HR on each side of a tile's core; the network is not local, so tiles are blended
MAX_STEPS = 2000
COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*')  # not inside strings, where paths are

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint does not say about itself.

    Attributes:
        norm_groups: Groups of the group normalisation; None where nobody said.
        scale: Upscaling factor; None where nobody said.
        image_size: Side in pixels that the network was trained on; names the levels that have attention.
        dropout: Of the training; sampling has none.
        grid: The noise levels it samples with, as `ModelConfig.grid`.
        claims: What the JSON says about sizes that the tensors tell as well, by the tensors' names for it.
    """

    norm_groups: int | None = None
    scale: int | None = None
    image_size: int = 128
    dropout: float = 0.0
    grid: Mapping[str, Any] | None = None
    claims: Mapping[str, Any] | None = None


def read_recipe(path: Path) -> Recipe:
    """Return what the project's JSON file says; `//` comments are allowed, as the project allows them.

    Raises:
        WeightsError: It cannot be read, or is not such a file.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_JSON_BYTES + 1)
        table = json.loads(COMMENT.sub(lambda match: match[1] or "", text[:MAX_JSON_BYTES]))
        model, unet = table["model"], table["model"]["unet"]
        data = table.get("datasets", {})
        data = data.get("val") or data.get("train") or {}
        return Recipe(
            norm_groups=_whole(unet.get("norm_groups", NORM_GROUPS)),
            scale=_ratio(data.get("l_resolution"), data.get("r_resolution")),
            image_size=_whole(model["diffusion"]["image_size"]),
            dropout=float(unet.get("dropout") or 0),
            grid=_grid(model["beta_schedule"]["val"]),
            claims={
                ours: unet[theirs]
                for theirs, ours in (
                    ("in_channel", "in_channel"),
                    ("out_channel", "out_channel"),
                    ("inner_channel", "inner_channel"),
                    ("channel_multiplier", "channel_multipliers"),
                    ("res_blocks", "res_blocks"),
                )
                if theirs in unet
            },
        )
    except OSError as error:
        raise WeightsError(f"The config {path} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:  # neither UTF-8 nor JSON, or a number that is none
        raise WeightsError(f"{path} is not a config of Janspiry's SR3 ({error}).") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} is not a config of Janspiry's SR3 ({error} is missing or of another kind).",
            hint="Give the JSON that the weights were trained with, such as sr_sr3_16_128.json.",
        ) from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the U-Net's tensors of a `.pth` file by their names in our network, not yet in memory.

    Raises:
        WeightsError: The file cannot be read, holds anything but tensors, or claims more than it holds.
    """
    what = "an SR3 network"
    wanted = "Give the file whose name ends with _gen.pth; _opt.pth is the optimiser."
    tensors: dict[str, Tensor] = {}
    for key, tensor in pickled.read_tensors(path, what, wanted).items():
        name = key
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if name in tensors:
            raise WeightsError(f"{path} holds {name} twice, with prefixes and without.", hint=wanted)
        if name not in BUFFERS:
            tensors[name] = tensor
    if not tensors:
        raise WeightsError(f"{path} holds no state dict of {what}.", hint=wanted)
    return tensors


def infer_network(shapes: Shapes, image_size: int, where: str) -> dict[str, Any]:
    """Return what the shapes of the tensors tell of the network, as a `network` table for `sr3_unet`.

    Args:
        shapes: By name, without prefixes or buffers.
        image_size: Resolution that the first level counts as; the levels with attention are named by it.
        where: The file, for messages.

    Raises:
        WeightsError: It is another network.
    """
    try:
        inner, in_channel = shapes["downs.0.weight"][:2]
        widths: list[int] = [0]
        blocks: list[int] = [0]
        attention: set[int] = set()
        affine = False
        index = 1
        while True:
            level = len(widths) - 1
            convolution = shapes.get(f"downs.{index}.res_block.block1.block.3.weight")
            if convolution is not None:
                widths[level] = convolution[0]
                blocks[level] += 1
                if f"downs.{index}.attn.qkv.weight" in shapes:
                    attention.add(level)
                told = shapes.get(f"downs.{index}.res_block.noise_func.noise_func.0.weight")
                affine = affine or (told is not None and told[0] == 2 * convolution[0])
            elif f"downs.{index}.conv.weight" in shapes:
                widths.append(0)
                blocks.append(0)
            else:
                break
            index += 1
        out_channel = shapes["final_conv.block.3.weight"][0]
        regular = len(set(blocks)) == 1 and all(width > 0 and width % inner == 0 for width in widths)
    except (KeyError, ValueError, IndexError, ZeroDivisionError):
        regular = False
    if not regular:
        raise WeightsError(
            f"{where} is not an SR3 U-Net as Janspiry lays it out.",
            hint="Only weights of that project can be converted.",
        )
    return {
        "in_channel": in_channel,
        "out_channel": out_channel,
        "inner_channel": inner,
        "channel_multipliers": [width // inner for width in widths],
        "res_blocks": blocks[0],
        "attn_res": sorted({image_size // 2**level for level in attention}, reverse=True),
        "image_size": image_size,
        "with_noise_level_emb": "noise_level_mlp.1.weight" in shapes,
        "use_affine_level": affine,
    }


def infer_config(shapes: Shapes, recipe: Recipe, name: str, where: str) -> ModelConfig:
    """Return the config that runs a checkpoint with these shapes; no weights are needed.

    Raises:
        WeightsError: It is no upscaler of that project, or the JSON belongs to other weights.
        UsageError: What the shapes do not tell is missing.
    """
    network = infer_network(shapes, recipe.image_size, where)
    claims = recipe.claims or {}
    wrong = [key for key, claimed in claims.items() if claimed != network[key]]
    if wrong:
        told = ", ".join(f"{key} {claims[key]} (the weights: {network[key]})" for key in wrong)
        raise WeightsError(
            f"The config is not that of {where}: it says {told}.", hint="Give the JSON of these weights."
        )
    if (network["in_channel"], network["out_channel"]) != (6, 3) or not network["with_noise_level_emb"]:
        raise WeightsError(
            f"{where} does not upscale: it reads {network['in_channel']} channels and makes "
            f"{network['out_channel']}, where 6 and 3 and a noise level are needed.",
            hint="Unconditional models and the regression baseline cannot be used.",
        )
    if recipe.norm_groups is None or recipe.scale is None:
        asked = {"--norm-groups": recipe.norm_groups, "--scale": recipe.scale}
        missing = [flag for flag, value in asked.items() if value is None]
        raise UsageError(
            f"The weights do not say their {' and '.join(flag[2:] for flag in missing)}.",
            hint=f"Give the project's JSON with --config, or {' and '.join(missing)}.",
        )
    grid = dict(recipe.grid or _grid({"schedule": "linear", "n_timestep": MAX_STEPS}))
    config = ModelConfig(
        name=name,
        arch="sr3_unet",
        network={**network, "norm_groups": recipe.norm_groups, "dropout": recipe.dropout},
        scale=recipe.scale,
        target="image",
        prediction="epsilon",
        level="sqrt_gamma",
        grid=grid,
        steps=min(grid["length"], MAX_STEPS),
        sampler="ddpm",
        halo_px=-(-OVERLAP_PX // max(1, recipe.scale)),
        color_fix="wavelet",  # the project itself says that the hues of its results shift
    )
    config = config.checked(where)
    checkpoint.check_shapes(checkpoint.build(config, where), shapes, where)
    return config


def convert(source: Path, folder: Path, recipe: Recipe, *, overwrite: bool = False) -> ModelConfig:
    """Write a model folder, in float32, for a checkpoint; return its config.

    Args:
        source: The `.pth` file.
        folder: Made if it is not there; its name becomes the model's.
        recipe: What the checkpoint does not say about itself.
        overwrite: Whether a model that is there may be replaced.

    Raises:
        WeightsError: The checkpoint cannot be read or is something else.
        UsageError: The recipe is incomplete.
        OutputError: The folder holds a model already, or cannot be written.
    """
    checkpoint.check_free(folder, overwrite=overwrite)
    tensors = read_tensors(source)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    config = infer_config(shapes, recipe, folder.resolve().name, str(source))
    network = checkpoint.build(config, str(source))
    checkpoint.fill(network, Tensors(shapes, tensors.__getitem__), str(source))
    checkpoint.save(config, network, folder, torch.float32)
    return config


def with_options(recipe: Recipe, *, norm_groups: int | None, scale: int | None) -> Recipe:
    """Return the recipe with what the command line says instead of the JSON."""
    return replace(recipe, norm_groups=norm_groups or recipe.norm_groups, scale=scale or recipe.scale)


def _grid(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Return our grid for a `beta_schedule` entry: every level of the chain."""
    length = _whole(schedule["n_timestep"])
    if not 1 <= length <= 100_000:
        raise ValueError(f"n_timestep is {length}")
    return {
        "name": "discrete",
        "betas": str(schedule["schedule"]),
        "length": length,
        "start": float(schedule.get("linear_start", 1e-6)),
        "end": float(schedule.get("linear_end", 1e-2)),
    }


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} is not a whole number above 0")
    return value


def _ratio(lr: Any, hr: Any) -> int | None:
    """Return how many times larger HR is than LR; None where the JSON has no sizes."""
    if lr is None or hr is None:
        return None
    low, high = _whole(lr), _whole(hr)
    if high % low:
        raise ValueError(f"{high} is not a multiple of {low}")
    return high // low
