"""A model on the Hub: its files, and whether its licence lets us fetch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from upscale.errors import WeightsError
from upscale.models import diffusers_layout, hub, hub_diffusers, licence
from upscale.models.access import Access
from upscale.models.card import Card, read_card
from upscale.models.entry import Entry
from upscale.models.hub_errors import NotThere
from upscale.models.licence import Licence, LicenceNotAccepted
from upscale.models.reference import COMMIT, Reference


@dataclass(frozen=True)
class Remote:
    """A model on the Hub.

    Attributes:
        reference: Where.
        entry: What the catalogue says of it; None for others.
    """

    reference: Reference
    entry: Entry | None = None

    @property
    def hashes(self) -> Mapping[str, str]:
        """Its files by path in its folder, each with its SHA-256 or an empty string."""
        return dict.fromkeys(hub.FILES, "") if self.entry is None else self.entry.hashes

    @property
    def configs(self) -> Mapping[str, str]:
        """The small ones of them, which say what the model is."""
        return {path: sha256 for path, sha256 in self.hashes.items() if path.endswith(".json")}

    def cached(self) -> Path | None:
        """Return the model's folder if all of it is in the cache; asks no network."""
        here = hub.cached(self.reference, self.hashes)
        return here if here is not None or self.entry is not None else hub_diffusers.cached(self.reference)

    def cached_configs(self) -> Path | None:
        """Return the model's folder if all that says what it is is in the cache; asks no network."""
        here = self.cached() or hub.cached(self.reference, self.configs)
        if self.entry is None and (
            here is None or diffusers_layout.recognise(diffusers_layout.in_folder(here))
        ):
            return hub_diffusers.cached(self.reference, weights=False)
        return here

    def fetch_all(self, access: Access, *, fresh: bool = False) -> Path:
        """Return the model's folder with all of it, downloading what is not in the cache.

        Raises:
            LicenceNotAccepted: It has a licence that nobody accepted.
            WeightsError: It cannot be had.
        """
        here = None if fresh else self.cached()
        if here is not None:
            return here
        try:
            return self.fetch(self.hashes, access, fresh=fresh)
        except NotThere:
            folder = self._fetch_diffusers(access, fresh=fresh, weights=True)
            if folder is None:
                raise
            return folder

    def fetch_configs(self, access: Access) -> Path:
        """Return the model's folder with what says what it is; the weights may be missing yet.

        Raises:
            LicenceNotAccepted: It has a licence that nobody accepted.
            WeightsError: It cannot be had.
        """
        here = self.cached_configs()
        if here is not None:
            return here
        try:
            folder = self.fetch(self.configs, access)
        except NotThere:
            other = self._fetch_diffusers(access, weights=False)
            if other is None:
                raise
            return other
        if self.entry is None and diffusers_layout.recognise(diffusers_layout.in_folder(folder)):
            return self._fetch_diffusers(access, weights=False) or folder
        return folder

    def fetch(self, files: Mapping[str, str], access: Access, *, fresh: bool = False) -> Path:
        """Return the model's folder with these files of it, downloading those that are not in the cache.

        Args:
            files: Some of `hashes`.
            access: How the Hub may be used.
            fresh: Whether to ask the Hub what a branch or tag stands for now.

        Raises:
            LicenceNotAccepted: Something would be downloaded under a licence that nobody accepted.
            WeightsError: They cannot be had.
        """
        if not fresh and (here := hub.cached(self.reference, files)) is not None:
            return here
        self._refuse_offline(access)
        return hub.fetch(
            self.reference,
            files,
            fresh=fresh,
            tell=access.tell,
            permit=lambda commit: Remote(commit, self.entry)._permit(access),
        )

    def pull(self, access: Access) -> Path:
        """Download all of the model that is not in the cache, is damaged there, or is new of a branch or tag.

        Raises:
            LicenceNotAccepted: It has a licence that nobody accepted.
            WeightsError: It cannot be had.
        """
        self._discard_damaged()
        pinned = COMMIT.fullmatch(self.reference.revision) is not None
        return self.fetch_all(access, fresh=not pinned and not access.offline)

    def card(self, access: Access) -> Card:
        """Return what the repository's card says, downloading it if it is not in the cache.

        Raises:
            WeightsError: It cannot be had.
        """
        path = hub.cached_card(self.reference)
        if path is None and not hub.has_no_card(self.reference):
            self._refuse_offline(access)
            path = hub.fetch_card(self.reference)
        return self._card_at(path)

    def known_card(self) -> Card:
        """Return what the repository's card says as far as it is in the cache; asks no network."""
        path = hub.cached_card(self.reference)
        return Card(Licence("")) if path is None else self._card_at(path)

    def _discard_damaged(self) -> None:
        """Take the files of the model that are damaged out of the cache."""
        known = ((hub.cached_file(self.reference, path), sha256) for path, sha256 in self.hashes.items())
        files = {path: sha256 for path, sha256 in known if path is not None}
        if self.entry is None:
            files |= dict.fromkeys(hub_diffusers.cached_files(self.reference), "")
        for path, sha256 in files.items():
            try:
                if path.exists() and hub.is_damaged(path, sha256):  # it may have gone with another like it
                    hub.discard(path)
            except OSError as error:
                raise WeightsError(
                    f"The model's file {path} cannot be read or replaced ({error.strerror})."
                ) from None

    def _fetch_diffusers(self, access: Access, *, weights: bool, fresh: bool = False) -> Path | None:
        """Return the folder of a model of diffusers that the catalogue does not know; None if it is none."""
        if self.entry is not None:
            return None

        def download(commit: Reference, path: str) -> Path:
            return Remote(commit).fetch({path: ""}, access) / path

        return hub_diffusers.fetch(self.reference, download, fresh=fresh, weights=weights)

    def _permit(self, access: Access) -> None:
        """Raise `LicenceNotAccepted` unless the licence asks for credit only, or the user accepts it."""
        terms = self.entry.terms if self.entry is not None else self.card(access).licence
        if terms.permissive or licence.accepted(self.reference.repo, terms):
            return
        if not access.accept_licence:
            raise LicenceNotAccepted(self.reference.repo, terms)
        licence.accept(self.reference.repo, terms)

    def _card_at(self, path: Path | None) -> Card:
        page = f"{hub.endpoint()}/{self.reference.repo}"
        return Card(Licence("", page)) if path is None else read_card(path, page)

    def _refuse_offline(self, access: Access) -> None:
        why = "--offline" if access.offline else "HF_HUB_OFFLINE" if hub.forbidden() else None
        if why is not None:
            name = self.entry.name if self.entry is not None else str(self.reference)
            raise WeightsError(
                f"The model {name} is not in the cache, and network access is off ({why}).",
                hint=f"Go online once, and run: upscale models pull {name}",
            )
