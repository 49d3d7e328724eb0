"""HISA's first stage: which blocks each query looks into."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hisa_kernels.memory import Scratch
from hisa_kernels.options import BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference.block_scores import PooledBatch
from hisa_kernels.reference.score_tile import tiles
from hisa_kernels.reference.top import pack, top_columns
from hisa_kernels.rows import Rows, to_device
from hisa_kernels.workers import spread

F32 = torch.finfo(torch.float32)


Forced = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def forced_blocks(n_blocks: NDArray[np.int64], n_forced: int) -> Forced:
    """The forced blocks in order of precedence: first, last, second last.

    Args:
        n_blocks: Blocks that each row sees.
        n_forced: How many kinds are forced.

    Returns:
        For each kind, the rows that have such a block distinct from the kinds before, and its number there.
    """
    place = (np.zeros_like(n_blocks), n_blocks - 1, n_blocks - 2)
    kinds = []
    for kind in range(n_forced):
        rows = np.flatnonzero(n_blocks > kind)
        kinds.append((rows, place[kind][rows]))
    return kinds


def choose_blocks(
    q: Tensor,
    weights: Tensor,
    pooled: PooledBatch,
    rows: Rows,
    options: BlockOptions,
    width: int,
    scratch: Scratch,
) -> Tensor:
    """Chosen blocks of some rows, ascending.

    Args:
        q: Queries `[r, H, D]`.
        weights: Gates `[r, H]` f32.
        pooled: Pooled keys of the batch.
        rows: What the rows see.
        options: How blocks are chosen.
        width: Columns of the result.
        scratch: Buffers to reuse.

    Returns:
        Block numbers relative to each row's start `[r, width]` int32, −1 at the end.
    """
    n_blocks = rows.blocks(options.block_size)
    budget = options.budget(n_blocks)
    if (n_blocks <= budget).all():
        number = torch.arange(width, dtype=torch.int32, device=rows.device).expand(len(rows), width)
        return number.masked_fill(number >= to_device(n_blocks, rows.device)[:, None], -1)
    last_is_given = options.forced_in_budget and options.n_forced >= 2
    scores = pooled.scores(q, weights, rows, scratch, partial_blocks=not last_is_given)
    if options.block_score_dtype == "bf16":
        scores = scores.bfloat16().float()
    torch.nan_to_num(scores, nan=F32.min, posinf=F32.max, neginf=-torch.inf, out=scores)
    forced = forced_blocks(n_blocks, options.n_forced)
    if options.forced_in_budget:
        for precedence, (numbers, block) in enumerate(forced):
            fits = budget[numbers] > precedence
            at = (to_device(numbers[fits], rows.device), to_device(block[fits], rows.device))
            scores[at] = torch.inf
    same = bool((budget == budget[0]).all())
    limit = int(budget[0]) if same else None
    flat, counts = top_columns(scores, np.minimum(budget, n_blocks), limit, scratch)
    columns = scores.shape[1]
    if not options.forced_in_budget and forced:
        flat, counts = _united(flat, forced, len(rows), columns)
    return pack(flat % columns, counts, width)


def _united(flat: Tensor, forced: Forced, n_rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Adds the forced blocks to the chosen ones."""
    chosen = torch.zeros((n_rows, columns), dtype=torch.bool, device=flat.device)
    chosen.view(-1)[flat] = True
    for numbers, block in forced:
        chosen.view(-1)[to_device(numbers * columns + block, flat.device)] = True
    return chosen.view(-1).nonzero().view(-1), chosen.sum(1)


def spread_blocks(
    q: Tensor, weights: Tensor, pooled: PooledBatch, rows: Rows, options: BlockOptions, out: Tensor
) -> None:
    """Writes the chosen blocks of all rows to `out` `[r, width]` int32, a tile of rows at a time."""
    widest = max(int(rows.blocks(options.block_size).max(initial=1)), out.shape[1])

    def work(tile: slice, scratch: Scratch) -> None:
        out[tile] = choose_blocks(
            q[tile], weights[tile], pooled, rows.part(tile), options, out.shape[1], scratch
        )

    spread(work, tiles(len(rows), q.shape[1], widest, rows.device), rows.device)


def select_blocks(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    rows: Rows,
    options: BlockOptions,
    *,
    k_scale: Tensor | None,
    cache: PooledKeyCache | None,
) -> Tensor:
    """See `hisa_kernels.select_blocks`."""
    n_blocks = rows.blocks(options.block_size)
    width = options.width(n_blocks)
    out = torch.empty((len(rows), width), dtype=torch.int32, device=k.device)
    pooled = PooledBatch(k, k_scale, rows, options.block_size, options.pooling, cache)
    pooled.prepare()
    spread_blocks(q, weights, pooled, rows, options, out)
    return out
