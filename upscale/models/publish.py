"""A model folder of ours -> a repository on the Hub, with its card. Nothing is sent that would not load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from upscale.errors import UsageError, WeightsError
from upscale.models import catalog, hub
from upscale.models.card import parse_card
from upscale.models.client import quiet_client
from upscale.models.entry import CONFIG_FILE, WEIGHTS_FILE
from upscale.models.hub_errors import Rule, failures, first_line, first_that_applies, status_of
from upscale.models.inventory import verify
from upscale.models.reference import Reference, parse
from upscale.models.restorer import Restorer

# What a model folder may hold besides its two files and its card; nothing of it can be executed.
ALSO = {".md", ".txt", ".tsv", ".csv", ".json", ".png", ".jpg", ".jpeg", ".webp"}
NAMES = ("LICENSE", "LICENCE", "NOTICE", "COPYING")
HEAD = "---\nlicense: {licence}\npipeline_tag: image-to-image\ntags:\n- super-resolution\n- sr3\n---\n"


@dataclass(frozen=True)
class Publication:
    """What would be sent.

    Attributes:
        repo: `owner/name` on the Hub.
        files: Contents by name: a path, or the bytes themselves.
        left_out: Names of files of the folder that are not sent.
    """

    repo: str
    files: dict[str, Path | bytes]
    left_out: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in self.files.items()
        }


def prepare(model: str, repo: str) -> Publication:
    """Check a model by loading it, and return what would be sent of its folder. Asks no network.

    Args:
        model: A model folder, or the name of an embedded model.
        repo: `owner/name` on the Hub.

    Raises:
        UsageError: `repo` is not written so, or the model is not in a folder here.
        WeightsError: It would not load, or its card states no licence.
    """
    reference = parse(repo)
    if reference is None or reference != Reference(repo):
        raise UsageError(f"{repo!r} is no repository.", hint="It is written owner/name.")
    if catalog.on_hub(model) is not None:
        raise UsageError(f"{model} is on the Hub already.", hint="Give a model's folder here.")
    location = catalog.find(model)
    assert location is not None, "it is not on the Hub"
    if location.parts or location.config is None or location.weights.name != WEIGHTS_FILE:
        raise UsageError(
            f"{model} is not a folder with a {CONFIG_FILE} and a {WEIGHTS_FILE}.",
            hint="Others find these two in a repository: give such a folder.",
        )
    folder = location.config.parent
    entry = catalog.load().get(model)
    card = _card(folder / hub.CARD, entry.licence if entry else "")
    verify(model)
    Restorer.load(model, torch.float32, torch.device("cpu"))
    files: dict[str, Path | bytes] = {
        hub.CARD: card,
        CONFIG_FILE: location.config,
        WEIGHTS_FILE: location.weights,
    }
    left_out = []
    for path in sorted(folder.iterdir()):
        if path.name in files:
            continue
        plain = path.is_file() and not path.is_symlink() and not path.name.startswith(".")
        if plain and (path.suffix.lower() in ALSO or path.name.upper() in NAMES):
            files[path.name] = path
        else:
            left_out.append(path.name)
    return Publication(repo, files, tuple(left_out))


def check_online(repo: str) -> None:
    """Raise `WeightsError` if the environment forbids to ask the Hub."""
    if hub.forbidden():
        raise WeightsError(
            f"Nothing is sent to {repo}: HF_HUB_OFFLINE is set.", hint="Unset it, and try again."
        )


def push(publication: Publication, *, private: bool = False) -> str:
    """Send files in one commit, making the repository if there is none; return the commit's address.

    Args:
        publication: What to send.
        private: Whether a repository that is made is for its owner only.

    Raises:
        WeightsError: The Hub cannot be reached, or does not take them. It shows all of them or none.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants

    api = HfApi(endpoint=constants.ENDPOINT, library_name="upscale")
    operations = [
        CommitOperationAdd(name, str(content) if isinstance(content, Path) else content)
        for name, content in publication.files.items()
    ]
    try:
        with quiet_client():
            api.create_repo(publication.repo, private=private or None, exist_ok=True)
            made = api.create_commit(
                publication.repo, operations, commit_message="Upload the model with upscale"
            )
        return str(made.commit_url)
    except failures() + (KeyError,) as error:  # KeyError: whatever answers is not the Hub
        raise _refusal(error, publication.repo) from None


def _card(path: Path, licence: str) -> Path | bytes:
    """Return the card, with a head for the Hub where it has none and the catalogue knows the licence."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WeightsError(
            f"{path.parent} has no card.",
            hint=f"Write a {path.name}: what the model is for, what it was trained on, and its licence.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"The card {path} cannot be read ({first_line(error)}).") from None
    if parse_card(text).licence.name:
        return path
    if not licence:
        raise WeightsError(
            f"The card {path} states no licence.",
            hint="Begin it with three lines: ---, license: apache-2.0 (or another), ---",
        )
    return (HEAD.format(licence=licence.lower()) + "\n" + text).encode()


def _refusal(error: Exception, repo: str) -> WeightsError:
    """Return what is said of an error of the client."""
    from huggingface_hub import errors

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    status = status_of(error)
    said = first_line(getattr(error, "server_message", None) or error)
    rules: list[Rule] = [
        (
            isinstance(error, errors.LocalTokenNotFoundError) or status == 401,
            f"The Hub does not know who would write to {repo}.",
            "Log in with a token that may write: hf auth login",
        ),
        (
            status == 403,
            f"Your token may not write to {repo}.",
            "Is the owner you, or an organisation you belong to? The token needs the right to write.",
        ),
        (
            status == 404,
            f"There is no owner {repo.split('/')[0]} on the Hub, or no such repository.",
            "Check the spelling.",
        ),
        (
            status in (409, 412),
            f"Somebody else changed {repo} meanwhile, or is making it.",
            "Look at its page, and try again.",
        ),
        (status == 413, f"The Hub takes no files so large for {repo}.", said),
        (
            status == 429,
            "The Hub answers that it was asked too often (429).",
            "Wait some minutes, and try again; what was sent is not sent twice.",
        ),
        (status >= 500, f"The Hub reports an error of its own ({status}).", "Try again later."),
        (bool(status), f"The Hub refuses the files for {repo}: {said}", "Change what it names."),
    ]
    otherwise = (
        f"The connection to the Hub broke off, or there is none ({said}).",
        "Nothing is shown there until all has arrived: try again.",
    )
    return first_that_applies(rules, otherwise)
