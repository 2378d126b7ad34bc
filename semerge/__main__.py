"""`python -m semerge ...`: the command line."""

import sys

from semerge.cli import main

if __name__ == "__main__":
    sys.exit(main())
