"""The catalogue: which models there are, and where a name leads. Imports no torch.

`weights/catalog.toml` holds one table for each model. In an installed package the folder is
`upscale/_weights`; in a checkout it is `weights/` at the top.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upscale.errors import WeightsError
from upscale.models import hub
from upscale.models.config import MAX_JSON_BYTES, ModelConfig
from upscale.models.header import config_text
from upscale.models.hub import Reference

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue.

    Attributes:
        name: What `--model` takes.
        summary: One sentence for people.
        licence: SPDX name.
        sha256: Of the weights file, in hexadecimal.
        size: Of the weights file, in bytes.
        figures: Measured figures by name, with the command that measured them in the model's card.
        hub: For models that are not embedded: `owner/repo@commit[:subfolder]`.
        scale: Likewise, as no config is at hand: the upscaling factor.
    """

    name: str
    summary: str
    licence: str
    sha256: str
    size: int
    figures: Mapping[str, float] = field(default_factory=dict)
    hub: str | None = None
    scale: int | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` unless a Hub entry is pinned to a commit."""
        if self.hub is not None and (
            self.reference is None or not hub.COMMIT.fullmatch(self.reference.revision)
        ):
            raise ValueError(f"{self.name} is not pinned to a commit: {self.hub}")

    @property
    def folder(self) -> Path:
        """Where an embedded model's files are."""
        return weights_folder() / self.name

    @property
    def reference(self) -> Reference | None:
        """Where a model of the Hub is; None for embedded ones."""
        return None if self.hub is None else hub.parse(self.hub)


@dataclass(frozen=True)
class Location:
    """Where a model's files are.

    Attributes:
        weights: The safetensors file.
        config: `config.json`, or None where the weights file describes itself.
        sha256: What the weights must hash to; None where nobody vouches for them.
    """

    weights: Path
    config: Path | None
    sha256: str | None = None


def weights_folder() -> Path:
    """Return the folder of embedded weights."""
    package = Path(__file__).parents[1]
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


@functools.cache
def load() -> Mapping[str, Entry]:
    """Return all entries by name.

    Raises:
        WeightsError: The catalogue is missing or damaged.
    """
    path = weights_folder() / "catalog.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: Entry(name=name, **row) for name, row in table.items()}
    except (OSError, TypeError, ValueError) as error:  # ValueError: neither TOML nor UTF-8
        raise WeightsError(
            f"The model catalogue {path} cannot be read ({error}).", hint="Reinstall upscale."
        ) from None


def locate(name: str) -> Location:
    """Return where the model `name` is; one on the Hub is downloaded unless it is in the cache.

    Args:
        name: A catalogue name, a model folder, a `.safetensors` file, or `owner/repo[@revision][:subfolder]`.

    Raises:
        WeightsError: There is no such model (the message names the nearest ones), or it cannot be had.
    """
    reference, sha256 = on_hub(name)
    if reference is None:
        return _locate_here(name)
    config, weights = hub.fetch(reference, sha256)
    return Location(weights, config, sha256)


def find(name: str) -> Location | None:
    """Return what `locate` does, without any network: None for a model that is on the Hub only.

    Raises:
        WeightsError: There is no such model.
    """
    reference, sha256 = on_hub(name)
    if reference is None:
        return _locate_here(name)
    here = hub.cached(reference)
    return None if here is None else Location(here[1], here[0], sha256)


def on_hub(name: str) -> tuple[Reference | None, str | None]:
    """Return what `name` refers to on the Hub, and the SHA-256 that the catalogue tells; None for others.

    A name of the catalogue goes before a path, a path that exists before a repository.
    """
    entry = load().get(name)
    if entry is not None:
        return entry.reference, entry.sha256
    reference = hub.parse(name)
    try:
        return (None if reference is None or Path(name).exists() else reference), None
    except OSError:  # a folder that may not be entered: `_locate_here` says so
        return None, None


def _locate_here(name: str) -> Location:
    entry = load().get(name)
    if entry is not None:
        return Location(entry.folder / WEIGHTS_FILE, entry.folder / CONFIG_FILE, entry.sha256)
    path = Path(name)
    try:
        if path.is_dir():
            if not (path / WEIGHTS_FILE).is_file():
                raise WeightsError(
                    f"The folder {name} holds no {WEIGHTS_FILE}.", hint="Give a model's folder."
                )
            config = path / CONFIG_FILE
            return Location(path / WEIGHTS_FILE, config if config.is_file() else None)
        if path.is_file():
            return Location(path, None)
    except OSError as error:  # a folder that may not be entered, a name longer than the system's
        raise WeightsError(f"The model {name} cannot be read ({error.strerror}).") from None
    near = difflib.get_close_matches(name, load(), n=3, cutoff=0.3) or list(load())
    raise WeightsError(
        f"There is no model {name!r}.",
        hint=f"Did you mean {' or '.join(near)}? A model folder or owner/repo of the Hub works too.",
    )


def describe(name: str) -> ModelConfig:
    """Return the config of the model `name` (as for `locate`) without loading its weights.

    Raises:
        WeightsError: There is no such model, or its config is damaged.
    """
    reference, _ = on_hub(name)
    if reference is None:
        return read_config(_locate_here(name))
    config = hub.fetch_config(reference)
    return read_config(Location(config, config))  # the weights are not needed yet


def read_config(location: Location) -> ModelConfig:
    """Return the config at a location: from `config.json`, or else from the weights' own header.

    Raises:
        WeightsError: It is missing or damaged.
    """
    source = location.config or location.weights
    try:
        text = config_text(source) if location.config is None else _read_text(source)
    except OSError as error:
        raise WeightsError(f"The model's file {source} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise WeightsError(f"{source} is not a text file.", hint="Get the model again.") from None
    return ModelConfig.from_json(text, str(source))


def _read_text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_JSON_BYTES + 1)  # whatever its size, that is enough to refuse it
