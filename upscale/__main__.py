"""`python -m upscale` is the `upscale` command."""

from upscale.cli.main import main

if __name__ == "__main__":
    main()
