"""What is known of a model without loading it, and whether its files are what they should be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from upscale.errors import ExitCode, WeightsError
from upscale.models import catalog
from upscale.models.digest import sha256_of
from upscale.models.inventory import CASCADE, EMBEDDED, LOCAL, REMOTE, here, inspect, verify
from upscale.options import DEFAULT_MODEL

MakeModel = Callable[..., Path]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(catalog, "weights_folder", lambda: tmp_path)
    catalog.load.cache_clear()
    (tmp_path / "catalog.toml").touch()
    yield tmp_path
    catalog.load.cache_clear()


def publish(shelf: Path, folder: Path, sha256: str | None = None) -> None:
    """Put a model into the catalogue under the name `tiny`."""
    folder.rename(shelf / "tiny")
    catalog.load.cache_clear()
    weights = shelf / "tiny" / "model.safetensors"
    (shelf / "catalog.toml").write_text(
        f'[tiny]\nsummary = "S."\nlicence = "CC0-1.0"\nsha256 = "{sha256 or sha256_of(weights)}"\n'
        f"size = {weights.stat().st_size}\nfigures = {{psnr_y = 27.5}}\n"
    )


def test_the_catalogue_says_more_than_a_folder(make_model: MakeModel, shelf: Path) -> None:
    folder = make_model()
    local = inspect(str(folder))
    assert (local.where, local.licence, local.sha256, dict(local.figures)) == (LOCAL, None, None, {})
    assert local.size == (folder / "model.safetensors").stat().st_size
    publish(shelf, folder)
    item = inspect("tiny")
    assert (item.where, item.licence, item.figures) == (EMBEDDED, "CC0-1.0", {"psnr_y": 27.5})
    assert item.config == local.config and item.size == local.size
    assert verify("tiny") == item


def test_a_cascade_and_what_is_not_here(make_model: MakeModel, shelf: Path) -> None:
    publish(shelf, make_model())
    with (shelf / "catalog.toml").open("a") as file:
        file.write(
            f'[far]\nsummary = "F."\nlicence = "openrail"\nlicence_url = "https://x.org/l"\nsize = 5\n'
            f'restricts = "No harm."\nsha256 = "{"0" * 64}"\nrepo = "nobody/far"\nscale = 4\n'
            f'revision = "{"0" * 40}"\n[both]\nsummary = "B."\ncascade = ["tiny", "far"]\n'
        )
    catalog.load.cache_clear()
    far, both = inspect("far"), inspect("both")
    assert (far.where, far.licence_url, far.restricts) == (REMOTE, "https://x.org/l", "No harm.")
    assert (both.where, both.stages, both.summary) == (CASCADE, ("tiny", "far"), "B.")
    assert both.licence == "CC0-1.0, openrail" and both.size == (inspect("tiny").size or 0) + 5
    assert inspect("far,tiny").stages == ("far", "tiny")
    assert here() == ["tiny"]
    with pytest.raises(WeightsError, match="a cascade of the models tiny and far"):
        verify("both")


def test_every_published_model_is_whole() -> None:
    assert DEFAULT_MODEL in (names := here())
    for name in names:
        verify(name)


def test_folders_and_files_are_verified_as_far_as_they_can_be(make_model: MakeModel) -> None:
    folder = make_model()
    assert verify(str(folder)).sha256 is None
    assert verify(str(folder / "model.safetensors")).where == LOCAL


def test_a_single_changed_bit(make_model: MakeModel, shelf: Path) -> None:
    publish(shelf, make_model())
    path = shelf / "tiny" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256 is wrong") as caught:
        verify("tiny")
    assert caught.value.exit_code is ExitCode.WEIGHTS


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_too_short_or_too_long(change: int, make_model: MakeModel) -> None:
    path = make_model() / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + b"\0")
    with pytest.raises(
        WeightsError, match=rf"are {len(content) + change} bytes long instead of {len(content)}"
    ):
        verify(str(path.parent))


def test_a_config_that_was_changed(make_model: MakeModel) -> None:
    folder = make_model()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "halo_px": 5}))
    assert inspect(str(folder)).config.halo_px == 5
    with pytest.raises(WeightsError, match="not the config"):
        verify(str(folder))


def test_weights_without_their_config(make_model: MakeModel) -> None:
    folder = make_model()
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")
    assert inspect(str(folder)).scale == 4
    with pytest.raises(WeightsError, match=r"config\.json may be another model's") as caught:
        verify(str(folder))
    assert "config.json" not in (caught.value.hint or "")


@pytest.mark.parametrize("function", [inspect, verify])
def test_files_that_are_gone(function: Callable[[str], object], make_model: MakeModel, shelf: Path) -> None:
    publish(shelf, make_model())
    (shelf / "tiny" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        function("tiny")
    with pytest.raises(WeightsError, match="no model"):
        function("other")


def test_none_of_it_needs_torch() -> None:
    code = (
        "import sys; from upscale.models.inventory import verify\n"
        f"verify({DEFAULT_MODEL!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
