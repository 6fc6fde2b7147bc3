"""A recipe and photographs small enough to train on in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from upscale.training import recipe as recipes
from upscale.training.examples.photos import Photos
from upscale.training.loop.state import State
from upscale.training.loop.train import train
from upscale.training.objectives.perceptual import CONVOLUTIONS, VGGFeatures
from upscale.training.recipe import Recipe

RECIPE = """
arch = "residual_unet"
scale = 4
residual_std = 0.12
seed = 3
dtype = "{dtype}"

[network]
scale = 4
width = 8
inner_width = 8
encoder_blocks = 1
encoder_inner_blocks = 1
outer_blocks = 1
inner_blocks = 1
embedding = 8

[data]
patch = 12
batch = 4

[degradation]
share = 0.5
noise_share = 0.5

[optimizer]
warmup = 3
{more}
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recipe_file(tmp_path: Path) -> Callable[..., Path]:
    """`recipe_file(dtype="fp32", more="")` -> a .toml file."""

    def write(dtype: str = "fp32", more: str = "") -> Path:
        path = tmp_path / "tiny.toml"
        path.write_text(RECIPE.format(dtype=dtype, more=more))
        return path

    return write


@pytest.fixture
def recipe(recipe_file: Callable[..., Path]) -> Recipe:
    return recipes.load(str(recipe_file()))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures that can be told from noise, and a list of where they are from."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index, (width, height) in enumerate([(96, 80), (70, 120), (100, 64)]):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    (folder / "SOURCES.tsv").write_text("0.png\tdrawn")
    return folder


@pytest.fixture(scope="module")
def images(photos: Path) -> Photos:
    return Photos.load([photos], min_side=48)


@pytest.fixture
def whole_and_parts(images: Photos, tmp_path: Path) -> Callable[..., tuple[State, State]]:
    """`whole_and_parts(recipe, steps, **how)`: a run, and the same one stopped halfway and gone on with."""

    def both(recipe: Recipe, steps: int, **how: Any) -> tuple[State, State]:
        whole = train(recipe, images, tmp_path / "whole", steps=steps, **how)
        train(recipe, images, tmp_path / "parts", steps=steps // 2, **how)
        return whole, train(recipe, images, tmp_path / "parts", steps=steps, **how)

    return both


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every number and tensor of a nested state, by its path."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{name}.{key}").items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)), name)
    return {name: value}


@pytest.fixture
def assert_equal() -> Callable[[Any, Any], int]:
    """`assert_equal(one, other)`: nested states hold the same; returns how many values they have."""

    def compare(one: Any, other: Any) -> int:
        a, b = flat(one), flat(other)
        assert a.keys() == b.keys()
        for name, value in a.items():
            same = torch.equal(value, b[name]) if isinstance(value, torch.Tensor) else value == b[name]
            assert same, name
        return len(a)

    return compare


@pytest.fixture(scope="session")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of VGG-16's shape, but 4 channels wide and random."""
    generator = torch.Generator().manual_seed(0)
    tensors, inputs = {}, 3
    for index in CONVOLUTIONS:
        tensors[f"features.{index}.weight"] = torch.randn(4, inputs, 3, 3, generator=generator) * 0.3
        tensors[f"features.{index}.bias"] = torch.randn(4, generator=generator) * 0.1
        inputs = 4
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture
def seen(vgg: Path) -> VGGFeatures:
    return VGGFeatures(vgg)
