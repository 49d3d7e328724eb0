"""Which indexers the suite runs on: `--indexer`, or every registered one."""

from __future__ import annotations

import pytest

from hisa_eval.errors import UserError
from hisa_eval.indexers.conformance import plugin
from hisa_eval.indexers.conformance.subject import Subject, subjects


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options where the plugin is not installed: a run by path from a source tree."""
    try:
        plugin.pytest_addoption(parser)
    except ValueError:
        return  # the installed plugin came first


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of each test per indexer, named by its label."""
    if "subject" not in metafunc.fixturenames:
        return
    config = metafunc.config
    try:
        found = subjects(
            config.getoption("--indexer"),
            config.getoption("--indexer-topk"),
            config.getoption("--indexer-device"),
        )
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    metafunc.parametrize("subject", found, ids=[each.indexer.label for each in found], scope="session")


__all__ = ["Subject", "pytest_addoption", "pytest_generate_tests"]
