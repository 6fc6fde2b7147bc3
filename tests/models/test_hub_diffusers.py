"""Models of diffusers on the Hub: found by their configs, one file after the other, with the real client."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from upscale.cli.app import app
from upscale.errors import ExitCode, WeightsError
from upscale.models import catalog, checkpoint
from upscale.models.access import Access
from upscale.models.entry import Entry
from upscale.models.inventory import CACHED, REMOTE, inspect, look_up, verify
from upscale.models.licence import LicenceNotAccepted

GOLDEN = Path(__file__).parents[1] / "golden" / "diffusers_tiny"
WEIGHTS = "diffusion_pytorch_model.safetensors"
CARD = b"---\nlicense: apache-2.0\n---\n# Model\n"
KARLO = "owner/karlo"
Server = Any


def read(folder: Path, under: str = "") -> dict[str, bytes]:
    return {
        f"{under}{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def karlo() -> dict[str, bytes]:
    """A repository as Karlo's, with parts that are of no use here and must not be fetched."""
    unet = read(GOLDEN / "ldm_sr" / "unet")
    kind = ["diffusers", "UNet2DModel"]
    index = {"_class_name": "UnCLIPPipeline", "super_res_first": kind, "super_res_last": kind}
    return {
        "README.md": CARD,
        "model_index.json": json.dumps({**index, "prior": ["diffusers", "PriorTransformer"]}).encode(),
        "prior/diffusion_pytorch_model.bin": b"large",
        **{f"super_res_first/{name}": content for name, content in unet.items()},
        **{f"super_res_last/{name}": content for name, content in unet.items()},
        **read(GOLDEN / "scheduler_unclip", "super_res_scheduler/"),
    }


@pytest.fixture
def hub(server: Server, karlo: dict[str, bytes]) -> Server:
    server.add(KARLO, karlo)
    server.add("owner/ldm", {"README.md": CARD, **read(GOLDEN / "ldm_sr")})
    return server


@pytest.mark.parametrize(
    ("name", "arch", "parts"),
    [
        (KARLO, "unet2d", {"unet": "super_res_first", "last": "super_res_last"}),
        (f"{KARLO}:super_res_first", "unet2d", {"unet": "super_res_first"}),
        (f"{KARLO}:super_res_last", "unet2d", {"unet": "super_res_last"}),
        ("owner/ldm", "latent_unet2d", {"unet": "unet", "vqvae": "vqvae"}),
    ],
)
def test_a_model_is_fetched_once_and_then_works_without_a_network(
    name: str, arch: str, parts: dict[str, str], hub: Server
) -> None:
    assert catalog.find(name) is None and not hub.requests
    location = catalog.locate(name)
    found = {part: path.parent.name for part, path in location.parts.items()}
    assert found == parts and all(path.is_file() for path in location.files)
    asked = {request.split("/resolve/")[1].split("/", 1)[1] for request in hub.requests}
    assert not [path for path in asked if path.startswith("prior")]
    seen = hub.connections, len(hub.requests)
    config = catalog.describe(name)
    assert (config.arch, config.scale, config.name) == (arch, 4, name)
    assert config.steps == (100 if arch == "latent_unet2d" else 7)
    again = catalog.find(name)
    assert again is not None and again.parts == location.parts == catalog.locate(name).parts
    item = inspect(name)
    assert (item.where, item.licence) == (CACHED, "apache-2.0")
    assert item.size == sum(path.stat().st_size for path in location.files)
    assert (hub.connections, len(hub.requests)) == seen


@pytest.mark.parametrize("name", [KARLO, f"{KARLO}:super_res_first", "owner/ldm"])
def test_describing_leaves_the_weights_where_they_are(name: str, hub: Server) -> None:
    assert catalog.describe(name).scale == 4
    assert not [request for request in hub.requests if "diffusion_pytorch_model" in request]
    item, seen = inspect(name), len(hub.requests)
    assert item.where == REMOTE and item.config == catalog.describe(name, Access(offline=True))
    assert len(hub.requests) == seen  # nor is the branch asked for again


@pytest.mark.parametrize(("name", "steps"), [(KARLO, 7), ("owner/ldm", 100), ("owner/unet", 100)])
def test_what_is_there_can_be_looked_up(name: str, steps: int, hub: Server) -> None:
    scheduler = json.loads((GOLDEN / "ldm_sr" / "scheduler" / "scheduler_config.json").read_text())
    clipping = {"scheduler/scheduler_config.json": json.dumps({**scheduler, "clip_sample": True}).encode()}
    hub.add("owner/unet", {"README.md": CARD, **read(GOLDEN / "ldm_sr" / "unet"), **clipping})
    for _ in range(2):
        config = look_up(name, Access()).config
        assert config is not None and config.steps == steps
    assert not [request for request in hub.requests if "diffusion_pytorch_model" in request]


def test_damage_in_the_cache_is_found_and_mended(hub: Server, karlo: dict[str, bytes]) -> None:
    last = catalog.locate(KARLO).files[1]
    last.write_bytes(last.read_bytes()[:-4] + b"\0\1\0\1")
    with pytest.raises(WeightsError, match="SHA-256 is wrong"):
        verify(KARLO)
    assert CliRunner().invoke(app, ["models", "pull", KARLO]).exit_code == ExitCode.OK
    assert last.read_bytes() == karlo[f"super_res_last/{WEIGHTS}"] and verify(KARLO).where == CACHED


def test_pickled_weights_where_there_are_no_others(hub: Server, karlo: dict[str, bytes]) -> None:
    files = {name.replace(WEIGHTS, "diffusion_pytorch_model.bin"): data for name, data in karlo.items()}
    hub.add(KARLO, files)
    location = catalog.locate(f"{KARLO}:super_res_first")
    assert [path.name for path in location.files] == ["diffusion_pytorch_model.bin"]
    seen = len(hub.requests)
    assert catalog.locate(f"{KARLO}:super_res_first").parts == location.parts
    assert len(hub.requests) == seen  # that there are no safetensors is remembered


def test_a_branch_moves_only_when_asked(hub: Server, karlo: dict[str, bytes]) -> None:
    before = catalog.locate(KARLO).files
    other = karlo[f"super_res_last/{WEIGHTS}"][:-4] + b"\0\0\0\0"
    hub.add(KARLO, {**karlo, f"super_res_last/{WEIGHTS}": other})
    assert catalog.locate(KARLO).files == before
    assert CliRunner().invoke(app, ["models", "pull", KARLO]).exit_code == ExitCode.OK
    after = catalog.locate(KARLO).files
    assert after != before and after[1].read_bytes() == other


def test_an_update_that_fails_leaves_the_old_model(hub: Server, karlo: dict[str, bytes]) -> None:
    before = catalog.locate(KARLO).files
    hub.add(KARLO, {name: data for name, data in karlo.items() if name != f"super_res_last/{WEIGHTS}"})
    assert CliRunner().invoke(app, ["models", "pull", KARLO]).exit_code == ExitCode.WEIGHTS
    assert catalog.locate(KARLO).files == before


def test_a_licence_is_told_first(hub: Server, karlo: dict[str, bytes]) -> None:
    hub.add(KARLO, {**karlo, "README.md": b"---\nlicense: creativeml-openrail-m\n---\n"})
    for function in (catalog.describe, catalog.locate):
        with pytest.raises(LicenceNotAccepted, match="creativeml-openrail-m"):
            function(KARLO)
    assert not [request for request in hub.requests if request.startswith("GET") and ".json" in request]
    assert catalog.describe(KARLO, Access(accept_licence=True)).arch == "unet2d"


def test_offline(hub: Server) -> None:
    with pytest.raises(WeightsError, match="--offline"):
        catalog.locate(KARLO, Access(offline=True))
    assert not hub.requests
    catalog.locate(KARLO)
    assert catalog.locate(KARLO, Access(offline=True)).files


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{KARLO}:prior", "holds no prior/config.json"),
        (f"{KARLO}:super_res_scheduler", "holds no super_res_scheduler/config.json"),
        ("owner/nothing", "no model owner/nothing"),
    ],
)
def test_what_is_not_there(name: str, said: str, hub: Server) -> None:
    with pytest.raises(WeightsError, match=said):
        catalog.locate(name)


def test_weights_that_are_missing(hub: Server, karlo: dict[str, bytes]) -> None:
    hub.add(KARLO, {name: data for name, data in karlo.items() if not name.endswith(WEIGHTS)})
    with pytest.raises(WeightsError, match="super_res_first/diffusion_pytorch_model.safetensors or"):
        catalog.locate(KARLO)


def test_a_pipeline_that_does_not_upscale(hub: Server) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    hub.add("owner/sd", {"README.md": CARD, "model_index.json": json.dumps(index).encode()})
    with pytest.raises(WeightsError, match="StableDiffusionPipeline"):
        catalog.locate("owner/sd")


# --- the catalogue --------------------------------------------------------------------------------------


@pytest.fixture
def row(hub: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """An unpinned row for the pair."""
    lines = ["[pair-4x]", 'summary = "P."', 'licence = "MIT"', f'repo = "{KARLO}"', "unpinned = true"]
    lines += ["size = 7", "scale = 4", 'format = "diffusers"', "[pair-4x.files]", '"model_index.json" = ""']
    lines.append('"super_res_scheduler/scheduler_config.json" = ""')
    for part in ("super_res_first", "super_res_last"):
        lines += [f'"{part}/config.json" = ""', f'"{part}/{WEIGHTS}" = ""']
    (tmp_path / "catalog.toml").write_text("\n".join(lines))
    monkeypatch.setattr(catalog, "weights_folder", lambda: tmp_path)
    catalog.load.cache_clear()
    yield {}
    catalog.load.cache_clear()


def test_an_unpinned_row_is_marked_and_works(row: object, hub: Server) -> None:
    far = inspect("pair-4x")
    assert (far.where, far.unpinned, far.sha256, far.size) == (REMOTE, True, None, 7) and not hub.requests
    assert catalog.describe("pair-4x").name == "pair-4x"
    assert len(catalog.locate("pair-4x").files) == 2
    seen = len(hub.requests)
    here = inspect("pair-4x")
    assert (here.where, here.scale) == (CACHED, 4) and here.config is not None and len(hub.requests) == seen
    result = CliRunner().invoke(app, ["models", "verify", "pair-4x"])
    assert result.exit_code == ExitCode.OK and "as far as can be told" in result.output
    assert "not pinned" in CliRunner().invoke(app, ["models", "info", "pair-4x"]).output


def test_a_pinned_row_whose_files_were_changed(
    row: object, hub: Server, karlo: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalog.load()["pair-4x"]
    files = {path: hashlib.sha256(karlo[path]).hexdigest() for path in entry.files}
    pinned = replace(
        entry,
        unpinned=False,
        revision=hub.repositories[KARLO].refs["main"],
        files=files,
        sha256=files[f"super_res_first/{WEIGHTS}"],
    )
    pinned._check()
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "load", lambda: {"pair-4x": pinned})
        location = catalog.locate("pair-4x")
        assert len(location.hashes) == len(files) and location.sha256 is None
        for path in (location.files[1], location.weights.with_name("config.json")):
            content = path.read_bytes()
            path.write_bytes(content.replace(b"\n", b" ") if path.suffix == ".json" else content[:-1] + b"\1")
            for function in (lambda name: checkpoint.load(catalog.locate(name)), verify):
                with pytest.raises(WeightsError, match="SHA-256 is wrong"):
                    function("pair-4x")
            assert CliRunner().invoke(app, ["models", "pull", "pair-4x"]).exit_code == ExitCode.OK
            assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unpinned": False}, "not pinned"),
        ({"revision": "0" * 40}, "unpinned, and yet"),
        ({"sha256": "0" * 64}, "unpinned, and yet"),
        ({"files": {"a": "0" * 64}}, "unpinned, and yet"),
        ({"repo": ""}, "unpinned, and yet"),
        ({"unpinned": 1}, "wrong type"),
    ],
    ids=str,
)
def test_rows_that_contradict_themselves(changes: dict[str, Any], said: str) -> None:
    row = {"summary": "A.", "licence": "MIT", "repo": "a/b", "unpinned": True, "size": 1, "scale": 4}
    row |= {"format": "diffusers", "files": {"model_index.json": ""}}
    Entry.from_row("a", row)
    with pytest.raises(ValueError, match=said):
        Entry.from_row("a", {**row, **changes})


def test_the_public_models_are_in_the_catalogue() -> None:
    karlo, ldm = (catalog.load()[name] for name in ("karlo-sr-4x", "ldm-sr-4x"))
    assert karlo.unpinned and not karlo.terms.permissive and karlo.restricts and karlo.terms.has_address
    assert ldm.unpinned and ldm.terms.permissive
    assert karlo.size == 2 * 691_579_523 * 4 and ldm.size == (113_622_563 + 55_322_782) * 4
    assert all(entry.scale == 4 and entry.format == "diffusers" for entry in (karlo, ldm))
