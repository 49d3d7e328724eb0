"""The three variants against naive selections in float64, with every option, and their budgets and bounds."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hisa_eval.errors import UserError
from hisa_eval.indexers.conformance import laws, oracle
from hisa_eval.indexers.conformance.cases import Case, Values, make_case
from hisa_eval.indexers.hisa import HisaIndexer
from hisa_eval.indexers.registry import parse

EXACT_UNIT = 840
"""Divisible by every count up to 8: means of such keys are integers, so float32 and float64 agree."""

SPECS = [
    "dsa",
    "hisa:block_size=4,num_blocks=4",
    "hisa:block_size=8,num_blocks=2,pooling=max",
    "hisa:block_size=5,num_blocks=3,forced=none",
    "hisa:block_size=4,num_blocks=3,forced=first,block_score_dtype=bf16",
    "hisa:block_size=4,num_blocks=4,forced=first_last2",
    "hisa:block_size=4,num_blocks=2,forced=first_last2,forced_in_budget=false",
    "hisa:block_size=4,num_blocks=2,forced=first_last,forced_in_budget=false,pooling=max",
    "hisa:block_size=4,ratio=4",
    "hisa:block_size=3,ratio=1.5,forced=none,block_score_dtype=bf16",
    "hisa:block_size=1,num_blocks=9",
    "block-sparse:block_size=4",
    "block-sparse:block_size=4,num_blocks=5,forced=none,pooling=max",
    "block-sparse:block_size=2,forced=first_last2,block_score_dtype=bf16",
    "block-sparse:block_size=4,num_blocks=1,forced=first_last,forced_in_budget=false",
    "block-sparse:block_size=8,num_blocks=3,forced=first",
    "block-sparse:block_size=4,ratio=2",
]
TOPK = 8


@st.composite
def packed_cases(draw: st.DrawFn) -> Case:
    """Packed batches whose means of up to 8 keys are exact in float32."""
    sequences = draw(
        st.lists(
            st.integers(1, 70).flatmap(
                lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), min_size=1, max_size=4))
            ),
            min_size=1,
            max_size=3,
        )
    )
    kinds: list[Values] = ["integers", "equal", "two-valued"]
    values = draw(st.sampled_from(kinds))
    return make_case(
        sequences,
        TOPK,
        seed=draw(st.integers(0, 2**16)),
        values=values,
        gap=draw(st.integers(0, 3)),
        unit=EXACT_UNIT,
        heads=draw(st.sampled_from([1, 2, 3])),
    )


def expected(spec: str, case: Case) -> list[list[int]]:
    """What the naive selection of the same name and options gives."""
    indexer = parse(spec)
    if indexer.name == "dsa":
        return oracle.flat_selection(case)
    how: dict[str, Any] = dict(indexer.settings)
    whole = -(-case.topk // how["block_size"])
    if how["ratio"] is not None:
        pinned = ("none", "first", "first_last", "first_last2").index(how["forced"])
        # HISA keeps one block more than k / B, since its newest one may be visible in part only.
        least = whole + 1 if indexer.name == "hisa" else whole
        how["num_blocks"] = max(least, pinned if how["forced_in_budget"] else 0)
    elif how["num_blocks"] is None:
        how["num_blocks"] = case.topk // how["block_size"]
    blocks = oracle.block_selection(case, **how)
    return oracle.hisa_selection(case, blocks) if indexer.name == "hisa" else blocks


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=15, deadline=None)
@given(case=packed_cases())
def test_selection_equals_the_naive_one(spec: str, case: Case) -> None:
    assert laws.checked_select(parse(spec), case) == expected(spec, case)


def test_every_option_matters() -> None:
    """Each option, changed alone, changes a selection: none is accepted and then ignored."""
    case = make_case([(2000, tuple(range(1900, 2000)))], 64, seed=3, unit=4, heads=16, dim=8)
    base = "block_size=4,num_blocks=20"
    for change in (
        "block_size=8,num_blocks=20",
        "block_size=4,num_blocks=30",
        f"{base},ratio=4",
        f"{base},pooling=max",
        f"{base},forced=none",
        f"{base},forced=first",
        f"{base},forced=first_last2",
        f"{base},forced_in_budget=false",
        f"{base},block_score_dtype=bf16",
    ):
        for name in ("hisa", "block-sparse"):
            before = laws.checked_select(parse(f"{name}:{base}"), case)
            assert laws.checked_select(parse(f"{name}:{change}"), case) != before, (name, change)


def test_no_option_is_missing_from_the_test_above() -> None:
    for name in ("hisa", "block-sparse"):
        assert set(parse(name).settings) == {
            "block_size",
            "num_blocks",
            "ratio",
            "pooling",
            "forced",
            "forced_in_budget",
            "block_score_dtype",
        }


@pytest.mark.parametrize("spec", ["hisa:ratio=4", "hisa:block_size=100,ratio=4", "hisa:ratio=1000"])
def test_a_ratio_always_leaves_enough_candidates(spec: str) -> None:
    indexer = parse(spec)
    assert isinstance(indexer, HisaIndexer)
    for visible in (1, 2047, 2048, 2049, 2177, 8191, 8193, 40000):
        assert indexer.least_selected(visible, 2048) == min(visible, 2048)


@pytest.mark.parametrize(
    ("spec", "topk", "bound"),
    [
        ("dsa", 2048, sys.maxsize),
        ("hisa", 2048, 8192),
        ("hisa:block_size=64,num_blocks=128", 2048, 8192),
        ("hisa:ratio=4", 2048, 2048 + 128),
        ("hisa:block_size=100,ratio=4", 2048, 2100 + 100),
        ("block-sparse", 2048, 2048),
        ("block-sparse", 2000, 1920),
        ("block-sparse:num_blocks=64", 2048, 2048),
        ("block-sparse:num_blocks=4", 2048, 512),
        ("block-sparse:block_size=100,ratio=4", 2048, 2048),
    ],
)
def test_exactness_bound(spec: str, topk: int, bound: int) -> None:
    assert parse(spec).exact_below(topk) == bound


@pytest.mark.parametrize(
    ("spec", "topk", "message"),
    [
        (
            "hisa:num_blocks=16,block_size=64",
            2048,
            "hisa: num_blocks*block_size = 16*64 = 1024 candidates cannot fill k = 2048 – "
            "raise num_blocks to at least 32 or block_size to at least 128",
        ),
        (
            "hisa:num_blocks=1,block_size=2048",
            2048,
            "hisa: a budget of 1 blocks cannot hold the 2 that forced = first_last pins – "
            "raise num_blocks to at least 2, pin fewer, or set forced_in_budget=false",
        ),
        (
            "block-sparse",
            100,
            "block-sparse: k // block_size = 100 // 128 leaves no block – "
            "lower block_size to at most 100, or set num_blocks",
        ),
        (
            "block-sparse:forced=first_last2",
            256,
            "block-sparse: a budget of 2 blocks cannot hold the 3 that forced = first_last2 pins – "
            "raise num_blocks to at least 3, pin fewer, or set forced_in_budget=false",
        ),
        ("dsa", 0, "dsa: k = 0 is no budget – give a k of at least 1"),
        ("hisa", 0, "hisa: k = 0 is no budget – give a k of at least 1"),
        ("block-sparse", 0, "block-sparse: k = 0 is no budget – give a k of at least 1"),
    ],
)
def test_an_infeasible_budget_is_refused_early_and_late(spec: str, topk: int, message: str) -> None:
    indexer = parse(spec)
    with pytest.raises(UserError) as early:
        indexer.check_budget(topk)  # type: ignore[attr-defined]
    assert str(early.value) == message
    case = make_case([(9, (9,))], topk)
    with pytest.raises(ValueError, match="k") as late:
        case.select(indexer)
    assert topk == 0 or str(late.value) == message


@pytest.mark.parametrize(
    "spec", ["dsa", "hisa", "hisa:ratio=4", "hisa:ratio=16,forced=first_last2", "block-sparse"]
)
def test_a_feasible_budget_is_accepted(spec: str) -> None:
    parse(spec).check_budget(2048)  # type: ignore[attr-defined]


def test_only_block_stages_keep_a_state() -> None:
    assert parse("dsa").new_state() is None
    assert parse("hisa").new_state() is not None
    assert parse("block-sparse").new_state() is not None


def test_the_state_of_another_indexer_is_refused() -> None:
    hisa = parse("hisa:block_size=4,num_blocks=4")
    case = make_case([(9, (9,))], TOPK)
    for other, said in (
        (parse("hisa:block_size=8").new_state(), "state pools 8 keys by mean, the indexer 4 by mean"),
        (parse("hisa:block_size=4,pooling=max").new_state(), "state pools 4 keys by max"),
        (object(), "state is a object"),
    ):
        with pytest.raises(ValueError, match=said):
            case.select(hisa, other)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every start must then be 0"):
        make_case([(9, (9,)), (9, (9,))], TOPK).select(hisa, hisa.new_state())


def test_a_batch_without_rows_gives_an_empty_result() -> None:
    case = make_case([(9, (9,))], TOPK).rows([])
    for spec in ("dsa", "hisa:block_size=4,num_blocks=4"):
        assert case.select(parse(spec)).shape == (0, TOPK)
    assert case.select(parse("block-sparse:block_size=4")).shape[0] == 0


def test_options_that_apply_to_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse("hisa").options.block_size = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("spec", ["dsa", "hisa:block_size=16,num_blocks=4", "block-sparse:block_size=8"])
def test_real_valued_inputs_in_every_dtype_agree_on_what_is_visible(spec: str) -> None:
    """Random reals have no exact oracle; the laws of one result hold for them all the same."""
    case = make_case([(200, (200, 150, 3)), (90, (90,))], 32, heads=4, dim=32)
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(case.q.shape, generator=generator)
    k = torch.randn(case.k.shape, generator=generator)
    weights = torch.randn(case.weights.shape, generator=generator)
    for dtype in (torch.float32, torch.bfloat16, torch.float8_e4m3fn):
        scale = torch.rand(len(k)) + 0.5 if dtype == torch.float8_e4m3fn else None
        real = Case(q.to(dtype), k.to(dtype), weights, case.starts, case.ends, 32, scale)
        laws.checked_select(parse(spec), real)
