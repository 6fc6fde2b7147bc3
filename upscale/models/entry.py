"""A row of the catalogue: what it says, and what it must say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from upscale.models.licence import Licence
from upscale.models.reference import COMMIT, SHA256, Reference, is_path, parse

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
FORMATS = OURS, DIFFUSERS = ("upscale", "diffusers")
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")  # of a folder on every file system, and never a path
MAX_SCALE = 16  # as of configs


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue: a model, embedded or on the Hub, or a cascade of models.

    Attributes:
        name: What `--model` takes.
        summary: One sentence for people.
        licence: SPDX name, or the name its owner gave it.
        licence_url: Where it can be read; needed for licences that are not permissive.
        restricts: One line of what it forbids or asks for; likewise.
        sha256: Of the weights file, in hexadecimal.
        size: Of the weights file in bytes, or of all `files`.
        figures: Measured figures by name, with the command that measured them in the model's card.
        repo: For models on the Hub: `owner/name`.
        revision: Its commit, which never changes.
        unpinned: Whether nobody wrote down the commit and the hashes yet: then the main branch is taken as it
            is, and the size is an estimate.
        subfolder: Folder in the repository, empty for its top.
        scale: The upscaling factor, as no config is at hand.
        format: How its files are laid out, one of `FORMATS`.
        files: For other formats than ours: all files by path in the subfolder, each with its SHA-256, or with
            nothing where the commit alone vouches for it. The weights are the one with the hash `sha256`.
        cascade: Names of the models that run the first stage, the second, …; such a row has no weights.
    """

    name: str
    summary: str
    licence: str = ""
    sha256: str = ""
    size: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    licence_url: str = ""
    restricts: str = ""
    repo: str = ""
    revision: str = ""
    unpinned: bool = False
    subfolder: str = ""
    scale: int | None = None
    format: str = FORMATS[0]
    files: Mapping[str, str] = field(default_factory=dict)
    cascade: tuple[str, ...] = ()

    @classmethod
    def from_row(cls, name: str, row: Mapping[str, Any]) -> Entry:
        """Read a table of the catalogue.

        Raises:
            TypeError: It lacks entries, or has unknown ones.
            ValueError: They contradict each other, or are not what they should be.
        """
        lists = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
        entry = cls(name=name, **{**row, **lists})
        entry._check()
        return entry

    @property
    def reference(self) -> Reference | None:
        """Where a model of the Hub is; None for the others."""
        revision = "main" if self.unpinned else self.revision
        return Reference(self.repo, revision, self.subfolder) if self.repo else None

    @property
    def weights_file(self) -> str:
        """Path of the weights in the model's folder."""
        return next((path for path, sha256 in self.files.items() if sha256 == self.sha256), WEIGHTS_FILE)

    @property
    def hashes(self) -> Mapping[str, str]:
        """The files of the model by path in its folder, each with its SHA-256 or an empty string."""
        return self.files or {CONFIG_FILE: "", WEIGHTS_FILE: self.sha256}

    @property
    def terms(self) -> Licence:
        """Its licence."""
        return Licence(self.licence, self.licence_url, self.restricts)

    def _check(self) -> None:
        wrong = next((what for what, is_wrong in self._faults() if is_wrong), None)
        if wrong is not None:
            raise ValueError(f"{self.name}: {wrong}")

    def _faults(self) -> list[tuple[str, bool]]:
        """Return all that could be wrong, and whether it is."""
        words = (self.summary, self.licence, self.sha256, self.licence_url, self.restricts, self.format)
        place = (self.repo, self.revision, self.subfolder)
        of_types = (
            all(isinstance(word, str) for word in (*words, *place, *self.cascade))
            and all(isinstance(table, Mapping) for table in (self.figures, self.files))
            and isinstance(self.size, int)
            and isinstance(self.scale, int | None)
        )
        of_types = of_types and isinstance(self.unpinned, bool)
        if not of_types or not NAME.fullmatch(self.name):
            return [("a value is of the wrong type, or the name is no name", True)]
        if self.cascade:
            others = Entry(self.name, self.summary, figures=self.figures, cascade=self.cascade)
            return [
                ("a cascade has a summary, figures, and nothing else", self != others),
                ("a cascade is of two models or more", len(self.cascade) < 2),
            ]
        written = parse(str(self.reference)) if self.repo else None
        return [
            ("no licence", not self.licence),
            ("no size", self.size <= 0),
            (
                "not pinned to a commit",
                bool(self.repo) and not self.unpinned and not COMMIT.fullmatch(self.revision),
            ),
            (
                "unpinned, and yet with a repository's revision or hashes, or without a repository",
                self.unpinned
                and (not self.repo or bool(self.revision or self.sha256 or any(self.hashes.values()))),
            ),
            ("no repository is written so", bool(self.repo) and written != self.reference),
            ("a revision or subfolder of no repository", not self.repo and any(place)),
            ("files are listed of models on the Hub only", bool(self.files) and not self.repo),
            ("a model on the Hub needs its scale", bool(self.repo) and self.scale is None),
            ("no such scale", self.scale is not None and not 2 <= self.scale <= MAX_SCALE),
            ("no such format", self.format not in FORMATS),
            ("other formats list their files", (self.format != FORMATS[0]) != bool(self.files)),
            ("a file's path would escape", not all(map(is_path, self.files))),
            ("no SHA-256", not all(map(SHA256.fullmatch, filter(None, self.hashes.values())))),
            (
                "no SHA-256 of the weights",
                not self.unpinned and (not self.sha256 or self.sha256 not in self.hashes.values()),
            ),
            (
                "a licence that restricts needs its address and a line of what it restricts",
                not self.terms.permissive and not (self.terms.has_address and self.restricts),
            ),
        ]
