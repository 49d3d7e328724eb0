"""HISA with a certificate: rows that may have lost a key are selected again by flat DSA."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hisa_eval.indexers.bounds import extremes, upper_bounds
from hisa_eval.indexers.ranked_blocks import RankedBlocksIndexer, RankedOptions, means, run_scores, take_rows

if TYPE_CHECKING:
    from torch import Tensor


class HisaExactOptions(RankedOptions):
    """Options of HISA with an exact rescue."""


class HisaExactIndexer(RankedBlocksIndexer):
    """HISA whose result is always flat DSA's: each row is certified, or selected again.

    A row is certified if no dropped block can hold a key that scores as high as its k-th selected one, by the
    bound from the block's least and largest key components. `take_certificates` tells how many rows were: the
    share of the work of flat DSA that was really saved. The result is exact; the cost is not bounded.

    Source: HISA, arXiv 2603.28458 (blocks and ranking); Quest, arXiv 2406.10774, section 3.3 (the bound); the
        certificate is this project's own.
    """

    name = "hisa-exact"
    Options = HisaExactOptions

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._pruned = self._certified = 0

    @property
    def vectors(self) -> int:
        """The mean, and two bounds of twice the width."""
        return 5

    def scored_keys(self, visible: int, topk: int, heads: int) -> float | None:
        """As `hisa` with bounds, and every key once more: the cost of a row that is rescued."""
        first = super().scored_keys(visible, topk, heads)
        return None if first is None else first + (visible if first != visible else 0)

    def exact_below(self, topk: int) -> int:
        """Always."""
        return sys.maxsize

    def least_selected(self, visible: int, topk: int) -> int:
        """min(k, visible): what HISA's candidates lack is rescued."""
        return min(topk, visible)

    def take_certificates(self) -> dict[str, int]:
        """Rows beyond m * B since the last call, and how many of them were certified."""
        counts = {"pruned": self._pruned, "certified": self._certified}
        self._pruned = self._certified = 0
        return counts

    def represent(self, keys: Tensor) -> Tensor:
        """Means `[C, D]` and, behind them, the extremes: `[C, D + 4D]`."""
        import torch

        bounds = extremes(keys)
        return torch.cat((means(keys), bounds[0], bounds[1]), 1)

    def score(self, q: Tensor, weights: Tensor, representatives: Tensor, complete: Tensor) -> Tensor:
        """Block scores, as HISA's."""
        return run_scores(q, weights, representatives[:, : q.shape[2]])

    def _select_rows(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        ends: Tensor,
        representatives: Tensor,
        n_cells: int,
        topk: int,
        k_scale: Tensor | None,
    ) -> Tensor:
        import torch

        from hisa_kernels import candidate_scores, select_flat

        blocks = self._blocks(q, weights, ends, representatives, n_cells)
        chosen = self._tokens(q, k, weights, ends, blocks, topk, k_scale)
        starts = torch.zeros_like(ends)
        scores = candidate_scores(q, k, weights, starts, ends, chosen, 1, k_scale=k_scale)
        worst = scores.masked_fill(chosen < 0, torch.inf).amin(1)
        dim = q.shape[2]
        bounds = upper_bounds(
            q, weights, torch.stack((representatives[:, dim : 3 * dim], representatives[:, 3 * dim :]))
        )
        bounds = bounds + _rounding(q, weights, representatives)[:, None]
        cell = torch.arange(bounds.shape[1], dtype=ends.dtype, device=q.device)
        outside = cell < (ends // self.cell)[:, None]
        kept = torch.zeros((len(q), n_cells + 1), dtype=torch.bool, device=q.device)
        kept.scatter_(1, torch.where(blocks < 0, n_cells, blocks).long(), True)
        outside &= ~kept[:, : bounds.shape[1]]
        certified = ((bounds < worst[:, None]) | ~outside).all(1) & (chosen >= 0).all(1)
        self._pruned += len(q)
        self._certified += int(certified.sum())
        again = (~certified).nonzero()[:, 0]
        if len(again):
            rows = take_rows(again, q, weights, starts, ends)
            chosen[again] = select_flat(rows[0], k, rows[1], rows[2], rows[3], topk, k_scale=k_scale)
        return chosen


def _rounding(q: Tensor, weights: Tensor, representatives: Tensor) -> Tensor:
    """How far f32 sums of products can be off, twice over: for the bound and for the scores `[r]`."""
    import torch

    dim, heads = q.shape[2], q.shape[1]
    largest = representatives[:, dim:].abs().amax() if len(representatives) else torch.tensor(0.0)
    sizes = (weights.abs() * q.float().abs().sum(2)).sum(1) * largest
    return sizes * (4 * (2 * dim + heads) * torch.finfo(torch.float32).eps)
