"""Licences of weights: which need no question."""

from __future__ import annotations

from dataclasses import dataclass

# Those that ask for no more than credit, by SPDX name in lower case, as the Hub writes them too.
PERMISSIVE = {
    *("apache-2.0", "mit", "mit-0", "bsd", "bsd-2-clause", "bsd-3-clause", "0bsd", "isc", "zlib", "bsl-1.0"),
    *("unlicense", "wtfpl", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "odc-by", "pddl"),
    *("cdla-permissive-1.0", "cdla-permissive-2.0"),
}


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
