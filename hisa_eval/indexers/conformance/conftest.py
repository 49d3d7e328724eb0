"""Which indexers the suite runs on: `--indexer`, or every registered one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from hisa_eval.indexers.conformance import plugin
from hisa_eval.indexers.conformance.subject import subjects


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options where the plugin is not installed: a run by path from a source tree."""
    try:
        plugin.pytest_addoption(parser)
    except ValueError:
        return  # the installed plugin came first


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a wrong option, as the plugin does."""
    plugin.pytest_configure(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of each test per indexer, named by its label."""
    if "subject" in metafunc.fixturenames:
        found = subjects(*plugin.chosen(metafunc.config))
        labels = [each.indexer.label for each in found]
        metafunc.parametrize("subject", found, ids=labels, scope="session")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors are tiny: a pool of threads costs more than it gives, a hundred times on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
