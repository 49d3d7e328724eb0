"""Which keys a row gets."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hisa_eval.indexers.conformance import laws
from hisa_eval.indexers.conformance.cases import Values
from hisa_eval.indexers.conformance.examples import CONFORMANCE
from hisa_eval.indexers.conformance.subject import Subject


@pytest.mark.parametrize("seed", range(3))
def test_matches_dsa_at_every_edge(subject: Subject, seed: int) -> None:
    for visible in subject.edges:
        laws.law_matches_dsa(subject.indexer, subject.one([visible], seed=seed))


def test_matches_dsa_in_one_batch_of_all_edges(subject: Subject) -> None:
    laws.law_matches_dsa(subject.indexer, subject.one([0, *subject.edges, subject.pruned]))


@CONFORMANCE
@given(st.data())
def test_matches_dsa_in_packed_batches(subject: Subject, data: st.DataObject) -> None:
    laws.law_matches_dsa(subject.indexer, data.draw(subject.packs("integers")))


@pytest.mark.parametrize("heads", [1, 3, 8])
def test_matches_dsa_with_any_number_of_heads(subject: Subject, heads: int) -> None:
    laws.law_matches_dsa(subject.indexer, subject.one(subject.edges, heads=heads, dim=8))


@pytest.mark.parametrize("sign", [-1, 0])
def test_matches_dsa_with_negative_and_zero_gates(subject: Subject, sign: int) -> None:
    case = subject.one([*subject.edges, subject.pruned], seed=5)
    case.weights.copy_(sign * case.weights.abs())
    laws.law_matches_dsa(subject.indexer, case)


def test_matches_dsa_in_bf16(subject: Subject) -> None:
    laws.law_matches_dsa(subject.indexer, subject.one(subject.edges, dtype=torch.bfloat16))


def test_matches_dsa_with_fp8_keys_and_scales(subject: Subject) -> None:
    laws.law_matches_dsa(subject.indexer, subject.one([*subject.edges, subject.pruned], fp8=True))


@pytest.mark.parametrize("values", ["equal", "two-valued"])
def test_ties_go_to_the_lower_position(subject: Subject, values: Values) -> None:
    for seed in range(3):
        case = subject.one([*subject.edges, subject.pruned], values=values, seed=seed, gap=3)
        laws.law_ties(subject.indexer, case)


def test_a_row_that_sees_nothing_gets_nothing(subject: Subject) -> None:
    case = subject.one([0, 0], length=subject.topk + 1)
    assert laws.checked_select(subject.indexer, case) == [[], []]


def test_fewer_keys_than_the_budget(subject: Subject) -> None:
    case = subject.one([1], length=1)
    assert laws.checked_select(subject.indexer, case) == [[0]]
