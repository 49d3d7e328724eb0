"""Selection for the newest token of a sequence in a buffer, by the kernels for many rows."""

import torch
from torch import Tensor

from hisa_kernels.options import BlockOptions
from hisa_kernels.reference.newest import Top
from hisa_kernels.tilelang.score_inputs import has_kernel
from hisa_kernels.tilelang.select_block_sparse import tokens_of
from hisa_kernels.tilelang.select_blocks import best_blocks, row_blocks, score_buffer, scored_blocks
from hisa_kernels.tilelang.select_flat import select_all
from hisa_kernels.tilelang.select_hisa import fixed_width, select_hisa_on_device
from hisa_kernels.tilelang.topk_indices import LARGEST_K, MOST_COLUMNS, top_columns


def takes(room: int, heads: int, dim: int, topk: int, options: BlockOptions | None) -> bool:
    """Whether the kernels serve such a buffer, as the operators for many rows decide it."""
    fits = topk <= LARGEST_K and room <= MOST_COLUMNS
    return fits and (options is None or (fixed_width(options, room) <= LARGEST_K and has_kernel(heads, dim)))


def best(scores: Tensor, k: int) -> Tensor:
    """See `hisa_kernels.reference.newest.best`; k is at most `LARGEST_K`."""
    zero = torch.zeros(1, dtype=torch.int32, device=scores.device)
    return top_columns(scores, zero, zero + scores.shape[1], k)


def flat(q: Tensor, k: Tensor, weights: Tensor, end: Tensor, topk: int, top: Top = best) -> Tensor:
    """See `hisa_kernels.reference.newest.flat`; `top` is not used."""
    return select_all(q, k, weights, torch.zeros_like(end), end, topk)


def hisa(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    end: Tensor,
    topk: int,
    options: BlockOptions,
    pooled: Tensor,
    *,
    pruned: bool | None = None,
    top: Top = best,
) -> Tensor:
    """See `hisa_kernels.reference.newest.hisa`; `top` is not used."""
    starts = torch.zeros_like(end)
    if pruned is False:
        return select_all(q, k, weights, starts, end, topk)
    chosen = select_hisa_on_device(q, k, weights, starts, end, topk, options, pooled=pooled)
    if pruned:
        return chosen
    assert options.num_blocks is not None
    takes_all = end <= options.num_blocks * options.block_size
    return torch.where(takes_all, select_all(q, k, weights, starts, end, topk), chosen)


def block_sparse(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    end: Tensor,
    options: BlockOptions,
    pooled: Tensor,
) -> Tensor:
    """See `hisa_kernels.reference.newest.block_sparse`."""
    starts, size = torch.zeros_like(end), options.block_size
    buffer = score_buffer(1, len(pooled), k.device)
    scores = scored_blocks(q, k, weights, starts, end, pooled, options, out=buffer)
    seen, zeros = row_blocks(starts, end, size)
    blocks = best_blocks(scores, seen, zeros, options, fixed_width(options, k.shape[0]))
    return tokens_of(blocks, starts, end, size)
