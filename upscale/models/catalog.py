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
from upscale.models.config import ModelConfig
from upscale.models.header import config_text

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
    """

    name: str
    summary: str
    licence: str
    sha256: str
    size: int
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the model's files are."""
        return weights_folder() / self.name


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
    """Return where the model `name` is: a catalogue name, a model folder, or a `.safetensors` file.

    Raises:
        WeightsError: There is no such model; the message names the nearest ones.
    """
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
        hint=f"Did you mean {' or '.join(near)}? A path to a model folder works too.",
    )


def describe(name: str) -> ModelConfig:
    """Return the config of the model `name` (as for `locate`) without loading its weights.

    Raises:
        WeightsError: There is no such model, or its config is damaged.
    """
    return read_config(locate(name))


def read_config(location: Location) -> ModelConfig:
    """Return the config at a location: from `config.json`, or else from the weights' own header.

    Raises:
        WeightsError: It is missing or damaged.
    """
    source = location.config or location.weights
    try:
        text = config_text(source) if location.config is None else source.read_text(encoding="utf-8")
    except OSError as error:
        raise WeightsError(f"The model's file {source} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise WeightsError(f"{source} is not a text file.", hint="Get the model again.") from None
    return ModelConfig.from_json(text, str(source))
