"""Public operators over all visible keys: scores, top-k, flat DSA selection."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.checks import check_matrix, check_positive, check_rows, check_scoring, check_tensor
from hisa_kernels.dispatch import implementation


@torch.no_grad()
def index_scores(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    *,
    k_scale: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Scores of every key for every query: `I[t, s] = Σ_h weights[t, h] · ReLU(q[t, h] · k[s])`.

    Args:
        q: Queries `[M, H, D]` f32, bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32.
        ends: One past its last visible key `[M]` int32.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Scores `[M, N]` f32, −inf where a query does not see the key.

    Raises:
        ValueError: arguments disagree, or the matrix would exceed `hisa_kernels.memory.SCORE_MATRIX_BYTES`.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equation 1.
    """
    check_scoring(q, k, weights, k_scale)
    check_matrix("the score matrix", q.shape[0], k.shape[0])
    rows = check_rows(starts, ends, k, q.shape[0], k.shape[0])
    run = implementation("index_scores", backend, q, k)
    return run(q, k, weights, rows, k_scale=k_scale)


@torch.no_grad()
def topk_indices(scores: Tensor, starts: Tensor, ends: Tensor, topk: int, *, backend: str = "auto") -> Tensor:
    """The best visible columns of each row of a score matrix; ties go to the lower column.

    Columns that hold −inf or NaN are never chosen.

    Args:
        scores: Scores `[M, N]` f32.
        starts: First visible column of each row `[M]` int32.
        ends: One past its last visible column `[M]` int32.
        topk: Most columns a row, k.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Columns `[M, topk]` int32, ascending, min(topk, visible) of them, −1 at the end.

    Raises:
        ValueError: arguments disagree.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equation 2; the tie rule is this project's.
    """
    check_tensor("scores", scores, "M N", (torch.float32,))
    check_positive("topk", topk)
    rows = check_rows(starts, ends, scores, scores.shape[0], scores.shape[1])
    return implementation("topk_indices", backend, scores)(scores, rows, topk)


@torch.no_grad()
def select_flat(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    topk: int,
    *,
    k_scale: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Flat DSA selection: `topk_indices(index_scores(…))` without ever holding the score matrix.

    Args:
        q: Queries `[M, H, D]` f32, bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32.
        ends: One past its last visible key `[M]` int32.
        topk: Token budget k.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Absolute positions `[M, topk]` int32, ascending, min(topk, visible) of them, −1 at the end.

    Raises:
        ValueError: arguments disagree.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equations 1 and 2.
    """
    check_scoring(q, k, weights, k_scale)
    check_positive("topk", topk)
    rows = check_rows(starts, ends, k, q.shape[0], k.shape[0])
    run = implementation("select_flat", backend, q, k)
    return run(q, k, weights, rows, topk, k_scale=k_scale)
