"""`python -m upscale.training`: train, export and evaluate one after the other, and their refusals."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from upscale.models.digest import sha256_of
from upscale.models.restorer import Restorer
from upscale.training.__main__ import app
from upscale.training.evaluation.evaluate import Setting, evaluate, untiled


def call(*args: str | Path) -> Any:
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_from_photos_to_scores(recipe_file: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    recipe, run, model = recipe_file(), tmp_path / "run", tmp_path / "tiny-4x"
    trained = call("train", recipe, photos, "--run", run, "--steps", "2", "--threads", "1")
    assert trained.exit_code == 0, trained.output
    assert "3 photos" in trained.stderr and trained.stdout == ""
    assert call("train", recipe, photos, "--run", run, "--steps", "50").exit_code == 0
    lent = ("--steps", "52", "--minutes", "5", "--decay-minutes", "5", "--workers", "1", "--pages", photos)
    again = call("train", recipe, photos, "--run", run, *lent)
    assert again.exit_code == 0, again.output

    exported = call("export", recipe, run, model, "--steps", "2")
    assert exported.exit_code == 0, exported.output
    row = tomllib.loads(exported.stdout)["tiny-4x"]
    weights = model / "model.safetensors"
    assert row == {"sha256": sha256_of(weights), "size": weights.stat().st_size}

    scored = call("evaluate", model, photos, "--settings", "1,ddpm:2:0.5", "--dtype", "fp32", "--limit", "2")
    assert scored.exit_code == 0, scored.output
    scores = json.loads(scored.stdout)
    assert list(scores) == ["bicubic", "ddim 1", "ddpm 2 f=0.5"]  # ddim is the model's own
    assert all(score["psnr_y"] > 10 and score["lpips"] is None for score in scores.values())
    assert scores["bicubic"]["drift"] == 0


def test_a_model_is_called_as_the_folder_that_one_is_in(
    recipe_file: Callable[..., Path], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder = recipe_file(), tmp_path / "tiny-4x"
    assert call("train", recipe, photos, "--run", tmp_path / "run", "--steps", "1").exit_code == 0
    folder.mkdir()
    monkeypatch.chdir(folder)
    exported = call("export", recipe, tmp_path / "run", ".")
    assert exported.exit_code == 0, exported.output
    assert list(tomllib.loads(exported.stdout)) == ["tiny-4x"]
    assert json.loads((folder / "config.json").read_text())["name"] == "tiny-4x"


def test_scores_are_those_of_the_pictures(make_model: Callable[..., Path], photos: Path) -> None:
    """A network that predicts nothing scores as bicubic does, and drifts nowhere."""
    folder = make_model(silent=True, residual_std=0.01)
    restorer = Restorer.load(str(folder), torch.float32, torch.device("cpu"))
    settings = [Setting(None), Setting("ddim", 1)]
    scores = evaluate(untiled(restorer), 4, photos, settings)
    smooth, same = (scores[setting] for setting in settings)
    assert smooth.psnr_y > 20
    assert same.psnr_y == pytest.approx(smooth.psnr_y, abs=0.1) and same.drift < 0.3
    first = evaluate(untiled(restorer), 4, photos, settings[:1], limit=1)
    assert first[settings[0]].psnr_y != smooth.psnr_y


def test_a_search_shows_each_schedule_once(make_model: Callable[..., Path], photos: Path) -> None:
    how = ["--score", "psnr", "--crops", "1", "--side", "64", "--trials", "1", "--refine", "0"]
    found = call("search-schedule", make_model(), photos, "--steps", "1", *how, "--dtype", "fp32")
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["trials"]) == 2 and found.stderr.count("own") == 1


def test_a_model_on_latents_is_scored(make_model: Callable[..., Path], photos: Path) -> None:
    """Its noise lies on a grid of the small picture's size."""
    model = make_model("latent_unet2d")
    scored = call("evaluate", model, photos, "--settings", "2", "--dtype", "fp32", "--limit", "1")
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["ddim 2"]["psnr_y"] > 0


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["train", "nonsense", "PHOTOS", "--run", "RUN"], 2, "no recipe 'nonsense'"),
        (["train", "RECIPE", "PHOTOS", "--run", "RECIPE", "--steps", "0"], 4, "tiny.toml: File exists"),
        (["train", "RECIPE", "PHOTOS", "--run", "RUN", "--threads", "-1"], 2, "--threads"),
        (["train", "RECIPE", "PHOTOS", "--run", "RUN", "--minutes", "-1"], 2, "--minutes"),
        (["train", "RECIPE", "PHOTOS", "--run", "RUN", "--decay-minutes", "-1"], 2, "--decay-minutes"),
        (["train", "RECIPE", "EMPTY", "--run", "RUN", "--vgg", "RECIPE"], 5, "cannot be used as VGG"),
        (["train", "RECIPE", "PHOTOS", "--run", "RUN", "--device", "moon"], 6, "The device moon cannot be"),
        (["train", "RECIPE", "EMPTY", "--run", "RUN"], 3, "No picture of at least 48 pixels"),
        (
            ["train", "RECIPE", "PHOTOS", "--run", "RUN", "--begin-with", "none.pt"],
            3,
            "none.pt cannot be read",
        ),
        (["train", "RECIPE", "PHOTOS", "--run", "RUN", "--vgg", "none"], 5, "none cannot be used as VGG"),
        (["train", "RECIPE", "PHOTOS", "--run", "RUN", "--teacher", "none.pt"], 3, "none.pt cannot be read"),
        (
            ["train", "RECIPE", "PHOTOS", "--run", "RUN", "--teacher", "sr3-photo-4x"],
            2,
            "sr3-photo-4x does not fit the recipe",
        ),
        (["export", "RECIPE", "EMPTY", "MODEL"], 3, "state.pt cannot be read"),
        (["evaluate", "nonsense", "PHOTOS"], 5, "no model 'nonsense'"),
        (["evaluate", "sr3-photo-4x", "PHOTOS", "--settings", "dimm:1"], 2, "no sampler 'dimm'"),
        (["evaluate", "sr3-photo-4x", "PHOTOS", "--settings", "ddim"], 2, "no number of steps"),
        (["evaluate", "sr3-photo-4x", "PHOTOS", "--settings", "ddim:0"], 2, "no number of steps"),
        (["evaluate", "sr3-photo-4x", "PHOTOS", "--settings", "4:2"], 2, "no number of steps"),
        (["evaluate", "sr3-photo-4x", "PHOTOS", "--dtype", "int8"], 2, "dtype int8 is unknown"),
        (["evaluate", "TINY", "EMPTY"], 3, "No photographs in"),
        (["search-schedule", "TINY", "EMPTY", "--steps", "2", "--score", "psnr"], 3, "No photographs in"),
        (
            ["search-schedule", "TINY", "PHOTOS", "--steps", "2", "--score", "best"],
            2,
            "--score best is unknown",
        ),
        (["search-schedule", "TINY", "PHOTOS", "--steps", "2"], 2, "--score sum needs LPIPS"),
        (["evaluate", "TINY", "PHOTOS", "--power", "nan"], 2, "would not load"),
        (["evaluate", "TINY", "PHOTOS", "--told", "0"], 2, "would not load"),
        (["evaluate", "CHAIN", "PHOTOS", "--power", "2"], 2, "a discrete grid, without power"),
        (["evaluate", "TINY", "CUT"], 3, "cut.png cannot be decoded"),
        (["evaluate", "TINY", "NOTHING"], 3, "nothing.png is not a picture"),
        (["evaluate", "TINY", "SMALL"], 3, "small.png is too small to be scored at 4x"),
        (["search-schedule", "TINY", "NOTHING", "--steps", "2", "--score", "psnr"], 3, "is not a picture"),
        (
            [
                "train",
                "RECIPE",
                "PHOTOS",
                "--run",
                "RUN",
                "--steps",
                "1",
                "--evaluate-every",
                "2",
                "--evaluate-on",
                "EMPTY",
            ],
            3,
            "No photographs in",
        ),
        (
            ["train", "RECIPE", "PHOTOS", "--run", "RUN", "--decay-from", "3", "--minutes", "0"],
            2,
            "--steps, which is not given",
        ),
        (["export", "RECIPE", "EMPTY", "MODEL", "--steps", "0"], 2, "--steps"),
        (["export", "RECIPE", "EMPTY", "MODEL", "--fidelity", "2"], 2, "--fidelity"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else str(value)[:20],
)
def test_mistakes_are_sentences(
    args: list[str],
    code: int,
    says: str,
    recipe_file: Callable[..., Path],
    make_model: Callable[..., Path],
    photos: Path,
    tmp_path: Path,
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    names = {
        "RECIPE": recipe_file(),
        "PHOTOS": photos,
        "EMPTY": empty,
        "RUN": tmp_path / "run",
        "MODEL": tmp_path / "model",
        "TINY": make_model(),
        "CHAIN": make_model("sr3_unet"),
    }
    whole, small = (photos / "0.png").read_bytes(), io.BytesIO()
    Image.new("RGB", (11, 12)).save(small, "png")
    for name, content in (("cut", whole[:300]), ("nothing", b""), ("small", small.getvalue())):
        names[name.upper()] = tmp_path / name
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(content)
    result = call(*(names.get(arg, arg) for arg in args))
    assert result.exit_code == code, result.output
    assert says in result.stderr and "Traceback" not in result.output
    assert result.stdout == ""
