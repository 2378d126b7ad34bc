"""Entry of the app, on a Hugging Face Space and in a checkout: `semerge demo`, options and all."""

from __future__ import annotations

import sys

from semerge.cli import main as command


def main() -> None:
    """Serve the page, as the arguments and the environment say, until Ctrl+C."""
    sys.exit(command(["demo", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
