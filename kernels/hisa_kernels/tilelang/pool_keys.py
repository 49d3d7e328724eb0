"""Pooled keys on a GPU."""

import torch
from torch import Tensor

from hisa_kernels.reference import pool_keys as reference
from hisa_kernels.tilelang.pool_keys_kernel import COLUMNS, pool_blocks
from hisa_kernels.tilelang.score_inputs import NAMES, dense

MOST_COLUMNS = 128
"""Widest keys that the kernel takes: the wider, the more keys lie in one thread's registers."""

MOST_KEYS = 1024
"""Largest block that the kernel takes: its keys lie in registers."""


def pool_range(
    k: Tensor,
    block_size: int,
    out: Tensor,
    *,
    pooling: str = "mean",
    k_scale: Tensor | None = None,
    first: int = 0,
    last: int | None = None,
) -> Tensor:
    """Pools blocks `first` to `last` (all from `first` on where None) of one sequence into `out`.

    Never waits for the device.

    Args:
        k: All keys of the sequence `[N, D]` f32, bf16 or FP8 e4m3.
        block_size: Tokens a block, B.
        out: Pooled keys of the sequence `[≥ ⌈N/B⌉, D]` f32, contiguous; rows `first` to `last` are written.
        pooling: `"mean"` or `"max"`.
        k_scale: Scale `[N]` f32 of FP8 keys.
        first: First block to pool.
        last: One past the last block to pool.

    Returns:
        `out`.

    Source: HISA, arXiv 2603.28458, equation 4.
    """
    last = -(-k.shape[0] // block_size) if last is None else last
    if last <= first:
        return out
    part = slice(first * block_size, min(last * block_size, k.shape[0]))
    scale = None if k_scale is None else k_scale[part]
    if k.shape[1] % COLUMNS or k.shape[1] > MOST_COLUMNS or block_size > MOST_KEYS:
        out[first:last] = reference.pool_keys(k[part], block_size, pooling=pooling, k_scale=scale)
        return out
    program = pool_blocks(
        dim=k.shape[1],
        dtype=NAMES[k.dtype],
        scaled=scale is not None,
        block_size=block_size,
        pooling=pooling,
    )
    keys = dense(k[part])
    program(keys, out.view(-1)[:1] if scale is None else scale, out[first:last])
    return out


def pool_keys(k: Tensor, block_size: int, *, pooling: str, k_scale: Tensor | None) -> Tensor:
    """See `hisa_kernels.pool_keys`."""
    n_blocks = -(-k.shape[0] // block_size)
    out = torch.empty((n_blocks, k.shape[1]), dtype=torch.float32, device=k.device)
    return pool_range(k, block_size, out, pooling=pooling, k_scale=k_scale)
