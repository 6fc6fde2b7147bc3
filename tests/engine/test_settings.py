"""What is settled on: what is asked for comes before what the model has for its defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from upscale.engine.settings import joint_color_fix, settle, settle_stages
from upscale.errors import UsageError
from upscale.models.config import ModelConfig
from upscale.options import EngineOptions

OWN = ModelConfig(
    "own", "none", {}, 4, steps=3, sampler="dpmpp_2m", fidelity=0.2, cascade_fidelity=0.5, spoilt_fidelity=0.4
)
PUBLISHED = ModelConfig(
    "published",
    "none",
    {},
    8,
    target="image",
    prediction="epsilon",
    level="sqrt_gamma",
    grid={"name": "discrete", "betas": "cosine", "length": 100},
    steps=7,
    color_fix="wavelet",
)


@pytest.mark.parametrize(
    ("asked", "settled"),
    [
        ({}, {"sampler": "dpmpp_2m", "steps": 3, "fidelity": 0.2, "denoise": None, "shrink": None}),
        ({"steps": 9, "sampler": "ddim", "seed": 5}, {"steps": 9, "sampler": "ddim", "seed": 5}),
        ({"fidelity": 0.3}, {"fidelity": 0.3, "cascade_fidelity": 0.3, "spoilt_fidelity": 0.3, "steps": 3}),
        ({"fidelity": 0.0}, {"fidelity": 0.0, "cascade_fidelity": 0.0, "spoilt_fidelity": 0.0}),
        ({"fidelity": 1.0}, {"steps": 1}),
        ({"denoise": 0.4, "shrink": 2.0}, {"denoise": 0.4, "shrink": 2.0}),
        ({"consistency": True}, {"denoise": 0.0, "shrink": 1.0}),
        ({"device": "cuda:1", "dtype": "fp16"}, {"device": "cuda:1", "dtype": "fp16", "tile_px": None}),
    ],
    ids=str,
)
def test_what_is_asked_for_comes_before_the_defaults(asked: dict[str, Any], settled: dict[str, Any]) -> None:
    found = settle(OWN, EngineOptions(**asked))
    assert {name: getattr(found, name) for name in settled} == settled


def test_defaults_of_stages_and_spoilt_photos_are_those_of_all_others_if_there_are_none() -> None:
    found = settle(replace(OWN, cascade_fidelity=None, spoilt_fidelity=None), EngineOptions())
    assert (found.cascade_fidelity, found.spoilt_fidelity) == (0.2, 0.2)


def test_a_model_that_cannot_be_told_of_noise_does_not_look_for_it() -> None:
    found = settle(PUBLISHED, EngineOptions())
    assert (found.denoise, found.shrink) == (0.0, 1.0)
    assert settle(PUBLISHED, EngineOptions(shrink=2.0)).shrink == 2.0


@pytest.mark.parametrize(
    ("changes", "asked", "says"),
    [
        ({}, {"fidelity": 0.5}, "no --fidelity"),
        ({}, {"steps": 101}, "101 steps are more than the 100"),
        ({}, {"start": 0.5, "steps": 99}, "99 steps are more than the"),
        ({}, {"sampler": "best"}, "best"),
        ({}, {"denoise": 0.5}, "no --denoise"),
        ({"target": "latent"}, {"start": 0.9}, "no --start: what it refines is no picture"),
        (
            {"process": "relay", "target": "residual", "prediction": "v"},
            {"start": 0.9},
            "no --start: it starts from the enlarged photo",
        ),
    ],
    ids=str,
)
def test_what_a_model_cannot_do_is_refused(changes: dict[str, Any], asked: dict[str, Any], says: str) -> None:
    config = replace(PUBLISHED, **changes)
    settle_stages([config], EngineOptions())
    with pytest.raises(UsageError, match=says) as caught:
        settle_stages([config], EngineOptions(**asked))
    assert caught.value.hint


def test_of_a_cascade_the_first_model_alone_must_know_of_noise() -> None:
    first, second = settle_stages([OWN, PUBLISHED], EngineOptions(denoise=0.5))
    assert (first.denoise, second.denoise) == (0.5, 0.0)
    with pytest.raises(UsageError, match="no --denoise"):
        settle_stages([PUBLISHED, OWN], EngineOptions(denoise=0.5))


def test_colours_are_put_right_as_the_neediest_model_wants() -> None:
    assert joint_color_fix(settle_stages([OWN, PUBLISHED], EngineOptions())) == "wavelet"
    assert joint_color_fix(settle_stages([OWN, PUBLISHED], EngineOptions(color_fix="none"))) == "none"
