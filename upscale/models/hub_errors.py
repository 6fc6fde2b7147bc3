"""What people are told when the Hub's client gives up: what happened, and what to do."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any

from upscale.errors import WeightsError

if TYPE_CHECKING:
    from upscale.models.reference import Reference

FULL = errno.ENOSPC, errno.EFBIG, errno.EDQUOT
CUT_SHORT = ("Consistency check failed", "peer closed", "IncompleteRead", "size mismatch")

Rule = tuple[bool, str, str]
"""(whether it applies, message, hint)"""


class NotThere(WeightsError):
    """The repository is there, but not the file."""


def failures() -> tuple[type[Exception], ...]:
    """Return what the client raises when it gives up."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of its HTTP library

    # RuntimeError is its part in Rust, Xet; ImportError a proxy that needs another package; ValueError a name
    # that it does not like.
    return HTTPError, OSError, RuntimeError, ImportError, ValueError


def status_of(error: Exception) -> int:
    """Return the status of the answer that an error of the client tells of; 0 if there was none."""
    status: int = getattr(getattr(error, "response", None), "status_code", 0)
    in_words = re.search(r"HTTP status \w+ error \((\d{3})\b", str(error))  # of its part in Rust
    return status or (int(in_words[1]) if in_words else 0)


def explained(error: Exception, reference: Reference, name: str) -> WeightsError:
    """Return what is said of an error of the client.

    Args:
        error: What it raised.
        reference: Which model was asked for.
        name: Which file of it, as a path in its folder.
    """
    from huggingface_hub import constants, errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    status = status_of(error)
    if isinstance(error, errors.EntryNotFoundError) and status == 404:
        return NotThere(
            f"The repository {reference.repo} holds no {reference.path_of(name)}"
            f" (revision {reference.revision}).",
            hint="Models of upscale have a config.json and a model.safetensors, those of diffusers a "
            "config.json or a model_index.json; a subfolder follows a colon.",
        )
    rules: list[Rule] = [
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
            isinstance(error, errors.RepositoryNotFoundError)
            or (status == 404 and isinstance(error, errors.HfHubHTTPError)),
            f"There is no model {reference}: no folder of that name here, and no repository on the Hub that "
            "is open to you.",
            "Check the spelling; for a private one log in with: hf auth login",
        ),
        (
            status in (401, 403),
            f"The Hub does not let you read {reference.repo}.",
            "Log in with: hf auth login. A token in HF_TOKEN goes before that: is it right?",
        ),
        (
            status == 429,
            "The Hub answers that it was asked too often (429).",
            "Wait some minutes; logged in (hf auth login) the limits are higher.",
        ),
        (status >= 500, f"The Hub reports an error of its own ({status}).", "Try again later."),
        (
            (isinstance(error, OSError) and error.errno in FULL) or "No space left" in str(error),
            f"There is no room for {reference} in the cache {constants.HF_HUB_CACHE}.",
            "Free some space, or set HF_HOME to a folder elsewhere.",
        ),
        (
            any(sign in str(error) for sign in CUT_SHORT),
            f"Only a part of {reference} arrived.",
            "Try again; nothing damaged was kept.",
        ),
        (
            isinstance(error, errors.FileMetadataError),
            f"{constants.ENDPOINT} does not answer as the Hub does.",
            "Check HF_ENDPOINT, and what stands between this computer and the network.",
        ),
        (
            isinstance(error, OSError) and error.filename is not None,  # which no connection has
            f"The cache {constants.HF_HUB_CACHE} cannot be written ({first_line(error)}).",
            "Set HF_HOME to a folder that can.",
        ),
    ]
    otherwise = (
        f"The Hub cannot be reached for {reference} ({first_line(error)}).",
        "Check the connection; models in the cache and embedded ones work without it.",
    )
    return first_that_applies(rules, otherwise)


def first_that_applies(rules: list[Rule], otherwise: tuple[str, str]) -> WeightsError:
    """Return the error of the first rule that applies; `otherwise` is the (message, hint) if none does."""
    message, hint = next((said for applies, *said in rules if applies), otherwise)
    return WeightsError(message, hint=hint)


def first_line(error: Any) -> str:
    """Return the first line of an error's text, not too long."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
