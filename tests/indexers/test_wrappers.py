"""Wrappers that take selections over: what holds of them with their memory, and what does not."""

from __future__ import annotations

import pytest
import torch

from hisa_eval.errors import UserError
from hisa_eval.fidelity.frame import Frame
from hisa_eval.fidelity.synthetic import make_frame
from hisa_eval.indexers.base import Indexer, IndexerState
from hisa_eval.indexers.index_cache import IndexCacheIndexer
from hisa_eval.indexers.registry import parse
from hisa_eval.indexers.step_reuse import StepReuseIndexer
from hisa_eval.indexers.wrapped import WrappedIndexer, scored_keys_of, states_of

TOPK, N = 16, 200
HISA = "hisa/block_size=4/num_blocks=6"


def sequence(seed: int = 0) -> Frame:
    """Queries for every token of a context."""
    return make_frame("topics", N, rows=N, heads=4, dim=16, seed=seed)


def rows(
    own: Frame, indexer: Indexer, first: int, last: int, state: IndexerState | None = None
) -> torch.Tensor:
    """Selection of rows `first` to `last`, the keys ending with the last of them."""
    starts = torch.zeros(last - first, dtype=torch.int32)
    ends = torch.arange(first + 1, last + 1, dtype=torch.int32)
    part = slice(first, last)
    return indexer.select(own.q[part], own.k[:last], own.weights[part], starts, ends, TOPK, state=state)


def check(chosen: torch.Tensor, first: int) -> None:
    """Visible, distinct, ascending, exactly min(k, visible)."""
    for place, row in enumerate(chosen.tolist()):
        visible = first + place + 1
        keys = [key for key in row if key >= 0]
        assert keys == sorted(set(keys))
        assert len(keys) == min(TOPK, visible)
        assert keys[-1] < visible
        assert row[len(keys) :] == [-1] * (len(row) - len(keys))


def cache(text: str) -> IndexCacheIndexer:
    found = parse(text)
    assert isinstance(found, IndexCacheIndexer)
    return found


def reuse(text: str) -> StepReuseIndexer:
    found = parse(text)
    assert isinstance(found, StepReuseIndexer)
    return found


def test_which_layers_select() -> None:
    def full(text: str, n: int) -> list[int]:
        return [layer for layer in range(n) if cache(text).selects(layer)]

    assert full("index-cache", 9) == [0, 4, 8]
    assert full("index-cache:first=3", 12) == [0, 1, 2, 6, 10]
    assert full("index-cache:every=1", 3) == [0, 1, 2]
    assert full("index-cache:every=2,first=2", 6) == [0, 1, 3, 5]


@pytest.mark.parametrize(
    ("spec", "n_layers", "share"),
    [("", 9, 3 / 9), ("every=4,first=3", 61, 17 / 61), ("every=1", 3, 1), ("every=8,first=2", 1, 1)],
)
def test_layers_that_share_score_nothing(spec: str, n_layers: int, share: float) -> None:
    indexer = cache(f"index-cache:{spec}" if spec else "index-cache")
    assert scored_keys_of(indexer, 10_000, 2048, 64, n_layers) == pytest.approx(10_000 * share)
    assert scored_keys_of(parse("dsa"), 10_000, 2048, 64, n_layers) == 10_000


def test_what_the_wrapped_indexer_does_not_count_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for indexer in (cache("index-cache"), reuse("step-reuse")):
        monkeypatch.setattr(indexer.inner, "scored_keys", lambda visible, topk, heads: None)
        assert scored_keys_of(indexer, 10_000, 2048, 64, 3) is None


@pytest.mark.parametrize("over", ["dsa", HISA])
def test_a_shared_layer_attends_to_the_full_layers_keys(over: str) -> None:
    indexer, layers = cache(f"index-cache:every=2,over={over}"), [sequence(seed) for seed in range(4)]
    states = states_of(indexer, 4)
    for first, last in ((0, 70), (70, 150), (150, 151), (151, N)):
        found = [rows(own, indexer, first, last, state) for own, state in zip(layers, states, strict=True)]
        for chosen in found:
            check(chosen, first)
        assert torch.equal(found[0], rows(layers[0], indexer.inner, first, last))
        assert torch.equal(found[1], found[0])
        assert torch.equal(found[2], rows(layers[2], indexer.inner, first, last))
        assert torch.equal(found[3], found[2])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[1], rows(layers[1], indexer.inner, 151, N))


def test_a_part_of_the_rows_is_found_and_other_rows_select_for_themselves() -> None:
    indexer, full, shared = cache("index-cache"), sequence(0), sequence(1)
    states = states_of(indexer, 2)
    above = rows(full, indexer, 0, 100, states[0])
    # The last layer of a model is asked for the last rows alone, the probe for some.
    assert torch.equal(rows(shared, indexer, 99, 100, states[1]), above[99:])
    later = rows(shared, indexer, 100, 120, states[1])
    assert torch.equal(later, rows(shared, indexer.inner, 100, 120))


def test_nothing_of_a_truncated_sequence_is_taken_over() -> None:
    indexer, full, shared = cache("index-cache"), sequence(0), sequence(1)
    states = states_of(indexer, 2)
    rows(full, indexer, 0, 100, states[0])
    for state in states:
        assert state is not None
        state.truncate(40)
    assert torch.equal(rows(shared, indexer, 40, 100, states[1]), rows(shared, indexer.inner, 40, 100))


def test_two_sequences_do_not_share_a_board() -> None:
    indexer, full, shared = cache("index-cache"), sequence(0), sequence(1)
    first, second = states_of(indexer, 2), states_of(indexer, 2)
    rows(full, indexer, 0, 100, first[0])
    assert torch.equal(rows(shared, indexer, 0, 100, second[1]), rows(shared, indexer.inner, 0, 100))


@pytest.mark.parametrize("over", ["dsa", HISA])
def test_a_step_is_the_best_of_the_step_before_and_the_newest(over: str) -> None:
    indexer, own = reuse(f"step-reuse:every=3,newest=5,over={over}"), sequence()
    (state,) = states_of(indexer, 1)
    before = rows(own, indexer, 0, 120, state)
    assert torch.equal(before, rows(own, indexer.inner, 0, 120))
    last, differs = set(before[-1].tolist()), False
    for step, at in enumerate(range(120, 140), start=1):
        chosen = rows(own, indexer, at, at + 1, state)
        check(chosen, at)
        alone = rows(own, indexer.inner, at, at + 1)
        if step % 3 == 0:
            assert torch.equal(chosen, alone)
        else:
            pool = sorted((last | set(range(at - 4, at + 1))) - {-1})
            scores = torch.relu(own.k[pool] @ own.q[at].T) @ own.weights[at]
            best = scores.sort(descending=True, stable=True).indices[:TOPK].tolist()
            assert chosen[0].tolist() == sorted(pool[place] for place in best)
            differs |= not torch.equal(chosen, alone)
        last = set(chosen[0].tolist())
    assert differs


def test_asking_at_every_step_is_the_wrapped_indexer() -> None:
    indexer, own = reuse("step-reuse:every=1"), sequence()
    (state,) = states_of(indexer, 1)
    rows(own, indexer, 0, 100, state)
    for at in range(100, 110):
        assert torch.equal(rows(own, indexer, at, at + 1, state), rows(own, indexer.inner, at, at + 1))


def test_rows_within_k_are_flat_dsas_in_every_step() -> None:
    indexer, own = reuse("step-reuse:every=50,newest=1"), sequence()
    (state,) = states_of(indexer, 1)
    rows(own, indexer, 0, 3, state)
    for at in range(3, TOPK):
        assert rows(own, indexer, at, at + 1, state)[0].tolist()[: at + 1] == list(range(at + 1))
    assert indexer.exact_below(TOPK) == TOPK


def test_a_step_looks_at_no_key_behind_its_end_and_at_no_forgotten_one() -> None:
    indexer, own, other = reuse("step-reuse:every=9"), sequence(), sequence()
    other.k[150:] = 7.0
    found = []
    for one in (own, other):
        (state,) = states_of(indexer, 1)
        rows(one, indexer, 0, 149, state)
        found.append(rows(one, indexer, 149, 150, state))
    assert torch.equal(*found)
    assert state is not None
    state.truncate(120)
    assert torch.equal(rows(own, indexer, 120, 121, state), rows(own, indexer.inner, 120, 121))


def test_a_row_that_follows_nothing_asks_all_keys() -> None:
    indexer, own = reuse("step-reuse:every=9"), sequence()
    (state,) = states_of(indexer, 1)
    rows(own, indexer, 0, 100, state)
    assert torch.equal(rows(own, indexer, 104, 105, state), rows(own, indexer.inner, 104, 105))


@pytest.mark.parametrize("name", ["index-cache", "step-reuse"])
def test_what_is_wrapped_is_said_in_one_way(name: str) -> None:
    found = parse(f"{name}:over=hisa/num_blocks=64/block_size=64")
    assert isinstance(found, WrappedIndexer)
    assert found.label == f"{name}:over=hisa/block_size=64"
    assert parse(found.label).label == found.label
    assert found.inner.label == "hisa:block_size=64"
    with pytest.raises(UserError, match="fill k = 8192"):
        found.check_budget(8192)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("index-cache:over=hissa", "unknown indexer"),
        ("index-cache:over=hisa/block_size=x", "block_size=x"),
        ("step-reuse:over=index-cache", "is a wrapper"),
        ("step-reuse:over=block-sparse", "no token-level"),
        ("step-reuse:every=0", "every=0"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(spec: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        parse(spec)
    assert words in str(error.value)
