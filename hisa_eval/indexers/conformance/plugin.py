"""The suite's command-line options, as a pytest plugin.

pytest reads a package's own conftest.py too late for options when it finds the package by `--pyargs`, so the
distribution registers this module under the entry-point group `pytest11`. It imports nothing heavy.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register `--indexer`, `--indexer-topk` and `--indexer-device`."""
    group = parser.getgroup("hisa-eval", "conformance of indexers")
    group.addoption(
        "--indexer",
        action="append",
        metavar="NAME[:options]",
        help="indexer to hold to the laws, e.g. hisa:block_size=16,num_blocks=4; repeatable or a list with "
        "commas; default: every registered one",
    )
    group.addoption(
        "--indexer-topk",
        type=int,
        metavar="K",
        help="token budget to test with; default: the smallest power of two from 8 on that it accepts",
    )
    group.addoption("--indexer-device", default="cpu", metavar="DEVICE", help="torch device to test on")
