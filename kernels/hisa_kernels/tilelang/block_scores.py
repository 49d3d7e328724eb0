"""Scores of blocks by their pooled keys on a GPU, masking and forced blocks included."""

import torch
from torch import Tensor

from hisa_kernels.options import FORCED
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference import block_scores as reference
from hisa_kernels.rows import Rows, take, to_device
from hisa_kernels.tilelang.block_scores_kernel import block_scores_tiles, split_pooled
from hisa_kernels.tilelang.partial_scores_kernel import partial_scores_rows
from hisa_kernels.tilelang.pool_keys import MOST_KEYS, pool_keys
from hisa_kernels.tilelang.score_inputs import (
    NAMES,
    fit_keys,
    fit_queries,
    has_kernel,
    multiprocessors,
    same_dtype,
)
from hisa_kernels.tilelang.score_parts import COLUMNS


def block_scores(
    q: Tensor,
    pooled: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    block_size: int,
    *,
    forced: str = "none",
    parts: int = 2,
    out: Tensor | None = None,
) -> Tensor:
    """Scores of the blocks of one sequence; never waits for the device.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3.
        pooled: Pooled keys of the sequence `[n, D]` f32, n ≥ blocks that any query sees.
        weights: Gates `[M, H]` f32.
        starts: First key of the sequence, once for each query `[M]` int32 (all equal).
        ends: One past the last key that each query sees `[M]` int32.
        block_size: Tokens a block, B.
        forced: Which visible blocks get +inf: `"none"`, `"first"`, `"first_last"`, `"first_last2"`.
        parts: Summands of 16 bits that a pooled key is cut into, 1 or 2: with FP8 queries they keep 11 or 22
            bits of it, with bf16 queries 8 or 16.
        out: Where the scores go `[M, ≥ n]` f32; rows may be strided, the last dimension is dense.

    Returns:
        Scores `[M, n]` f32 (the first n columns of `out`), −inf beyond a row's last visible block. The last
        one, if a row sees only a part of it, is the score of the whole block: see `partial_scores`.

    Raises:
        ValueError: H or D are too large.

    Source: HISA, arXiv 2603.28458, equation 5.
    """
    n_rows, n_blocks = q.shape[0], pooled.shape[0]
    if out is None:
        out = torch.empty((n_rows, n_blocks), dtype=torch.float32, device=q.device)
    own = out[:, :n_blocks]
    if n_rows == 0 or n_blocks == 0:
        return own
    q, weights = fit_queries(q, weights)
    heads, dim = q.shape[1:]
    pooled = fit_keys(pooled, dim)
    wide = torch.float16 if q.dtype == torch.float8_e4m3fn else torch.bfloat16
    summands = torch.empty((parts, n_blocks, dim), dtype=wide, device=q.device)
    scale = torch.empty(n_blocks, dtype=torch.float32, device=q.device)
    split_pooled(dim=dim, dtype=str(wide).removeprefix("torch."), parts=parts)(pooled, summands, scale)
    block_scores_tiles(heads=heads, dim=dim, dtype=NAMES[q.dtype], parts=parts)(
        q.view(-1, dim),
        summands,
        scale,
        weights.view(-1),
        starts,
        ends,
        own,
        block_size,
        FORCED[forced],
        min(multiprocessors(q.device), -(-n_rows * heads // COLUMNS)),
    )
    return own


def partial_scores(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    block_size: int,
    out: Tensor,
    *,
    pooling: str = "mean",
    k_scale: Tensor | None = None,
) -> None:
    """Replaces the score of each row's last visible block, where it sees a part of it, by that part's score.

    Needed only where the last block is not forced. Rows may belong to different sequences.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3.
        k: Keys `[N, D]` of all sequences, bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32; its block 0 begins there.
        ends: One past its last visible key `[M]` int32.
        block_size: Tokens a block, B.
        out: Block scores `[M, blocks]` f32.
        pooling: `"mean"` or `"max"`.
        k_scale: Scale `[N]` f32 of FP8 keys.
    """
    if q.shape[0] == 0 or out.shape[1] == 0:
        return
    q, k = same_dtype(q, k)
    q, weights = fit_queries(q, weights)
    heads, dim = q.shape[1:]
    program = partial_scores_rows(
        heads=heads,
        dim=dim,
        dtype=NAMES[q.dtype],
        scaled=k_scale is not None,
        block_size=block_size,
        pooling=pooling,
    )
    program(
        q,
        fit_keys(k, dim),
        weights.view(-1)[:1] if k_scale is None else k_scale.contiguous(),
        weights,
        starts,
        ends,
        out,
    )


def score_blocks(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    rows: Rows,
    *,
    block_size: int,
    pooling: str,
    k_scale: Tensor | None,
    cache: PooledKeyCache | None,
) -> Tensor:
    """See `hisa_kernels.block_scores`."""
    if not has_kernel(q.shape[1], q.shape[2]) or block_size > MOST_KEYS:
        return reference.block_scores(
            q, k, weights, rows, block_size=block_size, pooling=pooling, k_scale=k_scale, cache=cache
        )
    n_blocks = rows.blocks(block_size)
    width = int(n_blocks.max(initial=0))
    out = torch.full((len(rows), width), -torch.inf, dtype=torch.float32, device=k.device)
    if width == 0:
        return out
    starts, ends = rows.bounds()
    for sequence in rows.sequences():
        index, most = sequence.rows, int(n_blocks[sequence.rows].max())
        if most == 0:
            continue
        if cache is None:
            part = slice(sequence.start, sequence.stop)
            scale = None if k_scale is None else k_scale[part]
            pooled = pool_keys(k[part], block_size, pooling=pooling, k_scale=scale)
        else:
            pooled = cache.update(k, k_scale)
        own = out[index, :most] if isinstance(index, slice) else out.new_empty((len(index), most))
        bounds = take(starts, index), take(ends, index)
        block_scores(take(q, index), pooled[:most], take(weights, index), *bounds, block_size, out=own)
        if not isinstance(index, slice):
            out[to_device(index, q.device), :most] = own
    if (rows.visible % block_size).any():
        partial_scores(q, k, weights, starts, ends, block_size, out, pooling=pooling, k_scale=k_scale)
    return out
