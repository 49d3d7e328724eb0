"""Naive selections in float64, row by row; slow on purpose and independent of the operators they judge."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

from hisa_eval.indexers.conformance.cases import Case


def keys(case: Case) -> Tensor:
    """Keys in float64, scales applied `[N, D]`."""
    k = case.k.double()
    return k if case.k_scale is None else k * case.k_scale.double()[:, None]


def row_scores(case: Case, row: int, k: Tensor) -> Tensor:
    """Scores of one query against given keys.

    Args:
        case: The case.
        row: Which query.
        k: Keys `[n, D]` in float64.

    Returns:
        `[n]` float64.

    Source: arXiv 2603.28458, equation 1.
    """
    products = torch.relu(k @ case.q[row].double().T)
    return products @ case.weights[row].double()


def best(scores: Tensor, count: int) -> list[int]:
    """Positions of the `count` largest scores, ascending; of equal scores the lower position wins."""
    order = torch.sort(scores, descending=True, stable=True).indices[:count]
    return sorted(order.tolist())


def flat_selection(case: Case) -> list[list[int]]:
    """What flat DSA selects, one ascending list of absolute positions a row."""
    k = keys(case)
    found = []
    for row, (start, end) in enumerate(case.bounds):
        found.append([start + i for i in best(row_scores(case, row, k[start:end]), case.topk)])
    return found


def block_selection(
    case: Case,
    *,
    block_size: int,
    num_blocks: int,
    ratio: float | None = None,
    pooling: str = "mean",
    forced: str = "first_last",
    forced_in_budget: bool = True,
    block_score_dtype: str = "f32",
) -> list[list[int]]:
    """The keys of the blocks that the first stage chooses, one ascending list a row.

    Args:
        case: The case.
        block_size: B; blocks count from the row's own start.
        num_blocks: m, or with `ratio` the least m.
        ratio: Visible blocks per kept block, rounded up to whole blocks.
        pooling: `mean` or `max` over the *visible* keys of a block.
        forced: `none`, `first`, `first_last` or `first_last2`.
        forced_in_budget: Whether forced blocks count in m.
        block_score_dtype: `f32`, or `bf16` to round block scores before they are compared.

    Source: arXiv 2603.28458, equations 4 to 7 and Algorithm 1.
    """
    k = keys(case)
    found: list[list[int]] = []
    for row, (start, end) in enumerate(case.bounds):
        blocks = [list(range(i, min(i + block_size, end))) for i in range(start, end, block_size)]
        budget = num_blocks if ratio is None else max(num_blocks, ceil(len(blocks) / ratio))
        if not blocks:
            found.append([])
            continue
        pooled = torch.stack([k[b].mean(0) if pooling == "mean" else k[b].amax(0) for b in blocks])
        scores = row_scores(case, row, pooled)
        if block_score_dtype == "bf16":
            scores = scores.bfloat16().double()
        last = len(blocks) - 1
        pinned = {"none": [], "first": [0], "first_last": [0, last], "first_last2": [0, last - 1, last]}
        kept = {max(block, 0) for block in pinned[forced]}
        if forced_in_budget:
            scores[list(kept)] = torch.inf
            kept = set(best(scores, budget))
        else:
            kept |= set(best(scores, budget))
        found.append([position for block in sorted(kept) for position in blocks[block]])
    return found


def hisa_selection(case: Case, candidates: list[list[int]]) -> list[list[int]]:
    """The best k keys among the candidates of each row.

    Args:
        case: The case.
        candidates: Absolute positions a row, ascending, as `block_selection` gives them.

    Source: arXiv 2603.28458, equations 8 and 9.
    """
    k = keys(case)
    found = []
    for row, positions in enumerate(candidates):
        chosen = best(row_scores(case, row, k[positions]), case.topk)
        found.append([positions[i] for i in chosen])
    return found
