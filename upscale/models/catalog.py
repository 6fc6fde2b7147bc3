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
from upscale.models import diffusers_layout
from upscale.models.access import FREE, Access
from upscale.models.config import MAX_JSON_BYTES, ModelConfig
from upscale.models.entry import CONFIG_FILE, DIFFUSERS, WEIGHTS_FILE, Entry
from upscale.models.header import config_text
from upscale.models.reference import parse
from upscale.models.remote import Remote


@dataclass(frozen=True)
class Location:
    """Where a model's files are.

    Attributes:
        weights: The safetensors file; for formats of several, the first of them.
        config: `config.json`, or None where the weights file describes itself.
        hashes: What files of it must hash to, where somebody vouches for them.
        folder: The model's folder, for models of diffusers; None for ours.
        parts: For those, the weights file of each part of the network.
        name: For those, what the model is called; ours say it themselves.
    """

    weights: Path
    config: Path | None
    hashes: Mapping[Path, str] = field(default_factory=dict)
    folder: Path | None = None
    parts: Mapping[str, Path] = field(default_factory=dict)
    name: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """All weights files."""
        return tuple(self.parts.values()) or (self.weights,)

    @property
    def sha256(self) -> str | None:
        """What the weights must hash to; None where nobody vouches for them, or there are several files."""
        return self.hashes.get(self.weights) if len(self.files) == 1 else None


def weights_folder() -> Path:
    """Return the folder of embedded weights."""
    package = Path(__file__).parents[1]
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


def embedded_folder(entry: Entry) -> Path:
    """Return where the files of an embedded model are."""
    return weights_folder() / entry.name


@functools.cache
def load() -> Mapping[str, Entry]:
    """Return all entries by name.

    Raises:
        WeightsError: The catalogue is missing or damaged.
    """
    path = weights_folder() / "catalog.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        entries = {name: Entry.from_row(name, row) for name, row in table.items()}
        _check_cascades(entries)
        return entries
    except (OSError, TypeError, AttributeError, ValueError) as error:  # ValueError: neither TOML nor UTF-8
        raise WeightsError(
            f"The model catalogue {path} cannot be read ({error}).", hint="Reinstall upscale."
        ) from None


def _check_cascades(entries: Mapping[str, Entry]) -> None:
    for entry in entries.values():
        for name in entry.cascade:
            if name not in entries:
                raise ValueError(f"{entry.name}: there is no model {name}")
            if entries[name].cascade:
                raise ValueError(f"{entry.name}: {name} is a cascade itself")


def stages(name: str) -> tuple[str, ...]:
    """Return the names of the models that run the stages of a cascade, in order.

    The last of them runs all stages after it as well. One name is one model for all stages.

    Args:
        name: As for `locate`; also a cascade of the catalogue, or several names with commas between them.

    Raises:
        WeightsError: One of several names is missing, or is a cascade itself.
    """
    entries = load()
    if name in entries:
        return entries[name].cascade or (name,)
    names = tuple(part.strip() for part in name.split(","))
    if name and (len(names) == 1 or _exists(name)):
        return (name,)
    for part in names:
        if not part:
            raise WeightsError(
                f"A model's name is missing in {name!r}.", hint="Give one, or several as in first,second."
            )
        if part in entries and entries[part].cascade:
            raise WeightsError(f"{part} is a cascade itself.", hint="Give it alone, or single models.")
    return names


def locate(name: str, access: Access = FREE) -> Location:
    """Return where the model `name` is; one on the Hub is downloaded unless it is in the cache.

    Args:
        name: A catalogue name, a model folder, a `.safetensors` file, or `owner/repo[@revision][:subfolder]`.
        access: How the Hub may be used.

    Raises:
        WeightsError: There is no such model (the message names the nearest ones), or it cannot be had.
    """
    remote = on_hub(name)
    if remote is None:
        return _locate_here(name)
    return _at(remote, remote.fetch_all(access))


def find(name: str) -> Location | None:
    """Return what `locate` does, without any network: None for a model that is on the Hub only.

    Raises:
        WeightsError: There is no such model.
    """
    remote = on_hub(name)
    if remote is None:
        return _locate_here(name)
    folder = remote.cached()
    return None if folder is None else _at(remote, folder)


def _at(remote: Remote, folder: Path) -> Location:
    """Return where the files of a model of the Hub are in a folder that holds them."""
    hashes = {folder / path: sha256 for path, sha256 in remote.hashes.items() if sha256}
    if _is_diffusers(remote, folder):
        return _of_diffusers(folder, _name_of(remote), hashes)
    if remote.entry is None:
        return Location(folder / WEIGHTS_FILE, folder / CONFIG_FILE)
    weights = folder / remote.entry.weights_file
    config = folder / CONFIG_FILE if CONFIG_FILE in remote.hashes else None
    return Location(weights, config, hashes)


def _config_at(remote: Remote, folder: Path) -> ModelConfig:
    """Return the config of a model of the Hub whose weights may not be here yet."""
    if _is_diffusers(remote, folder):
        return diffusers_layout.read(diffusers_layout.in_folder(folder), _name_of(remote)).config
    config = folder / CONFIG_FILE
    return read_config(Location(config, config))


def _is_diffusers(remote: Remote, folder: Path) -> bool:
    if remote.entry is not None:
        return remote.entry.format == DIFFUSERS
    return diffusers_layout.recognise(diffusers_layout.in_folder(folder))


def _name_of(remote: Remote) -> str:
    return str(remote.reference) if remote.entry is None else remote.entry.name


def on_hub(name: str) -> Remote | None:
    """Return what `name` refers to on the Hub; None for others.

    A name of the catalogue goes before a path, a path that exists before a repository.
    """
    entry = load().get(name)
    if entry is not None:
        return None if entry.reference is None else Remote(entry.reference, entry)
    reference = parse(name)
    return None if reference is None or _exists(name) else Remote(reference)


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a folder that may not be entered: `_locate_here` says so
        return True


def _locate_here(name: str) -> Location:
    if len(several := stages(name)) > 1:
        raise WeightsError(
            f"{name} is a cascade of the models {' and '.join(several)}.", hint="Give one of them here."
        )
    entry = load().get(name)
    if entry is not None:
        folder = embedded_folder(entry)
        weights = folder / WEIGHTS_FILE
        return Location(weights, folder / CONFIG_FILE, {weights: entry.sha256})
    path = Path(name)
    try:
        if path.is_dir():
            get = diffusers_layout.in_folder(path)
            if not (path / WEIGHTS_FILE).is_file():
                if diffusers_layout.recognise(get):
                    return _of_diffusers(path, path.resolve().name)
                raise WeightsError(
                    f"The folder {name} holds no {WEIGHTS_FILE}.",
                    hint="Give a model's folder: ours, or one in the format of diffusers.",
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


def _of_diffusers(folder: Path, name: str, hashes: Mapping[Path, str] | None = None) -> Location:
    get = diffusers_layout.in_folder(folder)
    parts = diffusers_layout.weights(diffusers_layout.read(get, name), get, name)
    return Location(next(iter(parts.values())), None, hashes or {}, folder, parts, name)


def describe(name: str, access: Access = FREE) -> ModelConfig:
    """Return the config of the model `name` (as for `locate`) without loading its weights.

    Raises:
        WeightsError: There is no such model, or its config is damaged.
    """
    remote = on_hub(name)
    if remote is None:
        return read_config(_locate_here(name))
    return _config_at(remote, remote.fetch_configs(access))  # the weights are for later


def describe_stages(name: str, access: Access = FREE) -> tuple[ModelConfig, ...]:
    """Return the configs of `stages(name)`, in order, without loading weights.

    Raises:
        WeightsError: There is no such model, or a config is damaged.
    """
    return tuple(describe(part, access) for part in stages(name))


def known_config(name: str) -> ModelConfig | None:
    """Return what `describe` does as far as it is on this computer, else None; asks no network.

    Raises:
        WeightsError: There is no such model, or its config is damaged.
    """
    remote = on_hub(name)
    if remote is None:
        return read_config(_locate_here(name))
    folder = remote.cached_configs()
    return None if folder is None else _config_at(remote, folder)


def read_config(location: Location) -> ModelConfig:
    """Return the config at a location: from `config.json`, or else from the weights' own header.

    Raises:
        WeightsError: It is missing or damaged.
    """
    if location.folder is not None:
        return diffusers_layout.read(diffusers_layout.in_folder(location.folder), location.name).config
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
