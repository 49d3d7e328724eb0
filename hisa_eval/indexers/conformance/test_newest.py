"""A selector for new tokens, where an indexer offers one, selects what `select` does."""

from __future__ import annotations

import pytest

from hisa_eval.indexers.conformance import laws
from hisa_eval.indexers.conformance.cases import Values
from hisa_eval.indexers.conformance.subject import Subject

TOKENS = 6


@pytest.mark.parametrize("values", ["integers", "equal", "two-valued", "one-hot"])
def test_newest_token_around_every_edge(subject: Subject, values: Values) -> None:
    for edge in {max(edge - TOKENS // 2, 0) for edge in [*subject.edges, subject.pruned]}:
        visible = range(edge + 1, edge + TOKENS + 1)
        laws.law_newest(subject.indexer, subject.one(visible, values=values, seed=edge), edge)
