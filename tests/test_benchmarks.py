"""The scripts of tests/benchmarks, which pytest does not collect."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from upscale.errors import InputError

FOLDER = Path(__file__).parent / "benchmarks"


def test_what_a_user_can_mend_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        raise InputError("No photographs in here.", hint="Give another folder.")

    monkeypatch.setattr(sys, "argv", ["script"])
    run = runpy.run_path(str(FOLDER / "command.py"))["run"]
    with pytest.raises(SystemExit, match="^Error: No photographs in here. Give another folder.$"):
        run(main)


def test_every_script_ends_so() -> None:
    scripts = [path for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    assert len(scripts) >= 7
    assert all(path.read_text(encoding="utf-8").endswith("    run(main)\n") for path in scripts)
