"""Model cards: README.md with a head of YAML, as the Hub wants them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscale.models.licence import Licence

MAX_CHARS = 200_000  # of a card that is looked at
HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
MAX_SUMMARY = 300


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        licence: The licence; without a name where it states none.
        summary: Its first paragraph, shortened; empty where it has none.
    """

    licence: Licence
    summary: str = ""


def read_card(path: Path, page: str = "") -> Card:
    """Read a card; one that cannot be read says nothing.

    Args:
        path: The README.md.
        page: Address of the repository, for links in it.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return parse_card(file.read(MAX_CHARS), page)
    except OSError:
        return Card(Licence("", page))


def parse_card(text: str, page: str = "") -> Card:
    """Return what a card says; see `read_card`."""
    head = HEAD.match(text)
    table = _yaml(head[1]) if head else {}
    stated = table.get("license")
    names = [_word(value) for value in (stated if isinstance(stated, list) and stated else [stated])]
    name = next((name for name in names if not Licence(name).permissive), names[0])  # all of them hold
    link = _word(table.get("license_link"))
    if name.lower() in ("other", "unknown"):
        name = _word(table.get("license_name")) or name
    if not link.startswith("https://"):
        link = f"{page}/blob/main/{link.lstrip('./')}" if link and page else page
    return Card(Licence(name, link), _summary(text[head.end() :] if head else text))


def _yaml(text: str) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]  # the Hub client's own

    try:
        table = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: a date that is none
        return {}
    return table if isinstance(table, dict) else {}


def _word(value: Any) -> str:
    """Return text that fits in a line."""
    return " ".join(value.split())[:200] if isinstance(value, str) else ""


def _summary(text: str) -> str:
    """Return the first paragraph that is prose: no heading, table, list, picture, code or HTML."""
    text = re.sub(r"```.*?(```|\Z)|<!--.*?(-->|\Z)", "", text, flags=re.DOTALL)
    for paragraph in re.split(r"\r?\n[ \t]*\r?\n", text):
        line = " ".join(
            part for part in paragraph.split("\n") if not re.match(r"\s*(#|\||[-*+] |!\[|<|>|\[!\[)", part)
        )
        line = " ".join(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line).split())
        if line:
            return line if len(line) <= MAX_SUMMARY else line[: MAX_SUMMARY - 2].rsplit(" ", 1)[0] + " …"
    return ""
