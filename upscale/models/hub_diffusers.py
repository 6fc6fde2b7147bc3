"""Models of diffusers on the Hub: their configs, read one after the other, tell which files there are."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from upscale.errors import WeightsError
from upscale.models import diffusers_layout, hub
from upscale.models.diffusers_layout import COMPONENT_FILE, INDEX_FILE, Get
from upscale.models.hub_errors import NotThere
from upscale.models.reference import Reference, is_path

NAMES = (COMPONENT_FILE, INDEX_FILE)  # of which every model has one
Download = Callable[[Reference, str], Path]
"""(commit, a file's path in the repository) -> where it is then; raises `NotThere` if there is none."""


class _NotCached(WeightsError):
    """Nobody knows without asking the Hub."""


def cached(reference: Reference, *, weights: bool = True) -> Path | None:
    """Return the model's folder if all of it, or all of its configs, are in the cache; asks no network."""
    try:
        return _folder(reference, _from_cache(reference, []), weights=weights)
    except WeightsError:  # damaged ones too: who fetches them is told what is wrong
        return None


def cached_files(reference: Reference) -> list[Path]:
    """Return the files of the model, up to the first that is not in the cache; asks no network."""
    found: list[Path] = []
    with suppress(WeightsError):
        _folder(reference, _from_cache(reference, found), weights=True)
    return found


def _from_cache(reference: Reference, found: list[Path]) -> Get:
    """Return how files of a cached model are found; what was found is added to the list."""

    def get(name: str) -> Path | None:
        place = _place(reference, name)
        if place is None or hub.known_absent(*place):
            return None
        path = hub.cached_file(*place)
        if path is not None:
            found.append(path)
        elif name not in NAMES:  # the other one is not needed
            raise _NotCached(f"{name} of {reference} is not in the cache.")
        return path

    return get


def fetch(reference: Reference, download: Download, *, fresh: bool, weights: bool) -> Path | None:
    """Return the model's folder with all of its files, or with its configs; None if it is no such model.

    All are of one commit, and only once all are here does a branch show them.

    Args:
        reference: Which model.
        download: Makes a file be there.
        fresh: Whether to ask the Hub what a branch or tag stands for now.
        weights: Whether the weights are wanted, too.

    Raises:
        WeightsError: It cannot be had, or is no upscaler that this version knows.
    """
    known = hub.known_commit(reference, NAMES)
    try:
        commit = hub.commit_of(reference, NAMES, fresh=fresh, known=known)
    except NotThere:
        return None
    same = Reference(reference.repo, commit, reference.subfolder)

    def get(name: str) -> Path | None:
        place = _place(same, name)
        if place is None or hub.known_absent(*place):
            return None
        try:
            return download(*place)
        except NotThere:
            return None

    folder = _folder(same, get, weights=weights, name=str(reference))
    if folder is not None and commit != known:
        hub.note(reference, COMPONENT_FILE if get(COMPONENT_FILE) is not None else INDEX_FILE)
    return folder


def _folder(reference: Reference, get: Get, *, weights: bool, name: str = "") -> Path | None:
    if not diffusers_layout.recognise(get):
        return None
    layout = diffusers_layout.read(get, name or str(reference))
    if weights:
        diffusers_layout.weights(layout, get, name or str(reference))
    found = get(COMPONENT_FILE) or get(INDEX_FILE)
    return None if found is None else found.parent


def _place(reference: Reference, name: str) -> tuple[Reference, str] | None:
    """Return where in the repository a file is that may be beside the model's folder; None if outside."""
    path = posixpath.normpath(reference.path_of(name))
    return (Reference(reference.repo, reference.revision), path) if is_path(path) else None
