"""What is read from a model's card, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale.models import catalog
from upscale.models.card import Card, parse_card, read_card
from upscale.models.licence import Licence
from upscale.options import DEFAULT_MODEL

PAGE = "https://hub.example/a/b"


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("license: mit", Licence("mit", PAGE)),
        ("license: [mit, gpl]", Licence("gpl", PAGE)),
        ("license:\n- mit\n- cc-by-nc-4.0", Licence("cc-by-nc-4.0", PAGE)),
        ("license: [mit, other]\nlicense_name: mine", Licence("mine", PAGE)),
        ("license: [apache-2.0, mit]", Licence("apache-2.0", PAGE)),
        ("license: []", Licence("", PAGE)),
        (
            "license: other\nlicense_name: mine\nlicense_link: https://x.org/l",
            Licence("mine", "https://x.org/l"),
        ),
        ("license: other\nlicense_link: ./L.md", Licence("other", f"{PAGE}/blob/main/L.md")),
        ("license: other\nlicense_link: javascript:x", Licence("other", f"{PAGE}/blob/main/javascript:x")),
        ("license: 3", Licence("", PAGE)),
        ("license:\n  deep: 1", Licence("", PAGE)),
        ("tags: [a]", Licence("", PAGE)),
        ("- a\n- b", Licence("", PAGE)),
        ("a: [", Licence("", PAGE)),
        ("a: 2020-99-99", Licence("", PAGE)),
        ("a: !!python/object/apply:os.system [exit]", Licence("", PAGE)),
        ("license: " + "x" * 999, Licence("x" * 200, PAGE)),
    ],
)
def test_licences(head: str, licence: Licence) -> None:
    for newline in ("\n", "\r\n"):
        text = f"---\n{head}\n---\n# T\n\nSome words.\n".replace("\n", newline)
        assert parse_card(text, PAGE) == Card(licence, "Some words.")


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        ("# Title\n\n![p](p.png)\n\nA model\nfor [faces](x.html).\n\nMore.", "A model for faces."),
        ("<p align=center>\n\n| a | b |\n|--|--|\n\n- one\n\n> said\n\nReal words.", "Real words."),
        ("```\ncode\n\nmore code\n```\nAfter.", "After."),
        ("<!-- TODO\n\nnothing -->\nAfter.", "After."),
        ("word " * 99, ("word " * 99)[:298].rsplit(" ", 1)[0] + " …"),
    ],
)
def test_summaries(text: str, summary: str) -> None:
    assert parse_card(text).summary == summary and len(summary) <= 300


def test_files(tmp_path: Path) -> None:
    assert read_card(tmp_path / "none.md", PAGE) == Card(Licence("", PAGE))
    (tmp_path / "odd.md").write_bytes(b"\xff\xfe---\n")
    assert read_card(tmp_path / "odd.md").licence.name == ""
    ours = read_card(catalog.embedded_folder(catalog.load()[DEFAULT_MODEL]) / "README.md")
    assert ours.summary.startswith("SR3 for photographs")
