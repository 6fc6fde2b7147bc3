"""One command that takes files directly, with sub-commands beside it.

`upscale photo.jpg` is the main command, `upscale models list` a sub-command: the first argument decides, and
only if it is the exact name of a sub-command. A file of that name is written `./models`.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

MAIN = "FILE..."  # the name under which the main command is registered; nobody can type it as a sub-command


class FilesOrCommand(TyperGroup):
    """A group whose command `MAIN` answers whenever no sub-command is named, `--help` included."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.main_command = self.commands.pop(MAIN)
        if self.commands:
            names = "\n\n".join(
                f"  [bold cyan]upscale {name}[/]  {command.get_short_help_str(limit=80)}"
                for name, command in self.commands.items()
                if not command.hidden
            )
            self.main_command.epilog = f"[bold]Other commands[/] (a file of such a name: ./NAME)\n\n{names}"

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse for a sub-command where the first argument names one, else for the main command."""
        if args and args[0] in self.commands:
            return super().make_context(info_name, args, parent=parent, **extra)
        return self.main_command.make_context(info_name, args, parent=parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run what `make_context` parsed for."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)
