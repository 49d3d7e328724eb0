"""Bad input ends in a ValueError of one line, never in a wrong selection."""

from __future__ import annotations

import pytest

from hisa_eval.indexers.conformance.rejections import (
    UNREACHABLE,
    bad_layouts,
    bad_values,
    law_rejects,
    law_rejects_infeasible,
    refusal,
)
from hisa_eval.indexers.conformance.subject import Subject


@pytest.mark.parametrize("fp8", [False, True])
def test_nan_and_infinity_are_rejected(subject: Subject, fp8: bool) -> None:
    for what, case in bad_values(subject.one([subject.topk + 1, 1], fp8=fp8)):
        law_rejects(subject.indexer, case, what)


def test_bad_bounds_shapes_and_dtypes_are_rejected(subject: Subject) -> None:
    for what, case in bad_layouts(subject.one([subject.topk + 1, 1])):
        law_rejects(subject.indexer, case, what)


def test_an_infeasible_budget_is_rejected(subject: Subject) -> None:
    law_rejects_infeasible(subject.indexer, subject.one([subject.topk + 1]))


def test_a_refused_budget_says_why_in_one_line(subject: Subject) -> None:
    error = refusal(subject.indexer, UNREACHABLE)
    assert error is None or (str(error) and "\n" not in str(error))
    assert refusal(subject.indexer, subject.topk) is None


def test_nan_among_the_keys_that_a_state_has_not_seen_is_rejected(subject: Subject) -> None:
    state = subject.indexer.new_state()
    if state is None:
        return
    n = subject.topk + 1
    case = subject.one([n], length=n + 1)
    case.keys(0, n).select(subject.indexer, state)
    case.k[n] = float("nan")
    law_rejects(subject.indexer, case, "a NaN in a new key", state)
