"""What is known of a model without loading it: for lists, for people, for checking. Imports no torch."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from upscale.errors import WeightsError
from upscale.models import catalog, hub
from upscale.models.access import Access
from upscale.models.card import Card, read_card
from upscale.models.catalog import Location
from upscale.models.config import ModelConfig
from upscale.models.digest import check_hashes
from upscale.models.entry import Entry
from upscale.models.header import CONFIG_KEY, data_size, read_metadata
from upscale.models.hub import CARD
from upscale.models.licence import LicenceNotAccepted
from upscale.models.remote import Remote

EMBEDDED, LOCAL, CACHED, REMOTE, CASCADE = "embedded", "local", "cached", "remote", "cascade"


@dataclass(frozen=True)
class Item:
    """A model, as far as its config and the catalogue tell.

    Attributes:
        name: What `--model` takes.
        where: `embedded` in the package, `local`, `cached` from the Hub, `remote`: there only, or a `cascade`
            of other models.
        weights: The weights file, or the first of several; None for remote ones.
        size: Of all weights files, in bytes.
        scale: Upscaling factor; None where nobody said.
        config: How it is built and sampled; None for remote ones.
        summary: One sentence; empty where nobody wrote one.
        licence: SPDX name, None where nobody said.
        sha256: What the weights must hash to, None where nobody vouches for them.
        figures: Measured figures by name.
        licence_url: Where the licence can be read, None where nobody said.
        restricts: One line of what the licence forbids or asks for, empty where nobody wrote one.
        stages: Names of a cascade's models, in order; empty for models.
        unpinned: Whether it is of the catalogue, but without a commit and hashes to hold it to.
    """

    name: str
    where: str
    weights: Path | None
    size: int | None
    scale: int | None
    config: ModelConfig | None
    summary: str = ""
    licence: str | None = None
    sha256: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    licence_url: str | None = None
    restricts: str = ""
    stages: tuple[str, ...] = ()
    unpinned: bool = False


def inspect(name: str) -> Item:
    """Return what is known of the model `name` (as for `catalog.locate`); asks no network.

    Raises:
        WeightsError: There is no such model, or its files cannot be read.
    """
    entry = catalog.load().get(name)
    if len(stages := catalog.stages(name)) > 1:
        return _cascade(name, entry, [inspect(part) for part in stages])
    location, remote = catalog.find(name), catalog.on_hub(name)
    config = catalog.known_config(name)
    card = _card(entry, location, remote)
    where = LOCAL if entry is None else EMBEDDED
    if remote is not None:
        where = REMOTE if location is None else CACHED
    return Item(
        name,
        where,
        weights=location.weights if location else None,
        size=sum(map(_size, location.files)) if location else entry.size if entry else None,
        scale=config.scale if config else entry.scale if entry else None,
        config=config,
        summary=card.summary,
        licence=card.licence.name or None,
        sha256=_sha256(entry, location),
        figures=entry.figures if entry else {},
        licence_url=card.licence.url or None,
        unpinned=entry.unpinned if entry else False,
        restricts=card.licence.restricts or (card.licence.gist if card.licence.name else ""),
    )


def look_up(name: str, access: Access) -> Item:
    """Return what `inspect` does; of a model that is on the Hub only, its card and its config are fetched.

    Raises:
        WeightsError: There is no such model, or the Hub cannot be asked.
    """
    for part in catalog.stages(name):
        remote = catalog.on_hub(part)
        if remote is not None and remote.entry is None and remote.cached() is None:
            remote.card(access)
            with suppress(LicenceNotAccepted):  # the card may be shown
                remote.fetch_configs(access)
    return inspect(name)


def _card(entry: Entry | None, location: Location | None, remote: Remote | None) -> Card:
    if entry is not None:
        return Card(entry.terms, entry.summary)
    if remote is not None:
        return remote.known_card()
    assert location is not None, "it is neither embedded nor on the Hub"
    return read_card(location.weights.with_name(CARD))


def _sha256(entry: Entry | None, location: Location | None) -> str | None:
    """Return what the weights must hash to, by the catalogue or by the Hub; None for several files."""
    if entry is not None and entry.sha256:
        return entry.sha256
    files = location.files if location is not None else ()
    return hub.expected_sha256(files[0]) if len(files) == 1 else None


def _cascade(name: str, entry: Entry | None, parts: list[Item]) -> Item:
    licences = {part.licence for part in parts}
    return Item(
        name,
        CASCADE,
        weights=None,
        size=sum(part.size or 0 for part in parts) if all(part.size for part in parts) else None,
        scale=parts[0].scale,
        config=None,
        summary=entry.summary if entry else "",
        licence=None if None in licences else ", ".join(sorted(filter(None, licences))),
        figures=entry.figures if entry else {},
        stages=tuple(part.name for part in parts),
    )


def here() -> list[str]:
    """Return the models of the catalogue that are on this computer; asks no network.

    Raises:
        WeightsError: The catalogue is damaged.
    """
    entries = catalog.load().values()
    return [entry.name for entry in entries if not entry.cascade and catalog.find(entry.name) is not None]


def present(name: str) -> Item:
    """Return what `inspect` does, for a model that is on this computer.

    Raises:
        WeightsError: It is on the Hub only, or there is no such model.
    """
    item = inspect(name)
    if item.stages:
        raise WeightsError(
            f"{name} is a cascade of the models {' and '.join(item.stages)}.", hint="Give one of them."
        )
    if item.weights is None:
        raise WeightsError(f"{name} is not in the cache.", hint=f"Run: upscale models pull {name}")
    return item


def verify(name: str) -> Item:
    """Check the files of the model `name`, all bytes of them, and return what is known of it.

    The weights must be whole, hash to what the catalogue or the Hub says, and carry the config that lies
    beside them.

    Raises:
        WeightsError: They are not, or there is no such model.
    """
    item = present(name)
    location = catalog.find(name)
    assert location is not None, "it is present"
    try:
        for path in location.files:
            if path.suffix == ".bin":
                _check_archive(path)
            else:
                _check_whole(path)
        told = {path: hub.expected_sha256(path) for path in location.files}  # by the Hub, of what is cached
        check_hashes({**{path: sha256 for path, sha256 in told.items() if sha256}, **location.hashes})
        if location.config is not None:
            _check_config(location.weights, location.config, item.config)
    except OSError as error:
        raise WeightsError(f"The weights of {name} cannot be read ({error.strerror}).") from None
    return item


def _check_config(weights: Path, path: Path, config: ModelConfig | None) -> None:
    """Raise `WeightsError` unless a weights file was saved with the config that lies beside it."""
    text = read_metadata(weights).get(CONFIG_KEY)
    if text is None:
        raise WeightsError(
            f"{weights} does not say what config it was saved with, so {path.name} may be another model's.",
            hint="Get the model again, from where its weights carry their config.",
        )
    if ModelConfig.from_json(text, str(weights)) != config:
        raise WeightsError(
            f"{path} is not the config that {weights.name} was saved with.", hint="Get the model again."
        )


def _check_whole(path: Path) -> None:
    """Raise `WeightsError` unless a safetensors file is as long as its header says."""
    size, expected = _size(path), data_size(path)
    if size != expected:
        raise WeightsError(
            f"The weights {path} are {size} bytes long instead of {expected}.", hint="Get the model again."
        )


def _check_archive(path: Path) -> None:
    """Raise `WeightsError` unless the checksums in a pickled weights file are right; the oldest have none."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        damaged = str(error)
    if damaged is not None:
        raise WeightsError(f"The weights {path} are damaged ({damaged[:200]}).", hint="Get the model again.")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read ({error.strerror}).") from None
