"""What is recorded of how a result was made, and what is noticed later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from upscale.images.read import probe
from upscale.jobs.items import Skipped
from upscale.jobs.plan import plan
from upscale.jobs.recipe import DECISIVE, differences, recipe
from upscale.jobs.report import Status
from upscale.jobs.request import Request
from upscale.jobs.run import run
from upscale.models.config import ModelConfig
from upscale.version import __version__

Ask = Callable[..., Request]
Photo = Callable[..., Path]


def test_record_of_a_result(photo: Photo, request_for: Ask, engine: Any, model: str) -> None:
    path = photo("a.png")
    assert not run(plan(request_for(path, scale=2.5, seed=7)), load=engine).failed
    assert probe(path.with_name("a_2.5x.png")).record == {
        "version": __version__,
        "model": "paper",
        "weights": hashlib.sha256((Path(model) / "model.safetensors").read_bytes()).hexdigest(),
        "scale": "2.5",
        "steps": "4",
        "fidelity": "0",
        "start": "1",
        "denoise": "auto",
        "shrink": "auto",
        "samples": "1",
        "sampler": "ddim",
        "seed": "7",
        "consistency": "no",
        "color_fix": "none",
        "input_bytes": str(path.stat().st_size),
        "denoised": "0",
        "shrunk": "1",
        "fidelity_used": "0",
    }


def test_record_of_a_cascade(photo: Photo, request_for: Ask, engine: Any, model: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    config = ModelConfig(name="second", arch="none", network={}, scale=2, steps=9)
    (other / "config.json").write_text(config.to_json())
    (other / "model.safetensors").write_bytes(b"other")
    path = photo("a.png")
    both = f"{model},{other}"
    assert not run(plan(request_for(path, model=both, scale=8)), load=engine).failed
    record = probe(path.with_name("a_8x.png")).record
    assert record is not None
    assert (record["model"], record["steps"], record["sampler"]) == ("paper,second", "4,9", "ddim")
    files = (Path(model) / "model.safetensors", other / "model.safetensors")
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files]
    assert record["weights"] == ",".join(hashes)
    (again,) = plan(request_for(path, model=both, scale=8, on_conflict="skip")).items
    assert isinstance(again, Skipped) and again.differs == ()
    (alone,) = plan(request_for(path, scale=8, on_conflict="skip")).items
    assert isinstance(alone, Skipped) and set(alone.differs) == {"weights", "steps"}


@pytest.mark.parametrize(
    ("scale", "asked", "fidelity"),
    [(4, None, "0.2"), (8, None, "0.5,0.2"), (64, None, "0.5,0.5,0.2"), (8, 0.3, "0.3")],
)
def test_the_stages_before_the_last_may_be_nearer_to_the_photo(
    scale: float, asked: float | None, fidelity: str, photo: Photo, request_for: Ask, tmp_path: Path
) -> None:
    config = ModelConfig("own", "none", {}, 4, fidelity=0.2, cascade_fidelity=0.5)
    (tmp_path / "config.json").write_text(config.to_json())
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    settled = plan(request_for(photo("a.png"), model=str(tmp_path), scale=scale, fidelity=asked))
    assert recipe(settled.jobs[0], settled.request.engine.model, settled.settings)["fidelity"] == fidelity


def test_models_that_have_no_part_in_a_result_are_not_named(
    photo: Photo, request_for: Ask, engine: Any, model: str
) -> None:
    path = photo("a.png")
    settled = plan(request_for(path, model=f"{model},sr3-photo-4x", scale=4))
    assert recipe(settled.jobs[0], settled.request.engine.model, settled.settings)["model"] == "paper"


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({}, ()),
        ({"steps": 4, "sampler": "ddim"}, ()),  # the model's own
        ({"steps": 9}, ("steps",)),
        ({"consistency": True, "color_fix": "none"}, ("denoise", "shrink", "consistency")),
        ({"color_fix": "mean"}, ("color_fix",)),
        ({"start": 0.7}, ("start",)),
        ({"denoise": 0.2}, ("denoise",)),
        ({"seed": 1, "sampler": "ddpm"}, ("sampler", "seed")),
    ],
)
def test_other_settings_are_noticed(
    changed: dict[str, Any], differs: tuple[str, ...], photo: Photo, request_for: Ask, engine: Any
) -> None:
    path = photo("a.png")
    assert not run(plan(request_for(path)), load=engine).failed
    settled = plan(request_for(path, on_conflict="skip", **changed))
    (item,) = settled.items
    assert isinstance(item, Skipped) and item.differs == differs
    (outcome,) = run(settled, load=engine).outcomes
    assert outcome.status is Status.SKIPPED and outcome.differs == differs and engine.loads == 1


def test_another_input_of_the_same_name_is_noticed(photo: Photo, request_for: Ask, engine: Any) -> None:
    path = photo("a.png")
    assert not run(plan(request_for(path)), load=engine).failed
    photo("a.png", seed=1)
    path.write_bytes(path.read_bytes() + b"\0")
    (item,) = plan(request_for(path, on_conflict="skip")).items
    assert isinstance(item, Skipped) and item.differs == ("input_bytes",)


def test_results_without_a_record_are_taken_as_they_are(photo: Photo, request_for: Ask, engine: Any) -> None:
    path = photo("a.bmp")
    assert not run(plan(request_for(path)), load=engine).failed
    (item,) = plan(request_for(path, on_conflict="skip", steps=9)).items
    assert isinstance(item, Skipped) and item.differs == ()


def test_each_decisive_entry_counts(photo: Photo, request_for: Ask) -> None:
    settled = plan(request_for(photo("a.png")))
    new = recipe(settled.jobs[0], settled.request.engine.model, settled.settings)
    assert set(DECISIVE) <= set(new) and differences(new, new) == ()
    for name in DECISIVE:
        assert differences({**new, name: "other"}, new) == (name,)
        assert differences({key: value for key, value in new.items() if key != name}, new) == ()
