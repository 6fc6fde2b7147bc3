"""What several rooms' tests share: tiny models with random weights, and a look at what files hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RESIDUAL_UNET = {
    "scale": 4,
    "width": 16,
    "inner_width": 16,
    "encoder_blocks": 1,
    "encoder_inner_blocks": 1,
    "outer_blocks": 1,
    "inner_blocks": 1,
    "embedding": 16,
}
SR3_UNET = {
    "inner_channel": 8,
    "norm_groups": 4,
    "channel_multipliers": [1, 2],
    "attn_res": [],
    "res_blocks": 1,
}
UNET2D = {
    "block_out_channels": [8, 8],
    "down_block_types": ["ResnetDownsampleBlock2D"] * 2,
    "up_block_types": ["ResnetUpsampleBlock2D"] * 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "add_attention": False,
}
VQVAE = {
    "block_out_channels": [4, 4, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "norm_num_groups": 4,
    "num_vq_embeddings": 64,
    "mid_block_add_attention": False,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "residual_unet": {
        "network": RESIDUAL_UNET,
        "scale": 4,
        "residual_std": 0.1,
        "steps": 2,
        "halo_px": 32,  # the receptive field of two steps: 19 pixels for the last, 13 for each before it
    },
    "sr3_unet": {
        "network": SR3_UNET,
        "scale": 4,
        "target": "image",
        "prediction": "epsilon",
        "level": "sqrt_gamma",
        "grid": {"name": "discrete", "betas": "linear", "length": 20, "start": 1e-3, "end": 0.3},
        "steps": 3,
        "sampler": "ddpm",
    },
    "unet2d": {
        "network": UNET2D,
        "scale": 4,
        "target": "image",
        "prediction": "epsilon",
        "level": "timestep",
        "grid": {"name": "discrete", "betas": "cosine", "length": 20},
        "steps": 3,
        "sampler": "ddpm",
    },
    "latent_unet2d": {
        "network": {"unet": UNET2D, "vqvae": VQVAE},
        "scale": 4,
        "target": "latent",
        "prediction": "epsilon",
        "level": "timestep",
        "grid": {"name": "discrete", "betas": "quad", "length": 20, "start": 1e-3, "end": 0.3},
        "steps": 3,
        "sampler": "ddim",
    },
}
NEEDS_DIFFUSERS = {"unet2d", "latent_unet2d"}


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`make_model(arch, seed=0, silent=False, heed=1, **config)` -> a model folder.

    Every weight is random, also those that training would start at zero; `silent` ones predict exactly 0, and
    what a network is told of noise counts `heed` times as much.
    """

    def make(
        arch: str = "residual_unet", *, seed: int = 0, silent: bool = False, heed: float = 1, **changes: Any
    ) -> Path:
        import torch

        if arch in NEEDS_DIFFUSERS:
            pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")
        from upscale import networks
        from upscale.models.checkpoint import save
        from upscale.models.config import ModelConfig

        config = ModelConfig(**{"name": "tiny", "arch": arch, **CONFIGS[arch], **changes})
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            network = networks.get(arch).build(config.network)
            for parameter in network.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.1)
            for name, parameter in network.named_parameters():
                if ".film." in name:
                    parameter.mul_(heed)
            if silent:
                for parameter in list(network.parameters())[-2:]:
                    parameter.zero_()
        folder = tmp_path_factory.mktemp("model") / "tiny"
        save(config, network, folder)
        return folder

    return make


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Every file under the temporary folder with the hash of its content: what must not change."""

    def look() -> dict[str, str]:
        return {
            str(path.relative_to(tmp_path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(tmp_path.rglob("*"))
            if path.is_file()
        }

    return look


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test adds to what the user's own runs have left."""
    monkeypatch.setenv("UPSCALE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
