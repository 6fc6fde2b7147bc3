"""The command line: Typer and rich live here and nowhere else.

`main.main` is the `upscale` command. Modules that answer `--help` and `--version` import neither numpy,
Pillow nor torch; what they need of the other rooms is imported when a command runs.
"""
