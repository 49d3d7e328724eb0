"""`python -m hisa_eval` is `hisa-eval`."""

from __future__ import annotations

import sys

from hisa_eval.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
