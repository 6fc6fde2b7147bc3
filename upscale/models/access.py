"""How the Hub may be used: whether at all, on which terms, and who hears how far a download is."""

from __future__ import annotations

from dataclasses import dataclass

from upscale.models.client import Tell


@dataclass(frozen=True)
class Access:
    """How the Hub may be used.

    Attributes:
        offline: Whether only the cache is.
        accept_licence: Whether the user accepts the licence of what is downloaded, whatever it is.
        tell: Told how far each file is; None for nobody.
    """

    offline: bool = False
    accept_licence: bool = False
    tell: Tell | None = None


FREE = Access()
