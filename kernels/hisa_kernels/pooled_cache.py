"""Pooled keys that grow with their sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.checks import check_keys, check_positive
from hisa_kernels.options import POOLINGS, check_choice
from hisa_kernels.reference.pool_keys import pool_keys
from hisa_kernels.rows import Rows


class PooledKeyCache:
    """The pooled keys of one sequence, kept up to date as tokens arrive.

    Equal to `pool_keys` over all keys, bit for bit, whatever the split into updates. Only blocks that an
    update touches are pooled again.

    Args:
        block_size: Tokens a block, B.
        pooling: `"mean"` or `"max"`.

    Attributes:
        length: Tokens seen so far.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, block_size: int, pooling: str = "mean") -> None:
        check_positive("block_size", block_size)
        check_choice("pooling", pooling, POOLINGS)
        self.block_size = block_size
        self.pooling = pooling
        self.length = 0
        self._pooled = 0
        self._buffer: Tensor | None = None

    def update(self, k: Tensor, k_scale: Tensor | None = None) -> Tensor:
        """Pools what is new.

        Args:
            k: All keys of the sequence so far `[N, D]` f32, bf16 or FP8 e4m3; the first `length` of them
                must be those of the call before.
            k_scale: Per-token scale `[N]` f32 of FP8 keys.

        Returns:
            Pooled keys `[⌈N/B⌉, D]` f32: a view of the cache, valid until the next update.

        Raises:
            ValueError: the keys are malformed, shorter than `length`, or of another width or device.
        """
        check_keys(k, k_scale)
        n_keys = k.shape[0]
        if n_keys < self.length:
            raise ValueError(
                f"k holds {n_keys} keys but the cache has seen {self.length}: truncate({n_keys}) it first"
            )
        n_blocks = -(-n_keys // self.block_size)
        # The buffer outlives the caller's inference mode, so it must not become an inference tensor.
        with torch.inference_mode(False), torch.no_grad():
            buffer = self._room_for(n_blocks, k)
            first = self._pooled // self.block_size
            if n_keys > self._pooled:
                at = first * self.block_size
                scale = None if k_scale is None else k_scale[at:]
                buffer[first:n_blocks] = pool_keys(
                    k[at:], self.block_size, pooling=self.pooling, k_scale=scale
                )
        self.length = self._pooled = n_keys
        return buffer[:n_blocks]

    def truncate(self, length: int) -> None:
        """Forgets every token at position `length` and later; a longer length changes nothing.

        Args:
            length: Tokens to keep.

        Raises:
            ValueError: `length` is negative.
        """
        if length < 0:
            raise ValueError(f"length is {length}: pass how many tokens to keep, at least 0")
        if length < self.length:
            self.length = length
            # A block that is cut needs its keys again, so it counts as not pooled.
            self._pooled = min(self._pooled, length // self.block_size * self.block_size)

    def _room_for(self, n_blocks: int, k: Tensor) -> Tensor:
        """The buffer, grown geometrically where it is too small."""
        old = self._buffer
        if old is not None and (old.shape[1] != k.shape[1] or old.device != k.device):
            raise ValueError(
                f"k is [N, {k.shape[1]}] on {k.device} but the cache is [N, {old.shape[1]}] on {old.device}: "
                f"make a new cache for another sequence"
            )
        if old is not None and len(old) >= n_blocks:
            return old
        capacity = max(n_blocks, 16 if old is None else 2 * len(old))
        new = torch.empty((capacity, k.shape[1]), dtype=torch.float32, device=k.device)
        if old is not None:
            new[: len(old)] = old
        self._buffer = new
        return new


def check_cache(cache: PooledKeyCache | None, block_size: int, pooling: str, rows: Rows) -> None:
    """Refuses a cache of other blocks, or one for a batch of several sequences.

    Raises:
        ValueError: it does not fit.
    """
    if cache is None:
        return
    if (cache.block_size, cache.pooling) != (block_size, pooling):
        raise ValueError(
            f"the cache pools blocks of {cache.block_size} by {cache.pooling} but the call asks for "
            f"{block_size} by {pooling}: make a cache with the call's own settings"
        )
    if rows.starts.any():
        raise ValueError("a cache holds one sequence that starts at key 0, but starts differ: drop the cache")
