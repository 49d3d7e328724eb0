"""The suite's command-line options, as a pytest plugin.

pytest reads a package's own conftest.py too late for options when it finds the package by `--pyargs`, so the
distribution registers this module under the entry-point group `pytest11`. It imports nothing heavy before an
option is given.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register `--indexer`, `--indexer-topk`, `--indexer-device` and `--indexer-dtype`."""
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
    group.addoption(
        "--indexer-dtype",
        default="f32",
        choices=("f32", "bf16"),
        help="dtype of queries and keys where a law does not name one; GPU kernels take bf16",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a wrong option in one line, before anything is collected."""
    if chosen(config) == (None, None, "cpu", "f32"):
        return
    from hisa_eval.errors import UserError
    from hisa_eval.indexers.conformance.subject import subjects

    try:
        subjects(*chosen(config))
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def chosen(config: pytest.Config) -> tuple[list[str] | None, int | None, str, str]:
    """What the four options say: indexers, token budget, device, dtype.

    Args:
        config: pytest's configuration.
    """
    return (
        config.getoption("--indexer"),
        config.getoption("--indexer-topk"),
        config.getoption("--indexer-device"),
        config.getoption("--indexer-dtype"),
    )
