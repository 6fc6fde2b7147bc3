"""Models on the Hugging Face Hub, through its own client: cache, tokens and endpoint are its affair.

What is in the cache is used without asking the network. The client is imported when it is needed, never for
`--help`; only the files that a model is known to consist of are fetched, and nothing in them is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from upscale.errors import WeightsError
from upscale.models.client import Tell, bar_class, quiet_client
from upscale.models.digest import git_hash_of, sha256_of
from upscale.models.hub_errors import NotThere, explained, failures
from upscale.models.reference import COMMIT, SHA256, Reference

FILES = ("config.json", "model.safetensors")
CARD = "README.md"


def cached(reference: Reference, files: Iterable[str] = FILES) -> Path | None:
    """Return the model's folder if all these files of it are in the cache; asks no network.

    Args:
        reference: Which model.
        files: Their paths in the model's folder.
    """
    found = [cached_file(reference, name) for name in files]
    folders = {None if path is None else _folder(path, name) for path, name in zip(found, files, strict=True)}
    return folders.pop() if len(folders) == 1 else None  # of one commit


def fetch(
    reference: Reference,
    files: Mapping[str, str] = dict.fromkeys(FILES, ""),
    *,
    fresh: bool = False,
    tell: Tell | None = None,
    permit: Callable[[Reference], None] | None = None,
) -> Path:
    """Return the model's folder with these files in it, downloading those that are not in the cache.

    All are of one commit, whatever happens to a branch meanwhile; and only once all are here does a branch
    show them, so that a download that fails leaves what was there before.

    Args:
        reference: Which model.
        files: Their paths in the model's folder, each with the SHA-256 that it must have, or an empty string.
            What hashes otherwise is removed from the cache.
        fresh: Whether to ask the Hub what a branch or tag stands for now.
        tell: Told how far each file is.
        permit: Called with the commit before anything is downloaded; may raise to forbid it.

    Raises:
        WeightsError: They cannot be had; the message says why. What is in the cache stays usable.
    """
    here = None if fresh else cached(reference, files)
    if here is not None:
        return here
    first = next(iter(files))
    known = known_commit(reference, files)
    commit = commit_of(reference, (first,), fresh=fresh, known=known)
    same = Reference(reference.repo, commit, reference.subfolder)
    if permit is not None:
        permit(same)
    for name, sha256 in files.items():
        if cached_file(same, name) is None:
            _download(same, name, sha256, tell)
    if commit != known:
        note(reference, first)
    folder = cached(same, files)
    if folder is None:  # somebody empties it meanwhile
        raise WeightsError(
            f"The files of {reference} do not stay in the cache.",
            hint="Does another program clear it? Try again.",
        )
    return folder


def commit_of(
    reference: Reference, names: Iterable[str], *, fresh: bool = False, known: str | None = None
) -> str:
    """Return the commit that a branch or tag stands for: as the cache tells, or now.

    Args:
        reference: Which model.
        names: Files of it, of which one must be there.
        fresh: Whether to ask the Hub whatever the cache tells.
        known: What the cache tells, if it was looked up before.

    Raises:
        WeightsError: There is no such revision, or none of the files.
    """
    names = tuple(names)
    known = known or known_commit(reference, names)
    if known is not None and (known == reference.revision or not fresh):
        return known
    for name in names[:-1]:
        try:
            return _resolve(reference, name)
        except NotThere:
            continue
    return _resolve(reference, names[-1])


def known_commit(reference: Reference, names: Iterable[str]) -> str | None:
    """Return a pinned commit, or the one that a branch or tag stood for when it was last asked for.

    Args:
        reference: Which model.
        names: Files of it; the cache tells where it has one of them, else it is None.
    """
    if COMMIT.fullmatch(reference.revision):
        return reference.revision
    found = ((cached_file(reference, name), name) for name in names)
    return next((_commit_of(reference, path, name) for path, name in found if path is not None), None)


def note(reference: Reference, name: str) -> None:
    """Let the cache remember which commit a branch or tag stands for; the file is in the cache.

    Raises:
        WeightsError: The Hub cannot be asked.
    """
    _download(reference, name)


def cached_file(reference: Reference, name: str) -> Path | None:
    """Return the path of a file if it is in the cache; asks no network."""
    found = _in_cache(reference, name)
    return Path(found) if isinstance(found, str) else None


def expected_sha256(path: Path) -> str | None:
    """Return what a cached file must hash to: large ones lie under their SHA-256; None for others."""
    blob = path.resolve().name
    return blob if SHA256.fullmatch(blob) else None


def is_damaged(path: Path, sha256: str = "") -> bool:
    """Return whether a cached file is not what it must be.

    Args:
        path: The file.
        sha256: What it must hash to; empty where only the cache may tell, where small files lie under the
            hash that git gives them.

    Raises:
        OSError: It cannot be read.
    """
    expected = sha256 or path.resolve().name
    if SHA256.fullmatch(expected):
        return sha256_of(path) != expected
    return COMMIT.fullmatch(expected) is not None and git_hash_of(path) != expected


def discard(path: Path) -> None:
    """Take a file out of the cache; raises `OSError` if it cannot be."""
    for file in (path.resolve(), path):
        file.unlink(missing_ok=True)


def known_absent(reference: Reference, name: str) -> bool:
    """Return whether the Hub said before that this commit has no such file."""
    found = _in_cache(reference, name)
    return found is not None and not isinstance(found, str)


def fetch_card(reference: Reference) -> Path | None:
    """Return the path of the repository's card, downloading it; None if it has none.

    Raises:
        WeightsError: It cannot be had.
    """
    try:
        return _download(Reference(reference.repo, reference.revision), CARD)
    except NotThere:
        return None


def cached_card(reference: Reference) -> Path | None:
    """Return the path of the repository's card if it is in the cache; asks no network."""
    return cached_file(Reference(reference.repo, reference.revision), CARD)


def has_no_card(reference: Reference) -> bool:
    """Return whether the Hub said before that this commit has no card."""
    return known_absent(Reference(reference.repo, reference.revision), CARD)


def endpoint() -> str:
    """Return the address of the Hub."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def forbidden() -> bool:
    """Return whether the environment forbids to ask the Hub (`HF_HUB_OFFLINE`)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def remove(reference: Reference) -> int:
    """Remove a model from the cache: of its commit, or of all of its repository's; return the bytes freed.

    Of a model in a folder of the repository only that goes, unless nothing else but the card is left then.

    Raises:
        WeightsError: It is not in the cache, or cannot be removed.
    """
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        info = scan_cache_dir(constants.HF_HUB_CACHE)
        all_of_it = [
            revision
            for repo in info.repos
            if repo.repo_id == reference.repo and repo.repo_type == "model"
            for revision in repo.revisions
        ]
        revisions = [
            revision
            for revision in all_of_it
            if not COMMIT.fullmatch(reference.revision) or revision.commit_hash == reference.revision
        ]
        going = {
            file
            for revision in revisions
            for file in revision.files
            if file.file_path.is_relative_to(revision.snapshot_path / reference.subfolder)
        }
        if not going:
            raise WeightsError(f"{reference} is not in the cache.")
        if all(file in going or file.file_name == CARD for rev in revisions for file in rev.files):
            strategy = info.delete_revisions(*(revision.commit_hash for revision in revisions))
            strategy.execute()
            return int(strategy.expected_freed_size)
        shared = {file.blob_path for rev in all_of_it for file in rev.files if file not in going}
        blobs = {file.blob_path: file.size_on_disk for file in going if file.blob_path not in shared}
        for path in [*(file.file_path for file in going), *blobs]:
            path.unlink(missing_ok=True)
        return sum(blobs.values())
    except CacheNotFound:
        raise WeightsError(f"{reference} is not in the cache.") from None
    except OSError as error:
        raise WeightsError(f"{reference} cannot be removed ({error.strerror or error}).") from None


def _folder(path: Path, name: str) -> Path:
    """Return the folder that holds the file `name`, which may be in a folder of it."""
    return path.parents[len(name.split("/")) - 1]


def _in_cache(reference: Reference, name: str) -> Any:
    """Return the path of a cached file, None if unknown, else the client's mark that there is none."""
    from huggingface_hub import constants, try_to_load_from_cache

    try:
        return try_to_load_from_cache(
            reference.repo,
            reference.path_of(name),
            revision=reference.revision,
            cache_dir=constants.HF_HUB_CACHE,
        )
    except (OSError, ValueError):  # a cache that may not be read, a name the client does not like
        return None


def _commit_of(reference: Reference, path: Path, name: str) -> str:
    """Return the commit that a cached file is of."""
    depth = reference.path_of(name).count("/")
    return path.parents[depth].name


def _resolve(reference: Reference, name: str) -> str:
    """Return the commit that a branch or tag stands for now, by asking for a file of it."""
    from huggingface_hub.errors import FileMetadataError

    try:
        commit: str | None = _told(reference, name).commit_hash
        if commit is None or not COMMIT.fullmatch(commit):
            raise FileMetadataError("No commit is named.")
    except failures() as error:
        raise explained(error, reference, name) from None
    return commit


def _told(reference: Reference, name: str) -> Any:
    """Return what the Hub tells of a file without sending it; raises what the client does."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    with quiet_client():
        url = hf_hub_url(
            reference.repo,
            reference.path_of(name),
            revision=reference.revision,
            endpoint=constants.ENDPOINT,
        )
        return get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)


def _download(reference: Reference, name: str, sha256: str = "", tell: Tell | None = None) -> Path:
    import inspect

    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import FileMetadataError

    progress: dict[str, Any] = {}
    if tell is not None:
        tell(name, 0, None)
        if "tqdm_class" in inspect.signature(hf_hub_download).parameters:  # clients before 1.2 have none
            progress["tqdm_class"] = bar_class(name, tell)
    try:
        with quiet_client():
            file = hf_hub_download(
                reference.repo,
                reference.path_of(name),
                revision=reference.revision,
                cache_dir=constants.HF_HUB_CACHE,
                endpoint=constants.ENDPOINT,
                **progress,
            )
        path = Path(file)
        if COMMIT.fullmatch(reference.revision) and _commit_of(reference, path, name) != reference.revision:
            raise FileMetadataError("Another commit is named.")
        if not sha256 and not path.is_symlink():  # as on Windows, where no blob's name tells it
            told = str(_told(reference, name).etag)
            sha256 = told if SHA256.fullmatch(told) else ""
        sha256 = sha256 or expected_sha256(path) or ""
        if sha256 and is_damaged(path, sha256):  # small ones are not looked at: mirrors name them otherwise
            discard(path)
            raise WeightsError(
                f"{path.name} of {reference} arrived damaged: its SHA-256 is wrong.",
                hint="It was removed; try again, and if it stays so, the repository has changed.",
            )
    except failures() as error:
        raise explained(error, reference, name) from None
    return path
