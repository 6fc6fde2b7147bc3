"""Whether the entries of a recipe are of the kinds that its fields say: text may say anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from upscale.errors import UsageError, choices

LARGEST = 1e300  # of any number: whole ones may have more digits than others can hold
IN_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a table",
}


@dataclass(frozen=True)
class Between:
    """Which numbers a field takes, both ends included; stands in its annotation."""

    low: float = 0.0
    high: float = LARGEST

    def __str__(self) -> str:
        return f"from {self.low:g} " + ("on" if self.high == LARGEST else f"to {self.high:g}")


Share = Annotated[float, Between(0, 1)]
Count = Annotated[int, Between(1)]


def check(kind: type, entries: Mapping[str, Any]) -> None:
    """Look at entries for the fields of a dataclass; whether one is missing is left to it.

    Raises:
        TypeError: One is not what the field says, in a sentence's words.
        UsageError: There is no such field.
    """
    hints = get_type_hints(kind, include_extras=True)
    for name, value in entries.items():
        if name not in hints:
            raise UsageError(f"there is no entry {name}.", hint=choices(name, hints))
        if not _is(value, hints[name]):
            raise TypeError(f"{name} is {str(value)[:60]!r}, where {_in_words(hints[name])} is needed")


def _is(value: Any, hint: Any, within: Between = Between()) -> bool:
    if get_origin(hint) is Annotated:
        return _is(value, *get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if not isinstance(value, list | tuple):
            return False
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return len(value) == len(kinds) and all(map(_is, value, kinds))
    if hint in (int, float):
        numbers = int if hint is int else int | float
        of_kind = isinstance(value, numbers) and not isinstance(value, bool)
        return of_kind and within.low <= value <= within.high
    return isinstance(value, get_origin(hint) or hint)


def _in_words(hint: Any, within: Between = Between()) -> str:
    if get_origin(hint) is Annotated:
        return _in_words(*get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        count = "" if inner[1:] == (...,) else f" of {len(inner)}"
        return f"a list{count}, each {_in_words(inner[0])},"
    name = IN_WORDS.get(get_origin(hint) or hint, "a table")
    return f"{name} {within}" if hint in (int, float) else name
