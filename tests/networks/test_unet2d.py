"""diffusers' networks: recorded passes, the parameters of the public models, the library's defaults."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from upscale import networks
from upscale.networks import latent_unet2d
from upscale.networks.latent_unet2d import LatentUNet2D, VQConfig
from upscale.networks.unet2d import UNet2DConfig

diffusers = pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = GOLDEN / "diffusers_tiny"
LEVELS = {"block_out_channels", "down_block_types", "up_block_types"}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def config_of(path: Path, idle: set[str]) -> dict[str, Any]:
    table = json.loads(path.read_text())
    return {name: value for name, value in table.items() if not name.startswith("_") and name not in idle}


@pytest.fixture(scope="module")
def tiny() -> LatentUNet2D:
    unet = config_of(TINY / "ldm_sr" / "unet" / "config.json", {"sample_size", "num_train_timesteps"})
    unet = {name: value for name, value in unet.items() if "class_embed" not in name}
    idle = {"sample_size", "scaling_factor", "lookup_from_codebook", "force_upcast"}
    vqvae = config_of(TINY / "ldm_sr" / "vqvae" / "config.json", idle)
    network = latent_unet2d.build({"unet": unet, "vqvae": vqvae})
    assert isinstance(network, LatentUNet2D)
    network.unet.load_state_dict(load_file(TINY / "ldm_sr" / "unet" / WEIGHTS))
    state = load_file(TINY / "ldm_sr" / "vqvae" / WEIGHTS)
    held = {name: tensor for name, tensor in state.items() if not f"vqvae.{name}".startswith(network.unused)}
    network.vqvae.load_state_dict(held)
    return network.eval()


@torch.inference_mode()
def test_a_recorded_pass_of_the_unet(tiny: LatentUNet2D) -> None:
    io = load_file(TINY / "unet2d_io.safetensors")
    for k in range(2):
        x, cond = io["sample"][k : k + 1].split(3, 1)
        assert (tiny(x, io["timestep"][k : k + 1], cond) - io["output"][k]).abs().max() < 1e-5


@torch.inference_mode()
def test_recorded_latents_are_quantised_and_decoded(
    tiny: LatentUNet2D, monkeypatch: pytest.MonkeyPatch
) -> None:
    io = load_file(TINY / "vq_io.safetensors")
    monkeypatch.setattr(latent_unet2d, "CODES_AT_ONCE", 100)  # of 256, so that the last part is smaller
    indices, rows = tiny.quantize(io["z"])
    assert torch.equal(indices.flatten(), io["indices"])
    assert (rows - io["quantized"]).abs().max() < 1e-6
    assert (tiny.decode(io["z"]) - io["decoded"]).abs().max() < 1e-5


def expected(name: str) -> tuple[dict[str, Any], int, dict[str, list[int]]]:
    table = json.loads((GOLDEN / "diffusers_keys" / f"{name}.json").read_text())
    config = {key: value for key, value in table["config"].items() if key != "sample_size"}
    return config, table["n_params"], table["entries"]


def shapes(network: nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in network.state_dict().items()}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_public_models_have_their_parameters() -> None:
    """Laid out without storage: 2.8 GB each would be Karlo's."""
    karlo, karlo_count, karlo_shapes = expected("karlo_super_res")
    unet, unet_count, unet_shapes = expected("compvis_unet")
    vqvae, vqvae_count, vqvae_shapes = expected("compvis_vqvae")
    assert (karlo_count, unet_count, vqvae_count) == (691_579_523, 113_622_563, 55_322_782)
    with torch.device("meta"):
        one = networks.get("unet2d").build(karlo)
        two = networks.get("unet2d").build({**karlo, "last_step": True})
        latent = networks.get("latent_unet2d").build({"unet": unet, "vqvae": vqvae})
        autoencoder = VQConfig(**vqvae).build()
    assert one.multiple_of == 8 and latent.multiple_of == 8
    assert (count(one), count(two)) == (karlo_count, 2 * karlo_count)
    assert shapes(one) == {f"unet.{name}": shape for name, shape in karlo_shapes.items()}
    assert shapes(autoencoder) == vqvae_shapes and count(autoencoder) == vqvae_count
    assert isinstance(latent, LatentUNet2D) and count(latent.unet) == unet_count
    parts = {f"unet.{name}": shape for name, shape in unet_shapes.items()}
    parts |= {f"vqvae.{name}": shape for name, shape in vqvae_shapes.items()}
    assert shapes(latent) == {n: shape for n, shape in parts.items() if not n.startswith(latent.unused)}


@pytest.mark.parametrize(
    ("ours", "theirs", "extra"),
    [
        (UNet2DConfig, "UNet2DModel", {"last_step", "in_channels"}),
        (VQConfig, "VQModel", set()),
    ],
    ids=str,
)
def test_what_a_config_leaves_out_is_what_the_library_takes(
    ours: type[Any], theirs: str, extra: set[str]
) -> None:
    parameters = inspect.signature(getattr(diffusers, theirs).__init__).parameters
    compared = {f.name: f.default for f in dataclasses.fields(ours) if f.name not in LEVELS | extra}
    assert compared == {name: parameters[name].default for name in compared}


@torch.inference_mode()
def test_the_level_reaches_the_network(tiny: LatentUNet2D) -> None:
    x, cond = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).unbind()

    def at(t: int) -> Tensor:
        return tiny(x, torch.tensor([t]), cond)

    assert torch.equal(at(5), at(5)) and not torch.allclose(at(5), at(900))
