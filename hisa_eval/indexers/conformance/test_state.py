"""A state changes the cost of a selection, never the selection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.indexers.conformance import laws
from hisa_eval.indexers.conformance.examples import CONFORMANCE
from hisa_eval.indexers.conformance.subject import Subject


@CONFORMANCE
@given(st.data(), st.integers(0, 2**16))
def test_state_equals_no_state_for_any_history(subject: Subject, data: st.DataObject, seed: int) -> None:
    lengths = data.draw(subject.histories())
    n = subject.pruned
    case = subject.one([n, n // 2], length=n, values="one-hot", seed=seed)
    laws.law_state(subject.indexer, case, lengths, seed=seed)


@pytest.mark.parametrize("fp8", [False, True])
def test_state_equals_no_state_one_token_at_a_time(subject: Subject, fp8: bool) -> None:
    n = subject.pruned
    case = subject.one([n], length=n, values="one-hot", fp8=fp8)
    laws.law_state(subject.indexer, case, range(max(n - 40, 1), n + 1))


def test_state_forgets_what_is_truncated(subject: Subject) -> None:
    n = subject.pruned
    case = subject.one([n, n], length=n, values="one-hot")
    for cut in range(n - 12, n):
        laws.law_state(subject.indexer, case, [n, cut, n, cut - 1, cut, n], seed=cut)
