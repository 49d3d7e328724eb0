"""HISA selection: choose blocks by their pooled keys, then tokens inside the chosen blocks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hisa_kernels.memory import Scratch, rows_within, temp_bytes
from hisa_kernels.options import BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference.block_scores import PooledBatch
from hisa_kernels.reference.candidate_scores import score_candidates
from hisa_kernels.reference.score_tile import tiles
from hisa_kernels.reference.select_blocks import spread_blocks
from hisa_kernels.reference.select_flat import select_tile
from hisa_kernels.reference.top import pack, top_columns
from hisa_kernels.rows import Index, Rows, as_index, take, to_device
from hisa_kernels.workers import spread

MOST_ROWS = 8192


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
    n_blocks = rows.blocks(options.block_size)
    takes_all = n_blocks <= options.budget(n_blocks)
    pooled = PooledBatch(k, k_scale, rows, options.block_size, options.pooling, cache)
    _select_flat_rows(q, weights, pooled, rows, takes_all, topk, out)
    pruned = np.flatnonzero(~takes_all)
    if not len(pruned):
        return out
    pooled.prepare()
    width = options.width(n_blocks[pruned])
    step = rows_within(temp_bytes(k.device), 4 * width * options.block_size, MOST_ROWS)
    scratch = Scratch(k.device)
    for at in range(0, len(pruned), step):
        index = as_index(pruned[at : at + step])
        part = rows.part(index)
        chosen = scratch.take("chosen", (len(part), topk), torch.int32)
        _select_pruned(take(q, index), take(weights, index), pooled, part, options, chosen, scratch)
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
    takes_all: NDArray[np.bool_],
    topk: int,
    out: Tensor,
) -> None:
    """Rows that take every block get flat selection itself, computed on the tiles that `select_flat` cuts.

    A matrix product's last bit may change with its shape; on the same tiles the same tokens come out.
    """
    grid = tiles(len(rows), q.shape[1], len(pooled.keys), q.device)

    def work(tile: slice, scratch: Scratch) -> None:
        wanted = np.flatnonzero(takes_all[tile])
        flat = select_tile(q[tile], weights[tile], pooled.keys, rows.part(tile), topk, scratch)
        _put(out, as_index(wanted + tile.start), take(flat, as_index(wanted)))

    jobs = [tile for tile in grid if takes_all[tile].any()]
    spread(work, jobs, q.device)


def _select_pruned(
    q: Tensor,
    weights: Tensor,
    pooled: PooledBatch,
    rows: Rows,
    options: BlockOptions,
    out: Tensor,
    scratch: Scratch,
) -> None:
    """Both stages for rows that see more blocks than they may choose; writes `[r, topk]` int32 to `out`."""
    block, topk = options.block_size, out.shape[1]
    blocks = scratch.take("blocks", (len(rows), options.width(rows.blocks(block))), torch.int32)
    spread_blocks(q, weights, pooled, rows, options, blocks)
    scores = scratch.take("candidates", (len(rows), blocks.shape[1] * block))
    score_candidates(q, weights, pooled.keys, rows, blocks, block, scores)

    def work(tile: slice, scratch: Scratch) -> None:
        part, own = rows.part(tile), blocks[tile]
        flat, counts = top_columns(scores[tile], np.minimum(part.visible, topk), topk, scratch)
        # A flat position is (row · width + slot) · B + offset, so its quotient by B names the slot.
        slot = torch.arange(own.numel(), device=own.device).view_as(own)
        shift = part.tensor("starts")[:, None] + (own.long() - slot) * block
        tokens = shift.view(-1).index_select(0, flat // block).add_(flat)
        out[tile] = pack(tokens, counts, topk)

    spread(work, tiles(len(rows), q.shape[1], scores.shape[1], q.device), q.device)
