"""Checkpoints of the public SR3 become models of ours; tests/golden/janspiry_tiny/README.md says whence."""

from __future__ import annotations

import json
import math
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from upscale.diffusion.samplers import sample
from upscale.engine.upscaler import Upscaler
from upscale.errors import ExitCode, OutputError, UpscaleError, UsageError, WeightsError
from upscale.images.picture import Picture
from upscale.images.pil import to_pil
from upscale.models import catalog, checkpoint
from upscale.models.janspiry import Recipe, convert, infer_config, read_recipe, read_tensors, with_options
from upscale.models.restorer import Restorer

GOLDEN = Path(__file__).parents[1] / "golden"
CPU = torch.device("cpu")
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """`save("janspiry_tiny")` -> the recorded checkpoint as the project writes it."""

    def write(
        which: str = "janspiry_micro", *, prefix: str = "", zipped: bool = True, **changes: Any
    ) -> Path:
        state = OrderedDict(load_file(GOLDEN / which / "I8_E1_gen.safetensors"))
        state.update(changes)
        path = tmp_path / "I8_E1_gen.pth"
        torch.save(
            OrderedDict((prefix + name, tensor) for name, tensor in state.items()),
            path,
            _use_new_zipfile_serialization=zipped,
        )
        return path

    return write


def recipe_of(which: str, scale: int = 4) -> Recipe:
    return with_options(read_recipe(GOLDEN / which / "config.json"), norm_groups=None, scale=scale)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("which", "io"), [("janspiry_tiny", "unet_io"), ("janspiry_micro", "unet_io_16x24")])
@torch.no_grad()
def test_converted_networks_give_the_recorded_output(
    which: str, io: str, prefix: str, zipped: bool, save: Save, tmp_path: Path
) -> None:
    folder = tmp_path / "mine-4x"
    config = convert(save(which, prefix=prefix, zipped=zipped), folder, recipe_of(which))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert catalog.describe(str(folder)) == config and config.name == "mine-4x"
    restorer = Restorer.load(str(folder), torch.float32, CPU)
    data = load_file(GOLDEN / which / f"{io}.safetensors")
    out = restorer.network(data["noisy"], data["noise_level"], data["cond"])
    assert (out - data["output"]).abs().max() < 1e-5
    recorded = load_file(GOLDEN / which / "I8_E1_gen.safetensors")
    for name, tensor in restorer.network.state_dict().items():
        assert torch.equal(tensor, recorded[f"denoise_fn.{name}"])


@torch.no_grad()
def test_a_converted_model_samples_as_recorded(save: Save, tmp_path: Path) -> None:
    """With nothing but what its config says: sampler, number of steps, noise levels, bounds."""
    folder = tmp_path / "m"
    convert(save("janspiry_tiny"), folder, recipe_of("janspiry_tiny"))
    restorer = Restorer.load(str(folder), torch.float32, CPU)
    config = restorer.config
    assert (config.sampler, config.steps, config.target, config.prediction) == ("ddpm", 8, "image", "epsilon")
    data = load_file(GOLDEN / "janspiry_tiny" / "sampler_linear8.safetensors")
    sigmas = restorer.config.sigmas(config.steps)
    last = len(sigmas) - 1
    told: list[Tensor] = []

    recorded = restorer.bound.narrow(data["cond"])
    network = restorer.network
    restorer.bound = replace(
        restorer.bound, runner=lambda x, level, _: told.append(level) or network(x, level, recorded)
    )
    conditioned = restorer.condition(torch.zeros(2, 3, 8, 8))
    x = data["x_T"] * (1 + sigmas[0] ** 2) ** 0.5
    out = sample(config.sampler, conditioned, x, sigmas, lambda k: data[f"noise_t{last - k}"])
    assert (out - data["output"]).abs().max() < 1e-5
    assert [float(level) for level in told] == pytest.approx(
        [float(data[f"noise_level_t{t}"][0, 0]) for t in range(last, -1, -1)], abs=1e-6
    )


@pytest.mark.parametrize(("name", "scale"), [("16_128", 8), ("64_512", 8)])
def test_full_size_models_fit_without_a_missing_or_surplus_key(name: str, scale: int) -> None:
    keys = json.loads((GOLDEN / "janspiry_keys" / f"{name}.json").read_text())
    shapes = {
        key.removeprefix("denoise_fn."): tuple(entry["shape"])
        for key, entry in keys["entries"].items()
        if key.startswith("denoise_fn.")
    }
    unet = keys["unet"]
    recipe = Recipe(norm_groups=unet["norm_groups"], scale=scale, image_size=keys["image_size"])
    config = infer_config(shapes, recipe, name, "here")
    network = checkpoint.build(config, "here")
    assert {k: tuple(t.shape) for k, t in network.state_dict().items()} == shapes
    assert sum(p.numel() for p in network.parameters()) == keys["n_params"]
    assert config.network["channel_multipliers"] == unet["channel_multiplier"]
    assert config.network["res_blocks"] == unet["res_blocks"]
    assert config.network["attn_res"] == [r for r in unet["attn_res"] if name == "16_128"]
    assert (config.steps, config.grid["length"], config.halo_px) == (2000, 2000, 8)


def test_the_unconditional_model_is_refused() -> None:
    keys = json.loads((GOLDEN / "janspiry_keys" / "sample_128.json").read_text())
    shapes = {
        key.removeprefix("denoise_fn."): tuple(entry["shape"])
        for key, entry in keys["entries"].items()
        if key.startswith("denoise_fn.")
    }
    with pytest.raises(WeightsError, match="does not upscale: it reads 3 channels"):
        infer_config(shapes, Recipe(norm_groups=32, scale=8), "x", "here")
    with pytest.raises(WeightsError, match=r"in_channel 6 \(the weights: 3\)"):  # with the other model's JSON
        infer_config(shapes, Recipe(norm_groups=32, scale=8, claims={"in_channel": 6}), "x", "here")


def test_the_affine_variant_is_seen() -> None:
    from upscale.networks.sr3_unet import SR3UNet, SR3UNetConfig

    table = {"inner_channel": 8, "norm_groups": 4, "channel_multipliers": (1, 2), "use_affine_level": True}
    with torch.device("meta"):
        network = SR3UNet(SR3UNetConfig(**table, attn_res=(64, 128), res_blocks=3))
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    config = infer_config(shapes, Recipe(norm_groups=4, scale=2), "x", "here")
    assert config.network["use_affine_level"] and config.network["attn_res"] == [128, 64]
    assert config.network["res_blocks"] == 3


def test_the_json_of_the_project(tmp_path: Path) -> None:
    """With comments, and with the sizes of the images, from which the scale follows."""
    table = json.loads((GOLDEN / "janspiry_tiny" / "config.json").read_text())
    table["datasets"] = {"train": {"l_resolution": 16, "r_resolution": 128, "dataroot": "http://x//y"}}
    table["model"]["unet"]["dropout"] = 0.2
    del table["model"]["unet"]["norm_groups"]
    text = json.dumps(table, indent=1).replace('"phase": "val",', '"phase": "val", // or "train", {')
    path = tmp_path / "sr.json"
    path.write_text("// SR3\n" + text)
    recipe = read_recipe(path)
    assert (recipe.scale, recipe.norm_groups, recipe.image_size, recipe.dropout) == (8, 32, 32, 0.2)
    assert recipe.grid == {"name": "discrete", "betas": "linear", "length": 8, "start": 1e-4, "end": 0.5}
    assert with_options(recipe, norm_groups=16, scale=4) == replace(recipe, norm_groups=16, scale=4)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("model"),
        lambda t: t["model"].pop("diffusion"),
        lambda t: t["model"].update(beta_schedule={}),
        lambda t: t["model"].update(unet=[1]),
        lambda t: t["model"]["unet"].update(norm_groups="many"),
        lambda t: t["model"]["unet"].update(norm_groups=0),
        lambda t: t["model"]["unet"].update(dropout="x"),
        lambda t: t["model"]["diffusion"].update(image_size=10**30 * 1.5),
        lambda t: t["model"]["beta_schedule"]["val"].update(n_timestep=10**9),
        lambda t: t["model"]["beta_schedule"]["val"].update(linear_start=None),
        lambda t: t.update(datasets={"val": {"l_resolution": 48, "r_resolution": 128}}),
        lambda t: t.update(datasets={"val": {"l_resolution": 0, "r_resolution": 128}}),
        lambda t: t.update(datasets=3),
    ],
)
def test_a_json_that_makes_no_sense(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    table = json.loads((GOLDEN / "janspiry_tiny" / "config.json").read_text())
    change(table)
    path = tmp_path / "sr.json"
    path.write_text(json.dumps(table))
    with pytest.raises(WeightsError, match="not a config of Janspiry's SR3"):
        read_recipe(path)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 200_000])
def test_a_json_that_is_none(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "sr.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"sr\.json"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"norm_groups": 3}, "cannot be built"),
        ({"dropout": 7.0}, "cannot be built"),
        ({"scale": 17}, "out of range"),
        ({"scale": 1}, "out of range"),
        ({"grid": {"name": "discrete", "betas": "none", "length": 5}}, "out of range"),
        ({"claims": {"inner_channel": 64, "res_blocks": 2}}, r"inner_channel 64 \(the weights: 8\), res_blo"),
    ],
)
def test_recipes_that_do_not_fit(change: dict[str, Any], said: str, save: Save, tmp_path: Path) -> None:
    recipe = replace(recipe_of("janspiry_micro"), **change)
    with pytest.raises(WeightsError, match=said):
        convert(save(), tmp_path / "m", recipe)
    assert not (tmp_path / "m").exists()


def test_what_cannot_be_inferred_is_asked_for(save: Save, tmp_path: Path) -> None:
    path = save()
    with pytest.raises(UsageError, match="do not say their norm-groups and scale") as caught:
        convert(path, tmp_path / "m", Recipe())
    assert "--config" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="do not say their scale"):
        convert(path, tmp_path / "m", Recipe(norm_groups=4))
    config = convert(path, tmp_path / "m", Recipe(norm_groups=4, scale=2))
    assert (config.scale, config.steps, config.halo_px) == (2, 2000, 32)


def test_an_existing_model_is_kept(save: Save, tmp_path: Path) -> None:
    path, folder = save(), tmp_path / "m"
    recipe = recipe_of("janspiry_micro")
    convert(path, folder, recipe)
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(OutputError, match="holds a model already"):
        convert(path, folder, replace(recipe, scale=2))
    assert (folder / "model.safetensors").read_bytes() == before
    assert convert(path, folder, replace(recipe, scale=2), overwrite=True).scale == 2
    assert catalog.describe(str(folder)).scale == 2


def test_a_folder_that_cannot_be_made(save: Save, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        convert(save(), tmp_path / "file" / "m", recipe_of("janspiry_micro"))


@pytest.mark.parametrize(
    "changes",
    [
        {"denoise_fn.downs.0.weight": torch.zeros(0)},
        {"denoise_fn.downs.0.weight": torch.zeros(0, 6, 3, 3)},
        {"denoise_fn.downs.1.res_block.block1.block.3.weight": torch.zeros(9, 8, 3, 3)},
        {"denoise_fn.downs.1.res_block.block1.block.3.weight": torch.tensor(1.0)},
    ],
    ids=lambda changes: str([tuple(t.shape) for t in changes.values()]),
)
def test_other_networks(changes: dict[str, Tensor], save: Save, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not an SR3 U-Net"):
        convert(save(**changes), tmp_path / "m", replace(recipe_of("janspiry_micro"), claims={}))


def test_surplus_and_misshapen_tensors(save: Save, tmp_path: Path) -> None:
    path = save(**{"denoise_fn.magic": torch.zeros(1), "denoise_fn.mid.0.attn.out.bias": torch.zeros(3)})
    with pytest.raises(WeightsError, match=r"1 unknown \(such as magic\), 1 of another shape"):
        convert(path, tmp_path / "m", recipe_of("janspiry_micro"))


def test_half_precision_is_widened(save: Save, tmp_path: Path) -> None:
    name = "final_conv.block.3.bias"
    half = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float16)
    convert(save(**{f"denoise_fn.{name}": half}), tmp_path / "m", recipe_of("janspiry_micro"))
    written = load_file(tmp_path / "m" / "model.safetensors")[name]
    assert written.dtype == torch.float32 and torch.equal(written, half.float())


class Bomb:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["pickle", "torch", "legacy", "state", "json"])
def test_a_malicious_pickle_is_refused_and_creates_nothing(how: str, save: Save, tmp_path: Path) -> None:
    harm, folder = tmp_path / "harm", tmp_path / "m"
    bomb, path = Bomb(harm), tmp_path / "bomb.pth"
    if how in ("pickle", "json"):
        path.write_bytes(pickle.dumps(bomb))
    elif how == "state":
        path = save(**{"denoise_fn.downs.0.weight": bomb})
    else:
        torch.save({"downs.0.weight": bomb}, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(WeightsError) as caught:
        if how == "json":
            read_recipe(path)
        else:
            convert(path, folder, recipe_of("janspiry_micro"))
    assert caught.value.exit_code is ExitCode.WEIGHTS
    if how != "json":
        assert "nothing in it was executed" in caught.value.message
        assert "torch.load" not in caught.value.message  # whose advice is to execute it
    assert not harm.exists() and not folder.exists()
    with path.open("rb") as file:  # it would have: the test can fail
        if how == "pickle":
            pickle.load(file)
            assert harm.is_dir()


def test_a_tensor_that_claims_more_than_the_file_holds(save: Save, tmp_path: Path) -> None:
    """One number shown a million million times; copying it would take 4 TB."""
    vast = torch.zeros(1).expand(10**6, 10**6)
    with pytest.raises(WeightsError, match="claims more numbers than it holds"):
        convert(save(**{"denoise_fn.magic": vast}), tmp_path / "m", recipe_of("janspiry_micro"))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.zeros(3).to_sparse(), "of a kind that no weights are of"),
        (torch.zeros(3, device="meta"), "of a kind that no weights are of"),
        (torch.zeros(3, dtype=torch.complex64), "not finite real numbers"),
        (torch.zeros(3, dtype=torch.int64), "not finite real numbers"),
        (torch.full((3,), math.nan), "not finite real numbers"),
    ],
    ids=["sparse", "meta", "complex", "whole", "nan"],
)
@pytest.mark.filterwarnings("ignore:Casting complex:UserWarning")
def test_tensors_that_are_no_weights(value: Tensor, says: str, save: Save, tmp_path: Path) -> None:
    path = save(**{"denoise_fn.final_conv.block.3.bias": value})
    with pytest.raises(WeightsError, match=says):
        convert(path, tmp_path / "m", recipe_of("janspiry_micro"))
    assert not (tmp_path / "m").exists()


def test_a_tensor_by_two_names(save: Save) -> None:
    with pytest.raises(WeightsError, match=r"final_conv\.block\.3\.bias twice"):
        read_tensors(save(**{"final_conv.block.3.bias": torch.zeros(3)}))


@pytest.mark.parametrize(
    "value", [3, [1, 2], {}, {"a": 1}, {"betas": torch.zeros(3)}, torch.zeros(2)], ids=str
)
def test_pickles_of_something_else(value: object, tmp_path: Path) -> None:
    path = tmp_path / "I1_E1_opt.pth"
    torch.save(value, path)
    with pytest.raises(WeightsError, match="no state dict of an SR3"):
        read_tensors(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file(share: float, zipped: bool, save: Save) -> None:
    path = save(zipped=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"_gen\.pth"):
        read_tensors(path)


def test_a_damaged_pickle_never_ends_in_a_traceback(save: Save) -> None:
    """Some damage is only to numbers, which nobody can see."""
    path = save(zipped=False)
    content = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for place in torch.randint(0, 12_000, (150,), generator=generator).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        try:
            read_tensors(path)
        except UpscaleError as error:
            assert error.exit_code is ExitCode.WEIGHTS
            refused += 1
    assert refused > 50


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            read_tensors(path)


@pytest.mark.parametrize("scale", [2, 4, 5])
def test_a_converted_model_upscales_through_tiles_and_cascade(scale: int, save: Save, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    folder = tmp_path / "m"
    convert(save(), folder, recipe_of("janspiry_micro", scale=2))
    upscaler = Upscaler(str(folder), device="cpu", dtype="fp32", tile_px=32, steps=2)
    levels = torch.randint(0, 256, (20, 50, 3), generator=torch.Generator().manual_seed(0))
    large = upscaler(to_pil(Picture(levels.to(torch.uint8).numpy())), scale=scale)
    assert large.size == (50 * scale, 20 * scale)
    assert large.convert("L").getextrema()[0] < 100 < large.convert("L").getextrema()[1]
