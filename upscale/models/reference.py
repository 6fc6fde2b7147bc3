"""What a model on the Hugging Face Hub is called: `owner/repo[@revision][:subfolder]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # of a folder, a file: never `..`, never hidden
OWN = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"  # of an owner, a repository, as the Hub has them
REPO = rf"(?![^@:]*--){OWN}/{OWN}(?<!\.git)"
REFERENCE = re.compile(
    rf"(?P<repo>{REPO})(@(?P<revision>{NAME}(/{NAME})*))?(:(?P<subfolder>{NAME}(/{NAME})*))?"
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

    def path_of(self, name: str) -> str:
        """Return where in the repository a file of the model is."""
        return f"{self.subfolder}/{name}" if self.subfolder else name

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
