"""The entry point of the `upscale` command."""

from __future__ import annotations

import atexit
import gc
import sys

from upscale.cli.streams import prepare, silence_stdout
from upscale.errors import ExitCode, UpscaleError


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    prepare()
    atexit.register(gc.freeze)  # what is there at the end need not be looked through for garbage
    try:
        from upscale.cli.app import app

        app(prog_name="upscale")
    except KeyboardInterrupt:  # while modules are still being imported; afterwards `guard` answers
        sys.exit(ExitCode.INTERRUPTED)
    except UpscaleError as error:  # of --help and --version, which are over before `guard`
        from upscale.cli.guard import explain

        sys.exit(explain(error, verbose=False))
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        silence_stdout()  # Typer and rich end so, with 1, when the reader of what they print has gone
        sys.exit(ExitCode.BROKEN_PIPE)


if __name__ == "__main__":
    main()
