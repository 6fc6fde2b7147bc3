"""From a name to files, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from upscale.errors import ExitCode, WeightsError
from upscale.models import catalog
from upscale.models.entry import Entry
from upscale.models.reference import Reference
from upscale.options import DEFAULT_MODEL

MakeModel = Callable[..., Path]
ZEROS, ONES = "0" * 64, "1" * 64


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of weights in place of the embedded one."""
    monkeypatch.setattr(catalog, "weights_folder", lambda: tmp_path)
    catalog.load.cache_clear()
    yield tmp_path
    catalog.load.cache_clear()


def test_the_default_model_is_in_the_catalogue() -> None:
    entry = catalog.load()[DEFAULT_MODEL]
    assert entry.name == DEFAULT_MODEL
    assert catalog.embedded_folder(entry) == catalog.weights_folder() / DEFAULT_MODEL
    assert catalog.describe(DEFAULT_MODEL).name == DEFAULT_MODEL


def test_rows_become_entries(shelf: Path) -> None:
    (shelf / "catalog.toml").write_text(
        f'[a-2x]\nsummary = "A."\nlicence = "CC0-1.0"\nsha256 = "{ZEROS}"\nsize = 3\n'
        f"figures = {{psnr_y = 27.5}}\n"
        f'[b-4x]\nsummary = "B."\nlicence = "CC0-1.0"\nsha256 = "{ONES}"\nsize = 4\n'
    )
    entries = catalog.load()
    assert list(entries) == ["a-2x", "b-4x"]
    assert entries["a-2x"].figures == {"psnr_y": 27.5} and entries["b-4x"].figures == {}
    weights = shelf / "b-4x" / "model.safetensors"
    location = catalog.locate("b-4x")
    assert location == catalog.Location(weights, shelf / "b-4x" / "config.json", {weights: ONES})
    assert location.sha256 == ONES


@pytest.mark.parametrize(
    "content",
    [None, b"= 3", b"[a]\nsize = 3\n", b"[a]\nunknown = 1\n", b"a = 3", b"\xff\xfe"],
    ids=["missing", "no TOML", "incomplete", "surplus", "no table", "no UTF-8"],
)
def test_a_damaged_catalogue(content: bytes | None, shelf: Path) -> None:
    if content is not None:
        (shelf / "catalog.toml").write_bytes(content)
    with pytest.raises(WeightsError, match=r"catalog\.toml cannot be read") as caught:
        catalog.load()
    assert caught.value.exit_code is ExitCode.WEIGHTS and "Reinstall" in (caught.value.hint or "")


HERE = {"summary": "A.", "licence": "CC0-1.0", "sha256": ONES, "size": 3}
FAR = {**HERE, "repo": "owner/sr", "revision": "a" * 40, "scale": 4}
FOREIGN = {
    **FAR,
    "format": "diffusers",
    "subfolder": "first/last",
    "files": {"unet/config.json": "", "unet/net.bin": ONES, "vqvae/net.bin": ZEROS},
}
BOUND = {**FAR, "licence": "openrail", "licence_url": "https://x.org/l", "restricts": "No harm."}


@pytest.mark.parametrize("row", [HERE, FAR, FOREIGN, BOUND])
def test_rows_that_are_sound(row: dict[str, Any]) -> None:
    entry = Entry.from_row("a", row)
    assert entry.reference == (Reference("owner/sr", "a" * 40, entry.subfolder) if entry.repo else None)
    assert entry.weights_file == ("unet/net.bin" if entry.files else "model.safetensors")
    assert entry.hashes[entry.weights_file] == ONES
    assert entry.terms.permissive == (row is not BOUND)


@pytest.mark.parametrize(
    ("row", "changes", "said"),
    [
        (HERE, {"licence": ""}, "no licence"),
        (HERE, {"licence": "openrail"}, "a licence that restricts"),
        (BOUND, {"licence_url": ""}, "a licence that restricts"),
        (BOUND, {"licence_url": "http://x.org"}, "a licence that restricts"),
        (BOUND, {"restricts": ""}, "a licence that restricts"),
        (HERE, {"sha256": ""}, "no SHA-256"),
        (HERE, {"sha256": "x" * 64}, "no SHA-256"),
        (HERE, {"size": 0}, "no size"),
        (HERE, {"size": "3"}, "wrong type"),
        (HERE, {"scale": 17}, "no such scale"),
        (HERE, {"revision": "a" * 40}, "of no repository"),
        (HERE, {"files": {"a.bin": ONES}}, "on the Hub only"),
        (FAR, {"revision": "main"}, "not pinned"),
        (FAR, {"revision": ""}, "not pinned"),
        (FAR, {"repo": "owner"}, "no repository is written so"),
        (FAR, {"subfolder": "../x"}, "no repository is written so"),
        (FAR, {"scale": None}, "needs its scale"),
        (FAR, {"format": "other"}, "no such format"),
        (FAR, {"format": "diffusers"}, "list their files"),
        (FOREIGN, {"format": "upscale"}, "list their files"),
        (FOREIGN, {"files": {"../../x.bin": ONES}}, "escape"),
        (FOREIGN, {"files": {"/x.bin": ONES}}, "escape"),
        (FOREIGN, {"files": {"x.bin": ONES, "y.bin": "1"}}, "no SHA-256"),
        (FOREIGN, {"files": {"x.bin": ZEROS}}, "no SHA-256 of the weights"),
    ],
)
def test_rows_that_contradict_themselves(row: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^a: .*{said}"):
        Entry.from_row("a", {**row, **changes})


def put_on(shelf: Path, **rows: dict[str, Any]) -> None:
    """Write a catalogue; JSON's strings, numbers and lists are TOML's as well."""
    (shelf / "catalog.toml").write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in row.items())
            for name, row in rows.items()
        )
    )
    catalog.load.cache_clear()


BOTH = {"summary": "A.", "cascade": ["a", "b"]}


def test_a_cascade_names_a_model_for_each_stage(shelf: Path) -> None:
    put_on(shelf, a=HERE, b=HERE, both=BOTH)
    assert catalog.stages("both") == catalog.stages("a,b") == catalog.stages(" a, b") == ("a", "b")
    assert catalog.stages("b,a") == ("b", "a") and catalog.stages("a") == ("a",)
    for name in ("both", "a,b"):
        for function in (catalog.locate, catalog.find, catalog.describe):
            with pytest.raises(WeightsError, match="a cascade of the models a and b"):
                function(name)
    for name, said in (("", "missing"), ("a,", "missing"), (",", "missing"), ("a,both", "cascade itself")):
        with pytest.raises(WeightsError, match=said):
            catalog.stages(name)


def test_describing_a_cascade(make_model: MakeModel) -> None:
    first, second = make_model(name="one"), make_model("sr3_unet", name="two")
    assert [config.name for config in catalog.describe_stages(f"{first},{second}")] == ["one", "two"]
    assert [config.name for config in catalog.describe_stages(DEFAULT_MODEL)] == [DEFAULT_MODEL]
    with pytest.raises(WeightsError, match="no model 'zzz'"):
        catalog.describe_stages(f"{first},zzz")


def test_a_path_with_a_comma_is_a_path(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model().rename(tmp_path / "a,b")
    assert catalog.stages(str(folder)) == (str(folder),) and catalog.describe(str(folder)).scale == 4


@pytest.mark.parametrize(
    ("cascade", "said"),
    [
        ({**BOTH, "cascade": ["a", "c"]}, "no model c"),
        ({**BOTH, "cascade": ["a", "both"]}, "a cascade itself"),
        ({**BOTH, "cascade": ["a"]}, "two models or more"),
        ({**BOTH, "cascade": ["a", 3]}, "wrong type"),
        ({**BOTH, "licence": "MIT"}, "nothing else"),
        ({**BOTH, "sha256": ONES}, "nothing else"),
    ],
)
def test_cascades_that_cannot_be(cascade: dict[str, Any], said: str, shelf: Path) -> None:
    put_on(shelf, a=HERE, b=HERE, both=cascade)
    with pytest.raises(WeightsError, match=said):
        catalog.load()


@pytest.mark.parametrize("name", ["a/b", "A", "", "..", "a b", "a\\b"])
def test_names_are_names_of_folders(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Entry.from_row(name, HERE)


@pytest.mark.parametrize(
    "name", [DEFAULT_MODEL[:-1], DEFAULT_MODEL.upper().lower()[1:], "photo-4x", "zzz", "./a/b", "../a"]
)
def test_unknown_names_are_told_the_nearest(name: str) -> None:
    with pytest.raises(WeightsError, match="no model") as caught:
        catalog.locate(name)
    assert DEFAULT_MODEL in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"], ids=["too long", "null byte"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(WeightsError):
        catalog.locate(name)


def test_a_folder_and_a_file(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model()
    weights, config = folder / "model.safetensors", folder / "config.json"
    assert catalog.locate(str(folder)) == catalog.Location(weights, config)
    assert catalog.locate(str(weights)) == catalog.Location(weights, None)
    assert catalog.describe(str(folder)) == catalog.describe(str(weights))  # either file suffices
    (tmp_path / "model.safetensors").write_bytes(weights.read_bytes())
    assert catalog.locate(str(tmp_path)).config is None
    assert catalog.describe(str(tmp_path)).name == "tiny"


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        catalog.describe(str(tmp_path))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"not json"])
def test_a_damaged_config(content: bytes, make_model: MakeModel) -> None:
    folder = make_model()
    (folder / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"config\.json is not"):
        catalog.describe(str(folder))


@pytest.mark.parametrize("which", ["folder", "file", "name"])
def test_describing_needs_no_torch(which: str, make_model: MakeModel) -> None:
    folder = make_model()
    name = {"folder": str(folder), "file": str(folder / "model.safetensors"), "name": DEFAULT_MODEL}[which]
    code = (
        "import sys; from upscale.models import catalog\n"
        f"assert catalog.describe({name!r}).scale == 4\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
