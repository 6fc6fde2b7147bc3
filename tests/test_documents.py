"""What the documents list is what there is."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from upscale.cli.app import app
from upscale.models.config import ModelConfig

DOCS = Path(__file__).parents[1] / "docs"


def names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def test_every_entry_of_a_config() -> None:
    table = (DOCS / "models.md").read_text(encoding="utf-8").split("| `config.json` | |")[1].split("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row]
    assert names(" ".join(rows)) == {field.name for field in fields(ModelConfig)}


@pytest.mark.parametrize("command", ["info", "models list", "models verify"])
def test_every_entry_of_json(command: str) -> None:
    photos = [str(DOCS / "soft.jpg")] if command == "info" else []
    result = CliRunner().invoke(app, [*command.split(), *photos, "--json"])
    line = json.loads(result.stdout.splitlines()[0])
    others = (DOCS / "json.md").read_text(encoding="utf-8").split("## Other commands")[1]
    (said,) = [item for item in others.split("\n- ")[1:] if item.startswith(f"`upscale {command}`")]
    assert set(line) - {"schema"} <= names(said) and line["type"] in names(said)
