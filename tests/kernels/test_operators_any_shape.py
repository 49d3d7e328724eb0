"""Selections equal the oracle on drawn shapes: lengths around k and m·B, packed batches, ties, few rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_checks import same
from kernel_examples import Batch, whole
from kernel_oracles import Oracle

import hisa_kernels

BLOCK_SIZES = (1, 2, 3, 4, 8)
quick = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def cases(draw: Any) -> tuple[Batch, int, dict[str, Any]]:
    """A batch, a token budget, and block options whose blocks hold it."""
    size = draw(st.sampled_from(BLOCK_SIZES))
    blocks = draw(st.integers(1, 6))
    topk = draw(st.integers(1, blocks * size))
    near = st.sampled_from([topk, blocks * size]).flatmap(lambda n: st.integers(max(1, n - 1), n + 1))
    lengths = draw(st.lists(st.one_of(near, st.integers(1, 60)), min_size=1, max_size=3))
    sequences = [(length, draw(st.integers(1, min(length, 4)))) for length in lengths]
    batch = whole(
        sequences,
        heads=draw(st.integers(1, 3)),
        dim=draw(st.sampled_from([1, 4])),
        seed=draw(st.integers(0, 1000)),
        flat=draw(st.booleans()),
    )
    if draw(st.booleans()):
        batch.weights.copy_(-batch.weights.abs())
    options = {
        "block_size": size,
        "num_blocks": blocks,
        "ratio": draw(st.sampled_from([None, None, 1, 2, 3.5])),
        "pooling": draw(st.sampled_from(["mean", "max"])),
        "forced": draw(st.sampled_from(["none", "first", "first_last", "first_last2"])),
        "forced_in_budget": draw(st.booleans()),
        "block_score_dtype": draw(st.sampled_from(["f32", "bf16"])),
    }
    return batch, topk, options


@given(case=cases())
@quick
def test_selections_equal_oracle(case: tuple[Batch, int, dict[str, Any]], device: torch.device) -> None:
    batch, topk, options = case
    there = batch.on(device)
    oracle = Oracle()
    same(hisa_kernels.select_flat(*there.args, topk), oracle.select_flat(*batch.args, topk), "flat")
    for name, extra in (("select_blocks", ()), ("select_block_sparse", ()), ("select_hisa", (topk,))):
        got = getattr(hisa_kernels, name)(*there.args, *extra, **options)
        same(got, getattr(oracle, name)(*batch.args, *extra, **options), name)


@given(case=cases())
@quick
def test_what_a_row_does_not_see_has_no_say(
    case: tuple[Batch, int, dict[str, Any]], device: torch.device
) -> None:
    """Each row alone, with NaN in every key that it does not see, gets the tokens it gets in the batch."""
    batch, topk, options = case
    there = batch.on(device)
    together = hisa_kernels.select_hisa(*there.args, topk, **options)
    sparse = hisa_kernels.select_block_sparse(*there.args, **options)
    for row in range(len(batch.q)):
        alone = replace(there.part(slice(row, row + 1)), k=there.k.clone())
        seen = torch.zeros(len(batch.k), dtype=torch.bool, device=device)
        seen[int(batch.starts[row]) : int(batch.ends[row])] = True
        alone.k[~seen] = torch.nan
        found = hisa_kernels.select_hisa(*alone.args, topk, **options)
        assert torch.equal(found[0], together[row])
        tokens = hisa_kernels.select_block_sparse(*alone.args, **options)[0]
        assert torch.equal(tokens[tokens >= 0], sparse[row][sparse[row] >= 0])
