"""The pooled-key cache equals pooling from scratch, bit for bit, whatever happened before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_examples import real
from torch import Tensor

import hisa_kernels
import hisa_kernels.pooled_cache
from hisa_kernels import PooledKeyCache

quick = settings(max_examples=30, deadline=None, derandomize=True)
STEPS = st.lists(st.tuples(st.sampled_from(["grow", "cut"]), st.integers(0, 40)), min_size=1, max_size=8)


def follow(
    cache: Any, steps: list[tuple[str, int]], k: Tensor, scale: Tensor | None, dtype: torch.dtype
) -> None:
    """Grows and cuts the sequence; after each step the cache must equal pooling from scratch.

    A cut is followed by other keys than before, as after a rejected draft.
    """
    length = 0
    for turn, (step, amount) in enumerate(steps):
        if step == "cut":
            length = max(0, length - amount)
            cache.truncate(length)
            assert cache.length == length
            k = torch.cat((k[:length], k[length:].roll(turn + 1, 0)))
        else:
            length = min(length + amount, len(k))
        keys = k[:length].to(dtype)
        part = None if scale is None else scale[:length]
        got = cache.update(keys, part)
        want = hisa_kernels.pool_keys(keys, cache.block_size, pooling=cache.pooling, k_scale=part)
        assert torch.equal(got, want)
        assert cache.length == length


@given(
    steps=STEPS,
    size=st.sampled_from([1, 2, 3, 5, 8, 16]),
    pooling=st.sampled_from(["mean", "max"]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float8_e4m3fn]),
)
@quick
def test_cache_equals_pooling_from_scratch(
    steps: list[tuple[str, int]], size: int, pooling: str, dtype: torch.dtype, device: torch.device
) -> None:
    k = real([(100, 1)]).k.to(device)
    scale = torch.linspace(0.5, 1.5, 100, device=device) if dtype == torch.float8_e4m3fn else None
    follow(PooledKeyCache(size, pooling), steps, k, scale, dtype)


class StaleTail(PooledKeyCache):
    """Pools each block once, when its first key arrives."""

    def update(self, k: Tensor, k_scale: Tensor | None = None) -> Tensor:
        old = self._buffer.clone() if self._buffer is not None else None
        n_old = -(-self.length // self.block_size)
        new = super().update(k, k_scale)
        if old is not None:
            new[:n_old] = old[:n_old]
        return new


class KeepsWhatIsCut(PooledKeyCache):
    """Forgets to mark the blocks that a cut invalidates."""

    def truncate(self, length: int) -> None:
        pooled = self._pooled
        super().truncate(length)
        self._pooled = min(pooled, length)


class CutsTooLate(PooledKeyCache):
    """Rounds the cut up to a whole block."""

    def truncate(self, length: int) -> None:
        super().truncate(-(-length // self.block_size) * self.block_size)


@pytest.mark.parametrize("mistake", [StaleTail, KeepsWhatIsCut, CutsTooLate])
def test_check_rejects_wrong_caches(mistake: type[PooledKeyCache]) -> None:
    steps = [("grow", 10), ("grow", 3), ("cut", 2), ("grow", 9), ("cut", 6), ("grow", 30)]
    k = real([(100, 1)]).k
    with pytest.raises((AssertionError, ValueError)):
        follow(mistake(8), steps, k, None, torch.float32)
    follow(PooledKeyCache(8), steps, k, None, torch.float32)


@pytest.mark.parametrize("block_size", [1, 4, 6, 16])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_cache_changes_no_selection(block_size: int, pooling: str, device: torch.device) -> None:
    """A prefill in chunks with one cache equals the whole prefill without one."""
    batch = real([(200, 200)], heads=2, dim=16).on(device)
    options = {"block_size": block_size, "num_blocks": 5, "pooling": pooling, "forced": "first"}
    whole = hisa_kernels.select_blocks(*batch.args, **options)
    tokens = hisa_kernels.select_hisa(*batch.args, 5, **options)
    cache = PooledKeyCache(block_size, pooling)
    for lo, hi in ((0, 1), (1, 70), (70, 71), (71, 200)):
        part = batch.part(slice(lo, hi))
        call = (part.q, batch.k[:hi], part.weights, part.starts, part.ends)
        assert torch.equal(hisa_kernels.select_blocks(*call, cache=cache, **options), whole[lo:hi])
        assert torch.equal(hisa_kernels.select_hisa(*call, 5, cache=cache, **options), tokens[lo:hi])
        assert cache.length == hi


def test_only_new_blocks_are_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    pool = hisa_kernels.pooled_cache.pool_keys

    def counted(k: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(len(k))
        return pool(k, *args, **kwargs)

    monkeypatch.setattr(hisa_kernels.pooled_cache, "pool_keys", counted)
    k = real([(100, 1)]).k
    cache = PooledKeyCache(8)
    for length in (64, 64, 65, 66, 80, 100):
        cache.update(k[:length])
    assert seen == [64, 1, 2, 16, 20]


def test_cache_survives_leaving_inference_mode(device: torch.device) -> None:
    k = real([(100, 1)]).k.to(device)
    cache = PooledKeyCache(8)
    with torch.inference_mode():
        cache.update(k[:50].clone())
    assert torch.equal(cache.update(k), hisa_kernels.pool_keys(k, 8))
