"""Public operators of HISA's second stage: tokens inside chosen blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.checks import (
    check_device,
    check_extent,
    check_matrix,
    check_positive,
    check_rows,
    check_scoring,
    check_tensor,
)
from hisa_kernels.dispatch import implementation
from hisa_kernels.options import BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache, check_cache


@torch.no_grad()
def candidate_scores(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    blocks: Tensor,
    block_size: int,
    *,
    k_scale: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Scores of the tokens of chosen blocks.

    Args:
        q: Queries `[M, H, D]` f32, bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32; its block 0 begins there.
        ends: One past its last visible key `[M]` int32.
        blocks: Block numbers relative to each query's start `[M, W]` int32, −1 where empty.
        block_size: Tokens a block, B.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Scores `[M, W·B]` f32; column j·B + i is token i of block `blocks[:, j]`, −inf where not visible.

    Raises:
        ValueError: arguments disagree, a block lies beyond what its query sees, or the result would exceed
            `hisa_kernels.memory.SCORE_MATRIX_BYTES`.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equation 8.
    """
    check_scoring(q, k, weights, k_scale)
    check_positive("block_size", block_size)
    check_tensor("blocks", blocks, "M W", (torch.int32,))
    check_extent("blocks", blocks, 0, q.shape[0], "q")
    check_device("blocks", blocks, k, "k")
    check_matrix("the candidate score matrix", q.shape[0], max(1, blocks.shape[1] * block_size))
    rows = check_rows(starts, ends, k, q.shape[0], k.shape[0])
    if blocks.numel():
        seen = (ends - starts + block_size - 1) // block_size
        beyond = blocks.amax(1) >= seen
        beyond &= blocks.amax(1) >= 0
        if bool(beyond.any()):
            row = int(beyond.int().argmax())
            raise ValueError(
                f"row {row} sees {int(seen[row])} blocks but blocks reach to {int(blocks[row].amax())}: "
                f"pass blocks that its range covers"
            )
    run = implementation("candidate_scores", backend, q, k)
    return run(q, k, weights, rows, blocks, block_size, k_scale=k_scale)


@torch.no_grad()
def select_hisa(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    topk: int,
    *,
    block_size: int,
    num_blocks: int | None,
    ratio: float | None = None,
    min_blocks: int = 1,
    pooling: str = "mean",
    forced: str = "first_last",
    forced_in_budget: bool = True,
    block_score_dtype: str = "f32",
    k_scale: Tensor | None = None,
    cache: PooledKeyCache | None = None,
    backend: str = "auto",
) -> Tensor:
    """HISA selection: the best tokens of the best blocks.

    A query that sees no more than m blocks gets `select_flat`'s own choice, bit for bit.

    Args:
        q: Queries `[M, H, D]` f32, bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32; its block 0 begins there.
        ends: One past its last visible key `[M]` int32.
        topk: Token budget k.
        block_size: As of `select_blocks`.
        num_blocks: As of `select_blocks`; m·B must be at least `topk`.
        ratio: As of `select_blocks`; queries choose at least ⌈topk / B⌉ blocks.
        min_blocks: As of `select_blocks`.
        pooling: As of `select_blocks`.
        forced: As of `select_blocks`.
        forced_in_budget: As of `select_blocks`.
        block_score_dtype: As of `select_blocks`.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        cache: Pooled keys of earlier calls of the same sequence; all `starts` are then 0.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Absolute positions `[M, topk]` int32, ascending, −1 at the end: min(topk, visible tokens of the chosen
        blocks) of them, which is min(topk, visible) wherever m·B ≥ topk + B − 1.

    Raises:
        ValueError: arguments disagree, or the chosen blocks could not hold `topk` tokens.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equations 4 to 9.
    """
    options = BlockOptions(
        block_size, num_blocks, ratio, min_blocks, pooling, forced, forced_in_budget, block_score_dtype
    )
    check_positive("topk", topk)
    options = options.feasible_for(topk)
    check_scoring(q, k, weights, k_scale)
    rows = check_rows(starts, ends, k, q.shape[0], k.shape[0])
    check_cache(cache, block_size, pooling, rows)
    run = implementation("select_hisa", backend, q, k)
    return run(q, k, weights, rows, topk, options, k_scale=k_scale, cache=cache)
