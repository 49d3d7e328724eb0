"""Public operators over blocks of keys: pooling, block scores, block choice."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.checks import check_keys, check_matrix, check_positive, check_rows, check_scoring
from hisa_kernels.dispatch import implementation
from hisa_kernels.options import POOLINGS, BlockOptions, check_choice
from hisa_kernels.pooled_cache import PooledKeyCache, check_cache


@torch.no_grad()
def pool_keys(
    k: Tensor,
    block_size: int,
    *,
    pooling: str = "mean",
    k_scale: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Pooled keys of one sequence, one vector a block; a ragged last block counts its real keys only.

    Args:
        k: Keys of the sequence `[N, D]` f32, bf16 or FP8 e4m3.
        block_size: Tokens a block, B.
        pooling: `"mean"` or `"max"`.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Pooled keys `[⌈N/B⌉, D]` f32.

    Raises:
        ValueError: arguments disagree.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equation 4.
    """
    check_keys(k, k_scale)
    check_positive("block_size", block_size)
    check_choice("pooling", pooling, POOLINGS)
    run = implementation("pool_keys", backend, k)
    return run(k, block_size, pooling=pooling, k_scale=k_scale)


@torch.no_grad()
def block_scores(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    *,
    block_size: int,
    pooling: str = "mean",
    k_scale: Tensor | None = None,
    cache: PooledKeyCache | None = None,
    backend: str = "auto",
) -> Tensor:
    """Scores of the blocks of each query's own sequence: `index_scores` with pooled keys.

    A block that a query sees in part is pooled over that part, so no later key has a say.

    Args:
        q: Queries `[M, H, D]` f32, bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32; its block 0 begins there.
        ends: One past its last visible key `[M]` int32.
        block_size: Tokens a block, B.
        pooling: `"mean"` or `"max"`.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        cache: Pooled keys of earlier calls of the same sequence; all `starts` are then 0. Changes the cost,
            never the result.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Scores `[M, most blocks of any query]` f32, −inf where a query sees nothing of the block.

    Raises:
        ValueError: arguments disagree, or the matrix would exceed `hisa_kernels.memory.SCORE_MATRIX_BYTES`.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equation 5; pooling the visible part is this project's causal reading.
    """
    check_scoring(q, k, weights, k_scale)
    check_positive("block_size", block_size)
    check_choice("pooling", pooling, POOLINGS)
    rows = check_rows(starts, ends, k, q.shape[0], k.shape[0])
    check_matrix("the block score matrix", q.shape[0], int(rows.blocks(block_size).max(initial=1)))
    check_cache(cache, block_size, pooling, rows)
    run = implementation("block_scores", backend, q, k)
    return run(q, k, weights, rows, block_size=block_size, pooling=pooling, k_scale=k_scale, cache=cache)


@torch.no_grad()
def select_blocks(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
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
    """HISA's first stage: the blocks that each query looks into; ties go to the lower block.

    Args:
        q: Queries `[M, H, D]` f32, bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32; its block 0 begins there.
        ends: One past its last visible key `[M]` int32.
        block_size: Tokens a block, B.
        num_blocks: Blocks a query, m; ignored (and may be None) where `ratio` is given.
        ratio: Choose max(⌈visible blocks / ratio⌉, min_blocks) blocks a query instead.
        min_blocks: See `ratio`.
        pooling: `"mean"` or `"max"`.
        forced: Blocks always chosen: `"none"`, `"first"`, `"first_last"` or `"first_last2"` (the last two),
            as each query sees them.
        forced_in_budget: True: forced blocks count towards m, and where m is smaller than their number the
            order is first, last, second last. False: they are added to the m best.
        block_score_dtype: `"f32"`, or `"bf16"` to round block scores before they are compared.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        cache: Pooled keys of earlier calls of the same sequence; all `starts` are then 0.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Block numbers relative to each query's start `[M, W]` int32, ascending, −1 at the end. W is the
        largest m of any query, plus the number of forced blocks where they are added.

    Raises:
        ValueError: arguments disagree.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equation 6 and Algorithm 1 (`forced_in_budget=False`); the public
        `dsa_hisa` example of TileLang (`forced_in_budget=True`, `block_score_dtype="bf16"`).
    """
    options = BlockOptions(
        block_size, num_blocks, ratio, min_blocks, pooling, forced, forced_in_budget, block_score_dtype
    )
    check_scoring(q, k, weights, k_scale)
    rows = check_rows(starts, ends, k, q.shape[0], k.shape[0])
    check_cache(cache, block_size, pooling, rows)
    run = implementation("select_blocks", backend, q, k)
    return run(q, k, weights, rows, options, k_scale=k_scale, cache=cache)


@torch.no_grad()
def select_block_sparse(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
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
    """Block-sparse selection: every visible token of the blocks that `select_blocks` chooses.

    Args: As of `select_blocks`.

    Returns:
        Absolute positions `[M, W·B]` int32, ascending, −1 at the end; W as of `select_blocks`.

    Raises:
        ValueError: arguments disagree.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, section 5 (the block-sparse baseline).
    """
    options = BlockOptions(
        block_size, num_blocks, ratio, min_blocks, pooling, forced, forced_in_budget, block_score_dtype
    )
    check_scoring(q, k, weights, k_scale)
    rows = check_rows(starts, ends, k, q.shape[0], k.shape[0])
    check_cache(cache, block_size, pooling, rows)
    run = implementation("select_block_sparse", backend, q, k)
    return run(q, k, weights, rows, options, k_scale=k_scale, cache=cache)
