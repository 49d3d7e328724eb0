"""The most that any key of a block can score: a bound from the block's least and largest key components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hisa_eval.indexers.ranked_blocks import run_scores

if TYPE_CHECKING:
    from torch import Tensor


def extremes(keys: Tensor) -> Tensor:
    """Largest and least components of the keys of cells.

    Args:
        keys: `[C, B, D]` f32.

    Returns:
        `[2, C, 2D]`: (largest, least), and (least, largest).
    """
    import torch

    high, low = keys.amax(1), keys.amin(1)
    return torch.stack((torch.cat((high, low), 1), torch.cat((low, high), 1)))


def upper_bounds(q: Tensor, weights: Tensor, representatives: Tensor) -> Tensor:
    """An upper bound of every cell's token scores, up to rounding.

    Per head, q · k is at most Σ max(q_d · high_d, q_d · low_d) and at least the same with min. Heads with a
    positive gate enter with the one, heads with a negative gate with the other.

    Args:
        q: Queries `[r, H, D]`.
        weights: Gates `[r, H]` f32.
        representatives: From `extremes`.

    Returns:
        `[r, C]` f32.

    Source: Quest, arXiv 2406.10774, section 3.3 (page bound from channel-wise min and max keys); heads with
        ReLU and signed gates are this project's extension.
    """
    import torch

    parts = torch.cat((q.float().clamp(min=0), q.float().clamp(max=0)), 2)
    most = run_scores(parts, weights.clamp(min=0), representatives[0])
    return most + run_scores(parts, weights.clamp(max=0), representatives[1])
