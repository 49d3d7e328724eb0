"""What a row's selection may depend on: its own query and the keys it sees, nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.indexers.conformance import laws
from hisa_eval.indexers.conformance.cases import Case
from hisa_eval.indexers.conformance.examples import CONFORMANCE
from hisa_eval.indexers.conformance.subject import Subject


def some_rows(case: Case) -> list[int]:
    """The first, a middle and the last row."""
    m = case.q.shape[0]
    return sorted({0, m // 2, m - 1})


@CONFORMANCE
@given(st.data())
def test_a_row_does_not_depend_on_other_rows(subject: Subject, data: st.DataObject) -> None:
    case = data.draw(subject.packs("one-hot"))
    laws.law_row_alone(subject.indexer, case, some_rows(case))


@CONFORMANCE
@given(st.data())
def test_a_row_does_not_depend_on_other_sequences(subject: Subject, data: st.DataObject) -> None:
    case = data.draw(subject.packs("one-hot"))
    laws.law_placement(subject.indexer, case, some_rows(case))


@CONFORMANCE
@given(st.data())
def test_a_row_does_not_depend_on_keys_it_does_not_see(subject: Subject, data: st.DataObject) -> None:
    case = data.draw(subject.packs("one-hot"))
    laws.law_unseen_keys(subject.indexer, case, some_rows(case))


def test_independence_with_fp8_keys(subject: Subject) -> None:
    lengths = [subject.pruned, subject.edges[-1], subject.pruned]
    case = subject.case([(n, (n, n // 2)) for n in lengths], values="one-hot", fp8=True, gap=1)
    laws.law_row_alone(subject.indexer, case, some_rows(case))
    laws.law_placement(subject.indexer, case, some_rows(case))
    laws.law_unseen_keys(subject.indexer, case, some_rows(case))


@CONFORMANCE
@given(st.data())
def test_the_same_call_gives_the_same_result(subject: Subject, data: st.DataObject) -> None:
    laws.law_repeatable(subject.indexer, data.draw(subject.packs("integers")))
