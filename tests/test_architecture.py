"""The house keeps its order: imports between rooms point one way, and torch stays out of planning.

The table is the one of the design: a room may import rooms of a lower rank, and itself. Imports for types
only (`if TYPE_CHECKING`) count for the order as well; for torch only what runs at import time counts.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import upscale

PACKAGE = Path(upscale.__file__).parent
RANKS = {
    "errors": 0,
    "options": 0,
    "version": 0,
    "images": 1,
    "diffusion": 1,
    "networks": 1,
    "metrics": 1,
    "models": 2,
    "engine": 3,
    "training": 3,
    "jobs": 4,
    "cli": 5,
    "__init__": 5,
    "__main__": 5,
}
# Rank 0 is the ground everything stands on; its parts may see each other as far as there is no circle.
BESIDE = {("options", "errors")}

# Loaded for planning, `--help`, or by people who only handle pictures.
WITHOUT_TORCH = (
    "upscale",
    "upscale.errors",
    "upscale.options",
    "upscale.images",
    "upscale.diffusion.samplers",
    "upscale.engine.plan",
    "upscale.engine.progress",
    "upscale.models.catalog",
    "upscale.jobs.plan",
    "upscale.jobs.run",
    "upscale.cli.main",
    "upscale.cli.app",
    "upscale.cli.session",
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield the rooms of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "upscale":
                names = [f"upscale.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "upscale":
                yield parts[1] if len(parts) > 1 else "__init__"


def statements_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield what runs when a module is imported: not functions, not `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements_at_import(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            for part in ("body", "orelse", "finalbody"):
                yield from statements_at_import(getattr(node, part, []))


def test_every_room_is_in_the_table() -> None:
    rooms = {
        p.name.removesuffix(".py")
        for p in PACKAGE.iterdir()
        if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert rooms - {"_weights"} == set(RANKS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    for other in imported(path):
        if other == room or (room, other) in BESIDE or RANKS[room] == 5:
            continue
        assert RANKS[other] < RANKS[room], f"{room} imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_knows_typer_and_rich(path: Path) -> None:
    """Training has a progress of its own, but through rich as well; click is Typer's affair alone."""
    foreign = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            foreign |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            foreign.add((node.module or "").split(".")[0])
    assert "click" not in foreign
    if room_of(path) not in ("cli", "training"):
        assert not foreign & {"typer", "rich"}


@pytest.mark.parametrize("room", ["images", "errors", "options", "jobs", "cli"])
def test_torch_is_not_imported_at_module_level(room: str) -> None:
    for path in (p for p in MODULES if room_of(p) == room):
        for node in statements_at_import(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] != "torch" for alias in node.names), path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != "torch", path


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_importing_does_not_load_torch(module: str) -> None:
    """What the tree says is not enough: a room may load torch through another."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_do_not_load_torch() -> None:
    code = (
        "import sys, upscale\n"
        "try: upscale.nonsense\n"
        "except AttributeError: sys.exit('torch' in sys.modules)\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
