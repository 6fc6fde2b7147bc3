"""A config says everything, survives JSON, and is refused where it cannot work."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.diffusion.denoiser import LEVELS as LEVEL_TABLE
from upscale.diffusion.denoiser import PREDICTIONS as PREDICTION_TABLE
from upscale.diffusion.samplers import SAMPLERS
from upscale.errors import ExitCode, WeightsError
from upscale.models.config import LEVELS, PREDICTIONS, TARGETS, ModelConfig

FULL = ModelConfig(
    name="x",
    arch="sr3_unet",
    network={"inner_channel": 8, "attn_res": [8]},
    scale=8,
    target="image",
    prediction="epsilon",
    level="sqrt_gamma",
    residual_std=0.5,
    grid={"name": "discrete", "betas": "cosine", "length": 100},
    steps=7,
    sampler="ddpm",
    halo_px=3,
    stage_noise=0.01,
    ways_up=8,
)


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(FULL.to_json()), **values})


def test_round_trip() -> None:
    assert ModelConfig.from_json(FULL.to_json(), "here") == FULL


def test_what_is_left_out_has_a_default() -> None:
    table = {"name": "x", "arch": "residual_unet", "network": {}, "scale": 4}
    assert ModelConfig.from_json(json.dumps(table), "here") == ModelConfig(**table)  # type: ignore[arg-type]


def test_names_are_those_of_the_diffusion_room() -> None:
    """They are written twice because the tables there import torch."""
    assert set(PREDICTIONS) == set(PREDICTION_TABLE) and set(LEVELS) == {*LEVEL_TABLE, "timestep"}


@pytest.mark.parametrize(
    "changes",
    [
        *({"target": value} for value in TARGETS),
        *({"prediction": value} for value in PREDICTIONS),
        *({"level": value, "grid": {"name": "discrete"}} for value in LEVELS),
        *({"sampler": value} for value in SAMPLERS),
        {"sampler": "ddim@0.5"},
        {"grid": {"name": "edm"}},
        {"grid": {"name": "discrete", "length": 50, "zero_snr": True}, "prediction": "v"},
        {"grid": {"name": "trigonometric", "power": 2.0, "sigma_max": 50}},
        {"grid": {"name": "trigonometric", "sigma_last": 0.2}},
        {"told": 0.9},
        {"process": "relay", "target": "residual", "relay": {"block": 0.3, "blur_max": 2.0}},
    ],
    ids=str,
)
def test_every_choice_is_taken(changes: dict[str, Any]) -> None:
    ModelConfig.from_json(changed(**changes), "here")


@pytest.mark.parametrize("text", ["", "{", "\x80", "[" * 100_000, "nul"], ids=range(5))
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(WeightsError, match=r"^here\.json is not valid JSON") as caught:
        ModelConfig.from_json(text, "here.json")
    assert caught.value.exit_code is ExitCode.WEIGHTS and caught.value.hint


@pytest.mark.parametrize("text", ["[]", "3", "null", '"config"'])
def test_json_that_is_no_table(text: str) -> None:
    with pytest.raises(WeightsError, match="here is not a model config"):
        ModelConfig.from_json(text, "here")


def test_unknown_and_missing_entries_are_named() -> None:
    with pytest.raises(WeightsError, match="'magic'.*newer version"):
        ModelConfig.from_json(changed(magic=1), "here")
    with pytest.raises(WeightsError, match="'scale'"):
        ModelConfig.from_json('{"name": "x", "arch": "y", "network": {}}', "here")


@pytest.mark.parametrize(
    "changes",
    [
        *({name: 10**400} for name in ("told", "fidelity", "residual_std", "stage_noise", "steps", "scale")),
        {"process": "relay", "target": "residual", "prediction": "v", "relay": {"block": 10**400}},
        *({"name": value} for value in (1, None, [])),
        *({"arch": value} for value in (1, {}, None)),
        *({"network": value} for value in ([], "big", None, {"width": 10**9}, {"a": [[1e300]]})),
        *({"network": {"width": value}} for value in (math.nan, math.inf, -math.inf)),
        *({"scale": value} for value in (0, 1, -4, 17, 2.5, "4", None, True)),
        *({"target": value} for value in ("picture", 1, None, [])),
        *({"prediction": value} for value in ("w", 1, {})),
        *({"level": value} for value in ("volume", 1)),
        *({"residual_std": value} for value in (0, -1, 1e9, math.nan, "1", None)),
        {"process": "resist"},
        {"process": "relay", "target": "image"},
        *(
            {"process": "relay", "target": "residual", "relay": value}
            for value in ([], {"magic": 1}, {"length": 2}, {"block": "x"}, {"side": 2}, {"side": 8.5})
        ),
        *({"told": value} for value in (0, -1, 100, math.nan, "1", None)),
        {"grid": {"name": "trigonometric", "sigma_last": 200}},
        *({"grid": value} for value in ({}, [], "edm", {"name": 3}, {"name": "edm", "rho": 10**9})),
        {"grid": {"name": "no such grid"}},
        {"grid": {"name": "discrete", "length": 50, "zero_snr": True}, "prediction": "epsilon"},
        *({"sampler": value} for value in ("ddim@", "ddim@2", "ddpm@0.5", "@", 1, None)),
        {"grid": {"name": "trigonometric", "powr": 2}},
        {"grid": {"name": "trigonometric", "power": 0}},
        {"grid": {"name": "trigonometric", "power": "two"}},
        {"grid": {"name": "trigonometric", "sigma_max": -1}},
        {"grid": {"name": "trigonometric", "sigma_max": 0}},
        {"grid": {"name": "edm", "rho": 0}},
        {"grid": {"name": "discrete", "length": 3}},
        {"grid": {"name": "discrete", "length": 10, "start": 0, "end": 0}},
        {"grid": {"name": "discrete", "betas": "no such schedule"}},
        {"grid": {"name": "discrete", "length": -1}},
        *({"steps": value} for value in (0, -1, 2001, 1.5, "4", None)),
        *({"sampler": value} for value in ("euler's", "", 3, None, [])),
        *({"halo_px": value} for value in (-1, 513, 1.5, None)),
        *({"ways_up": value} for value in (0, 3, 4, 16, 8.0, "8", None)),
        *({"stage_noise": value} for value in (-0.1, 1.1, math.nan, "0", None)),
    ],
    ids=str,
)
def test_absurd_values_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="here has values out of range") as caught:
        ModelConfig.from_json(changed(**changes), "here")
    assert caught.value.hint


@pytest.mark.parametrize("depth", [10, 300, 900])
@pytest.mark.parametrize("where", ["network", "relay", "grid"])
def test_tables_and_lists_are_not_nested_without_end(where: str, depth: int) -> None:
    deep = functools.reduce(lambda inner, _: [inner], range(depth), 1)
    text = changed(**{where: {"name": "discrete", "x": 0}}).replace('"x": 0', f'"x": {deep}')
    with pytest.raises(WeightsError, match="here has values out of range"):
        ModelConfig.from_json(text, "here")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from([f.name for f in fields(ModelConfig)]), json_values, max_size=3))
def test_anything_else_is_read_or_refused(changes: dict[str, Any]) -> None:
    """Whatever a file says, there is no traceback."""
    try:
        ModelConfig.from_json(changed(**changes), "here")
    except WeightsError as error:
        assert error.message.startswith("here")
