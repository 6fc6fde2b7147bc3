"""Models on the Hugging Face Hub, through its own client: cache, tokens and endpoint are its affair.

What is in the cache is used without asking the network. The client is imported when it is needed, never for
`--help`; only the files that a model is known to consist of are fetched, and nothing in them is executed.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscale.errors import WeightsError
from upscale.models.digest import sha256_of

FILES = ("config.json", "model.safetensors")
FULL = errno.ENOSPC, errno.EFBIG, errno.EDQUOT
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # of an owner, a repository, a folder: never `..`, never hidden
REFERENCE = re.compile(
    rf"(?P<repo>{NAME}/{NAME})(@(?P<revision>{NAME}(/{NAME})*))?(:(?P<subfolder>{NAME}(/{NAME})*))?"
)
PATH = re.compile(rf"{NAME}(/{NAME})*")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A model on the Hub.

    Attributes:
        repo: `owner/name`.
        revision: Branch, tag or commit; a commit never changes.
        subfolder: Folder in the repository, empty for its top.
    """

    repo: str
    revision: str = "main"
    subfolder: str = ""

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return self.repo + revision + (f":{self.subfolder}" if self.subfolder else "")


def parse(text: str) -> Reference | None:
    """Return what `owner/repo[@revision][:subfolder]` refers to; None if it is not written so."""
    match = REFERENCE.fullmatch(text)
    if match is None or ".." in text or len(text) > 300:
        return None
    return Reference(match["repo"], match["revision"] or "main", match["subfolder"] or "")


def is_path(text: str) -> bool:
    """Return whether `text` is the path of a file that stays in its repository and the cache."""
    return PATH.fullmatch(text) is not None and ".." not in text


def cached(reference: Reference, files: Iterable[str] = FILES) -> Path | None:
    """Return the model's folder if all these files of it are in the cache; asks no network.

    Args:
        reference: Which model.
        files: Their paths in the model's folder.
    """
    found = [_cached(reference, name) for name in files]
    folders = {None if path is None else _folder(path, name) for path, name in zip(found, files, strict=True)}
    return folders.pop() if len(folders) == 1 else None  # of one commit


def fetch(
    reference: Reference, files: Mapping[str, str] = dict.fromkeys(FILES, ""), *, fresh: bool = False
) -> Path:
    """Return the model's folder with these files in it, downloading those that are not in the cache.

    Args:
        reference: Which model.
        files: Their paths in the model's folder, each with the SHA-256 that it must have, or an empty string.
            What hashes otherwise is removed from the cache.
        fresh: Whether to ask the Hub what a branch or tag stands for now.

    Raises:
        WeightsError: They cannot be had; the message says why. What is in the cache stays usable.
    """
    here = None if fresh else cached(reference, files)
    if here is not None:
        return here
    first, *others = files
    path = (None if fresh else _cached(reference, first)) or _download(reference, first, files[first])
    folder = _folder(path, first)
    # All from the same commit, whatever happens to a branch in between.
    depth = len(reference.subfolder.split("/")) if reference.subfolder else 0
    commit = (folder, *folder.parents)[depth].name
    same = Reference(reference.repo, commit, reference.subfolder)
    for name in others:
        if _cached(same, name) is None:
            _download(same, name, files[name])
    return folder


def remove(reference: Reference) -> int:
    """Remove a model from the cache: its commit, or all of its repository's; return the bytes freed.

    Raises:
        WeightsError: It is not in the cache, or cannot be removed.
    """
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        info = scan_cache_dir(constants.HF_HUB_CACHE)
        commits = [
            revision.commit_hash
            for repo in info.repos
            if repo.repo_id == reference.repo and repo.repo_type == "model"
            for revision in repo.revisions
            if not COMMIT.fullmatch(reference.revision) or revision.commit_hash == reference.revision
        ]
        if not commits:
            raise WeightsError(f"{reference} is not in the cache.")
        strategy = info.delete_revisions(*commits)
        strategy.execute()
        return int(strategy.expected_freed_size)
    except CacheNotFound:
        raise WeightsError(f"{reference} is not in the cache.") from None
    except OSError as error:
        raise WeightsError(f"{reference} cannot be removed ({error.strerror or error}).") from None


def _folder(path: Path, name: str) -> Path:
    """Return the folder that holds the file `name`, which may be in a folder of it."""
    return path.parents[len(name.split("/")) - 1]


def _path_in(reference: Reference, name: str) -> str:
    return f"{reference.subfolder}/{name}" if reference.subfolder else name


def _cached(reference: Reference, name: str) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache

    try:
        found = try_to_load_from_cache(
            reference.repo,
            _path_in(reference, name),
            revision=reference.revision,
            cache_dir=constants.HF_HUB_CACHE,
        )
    except (OSError, ValueError):  # a cache that may not be read, a name the client does not like
        return None
    return Path(found) if isinstance(found, str) else None


def _download(reference: Reference, name: str, sha256: str = "") -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of its HTTP library
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars

    if not are_progress_bars_disabled() and not (sys.stderr and sys.stderr.isatty()):
        disable_progress_bars()
    try:
        file = hf_hub_download(
            reference.repo,
            _path_in(reference, name),
            revision=reference.revision,
            cache_dir=constants.HF_HUB_CACHE,
            endpoint=constants.ENDPOINT,
        )
        path = Path(file)
        _check(path, reference, sha256)
    except (HTTPError, OSError, ValueError) as error:  # ValueError: names the client does not like
        raise _explained(error, reference, name) from None
    return path


def _check(path: Path, reference: Reference, sha256: str) -> None:
    """Raise `WeightsError`, and take the file out of the cache, if it is not what the Hub says it is."""
    blob = path.resolve()
    # Large files are cached under their SHA-256; small ones under a hash of git's.
    expected = sha256 or (blob.name if SHA256.fullmatch(blob.name) else None)
    if expected is None:
        return
    if sha256_of(path) != expected:
        for file_path in (path, blob):
            with contextlib.suppress(FileNotFoundError):
                file_path.unlink()
        raise WeightsError(
            f"{path.name} of {reference} arrived damaged: its SHA-256 is wrong.",
            hint="It was removed; try again, and if it stays so, the repository has changed.",
        )


def _explained(error: Exception, reference: Reference, name: str) -> WeightsError:
    """Return what is said of an error of the client."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            return WeightsError(
                f"The model {reference} is not in the cache, and the Hub is not asked (HF_HUB_OFFLINE).",
                hint="Go online once, and run: upscale models pull " + str(reference),
            )
        if isinstance(error.__cause__, Exception):
            error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", 0)
    rules: list[tuple[bool, str, str]] = [
        (
            isinstance(error, errors.GatedRepoError),
            f"The repository {reference.repo} is gated: its owner wants its terms accepted.",
            "Accept them on its page on the Hub, and log in with: hf auth login",
        ),
        (
            isinstance(error, errors.RevisionNotFoundError),
            f"The repository {reference.repo} has no revision {reference.revision}.",
            "Give a branch, a tag or a commit after the @.",
        ),
        (
            isinstance(error, errors.EntryNotFoundError) and status == 404,
            f"The repository {reference.repo} holds no {_path_in(reference, name)}"
            f" (revision {reference.revision}).",
            "Models of upscale have a config.json and a model.safetensors; a subfolder follows a colon.",
        ),
        (
            isinstance(error, errors.RepositoryNotFoundError) or status == 404,
            f"There is no model {reference}: no folder of that name here, and no repository on the Hub that "
            "is open to you.",
            "Check the spelling; for a private one log in with: hf auth login",
        ),
        (status in (401, 403), f"The Hub does not let you read {reference.repo}.", "Run: hf auth login"),
        (
            status == 429,
            "The Hub answers that it was asked too often (429).",
            "Wait some minutes; logged in (hf auth login) the limits are higher.",
        ),
        (status >= 500, f"The Hub has trouble of its own ({status}).", "Try again later."),
        (
            isinstance(error, OSError) and error.errno in FULL,
            f"There is no room for {reference} in the cache {constants.HF_HUB_CACHE}.",
            "Free some space, or set HF_HOME to a folder elsewhere.",
        ),
        (
            any(sign in str(error) for sign in ("Consistency check failed", "peer closed", "IncompleteRead")),
            f"Only a part of {reference} arrived.",
            "Try again; nothing damaged was kept.",
        ),
        (
            isinstance(error, errors.FileMetadataError),
            f"{constants.ENDPOINT} does not answer as the Hub does.",
            "Check HF_ENDPOINT, and what stands between this computer and the network.",
        ),
        (
            isinstance(error, PermissionError | NotADirectoryError | FileExistsError),
            f"The cache {constants.HF_HUB_CACHE} cannot be written ({_first_line(error)}).",
            "Set HF_HOME to a folder that can.",
        ),
    ]
    for applies, message, hint in rules:
        if applies:
            return WeightsError(message, hint=hint)
    return WeightsError(
        f"The Hub cannot be reached for {reference} ({_first_line(error)}).",
        hint="Check the connection; models in the cache and embedded ones work without it.",
    )


def _first_line(error: Any) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
