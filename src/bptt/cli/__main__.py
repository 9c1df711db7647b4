"""`python -m bptt.cli` is the command `bptt`."""

import sys

from bptt.cli import main

if __name__ == "__main__":
    sys.exit(main())
