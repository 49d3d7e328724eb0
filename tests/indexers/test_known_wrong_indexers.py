"""The conformance laws must reject indexers that are wrong in known ways, each by the law meant for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hisa_eval.indexers.base import IndexerState
from hisa_eval.indexers.conformance import laws, oracle
from hisa_eval.indexers.conformance.cases import Case, make_case
from hisa_eval.indexers.conformance.rejections import (
    bad_layouts,
    bad_values,
    law_rejects,
    law_rejects_infeasible,
)
from hisa_eval.indexers.validate import validate_inputs

B, M, K = 4, 4, 8


class Sound:
    """A naive HISA in float64 without forced blocks; the faulty ones below change one thing each."""

    name = "sound"
    label = "sound"

    @property
    def settings(self) -> dict[str, int]:
        return {"block_size": B, "num_blocks": M}

    def exact_below(self, topk: int) -> int:
        return B * M

    def check_budget(self, topk: int) -> None:
        if topk > B * M:
            raise ValueError(f"{B * M} candidates cannot fill k = {topk} – lower k")

    def new_state(self) -> IndexerState | None:
        return None

    def select(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        topk: int,
        *,
        k_scale: Tensor | None = None,
        state: object = None,
    ) -> Tensor:
        self.check_budget(topk)
        validate_inputs(q, k, weights, starts, ends, topk, k_scale=k_scale)
        case = Case(q, k, weights, starts, ends, topk, k_scale)
        rows = [self.row(case, row, state) for row in range(q.shape[0])]
        slots = [self.pad(row, topk) for row in rows]
        return torch.tensor(slots, dtype=torch.int32).reshape(q.shape[0], -1)

    def row(self, case: Case, row: int, state: object) -> list[int]:
        start, end = case.bounds[row]
        blocks = self.blocks(start, end)
        if not blocks:
            return []
        pooled = torch.stack([self.pool(case, block, state) for block in blocks])
        kept = oracle.best(oracle.row_scores(case, row, pooled), self.budget(case, len(blocks)))
        candidates = [i for block in kept for i in blocks[block]]
        return self.tokens(case, row, candidates)

    def blocks(self, start: int, end: int) -> list[list[int]]:
        return [list(range(i, min(i + B, end))) for i in range(start, end, B)]

    def pool(self, case: Case, block: list[int], state: object) -> Tensor:
        return oracle.keys(case)[block].mean(0)

    def budget(self, case: Case, visible_blocks: int) -> int:
        return M

    def tokens(self, case: Case, row: int, candidates: list[int]) -> list[int]:
        scores = oracle.row_scores(case, row, oracle.keys(case)[candidates])
        return [candidates[i] for i in oracle.best(scores, case.topk)]

    def pad(self, positions: list[int], topk: int) -> list[int]:
        return positions + [-1] * (topk - len(positions))


class EndsLate(Sound):
    """Sees one key more than it may."""

    def blocks(self, start: int, end: int) -> list[list[int]]:
        return super().blocks(start, end + 1)


class EndsEarly(Sound):
    """Overlooks the newest key."""

    def blocks(self, start: int, end: int) -> list[list[int]]:
        return super().blocks(start, end - 1)


class DropsSink(Sound):
    """Leaves the first block out where there are others enough."""

    def blocks(self, start: int, end: int) -> list[list[int]]:
        found = super().blocks(start, end)
        return found[1:] if end - start >= K + B else found


class DropsLast(Sound):
    """Leaves the newest block out where there are others enough."""

    def blocks(self, start: int, end: int) -> list[list[int]]:
        found = super().blocks(start, end)
        return found[:-1] if end - start >= K + B else found


class Repeats(Sound):
    """Gives one position twice in place of another."""

    def tokens(self, case: Case, row: int, candidates: list[int]) -> list[int]:
        positions = super().tokens(case, row, candidates)
        return [*positions[:1], *positions[:-1]]


class PadsWithZero(Sound):
    """Fills empty slots with position 0."""

    def pad(self, positions: list[int], topk: int) -> list[int]:
        return positions + [0] * (topk - len(positions))


class PadsInFront(Sound):
    """Puts the empty slots first."""

    def pad(self, positions: list[int], topk: int) -> list[int]:
        return [-1] * (topk - len(positions)) + positions


class HigherOnTies(Sound):
    """Prefers the later of two equal scores."""

    def tokens(self, case: Case, row: int, candidates: list[int]) -> list[int]:
        return sorted(super().tokens(case, row, candidates[::-1]))


class ByScore(Sound):
    """Orders positions by score instead of by position."""

    def tokens(self, case: Case, row: int, candidates: list[int]) -> list[int]:
        positions = super().tokens(case, row, candidates)
        scores = oracle.row_scores(case, row, oracle.keys(case)[positions])
        return [positions[i] for i in torch.argsort(scores, descending=True, stable=True).tolist()]


class OneShort(Sound):
    """Selects one key too few where there are more than k."""

    def tokens(self, case: Case, row: int, candidates: list[int]) -> list[int]:
        positions = super().tokens(case, row, candidates)
        return positions[: case.topk - 1]


class PoolsTheFuture(Sound):
    """Pools the newest block over keys that come after the query."""

    def pool(self, case: Case, block: list[int], state: object) -> Tensor:
        return oracle.keys(case)[block[0] : block[0] + B].mean(0)


class AlignsToZero(Sound):
    """Counts blocks from the start of the batch instead of from the sequence's own."""

    def blocks(self, start: int, end: int) -> list[list[int]]:
        cuts = [start, *range((start // B + 1) * B, end, B), end]
        return [list(range(a, b)) for a, b in itertools.pairwise(cuts) if a < b]


class BudgetsByBatch(Sound):
    """Gives every row the budget of the longest row in the batch."""

    def budget(self, case: Case, visible_blocks: int) -> int:
        longest = int((case.ends - case.starts).max())
        return max(M, -(-longest // B) // 2)


class StaleState(Sound):
    """Keeps the pooled keys of blocks that were cut."""

    class State(dict[int, tuple[int, Tensor]]):
        def truncate(self, length: int) -> None:
            for first in [first for first in self if first >= length]:
                del self[first]

    def new_state(self) -> IndexerState:
        return self.State()

    def pool(self, case: Case, block: list[int], state: object) -> Tensor:
        fresh = super().pool(case, block, state)
        if not isinstance(state, self.State):
            return fresh
        size, pooled = state.get(block[0], (0, fresh))
        if len(block) != size:
            size, pooled = len(block), fresh
        state[block[0]] = (size, pooled)
        return pooled


class Forgetful(Sound):
    """Gives another selection every second time."""

    calls = 0

    def check_budget(self, topk: int) -> None:
        self.calls += 1

    def budget(self, case: Case, visible_blocks: int) -> int:
        return M + self.calls % 2


class Lags(Sound):
    """Its selector for new tokens does not see the newest one."""

    class Newest:
        def __init__(self, indexer: Sound, k: Tensor, topk: int) -> None:
            self.indexer, self.k, self.topk = indexer, k, topk

        def serves(self, ends: tuple[int, int]) -> bool:
            return True

        def begin(self, length: int) -> None:
            pass

        def select(self, q: Tensor, weights: Tensor, end: Tensor) -> Tensor:
            before = end - 1
            return self.indexer.select(q, self.k[: int(before)], weights, before * 0, before, self.topk)

    def newest(self, k: Tensor, heads: int, topk: int, ends: tuple[int, int]) -> Newest:
        return self.Newest(self, k, topk)


class Trusting(Sound):
    """Checks nothing."""

    def select(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        topk: int,
        *,
        k_scale: Tensor | None = None,
        state: object = None,
    ) -> Tensor:
        slots = [self.pad([], min(topk, 64)) for _ in range(q.shape[0])]
        return torch.tensor(slots, dtype=torch.int32)


def sequence(*visible: int, seed: int = 0, **how: Any) -> Case:
    """One sequence at position 0 with a query for each visible count."""
    return make_case([(max(visible) + 3, visible)], K, seed=seed, **how)


def packed(seed: int = 0) -> Case:
    """Three sequences longer than the candidates hold, none of them at a multiple of B."""
    return make_case([(45, (45, 30)), (38, (38, 21)), (51, (50, 3))], K, gap=3, seed=seed, values="one-hot")


def matches_dsa(indexer: Sound) -> None:
    laws.law_matches_dsa(indexer, sequence(B * M, K + B, K + 1, K, 3))


def matches_dsa_unpadded(indexer: Sound) -> None:
    laws.law_matches_dsa(indexer, sequence(B * M, K + B, K + 1))


def ties(indexer: Sound) -> None:
    laws.law_ties(indexer, sequence(B * M, K + B, values="equal"))


def row_alone(indexer: Sound) -> None:
    laws.law_row_alone(indexer, packed(), range(6))


def placement(indexer: Sound) -> None:
    for seed in range(5):
        laws.law_placement(indexer, packed(seed), range(6))


def unseen_keys(indexer: Sound) -> None:
    for seed in range(5):
        laws.law_unseen_keys(indexer, packed(seed), range(6))


def repeatable(indexer: Sound) -> None:
    for seed in range(5):
        laws.law_repeatable(indexer, packed(seed))


def state(indexer: Sound) -> None:
    case = sequence(41, 41, 41, values="one-hot", seed=4)
    laws.law_state(indexer, replace(case, k=case.k[:41]), [10, 29, 39, 30, 39, 40])


def newest(indexer: Sound) -> None:
    laws.law_newest(indexer, sequence(*range(11, 16), seed=1), 10)


LAWS: list[Callable[[Sound], None]] = [
    matches_dsa,
    matches_dsa_unpadded,
    ties,
    row_alone,
    placement,
    unseen_keys,
    repeatable,
    state,
    newest,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_sound_indexer_keeps_the_law(law: Callable[[Sound], None]) -> None:
    law(Sound())


@pytest.mark.parametrize(
    ("faulty", "law", "named"),
    [
        (EndsLate, matches_dsa_unpadded, "visible"),
        (EndsEarly, matches_dsa_unpadded, "matches dsa"),
        (DropsSink, matches_dsa, "matches dsa"),
        (DropsLast, matches_dsa, "matches dsa"),
        (Repeats, matches_dsa, "distinct"),
        (PadsWithZero, matches_dsa, "padding"),
        (PadsInFront, matches_dsa, "padding"),
        (HigherOnTies, ties, "ties"),
        (ByScore, matches_dsa, "ascending"),
        (OneShort, matches_dsa, "count"),
        (PoolsTheFuture, unseen_keys, "unseen keys"),
        (AlignsToZero, placement, "placement"),
        (BudgetsByBatch, row_alone, "row alone"),
        (StaleState, state, "state"),
        (Forgetful, repeatable, "repeatable"),
        (Lags, newest, "newest"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_faulty_indexer_breaks_the_law_meant_for_it(
    faulty: type[Sound], law: Callable[[Sound], None], named: str
) -> None:
    with pytest.raises(laws.LawBrokenError) as error:
        law(faulty())
    assert error.value.law == named
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_the_error_names_the_row() -> None:
    with pytest.raises(laws.LawBrokenError, match="row 1: ") as error:
        laws.law_matches_dsa(DropsSink(), sequence(K, B * M))
    assert error.value.row == 1


class PartOfABlock(Sound):
    """A block-level indexer that leaves a key of its blocks out."""

    selects_exactly_k = False


def test_a_part_of_a_block_breaks_the_law_of_whole_blocks() -> None:
    with pytest.raises(laws.LawBrokenError) as error:
        laws.checked_select(PartOfABlock(), sequence(B * M))
    assert error.value.law == "whole blocks"


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (torch.zeros(2, K, dtype=torch.int64), "form"),
        (torch.zeros(3, K, dtype=torch.int32), "form"),
        (torch.zeros(2, K + 1, dtype=torch.int32), "form"),
        (torch.tensor([[0, -1, 1, -1, -1, -1, -1, -1]] * 2, dtype=torch.int32), "padding"),
        (torch.tensor([[0, 1, -7, -1, -1, -1, -1, -1]] * 2, dtype=torch.int32), "visible"),
    ],
)
def test_a_malformed_result_is_named(result: Tensor, named: str) -> None:
    with pytest.raises(laws.LawBrokenError) as error:
        laws.check_result(Sound(), sequence(3, 3), result)
    assert error.value.law == named


@pytest.mark.parametrize("cases", [bad_values, bad_layouts])
def test_bad_input_must_be_rejected(cases: Callable) -> None:
    for what, case in cases(sequence(K + 1, 2)):
        law_rejects(Sound(), case, what)
        with pytest.raises(laws.LawBrokenError, match="was accepted"):
            law_rejects(Trusting(), case, what)


def test_an_infeasible_budget_must_be_rejected() -> None:
    law_rejects_infeasible(Sound(), sequence(K + 1))
    with pytest.raises(laws.LawBrokenError, match="was accepted"):
        law_rejects_infeasible(Trusting(), sequence(K + 1))


@pytest.mark.parametrize(
    ("error", "seen"), [(ValueError("two\nlines"), "one line"), (TypeError("no"), "TypeError")]
)
def test_a_rejection_must_be_a_one_line_value_error(error: Exception, seen: str) -> None:
    class Clumsy(Sound):
        def check_budget(self, topk: int) -> None:
            raise error

    with pytest.raises(laws.LawBrokenError, match=seen):
        law_rejects(Clumsy(), sequence(K), "anything")
