"""HISA's first stage on a GPU: pooled keys scored, the best blocks chosen."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hisa_kernels.memory import CUDA_TEMP_BYTES
from hisa_kernels.options import FORCED, BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference import select_blocks as reference
from hisa_kernels.rows import Index, Rows, Sequence, as_index, take, to_device
from hisa_kernels.tilelang.block_choice import add_forced, count_blocks
from hisa_kernels.tilelang.block_scores import block_scores, partial_scores
from hisa_kernels.tilelang.pool_keys import pool_range
from hisa_kernels.tilelang.score_inputs import has_kernel
from hisa_kernels.tilelang.topk_indices import LARGEST_K, top_columns

MOST_ROWS = 1 << 15
"""Most rows of one launch."""

KINDS = tuple(FORCED)


def row_blocks(
    starts: Tensor, ends: Tensor, block_size: int, cleared: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """How many blocks each row sees `[M]` int32, and a zero for each row; writes zeros to `cleared`.

    Args:
        starts: First visible key of each row `[M]` int32.
        ends: One past its last visible key `[M]` int32.
        block_size: Tokens a block, B.
        cleared: An int32 tensor that the next kernels count in.
    """
    n_blocks, zeros = torch.empty_like(starts), torch.empty_like(starts)
    cleared = zeros if cleared is None else cleared
    count_blocks(block_size=block_size)(starts, ends, n_blocks, zeros, cleared.view(-1))
    return n_blocks, zeros


def budgets(n_blocks: Tensor, options: BlockOptions) -> Tensor | None:
    """How many blocks each row may choose `[M]` int32, or None where it is the same for all."""
    if options.ratio is None:
        return None
    share = (n_blocks.double() / options.ratio).ceil_().to(torch.int32)
    return share.clamp_(min=options.min_blocks)


def fitting_kinds(options: BlockOptions) -> str:
    """The kinds of forced blocks that the budget has room for; none where they come on top of it."""
    if not options.forced_in_budget:
        return "none"
    least = options.min_blocks if options.ratio is not None else options.num_blocks
    assert least is not None
    return KINDS[min(options.n_forced, least)]


def best_blocks(
    scores: Tensor,
    n_blocks: Tensor,
    zeros: Tensor,
    options: BlockOptions,
    width: int,
    out: Tensor | None = None,
) -> Tensor:
    """The best blocks of each row by their scores.

    Args:
        scores: Block scores `[M, n]` f32; forced blocks in budget are +inf.
        n_blocks: Blocks that each row sees `[M]` int32.
        zeros: A zero a row `[M]` int32.
        options: How blocks are chosen.
        width: Columns of the result.
        out: Where the result goes `[M, width]` int32.

    Returns:
        Blocks `[M, width]` int32, ascending, −1 at the end.
    """
    if options.block_score_dtype == "bf16":
        scores.copy_(scores.bfloat16())
    on_top = 0 if options.forced_in_budget else options.n_forced
    own = None if on_top else out
    chosen = top_columns(scores, zeros, n_blocks, width - on_top, wanted=budgets(n_blocks, options), out=own)
    if not on_top:
        return chosen
    if out is None:
        out = torch.empty((len(chosen), width), dtype=torch.int32, device=chosen.device)
    add_forced(kinds=on_top)(chosen, n_blocks, out)
    return out


def scored_blocks(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    pooled: Tensor,
    options: BlockOptions,
    *,
    k_scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Block scores as the choice wants them: forced blocks and partly visible ones taken care of.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3.
        k: Keys `[N, D]`.
        weights: Gates `[M, H]` f32.
        starts: First key of the sequence, once for each query `[M]` int32.
        ends: One past each query's last visible key `[M]` int32.
        pooled: Pooled keys of the sequence `[n, D]` f32.
        options: How blocks are formed and chosen.
        k_scale: Scale `[N]` f32 of FP8 keys.
        out: Where the scores go `[M, ≥ n]` f32.

    Returns:
        Scores `[M, n]` f32, −inf beyond a row's last visible block.
    """
    kinds = fitting_kinds(options)
    scores = block_scores(q, pooled, weights, starts, ends, options.block_size, forced=kinds, out=out)
    if FORCED[kinds] < 2 and not (options.forced_in_budget and options.n_forced >= 2):
        partial_scores(
            q, k, weights, starts, ends, options.block_size, scores, pooling=options.pooling, k_scale=k_scale
        )
    return scores


def score_buffer(rows: int, n_blocks: int, device: torch.device) -> Tensor:
    """Room for block scores whose rows start at 16-byte boundaries."""
    return torch.empty((rows, max(4, -(-n_blocks // 4) * 4)), dtype=torch.float32, device=device)


def pooled_keys(
    k: Tensor,
    k_scale: Tensor | None,
    sequence: Sequence,
    options: BlockOptions,
    cache: PooledKeyCache | None,
) -> Tensor:
    """Pooled keys of one sequence `[blocks, D]` f32."""
    if cache is not None:
        return cache.update(k, k_scale)
    part = slice(sequence.start, max(sequence.stop, sequence.start))
    own = k[part]
    n_blocks = -(-own.shape[0] // options.block_size)
    out = torch.empty((n_blocks, k.shape[1]), dtype=torch.float32, device=k.device)
    scale = None if k_scale is None else k_scale[part]
    return pool_range(own, options.block_size, out, pooling=options.pooling, k_scale=scale)


def rounded_down(options: BlockOptions, n_blocks: np.ndarray) -> BlockOptions:
    """The same options with `min_blocks` as large as the given rows allow, for `fitting_kinds` to know."""
    if options.ratio is None or not len(n_blocks):
        return options
    return replace(options, min_blocks=int(options.budget(n_blocks).min()))


def supported(options: BlockOptions, n_blocks: np.ndarray, q: Tensor) -> bool:
    """Whether these kernels choose blocks for such a batch."""
    budget = options.budget(n_blocks)
    same = options.ratio is None or int(budget.min(initial=options.n_forced)) >= options.n_forced
    return same and options.width(n_blocks) <= LARGEST_K and has_kernel(q.shape[1], q.shape[2])


def put(out: Tensor, index: Index, values: Tensor) -> None:
    """Writes `values` to the rows `index` of `out`."""
    if isinstance(index, slice):
        out[index] = values
    else:
        out[to_device(index, out.device)] = values


def chunks(index: Index, n_rows: int, row_bytes: int) -> list[Index]:
    """`index` cut so that `row_bytes` a row stay within the limit of temporaries."""
    step = max(1, min(MOST_ROWS, CUDA_TEMP_BYTES // max(1, row_bytes)))
    if isinstance(index, slice):
        return [slice(at, min(at + step, index.stop)) for at in range(index.start, index.stop, step)]
    return [as_index(index[at : at + step]) for at in range(0, n_rows, step)]


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
    block = options.block_size
    n_blocks = rows.blocks(block)
    if not supported(options, n_blocks, q):
        return reference.select_blocks(q, k, weights, rows, options, k_scale=k_scale, cache=cache)
    width = options.width(n_blocks)
    out = torch.empty((len(rows), width), dtype=torch.int32, device=k.device)
    for sequence in rows.sequences():
        pooled = pooled_keys(k, k_scale, sequence, options, cache)
        if not len(pooled):
            put(out, sequence.rows, out.new_full((1, width), -1))
            continue
        count = len(n_blocks[sequence.rows])
        for index in chunks(sequence.rows, count, 4 * len(pooled)):
            part = rows.part(index)
            starts, ends = part.bounds()
            fitted = rounded_down(options, part.blocks(block))
            scores = scored_blocks(
                take(q, index),
                k,
                take(weights, index),
                starts,
                ends,
                pooled,
                fitted,
                k_scale=k_scale,
                out=score_buffer(len(part), len(pooled), k.device),
            )
            seen, zeros = row_blocks(starts, ends, block)
            own = out[index] if isinstance(index, slice) else None
            chosen = best_blocks(scores, seen, zeros, options, width, own)
            if own is None:
                put(out, index, chosen)
    return out
