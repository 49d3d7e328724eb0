"""Block-sparse selection on a GPU: every visible token of the chosen blocks."""

import torch
from torch import Tensor

from hisa_kernels.options import BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang.block_choice import spread_tokens
from hisa_kernels.tilelang.select_blocks import select_blocks


def tokens_of(
    blocks: Tensor, starts: Tensor, ends: Tensor, block_size: int, out: Tensor | None = None
) -> Tensor:
    """The visible tokens of chosen blocks; never waits for the device.

    Args:
        blocks: Block numbers `[M, W]` int32, contiguous, ascending, −1 at the end.
        starts: First key of each row's sequence `[M]` int32.
        ends: One past its last visible key `[M]` int32.
        block_size: Tokens a block, B.
        out: Where the result goes `[M, W·B]` int32.

    Returns:
        Absolute positions `[M, W·B]` int32, ascending, −1 at the end.
    """
    if out is None:
        shape = (blocks.shape[0], blocks.shape[1] * block_size)
        out = torch.empty(shape, dtype=torch.int32, device=blocks.device)
    if out.numel():
        spread_tokens(block_size=block_size)(blocks, starts, ends, out)
    return out


def select_block_sparse(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    rows: Rows,
    options: BlockOptions,
    *,
    k_scale: Tensor | None,
    cache: PooledKeyCache | None,
) -> Tensor:
    """See `hisa_kernels.select_block_sparse`."""
    blocks = select_blocks(q, k, weights, rows, options, k_scale=k_scale, cache=cache)
    starts, ends = rows.bounds()
    return tokens_of(blocks, starts, ends, options.block_size)
