"""Models in the format of diffusers: the recorded runs, every layout, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from upscale.cli.app import app
from upscale.diffusion import samplers
from upscale.diffusion.denoiser import NetworkDenoiser
from upscale.diffusion.noise import INITIAL, NoiseField
from upscale.diffusion.schedule import sigma_to_gamma
from upscale.engine.upscaler import Upscaler
from upscale.errors import ExitCode, WeightsError
from upscale.jobs.recipe import _hash_of, _weights_hash
from upscale.models import catalog, checkpoint
from upscale.models.diffusers_weights import OLD_NAMES, name_of_today
from upscale.models.inventory import LOCAL, inspect, verify
from upscale.models.restorer import Restorer

GOLDEN = Path(__file__).parents[1] / "golden" / "diffusers_tiny"
SAFE, BIN = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"
CPU = torch.device("cpu")


@pytest.fixture
def latent(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "ldm_sr", tmp_path / "latent"))


@pytest.fixture
def pixel(tmp_path: Path) -> Path:
    return make_pixel(tmp_path / "pixel")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """As Karlo's repository: two U-Nets, a scheduler beside them, and an index that names more."""
    folder = tmp_path / "pair"
    for seed, part in enumerate(("super_res_first", "super_res_last")):
        make_pixel(folder / part, scheduler=None)
        tensors = load_file(folder / part / SAFE)
        tensors["conv_out.bias"] += seed
        save_file(tensors, folder / part / SAFE)
    shutil.copytree(GOLDEN / "scheduler_unclip", folder / "super_res_scheduler")
    unet = ["diffusers", "UNet2DModel"]
    index = {"super_res_first": unet, "super_res_last": unet, "prior": ["diffusers", "PriorTransformer"]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "UnCLIPPipeline", **index}))
    return folder


def make_pixel(folder: Path, scheduler: str | None = "unclip") -> Path:
    shutil.copytree(GOLDEN / "ldm_sr" / "unet", folder)
    if scheduler is not None:
        shutil.copy(GOLDEN / f"scheduler_{scheduler}" / "scheduler_config.json", folder)
    return folder


def load(folder: Path) -> Restorer:
    pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")
    return Restorer.load(str(folder), torch.float32, CPU)


def change(path: Path, **changes: Any) -> None:
    table = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in table.items() if value != "remove"}))


# --- the recorded runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("eta", "sampler"), [(0, "ddim"), (1, "ddpm")])
def test_latent_runs_are_the_recorded_ones(eta: int, sampler: str, latent: Path) -> None:
    restorer = load(latent)
    assert (restorer.config.sampler, restorer.config.scale, restorer.config.target) == ("ddim", 4, "latent")
    data = load_file(GOLDEN / f"pipeline_4steps_eta{eta}.safetensors")
    assert [restorer.bound.level(sigma) for sigma in restorer.config.sigmas(4)] == data["timesteps"].tolist()
    hr = restorer.restore(
        data["lr_image_m1_1"],
        lambda k: data["initial_latents"] if k == INITIAL else data[f"ddim_noise_step{k}"],
        sampler=sampler,
        steps=4,
    )
    assert (hr - (data["output_nhwc_0_1"].permute(0, 3, 1, 2) * 2 - 1)).abs().max() < 1e-5


@pytest.mark.parametrize(("kind", "last"), [("ddpm", 1e-5), ("unclip", 1.1e-3)])
@torch.inference_mode()
def test_pixel_runs_are_the_recorded_ones(kind: str, last: float, tmp_path: Path) -> None:
    restorer = load(make_pixel(tmp_path / "pixel", kind))
    assert (restorer.config.sampler, restorer.config.target) == ("ddpm", "image")
    data = load_file(GOLDEN / f"pixel_{kind}_7steps.safetensors")
    sigmas = restorer.config.sigmas(7)
    assert [restorer.bound.level(sigma) for sigma in sigmas] == data["timesteps"].tolist()
    if kind == "unclip":
        assert restorer.config.steps == 7
        # Its float32 alpha of the first step is far from the ratio it stands for: see the golden README.
        gammas = data["alphas_cumprod"]
        gamma = float(gammas[832] * (1 - (1 - gammas[999] / gammas[832])))
        exact, sigmas[0] = sigmas[0], ((1 - gamma) / gamma) ** 0.5
        assert abs(exact / sigmas[0] - 1) < 0.3
    # In float64, so that only the recording's own rounding is left.
    network, cond = restorer.network.double(), data["cond"].double()
    seen: list[Tensor] = []
    estimate = NetworkDenoiser(
        lambda x, level: network(x, level, cond), restorer.config.prediction, restorer.bound.level, clamp=1.0
    )

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        seen.append(x * sigma_to_gamma(sigma) ** 0.5)  # in the recording's variance-preserving units
        return estimate(x, sigma)

    x = data["x_T"].double() * (1 + sigmas[0] ** 2) ** 0.5
    out = samplers.sample("ddpm", denoiser, x, sigmas, lambda k: data["noises"][k].double())
    for k in range(6):
        assert (seen[k + 1] - data[f"x_after_step{k}"]).abs().max() < 1e-5, k
    assert (out - data["output"]).abs().max() < last


# --- layouts --------------------------------------------------------------------------------------------


def test_the_pair_is_one_model(pair: Path) -> None:
    restorer = load(pair)
    first = load(pair / "super_res_first")
    assert restorer.config.name == "pair" and first.config.name == "super_res_first"
    assert restorer.config.steps == first.config.steps == 7
    assert restorer.config.grid == first.config.grid  # the scheduler is beside the U-Net
    x, cond = torch.randn(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).unbind()
    for t, offset in ((999, 0.0), (1, 0.0), (0, 1.0)):
        level = torch.tensor([t])
        difference = restorer.network(x, level, cond) - first.network(x, level, cond)
        assert torch.allclose(difference, torch.full_like(x, offset), atol=1e-5), t


def test_old_pickled_weights_with_old_names(latent: Path) -> None:
    modern = load(latent).network.state_dict()
    renamed = 0
    for part in ("unet", "vqvae"):
        tensors = {}
        for name, tensor in load_file(latent / part / SAFE).items():
            for old, new in OLD_NAMES.items():
                if f"attentions.0.{new}." in name:
                    name, renamed = name.replace(new, old), renamed + 1
                    break
            tensors[name] = tensor
        torch.save(tensors, latent / part / BIN)
        (latent / part / SAFE).unlink()
    assert renamed >= 16
    old = load(latent).network.state_dict()
    assert old.keys() == modern.keys() and all(torch.equal(old[name], modern[name]) for name in old)


def test_only_attention_layers_are_renamed() -> None:
    assert name_of_today("mid_block.attentions.0.proj_attn.bias") == "mid_block.attentions.0.to_out.0.bias"
    for name in ("query.weight", "down.0.query.weight", "attentions.0.group_norm.weight", "key_conv.bias"):
        assert name_of_today(name) == name


def test_safetensors_go_before_pickles(pixel: Path) -> None:
    (pixel / BIN).write_bytes(b"never read")
    load(pixel)


def test_a_unet_alone_is_taken_for_karlos(tmp_path: Path) -> None:
    alone = catalog.describe(str(make_pixel(tmp_path / "alone", None)))
    told = catalog.describe(str(make_pixel(tmp_path / "told", "unclip")))
    assert (alone.grid, alone.steps, alone.sampler) == (
        {**told.grid, "start": alone.grid["start"], "end": alone.grid["end"]},
        told.steps,
        told.sampler,
    )


@pytest.mark.parametrize(
    "changes", [{"clip_sample": False}, {"clip_sample_range": 5.0}, {"use_karras_sigmas": True}], ids=str
)
def test_schedulers_that_sample_otherwise_are_refused(changes: dict[str, Any], pixel: Path) -> None:
    catalog.describe(str(pixel))
    change(pixel / "scheduler_config.json", **changes)
    with pytest.raises(WeightsError, match=r"The scheduler of .* (does not clip|is of a kind)"):
        catalog.describe(str(pixel))


def test_describing_imports_neither_library(latent: Path, pixel: Path) -> None:
    code = (
        "import sys\nfrom upscale.models import catalog, inventory\n"
        f"print(catalog.describe({str(latent)!r}).arch, inventory.inspect({str(pixel)!r}).scale)\n"
        "sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "latent_unet2d 4\n"), done.stderr


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler"])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_other_schedulers_of_the_same_chain(kind: str, spacing: str, latent: Path) -> None:
    change(
        latent / "scheduler" / "scheduler_config.json",
        **{"_class_name": kind, "timestep_spacing": spacing, "prediction_type": "v_prediction"},
    )
    config = catalog.describe(str(latent))
    assert config.prediction == "v" and config.grid["spacing"] == spacing and config.steps == 100


# --- the extra ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "load"])
def test_without_the_library(command: str, pixel: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)  # as if it were not installed
    if command == "load":
        with pytest.raises(WeightsError, match="need the diffusers library") as caught:
            checkpoint.load(catalog.locate(str(pixel)))
        assert caught.value.hint == "Install it: pip install 'upscale[diffusers]'"
        return
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(photo)
    result = CliRunner().invoke(app, [str(photo), "--model", str(pixel)])
    assert result.exit_code == ExitCode.WEIGHTS
    assert "pip install 'upscale[diffusers]'" in " ".join(result.stderr.split())
    assert not (tmp_path / "photo_4x.png").exists()


# --- what is refused ------------------------------------------------------------------------------------


class Bomb:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_not_executed(zipped: bool, pixel: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the weights are read after the network is laid out")
    harm = tmp_path / "harm"
    (pixel / SAFE).unlink()
    if zipped:
        torch.save({"conv_in.weight": Bomb(harm)}, pixel / BIN)
    else:
        (pixel / BIN).write_bytes(pickle.dumps(Bomb(harm)))
    with pytest.raises(WeightsError, match="nothing in it was executed"):
        load(pixel)
    assert not harm.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "UNet2DConditionModel"),
        ({"in_channels": 3}, "does not upscale"),
        ({"out_channels": 6}, "does not upscale"),
        ({"block_out_channels": "remove"}, "levels"),
        ({"block_out_channels": [2**40, 32]}, "out of range"),
        ({"block_out_channels": [16] * 40}, "out of range"),
        ({"block_out_channels": [50_000, 32]}, "cannot be built"),
        ({"block_out_channels": [16]}, "cannot be built"),
        ({"block_out_channels": 5}, "cannot be built"),
        ({"block_out_channels": [16, 33]}, "cannot be built"),
        ({"layers_per_block": 10**9}, "out of range"),
        ({"layers_per_block": 200}, "cannot be built"),
        ({"layers_per_block": "many"}, "cannot be built"),
        ({"down_block_types": ["SkipDownBlock2D", "os.system"]}, "cannot be built"),
        ({"attention_head_dim": 0}, "cannot be built"),
        ({"attention_head_dim": 1000}, "cannot be built|do not fit"),
        ({"norm_num_groups": 0}, "cannot be built"),
        ({"act_fn": "__import__"}, "cannot be built"),
        ({"class_embed_type": "timestep"}, "cannot be built"),
        ({"num_class_embeds": 1000}, "cannot be built"),
        ({"time_embedding_type": "fourier"}, "cannot be built"),
        ({"magic": True}, "cannot be built"),
        ({"norm_eps": "x"}, "cannot be built|does not fit"),
        ({"block_out_channels": [32, 32]}, "do not fit"),
        ({"layers_per_block": 2}, "do not fit"),
    ],
    ids=str,
)
def test_unets_that_are_refused(changes: dict[str, Any], said: str, pixel: Path) -> None:
    library = pytest.importorskip("diffusers", reason="sizes are checked as the network is laid out")
    assert library.UNet2DModel  # imported only now, which takes seconds
    change(pixel / "config.json", **changes)
    began = time.process_time()
    with pytest.raises(WeightsError, match=said):
        load(pixel)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("scheduler/scheduler_config.json", {"_class_name": "KarrasVeScheduler"}),
        ("scheduler/scheduler_config.json", {"_class_name": ["x"]}),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}),
        ("scheduler/scheduler_config.json", {"prediction_type": "velocity"}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "1000"}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 1}),
        ("scheduler/scheduler_config.json", {"beta_start": "x"}),
        ("scheduler/scheduler_config.json", {"beta_end": 7.0}),
        ("scheduler/scheduler_config.json", {"beta_end": 1e300}),
        ("scheduler/scheduler_config.json", {"steps_offset": "1"}),
        ("scheduler/scheduler_config.json", {"steps_offset": 10**30}),
        ("scheduler/scheduler_config.json", {"timestep_spacing": "wide"}),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1]}),
        ("scheduler/scheduler_config.json", {"clip_sample": True}),
        ("scheduler/scheduler_config.json", {"use_karras_sigmas": True}),
        ("model_index.json", {"_class_name": "StableDiffusionPipeline", "vqvae": "remove"}),
        ("model_index.json", {"unet": ["diffusers", "UNet2DConditionModel"]}),
        ("model_index.json", {"unet": 3}),
        ("vqvae/config.json", {"_class_name": "AutoencoderKL"}),
        ("vqvae/config.json", {"block_out_channels": [8] * 7}),
        ("vqvae/config.json", {"block_out_channels": "remove"}),
        ("unet/config.json", {"in_channels": 4}),
    ],
    ids=str,
)
def test_pipelines_that_are_refused_by_their_configs(
    file: str, changes: dict[str, Any], latent: Path
) -> None:
    change(latent / file, **changes)
    with pytest.raises(WeightsError):
        catalog.describe(str(latent))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_vq_embeddings": 99_999},
        {"latent_channels": 4},
        {"norm_type": "spatial"},
        {"layers_per_block": 64},
        {"block_out_channels": [8, 8]},
        {"act_fn": "tanh"},
        {"vq_embed_dim": 8},
    ],
    ids=str,
)
def test_autoencoders_that_are_refused(changes: dict[str, Any], latent: Path) -> None:
    pytest.importorskip("diffusers", reason="sizes are checked as the network is laid out")
    change(latent / "vqvae" / "config.json", **changes)
    with pytest.raises(WeightsError, match="cannot be built|do not fit"):
        load(latent)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b"{" + b" " * 2_000_000 + b"}"])
@pytest.mark.parametrize(
    "file", ["model_index.json", "unet/config.json", "vqvae/config.json", "scheduler/scheduler_config.json"]
)
def test_damaged_configs(file: str, content: bytes, latent: Path) -> None:
    (latent / file).write_bytes(content)
    with pytest.raises(WeightsError):
        catalog.describe(str(latent))


@pytest.mark.parametrize(
    "file", ["unet/config.json", "vqvae/config.json", "scheduler/scheduler_config.json", f"vqvae/{SAFE}"]
)
def test_missing_files(file: str, latent: Path) -> None:
    (latent / file).unlink()
    with pytest.raises(WeightsError, match=file):
        catalog.locate(str(latent))


def test_damaged_weights(pixel: Path) -> None:
    pytest.importorskip("diffusers", reason="the weights are read after the network is laid out")
    whole = (pixel / SAFE).read_bytes()
    for damaged in (whole[:1000], whole[:-1000], b"", whole[:8] + b"x" + whole[9:]):
        (pixel / SAFE).write_bytes(damaged)
        with pytest.raises(WeightsError, match="not a whole safetensors file"):
            load(pixel)
    (pixel / SAFE).unlink()
    torch.save(load_file(GOLDEN / "ldm_sr" / "unet" / SAFE), pixel / BIN)
    packed = (pixel / BIN).read_bytes()
    (pixel / BIN).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(WeightsError, match="damaged or not a .bin file"):
        load(pixel)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no model.safetensors"):
        catalog.locate(str(tmp_path))
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(WeightsError, match="holds no model.safetensors"):
        catalog.locate(str(tmp_path))


# --- commands -------------------------------------------------------------------------------------------


def test_models_can_be_looked_at_and_verified(latent: Path) -> None:
    item = inspect(str(latent))
    files = [latent / "unet" / SAFE, latent / "vqvae" / SAFE]
    assert (item.where, item.scale, item.weights) == (LOCAL, 4, files[0])
    assert item.size == sum(path.stat().st_size for path in files)
    for command in (["info"], ["verify"], ["path"]):
        result = CliRunner().invoke(app, ["models", *command, str(latent)])
        assert result.exit_code == ExitCode.OK, result.output
    files[1].write_bytes(files[1].read_bytes()[:-1])
    result = CliRunner().invoke(app, ["models", "verify", str(latent)])
    assert result.exit_code == ExitCode.WEIGHTS and "bytes long" in " ".join(result.stderr.split())


def test_pickled_weights_are_verified_by_their_checksums(pixel: Path) -> None:
    tensors = load_file(pixel / SAFE)
    torch.save(tensors, pixel / BIN)
    (pixel / SAFE).unlink()
    assert verify(str(pixel)).weights == pixel / BIN
    content = bytearray((pixel / BIN).read_bytes())
    content[content.index(tensors["conv_in.weight"].numpy().tobytes())] ^= 1  # between them is padding
    (pixel / BIN).write_bytes(content)
    with pytest.raises(WeightsError, match="are damaged"):
        verify(str(pixel))


def run(*arguments: str | Path) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == ExitCode.OK, result.output


def pixels(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).float()


@pytest.mark.parametrize("layout", ["pixel", "pair", "latent"])
def test_upscaling_through_tiles_and_cascade(
    layout: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")
    folder = request.getfixturevalue(layout)
    face = tmp_path / "face.png"
    level = np.linspace(0, 255, 40 * 20 * 3).reshape(20, 40, 3)
    Image.fromarray(level.astype(np.uint8)).save(face)
    common = ("--model", folder, "--dtype", "fp32", "--device", "cpu", "--quiet")
    run(face, *common, "--steps", 2, "-o", tmp_path / "4.png")
    run(face, *common, "--steps", 2, "-o", tmp_path / "again.png")
    run(face, *common, "--steps", 2, "--seed", 7, "-o", tmp_path / "seed.png")
    run(face, *common, "--steps", 3, "-o", tmp_path / "steps.png")
    run(face, *common, "--steps", 2, "--tile", 32, "-o", tmp_path / "tiles.png")
    run(face, *common, "--steps", 1, "--scale", 8, "--tile", 32, "-o", tmp_path / "8.png")
    made = {name: pixels(tmp_path / f"{name}.png") for name in ("4", "again", "seed", "steps", "tiles", "8")}
    assert made["4"].shape == (80, 160, 3) and made["8"].shape == (160, 320, 3)
    assert torch.equal(made["4"], made["again"])
    assert not torch.equal(made["4"], made["seed"]) and not torch.equal(made["4"], made["steps"])
    assert made["tiles"].shape == made["4"].shape and made["4"].std() > 1


def test_a_second_run_knows_every_file_of_a_model(latent: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")
    before = _weights_hash(str(latent))
    _hash_of.cache_clear()
    tensors = load_file(latent / "vqvae" / SAFE)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, latent / "vqvae" / SAFE)
    assert _weights_hash(str(latent)) != before


def test_noise_lies_on_the_latent_grid(latent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two overlapping tiles see the same noise where they overlap, at the LR image's size."""
    pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")
    upscaler = Upscaler(str(latent), device="cpu", dtype="fp32", steps=1, seed=3, tile_px=32)
    seen: list[Tensor] = []
    samples = Restorer.samples

    def watch(self: Restorer, lr: Tensor, noises: Any, **options: Any) -> Iterator[Tensor]:
        (noise,) = noises = list(noises)
        seen.extend(noise(INITIAL))
        return samples(self, lr, noises, **options)

    monkeypatch.setattr(Restorer, "samples", watch)
    upscaler(Image.new("RGB", (64, 20)), 4)
    halo = upscaler._models[0].restorer.config.halo_px
    plane = torch.from_numpy(NoiseField(3).window(INITIAL, 0, 0, 20, 64))
    assert len(seen) == 2 and seen[0].shape == (3, 20, 32 + halo)
    assert torch.equal(seen[0], plane[:, :, : 32 + halo]) and torch.equal(seen[1], plane[:, :, 32 - halo :])
