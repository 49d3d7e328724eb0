"""The scoring kernels on a GPU: exact on whole numbers, within derived bounds on random ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from kernel_bounds import gamma, score_bound
from kernel_checks import BATCHES, same
from kernel_examples import Batch, ranges, real, whole
from kernel_oracles import Oracle, dequantised
from torch import Tensor

from hisa_kernels import PooledKeyCache
from hisa_kernels.reference import pool_keys as reference
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang.block_scores import block_scores, score_blocks
from hisa_kernels.tilelang.index_scores import flat_scores, index_scores
from hisa_kernels.tilelang.pool_keys import pool_keys, pool_range

pytestmark = pytest.mark.gpu

FP8, BF16 = torch.float8_e4m3fn, torch.bfloat16
SHAPES = [(64, 128, FP8), (32, 64, FP8), (16, 32, BF16), (8, 128, BF16), (4, 32, FP8), (5, 40, BF16)]
SEQUENCES = [(700, 60), (9, 9), (431, 40)]

FP8_SUMS = 2.0**-11
"""Tensor cores add FP8 products with some 14 bits, not f32's 24: several times what was seen, as a share of
the sum of the magnitudes of the products."""


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    if not torch.cuda.is_available():
        pytest.fail("this test needs a CUDA device: run it on a GPU machine, or drop -m gpu")
    yield torch.device("cuda")
    torch.cuda.synchronize()


def rows_of(batch: Batch) -> Rows:
    starts, ends = batch.starts.cpu().numpy(), batch.ends.cpu().numpy()
    both = (batch.starts.contiguous(), batch.ends.contiguous())
    return Rows(starts.astype(np.int64), ends.astype(np.int64), batch.q.device, both)


def bound(batch: Batch) -> Tensor:
    """How far a kernel's score may lie from the exact one."""
    q, keys = batch.q.float(), dequantised(batch.k, batch.k_scale)
    size = score_bound(q, batch.weights, keys) / gamma(sum(q.shape[1:]) + 2)
    share = FP8_SUMS if FP8 in (batch.q.dtype, batch.k.dtype) else 0.0
    return size * (gamma(sum(q.shape[1:]) + 4) + share)


def within(got: Tensor, want: Tensor, limit: Tensor) -> None:
    """The same infinities, and finite values no further apart than the limit."""
    got = got.double().cpu()
    assert got.shape == want.shape
    assert not got.isnan().any()
    for infinity in (torch.inf, -torch.inf):
        assert torch.equal(got == infinity, want == infinity)
    finite = want.isfinite()
    assert ((got - want).abs()[finite] <= limit[finite]).all()


def in_bf16(batch: Batch) -> Batch:
    return replace(batch, q=batch.q.to(BF16), k=batch.k.to(BF16))


@pytest.mark.parametrize("batch", BATCHES)
def test_whole_numbers_are_exact(batch: Batch, gpu: torch.device) -> None:
    there = in_bf16(batch).on(gpu)
    got = index_scores(there.q, there.k, there.weights, rows_of(there), k_scale=None)
    same(got, Oracle().index_scores(*batch.args), "index_scores")


@pytest.mark.parametrize(("heads", "dim", "dtype"), SHAPES)
def test_scores_within_bound(heads: int, dim: int, dtype: torch.dtype, gpu: torch.device) -> None:
    batch = real(SEQUENCES, heads, dim, dtype=dtype)
    there = batch.on(gpu)
    got = flat_scores(*there.args, k_scale=there.k_scale)
    want = Oracle().index_scores(*batch.args, k_scale=batch.k_scale)
    within(got, want, bound(batch))
    assert torch.equal(got, flat_scores(*there.args, k_scale=there.k_scale))


def test_queries_and_keys_of_two_dtypes(gpu: torch.device) -> None:
    batch = real(SEQUENCES, 8, 64, dtype=FP8)
    batch = replace(batch, q=real(SEQUENCES, 8, 64, seed=1, dtype=BF16).q)
    there = batch.on(gpu)
    got = flat_scores(*there.args, k_scale=there.k_scale)
    want = Oracle().index_scores(*batch.args, k_scale=batch.k_scale)
    within(got, want, bound(batch))


def test_output_with_room_beside_it(gpu: torch.device) -> None:
    """Rows may be strided; what lies beyond N stays as it was."""
    there = real(SEQUENCES, 64, 128, dtype=FP8).on(gpu)
    n_keys = there.k.shape[0]
    room = torch.full((there.q.shape[0], n_keys + 5), torch.nan, device=gpu)
    got = flat_scores(*there.args, k_scale=there.k_scale, out=room)
    assert torch.equal(got, flat_scores(*there.args, k_scale=there.k_scale))
    assert room[:, n_keys:].isnan().all()


def test_without_filling_the_visible_scores_are_the_same(gpu: torch.device) -> None:
    there = real(SEQUENCES, 64, 128, dtype=FP8).on(gpu)
    full = flat_scores(*there.args, k_scale=there.k_scale)
    bare = flat_scores(*there.args, k_scale=there.k_scale, fill=False)
    seen = full > -torch.inf
    assert torch.equal(bare[seen], full[seen])


@pytest.mark.parametrize("sequences", [[(1, 1)], [(3000, 1)], [(5, 5), (129, 2)], [(64, 3)], [(4097, 130)]])
def test_any_length(sequences: list[tuple[int, int]], gpu: torch.device) -> None:
    batch = in_bf16(whole(sequences, heads=4, dim=32))
    got = flat_scores(*batch.on(gpu).args)
    same(got, Oracle().index_scores(*batch.args), sequences)


def test_rows_that_see_nothing(gpu: torch.device) -> None:
    batch = in_bf16(whole([(500, 40)], heads=4, dim=32))
    ends = batch.ends.clone()
    ends[::3] = 0
    there = replace(batch, ends=ends).on(gpu)
    got = flat_scores(*there.args)
    same(got, Oracle().index_scores(*replace(batch, ends=ends).args), "some")
    nothing = torch.zeros_like(there.ends)
    assert (flat_scores(there.q, there.k, there.weights, nothing, nothing) == -torch.inf).all()
    assert flat_scores(there.q[:0], there.k, there.weights[:0], nothing[:0], nothing[:0]).shape == (0, 500)
    assert flat_scores(there.q, there.k[:0], there.weights, nothing, nothing).shape == (40, 0)


@pytest.mark.parametrize("dtype", [FP8, BF16, torch.float32])
@pytest.mark.parametrize(("block_size", "pooling"), [(128, "mean"), (128, "max"), (24, "mean"), (1, "mean")])
def test_pooled_keys_are_the_references(
    dtype: torch.dtype, block_size: int, pooling: str, gpu: torch.device
) -> None:
    there = real([(1000, 1)], 2, 64, dtype=dtype).on(gpu)
    want = reference.pool_keys(there.k, block_size, pooling=pooling, k_scale=there.k_scale)
    got = pool_keys(there.k, block_size, pooling=pooling, k_scale=there.k_scale)
    assert torch.equal(got, want)
    parts = torch.full_like(want, torch.nan)
    cuts = [0, len(want) // 3, len(want) // 2, len(want)]
    for first, last in pairwise(cuts):
        pool_range(there.k, block_size, parts, pooling=pooling, k_scale=there.k_scale, first=first, last=last)
    assert torch.equal(parts, want)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("block_size", "pooling"), [(4, "mean"), (3, "max"), (8, "mean")])
def test_whole_block_scores_are_exact(batch: Batch, block_size: int, pooling: str, gpu: torch.device) -> None:
    there = in_bf16(batch).on(gpu)
    rows = rows_of(there)
    got = score_blocks(
        there.q,
        there.k,
        there.weights,
        rows,
        block_size=block_size,
        pooling=pooling,
        k_scale=None,
        cache=None,
    )
    want = Oracle().block_scores(*batch.args, block_size=block_size, pooling=pooling)
    same(got, want, (block_size, pooling))


@pytest.mark.parametrize(("heads", "dim", "dtype"), SHAPES)
def test_block_scores_within_bound(heads: int, dim: int, dtype: torch.dtype, gpu: torch.device) -> None:
    """Pooled keys keep 22 bits with FP8 queries, 16 with bf16 ones."""
    batch = real([(1999, 77)], heads, dim, dtype=dtype)
    batch = replace(batch, ends=torch.randint(0, 2000, (77,), dtype=torch.int32))
    there = batch.on(gpu)
    pooled = pool_keys(there.k, 16, pooling="mean", k_scale=there.k_scale)
    seen = (batch.ends[:, None] + 15) // 16
    at = torch.arange(len(pooled))
    exact = torch.stack(
        [
            Oracle().score(q.float(), weights, pooled.double().cpu())
            for q, weights in zip(batch.q, batch.weights, strict=True)
        ]
    )
    roundings = 8 if dtype == FP8 else 512
    limit = score_bound(batch.q.float(), batch.weights, pooled.double().cpu(), roundings=roundings)
    for forced, kinds in (("none", 0), ("first", 1), ("first_last", 2), ("first_last2", 3)):
        places = (torch.zeros_like(seen), seen - 1, seen - 2)
        want = exact.clone()
        for place in places[:kinds]:
            want[at == place] = torch.inf
        want[at >= seen] = -torch.inf
        got = block_scores(there.q, pooled, there.weights, there.starts, there.ends, 16, forced=forced)
        within(got, want, limit)


def test_rows_of_sequences_in_any_order(gpu: torch.device) -> None:
    starts, ends = ranges(SEQUENCES)
    batch = real(SEQUENCES, 16, 64, dtype=BF16)
    order = torch.randperm(len(starts), generator=torch.Generator().manual_seed(3))
    batch = replace(batch, starts=starts[order], ends=ends[order])
    there = batch.on(gpu)
    got = score_blocks(
        there.q,
        there.k,
        there.weights,
        rows_of(there),
        block_size=16,
        pooling="mean",
        k_scale=None,
        cache=None,
    )
    want = Oracle().block_scores(*batch.args, block_size=16)
    size = Oracle().block_scores(
        batch.q.abs(), batch.k.abs(), batch.weights.abs(), batch.starts, batch.ends, block_size=16
    )
    within(got, want, size.abs() * gamma(1024))


def test_a_cache_changes_nothing(gpu: torch.device) -> None:
    there = real([(900, 50)], 64, 128, dtype=FP8).on(gpu)
    cache = PooledKeyCache(32)
    cache.update(there.k[:500], None if there.k_scale is None else there.k_scale[:500])
    scores = [
        score_blocks(
            there.q,
            there.k,
            there.weights,
            rows_of(there),
            block_size=32,
            pooling="mean",
            k_scale=there.k_scale,
            cache=kept,
        )
        for kept in (None, cache)
    ]
    assert torch.equal(*scores)
