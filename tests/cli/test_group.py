"""Files directly, and sub-commands beside: the first argument decides."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from upscale.cli.group import MAIN, FilesOrCommand
from upscale.cli.guard import guarded
from upscale.errors import UsageError


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(cls=FilesOrCommand, add_completion=False, rich_markup_mode="rich")

    @app.callback()
    def group() -> None:
        """Nothing of its own."""

    @app.command(MAIN)
    @guarded
    def main(
        *, files: Annotated[list[str] | None, typer.Argument(metavar="FILE")] = None, scale: float = 4.0
    ) -> int:
        """Take files."""
        typer.echo(f"files {files} scale {scale}")
        return 0

    models = typer.Typer()

    @models.command("list")
    @guarded
    def list_models(*, json: bool = False) -> int:
        """List what there is."""
        typer.echo(f"models json={json}")
        return 0

    @models.command("rm")
    @guarded
    def remove(*, name: str) -> int:
        """Fail."""
        raise UsageError(f"No {name} here.")

    app.add_typer(models, name="models", help="Look after models.")
    return app


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["a.jpg", "b.jpg"], "files ['a.jpg', 'b.jpg'] scale 4.0"),
        (["a.jpg", "--scale", "8"], "files ['a.jpg'] scale 8.0"),
        (["--scale", "8", "a.jpg"], "files ['a.jpg'] scale 8.0"),
        (["-"], "files ['-'] scale 4.0"),
        (["./models"], "files ['./models'] scale 4.0"),
        (["models.jpg"], "files ['models.jpg'] scale 4.0"),
        (["a.jpg", "models"], "files ['a.jpg', 'models'] scale 4.0"),
        (["--", "models"], "files ['models'] scale 4.0"),
        (["--", "-dash.jpg"], "files ['-dash.jpg'] scale 4.0"),
        (["models", "list"], "models json=False"),
        (["models", "list", "--json"], "models json=True"),
    ],
)
def test_first_argument_decides(app: typer.Typer, args: list[str], said: str) -> None:
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0
    assert result.stdout.strip() == said


def test_main_command_has_no_name_of_its_own(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, [MAIN]).stdout.strip() == f"files ['{MAIN}'] scale 4.0"


def test_help_is_the_main_command_s_and_names_the_others(app: typer.Typer) -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert "Take files." in text and "upscale models" in text and "Look after models." in text


def test_help_of_a_sub_command(app: typer.Typer) -> None:
    assert "List what there is." in CliRunner().invoke(app, ["models", "--help"]).stdout


def test_errors_of_sub_commands_are_guarded_too(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["models", "rm", "x"])
    assert result.exit_code == 2 and "Error: No x here." in result.stderr
