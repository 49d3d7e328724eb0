"""Scores of every visible key on a GPU: the flat indexer's prefill kernel."""

import torch
from torch import Tensor

from hisa_kernels.reference import index_scores as reference
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang.index_scores_kernel import flat_scores_tiles
from hisa_kernels.tilelang.score_inputs import (
    NAMES,
    fit_keys,
    fit_queries,
    has_kernel,
    multiprocessors,
    same_dtype,
)
from hisa_kernels.tilelang.score_parts import COLUMNS


def flat_scores(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    *,
    k_scale: Tensor | None = None,
    out: Tensor | None = None,
    fill: bool = True,
) -> Tensor:
    """Scores `I[t, s] = Σ_h weights[t, h] · ReLU(q[t, h] · k[s])`; never waits for the device.

    Products of bf16 inputs are added in f32. Hopper's tensor cores add products of FP8 inputs with some 14
    bits: on random inputs scores are off by up to 2e-4 of the largest one.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3.
        k: Keys `[N, D]`; where only one of both is FP8, it is converted to bf16.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32.
        ends: One past its last visible key `[M]` int32.
        k_scale: Scale `[N]` f32 of FP8 keys, positive: it is applied after the rectification.
        out: Where the scores go `[M, ≥ N]` f32; rows may be strided, the last dimension is dense.
        fill: Whether −inf is written where a query does not see a key. If not, what lies outside
            `[starts[t], ends[t])` is undefined.

    Returns:
        Scores `[M, N]` f32 (the first N columns of `out`).

    Raises:
        ValueError: H or D are too large.

    Source: HISA, arXiv 2603.28458, equation 1.
    """
    n_rows, n_keys = q.shape[0], k.shape[0]
    if out is None:
        out = torch.empty((n_rows, n_keys), dtype=torch.float32, device=q.device)
    own = out[:, :n_keys]
    if n_rows == 0 or n_keys == 0:
        return own
    q, k = same_dtype(q, k)
    q, weights = fit_queries(q, weights)
    heads, dim = q.shape[1:]
    scaled = k_scale is not None
    # Runs of 4 tiles were measured faster at the largest shape; the others were run tile by tile only.
    run = 4 if heads == 64 and q.dtype == torch.float8_e4m3fn else 1
    program = flat_scores_tiles(heads=heads, dim=dim, dtype=NAMES[q.dtype], scaled=scaled, run=run)
    blocks = -(-n_rows * heads // COLUMNS)
    splits = splits_for(blocks, n_keys, q.device)
    program(
        q.view(-1, dim),
        fit_keys(k, dim),
        weights.view(-1)[:1] if k_scale is None else k_scale.contiguous(),
        weights.view(-1),
        starts,
        ends,
        own,
        splits,
        int(fill),
        min(blocks * splits, multiprocessors(q.device)),
    )
    return own


def splits_for(blocks: int, n_keys: int, device: torch.device) -> int:
    """Into how many runs the keys are cut so that every multiprocessor has work.

    Args:
        blocks: Tiles of queries.
        n_keys: Keys.
        device: The GPU.
    """
    wave = multiprocessors(device)
    return max(1, min(-(-2 * wave // blocks), n_keys // 1024)) if blocks < 2 * wave else 1


def index_scores(q: Tensor, k: Tensor, weights: Tensor, rows: Rows, *, k_scale: Tensor | None) -> Tensor:
    """See `hisa_kernels.index_scores`."""
    if not has_kernel(q.shape[1], q.shape[2]):
        return reference.index_scores(q, k, weights, rows, k_scale=k_scale)
    starts, ends = rows.bounds()
    return flat_scores(q, k, weights, starts, ends, k_scale=k_scale)
