"""Pooled keys: one vector a block, the same bits however the blocks arrive."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.memory import rows_within, temp_bytes
from hisa_kernels.reference.keys import dequantise


def pool_blocks(blocks: Tensor, counts: Tensor, pooling: str) -> Tensor:
    """Pools each block over its first `counts` keys.

    The mean adds along a fixed tree (first half plus second half, again and again) with zeros in the empty
    places, so that its bits depend on the block's own keys alone. The count divides as a tensor: a plain
    number would be turned into a multiplication on CUDA.

    Args:
        blocks: Keys `[b, B, D]` f32; overwritten.
        counts: Keys that count in each block `[b]` int64, at least 1.
        pooling: `"mean"` or `"max"`.

    Returns:
        Pooled keys `[b, D]` f32.
    """
    size = blocks.shape[1]
    beyond = torch.arange(size, device=blocks.device) >= counts[:, None]
    blocks.masked_fill_(beyond[:, :, None], 0.0 if pooling == "mean" else -torch.inf)
    if pooling == "max":
        return blocks.amax(1) + 0.0
    while size > 1:
        half = 1 << (size - 1).bit_length() - 1
        rest = size - half
        blocks[:, :rest] += blocks[:, half:size]
        size = half
    return blocks[:, 0] / counts[:, None].float()


def pool_keys(k: Tensor, block_size: int, *, pooling: str, k_scale: Tensor | None) -> Tensor:
    """See `hisa_kernels.pool_keys`."""
    n_keys, dim = k.shape
    n_blocks = -(-n_keys // block_size)
    out = torch.empty((n_blocks, dim), dtype=torch.float32, device=k.device)
    step = rows_within(temp_bytes(k.device), 4 * block_size * dim, n_blocks)
    for at in range(0, n_blocks, step):
        stop = min(at + step, n_blocks)
        lo, hi = at * block_size, min(stop * block_size, n_keys)
        blocks = torch.zeros((stop - at, block_size, dim), dtype=torch.float32, device=k.device)
        blocks.view(-1, dim)[: hi - lo] = dequantise(k[lo:hi], None if k_scale is None else k_scale[lo:hi])
        counts = torch.full((stop - at,), block_size, device=k.device)
        counts[-1] = hi - (stop - 1) * block_size
        out[at:stop] = pool_blocks(blocks, counts, pooling)
    return out
