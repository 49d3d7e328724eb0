"""Block-sparse selection: every visible token of the chosen blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.memory import Scratch
from hisa_kernels.options import BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference.score_tile import tiles
from hisa_kernels.reference.select_blocks import select_blocks
from hisa_kernels.rows import Rows
from hisa_kernels.workers import spread


def tokens_of(blocks: Tensor, rows: Rows, block_size: int) -> Tensor:
    """The visible tokens of chosen blocks.

    Args:
        blocks: Block numbers `[r, W]` int32, ascending, −1 at the end.
        rows: What the rows see.
        block_size: Tokens a block, B.

    Returns:
        Absolute positions `[r, W·B]` int32, ascending, −1 at the end.
    """
    n_rows, width = blocks.shape
    out = torch.empty((n_rows, width, block_size), dtype=torch.int32, device=blocks.device)
    offset = torch.arange(block_size, dtype=torch.int32, device=blocks.device)
    starts, ends = rows.tensor("starts").to(torch.int32), rows.tensor("ends").to(torch.int32)

    def work(tile: slice, scratch: Scratch) -> None:
        first = blocks[tile] * block_size + starts[tile, None]
        first.masked_fill_(blocks[tile] < 0, torch.iinfo(torch.int32).max - block_size)
        own = out[tile]
        torch.add(first[:, :, None], offset, out=own)
        own.masked_fill_(own >= ends[tile, None, None], -1)

    spread(work, tiles(n_rows, 1, width * block_size, blocks.device), blocks.device)
    return out.view(n_rows, width * block_size)


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
    return tokens_of(blocks, rows, options.block_size)
