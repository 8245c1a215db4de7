"""`python -m zjops` is `zjops`."""

from __future__ import annotations

import sys

from zjops.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
