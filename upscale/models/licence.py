"""Licences of weights: which need no question, and which were agreed to on this computer.

What is agreed to is kept for each repository and licence in `accepted-licences.json` in the user's folder of
settings. Where that cannot be written, it holds for this process.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from upscale.errors import UpscaleError, WeightsError
from upscale.images.atomic import new_file

# Those that ask for no more than credit, by SPDX name in lower case, as the Hub writes them too.
PERMISSIVE = {
    *("apache-2.0", "mit", "mit-0", "bsd", "bsd-2-clause", "bsd-3-clause", "0bsd", "isc", "zlib", "bsl-1.0"),
    *("unlicense", "wtfpl", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "odc-by", "pddl"),
    *("cdla-permissive-1.0", "cdla-permissive-2.0"),
}
# What common ones forbid or ask for, by a part of their names; the first that fits.
COMMON = {
    "openrail": "Forbids some uses, among them harming people and breaking the law; so must every copy.",
    "-nc": "Forbids commercial use.",
    "agpl": "Asks for the sources of all that is made with it, also where it only runs on a server.",
    "gpl": "Asks for the same licence, and the sources, of all that is made from it.",
    "-sa": "Asks for the same licence of all that is made from it.",
    "-nd": "Forbids to pass on what is made from it.",
}
UNSTATED = "Nobody says what is allowed; without a licence that is very little. Ask its owner."
UNKNOWN = "A licence of its owner's own: read it."
ENVIRONMENT = "UPSCALE_ACCEPT_LICENCE"
FILE = "accepted-licences.json"

_now: set[str] = set()


@dataclass(frozen=True)
class Licence:
    """What a model may be used for.

    Attributes:
        name: SPDX name, or the name its owner gave it; empty where nobody said.
        url: Where it can be read; empty where nobody said.
        restricts: One line of what it forbids or asks for; empty where nobody said.
    """

    name: str
    url: str = ""
    restricts: str = ""

    @property
    def permissive(self) -> bool:
        """Whether it asks for no more than credit."""
        return self.name.lower() in PERMISSIVE

    @property
    def has_address(self) -> bool:
        """Whether it says where it can be read."""
        return self.url.startswith("https://")

    @property
    def gist(self) -> str:
        """What it forbids or asks for, in one line."""
        if self.restricts or self.permissive:
            return self.restricts
        return next(
            (gist for part, gist in COMMON.items() if part in self.name.lower()),
            UNKNOWN if self.name else UNSTATED,
        )


class LicenceNotAccepted(WeightsError):
    """A model may be downloaded once its licence is accepted.

    Attributes:
        repo: `owner/name` of the model's repository.
        licence: Its licence.
    """

    def __init__(self, repo: str, licence: Licence) -> None:
        known = f"has the licence {licence.name}" if licence.name else "states no licence"
        super().__init__(
            f"{repo} {known} ({licence.url}), which was not accepted yet. {licence.gist}",
            hint=f"If it suits you, give --accept-licence, or set {ENVIRONMENT}=1.",
        )
        self.repo = repo
        self.licence = licence


def accepted(repo: str, licence: Licence) -> bool:
    """Return whether the user accepted a repository's licence, now or before."""
    if os.environ.get(ENVIRONMENT, "").lower() in ("1", "true", "yes", "on"):
        return True
    return _key(repo, licence) in _now | _remembered()


def accept(repo: str, licence: Licence) -> None:
    """Remember that the user accepts a repository's licence."""
    _now.add(_key(repo, licence))
    remembered = _remembered()
    path = folder() / FILE
    with suppress(OSError, UpscaleError):  # a home that cannot be written: for this process, then
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, overwrite=True) as file:
            file.write(json.dumps(sorted(remembered | {_key(repo, licence)}), indent=1).encode() + b"\n")


def folder() -> Path:
    """Return the user's folder of settings."""
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "upscale"


def _remembered() -> set[str]:
    try:
        lines = json.loads((folder() / FILE).read_text(encoding="utf-8"))
        return {line for line in lines if isinstance(line, str)}
    except (OSError, RuntimeError, TypeError, ValueError):  # none yet, or damaged, or no home: ask again
        return set()


def _key(repo: str, licence: Licence) -> str:
    return " ".join(filter(None, (repo, licence.name, licence.url)))
