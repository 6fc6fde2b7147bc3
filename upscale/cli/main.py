"""The entry point of the `upscale` command."""

from __future__ import annotations

import sys

from upscale.errors import ExitCode


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    try:
        from upscale.cli.app import app

        app(prog_name="upscale")
    except KeyboardInterrupt:  # while modules are still being imported; afterwards `guard` answers
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
