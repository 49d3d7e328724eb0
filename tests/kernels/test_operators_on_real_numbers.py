"""On random numbers, FP8 and bf16 inputs, results lie within derived bounds of the exact ones."""

from __future__ import annotations

import pytest
import torch
from kernel_bounds import attention_bound, flat_bound, gamma, pooled_bound, score_bound
from kernel_examples import Batch, real
from kernel_oracles import Oracle, dequantised
from torch import Tensor

import hisa_kernels

DTYPES = [torch.float32, torch.bfloat16, torch.float8_e4m3fn]
SEQUENCES = [(150, 20), (90, 20)]


@pytest.fixture(params=DTYPES, ids=str)
def batch(request: pytest.FixtureRequest) -> Batch:
    return real(SEQUENCES, dtype=request.param)


def within(got: Tensor, want: Tensor, bound: Tensor) -> None:
    """Equal infinities, and finite values no further apart than the bound."""
    got = got.double().cpu()
    assert torch.equal(got == -torch.inf, want == -torch.inf)
    finite = want > -torch.inf
    assert ((got - want).abs()[finite] <= bound[finite]).all()


def best_within(indices: Tensor, scores: Tensor, bound: Tensor, topk: int) -> None:
    """No key left out beats a chosen one by more than their two bounds; counts and order are right."""
    for row, chosen in enumerate(indices.cpu()):
        visible = scores[row] > -torch.inf
        taken = chosen[chosen >= 0].long()
        assert len(taken) == min(topk, int(visible.sum()))
        assert (taken.diff() > 0).all()
        assert visible[taken].all()
        rest = visible.clone()
        rest[taken] = False
        if rest.any():
            assert (scores - bound)[row][rest].max() <= (scores + bound)[row][taken].min()


def test_scores_within_bound(batch: Batch, device: torch.device) -> None:
    there = batch.on(device)
    got = hisa_kernels.index_scores(*there.args, k_scale=there.k_scale)
    want = Oracle().index_scores(*batch.args, k_scale=batch.k_scale)
    within(got, want, flat_bound(batch.q, batch.k, batch.weights, batch.k_scale, device))


def test_flat_selection_is_best_within_bound(batch: Batch, device: torch.device) -> None:
    there = batch.on(device)
    got = hisa_kernels.select_flat(*there.args, 40, k_scale=there.k_scale)
    scores = Oracle().index_scores(*batch.args, k_scale=batch.k_scale)
    best_within(got, scores, flat_bound(batch.q, batch.k, batch.weights, batch.k_scale, device), 40)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooled_keys_within_bound(batch: Batch, pooling: str, device: torch.device) -> None:
    there = batch.on(device)
    got = hisa_kernels.pool_keys(there.k, 16, pooling=pooling, k_scale=there.k_scale)
    want = Oracle().pool_keys(batch.k, 16, pooling=pooling, k_scale=batch.k_scale)
    size = Oracle().pool_keys(dequantised(batch.k, batch.k_scale).abs().float(), 16, pooling=pooling)
    within(got, want, size * gamma(8))


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_block_scores_within_bound(batch: Batch, pooling: str, device: torch.device) -> None:
    there = batch.on(device)
    got = hisa_kernels.block_scores(*there.args, block_size=16, pooling=pooling, k_scale=there.k_scale)
    want = Oracle().block_scores(*batch.args, block_size=16, pooling=pooling, k_scale=batch.k_scale)
    keys = dequantised(batch.k, batch.k_scale)
    bound = torch.zeros_like(want)
    for row, (lo, end) in enumerate(zip(batch.starts.tolist(), batch.ends.tolist(), strict=True)):
        sizes = Oracle().pool_keys(keys[lo:end].abs().float(), 16, pooling=pooling)
        one = slice(row, row + 1)
        bound[row, : len(sizes)] = score_bound(batch.q[one].float(), batch.weights[one], sizes, 8)[0]
        if device.type == "cuda":
            bound[row, : len(sizes)] += pooled_bound(batch.q[one], batch.weights[one], sizes.double())[0]
    within(got, want, bound)


def test_candidate_scores_within_bound(batch: Batch, device: torch.device) -> None:
    there = batch.on(device)
    blocks = Oracle().select_blocks(*batch.args, k_scale=batch.k_scale, block_size=16, num_blocks=4)
    got = hisa_kernels.candidate_scores(*there.args, blocks.to(device), 16, k_scale=there.k_scale)
    want = Oracle().candidate_scores(*batch.args, blocks, 16, k_scale=batch.k_scale)
    bounds = flat_bound(batch.q, batch.k, batch.weights, batch.k_scale, device)
    slot = (blocks[:, :, None].clamp(min=0) * 16 + torch.arange(16)).flatten(1) + batch.starts[:, None]
    within(got, want, bounds.gather(1, slot.clamp(max=len(batch.k) - 1).long()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("full", [True, False])
def test_sparse_mla_within_bound(dtype: torch.dtype, full: bool, device: torch.device) -> None:
    make = torch.Generator().manual_seed(0)
    q = torch.randn(70, 4, 24, generator=make).to(dtype)
    kv = torch.randn(300, 24, generator=make).to(dtype)
    indices = torch.randint(0, 300, (70, 33), generator=make, dtype=torch.int32)
    if not full:
        indices[torch.rand(70, 33, generator=make) < 0.4] = -1
        indices[5] = -1
        indices[64:] = -1
    options = {"scale": 0.3, "value_dim": 16}
    got = hisa_kernels.sparse_mla(q.to(device), kv.to(device), indices.to(device), **options)
    want = Oracle().sparse_mla(q, kv, indices, **options)
    assert got.dtype == dtype
    rounding = torch.finfo(dtype).eps / 2 if dtype != torch.float32 else 0.0
    for row, chosen in enumerate(indices):
        latents = kv[chosen[chosen >= 0].long()].double()
        if len(latents):
            # The kernel rounds shares before they weigh values; the reference does not.
            shares = rounding if device.type == "cuda" else 0.0
            bound = attention_bound(q[row].double(), latents, 0.3, 16, shares)
            bound = bound + (want[row].abs() + bound) * rounding
            assert ((got[row].cpu().double() - want[row]).abs() <= bound).all()
        else:
            assert (got[row] == 0).all()


def test_sparse_mla_ignores_latents_that_are_not_chosen(device: torch.device) -> None:
    make = torch.Generator().manual_seed(1)
    q, kv = torch.randn(6, 2, 8, generator=make).to(device), torch.randn(30, 8, generator=make).to(device)
    indices = torch.randint(3, 30, (6, 9), generator=make, dtype=torch.int32).to(device)
    indices[:, 6:] = -1
    want = hisa_kernels.sparse_mla(q, kv, indices, scale=1.0, value_dim=8)
    kv[:3] = torch.nan
    assert torch.equal(hisa_kernels.sparse_mla(q, kv, indices, scale=1.0, value_dim=8), want)


def test_bound_rejects_a_slightly_wrong_scorer() -> None:
    """The bound is tight enough to notice scores computed from bf16 keys, or with a scale forgotten."""
    batch = real(SEQUENCES)
    want = Oracle().index_scores(*batch.args)
    bound = flat_bound(batch.q, batch.k, batch.weights, None)
    rounded = hisa_kernels.index_scores(batch.q, batch.k.bfloat16(), *batch.args[2:])
    with pytest.raises(AssertionError):
        within(rounded, want, bound)
    quantised = real(SEQUENCES, dtype=torch.float8_e4m3fn)
    unscaled = hisa_kernels.index_scores(*quantised.args, k_scale=torch.ones_like(quantised.k_scale))
    with pytest.raises(AssertionError):
        within(
            unscaled,
            Oracle().index_scores(*quantised.args, k_scale=quantised.k_scale),
            flat_bound(quantised.q, quantised.k, quantised.weights, quantised.k_scale),
        )
