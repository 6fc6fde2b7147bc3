"""The Typer application: which commands there are."""

from __future__ import annotations

import typer

from upscale.cli.files import upscale_files
from upscale.cli.group import MAIN, FilesOrCommand
from upscale.cli.info import info
from upscale.cli.models import models

app = typer.Typer(
    cls=FilesOrCommand,
    add_completion=False,
    pretty_exceptions_enable=False,  # `guard` answers for exceptions
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command(MAIN, context_settings={"help_option_names": ["-h", "--help"]})(upscale_files)
app.command("info")(info)
app.add_typer(models, name="models")


@app.callback()
def _group() -> None:
    """Upscale photos."""
