"""HISA selection: choose blocks by their pooled keys, then tokens inside the chosen blocks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hisa_kernels.memory import Scratch, rows_within
from hisa_kernels.options import BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference.block_scores import PooledBatch
from hisa_kernels.reference.candidate_scores import score_candidates
from hisa_kernels.reference.score_tile import tile_rows
from hisa_kernels.reference.select_blocks import choose_blocks
from hisa_kernels.reference.select_flat import select_tile
from hisa_kernels.reference.top import pack, top_columns
from hisa_kernels.rows import Index, Rows, as_index, take, to_device

MOST_ROWS = 4096


def select_hisa(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    rows: Rows,
    topk: int,
    options: BlockOptions,
    *,
    k_scale: Tensor | None,
    cache: PooledKeyCache | None,
) -> Tensor:
    """See `hisa_kernels.select_hisa`."""
    out = torch.empty((len(rows), topk), dtype=torch.int32, device=k.device)
    if not len(rows):
        return out
    n_blocks = rows.blocks(options.block_size)
    takes_all = n_blocks <= options.budget(n_blocks)
    pooled = PooledBatch(k, k_scale, rows, options.block_size, options.pooling, cache)
    scratch = Scratch(k.device)
    if takes_all.any():
        _select_flat_rows(q, weights, pooled, rows, takes_all, topk, out, scratch)
    pruned = np.flatnonzero(~takes_all)
    width = options.width(n_blocks[pruned])
    step = rows_within(4 * max(width * options.block_size, int(n_blocks.max())), k.device, MOST_ROWS)
    for at in range(0, len(pruned), step):
        index = as_index(pruned[at : at + step])
        part = rows.part(index)
        chosen = _select_pruned(take(q, index), take(weights, index), pooled, part, topk, options, scratch)
        _put(out, index, chosen)
    return out


def _put(out: Tensor, index: Index, values: Tensor) -> None:
    if isinstance(index, slice):
        out[index] = values
    else:
        out[to_device(index, out.device)] = values


def _select_flat_rows(
    q: Tensor,
    weights: Tensor,
    pooled: PooledBatch,
    rows: Rows,
    takes_all: np.ndarray,
    topk: int,
    out: Tensor,
    scratch: Scratch,
) -> None:
    """Rows that take every block get flat selection itself, computed on the tiles that `select_flat` cuts.

    A matrix product's last bit may change with its shape; on the same tiles the same tokens come out.
    """
    step = tile_rows(q.shape[1], len(pooled.keys), q.device)
    for at in range(0, len(rows), step):
        tile = slice(at, at + step)
        wanted = np.flatnonzero(takes_all[tile])
        if len(wanted):
            flat = select_tile(q[tile], weights[tile], pooled.keys, rows.part(tile), topk, scratch)
            _put(out, as_index(wanted + at), take(flat, as_index(wanted)))


def _select_pruned(
    q: Tensor,
    weights: Tensor,
    pooled: PooledBatch,
    rows: Rows,
    topk: int,
    options: BlockOptions,
    scratch: Scratch,
) -> Tensor:
    """Both stages for rows that see more blocks than they may choose."""
    block = options.block_size
    width = options.width(rows.blocks(block))
    blocks = choose_blocks(q, weights, pooled, rows, options, width, scratch)
    scores = score_candidates(q, weights, pooled.keys, rows, blocks, block, scratch)
    flat, counts = top_columns(scores, np.minimum(rows.visible, topk), topk, scratch)
    # A flat position is (row · width + slot) · B + offset, so its quotient by B names the slot.
    slot = torch.arange(blocks.numel(), device=blocks.device).view_as(blocks)
    shift = rows.tensor("starts")[:, None] + (blocks.long() - slot) * block
    tokens = shift.view(-1).index_select(0, flat // block).add_(flat)
    return pack(tokens, counts, topk)
