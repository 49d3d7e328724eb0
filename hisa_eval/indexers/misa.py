"""MISA: a router picks a few index heads for each query, and only those score the keys."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from pydantic import Field

from hisa_eval.indexers.configured import ConfiguredIndexer, InfeasibleBudgetError
from hisa_eval.indexers.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.indexers.base import IndexerState


class MisaOptions(Options):
    """Options of MISA."""

    heads: int = Field(default=8, ge=1, description="Index heads that score the keys of a query (h).")
    block_size: int = Field(default=1024, ge=1, description="Keys in a block of the router.")
    candidates: int | None = Field(
        default=None,
        ge=1,
        description="Keys that the routed pass keeps for all heads to rank again (the two-stage form, 8192 "
        "in its release); none selects by the routed heads alone.",
    )


class MisaIndexer(ConfiguredIndexer):
    """Score all keys with the h heads that matter most to a query.

    The router takes the mean over blocks of |w · ReLU(q · pooled key)| for each head and keeps the h
    largest; ties go to the lower head. A model with no more than h heads is left as it is. With `candidates`,
    the routed heads keep that many keys and all heads choose k of them.

    Source: MISA, arXiv 2605.07363 (router energy, h = 8, blocks of 1024, two-stage form with 8192
        candidates), as summarised in public surveys and its released patches; mean pooling and the visible
        part of the newest block are this project's reading. The patches' optional norm of queries is not
        offered.
    """

    name = "misa"
    Options = MisaOptions
    options: MisaOptions

    def check_budget(self, topk: int) -> None:
        """Refuse fewer candidates than k.

        Raises:
            InfeasibleBudgetError: they cannot fill k.
        """
        super().check_budget(topk)
        if self.options.candidates is not None and self.options.candidates < topk:
            raise InfeasibleBudgetError(
                f"misa: candidates = {self.options.candidates} cannot fill k = {topk}",
                f"raise candidates to at least {topk}",
            )

    def scored_keys(self, visible: int, topk: int, heads: int) -> float | None:
        """Every key with h of H heads, the router's blocks, and the candidates with all heads."""
        if self.options.heads >= heads:
            return float(visible)
        again = min(self.options.candidates or 0, visible)
        return visible * self.options.heads / heads + ceil(visible / self.options.block_size) + again

    def exact_below(self, topk: int) -> int:
        """k, or the candidates of the two-stage form: within them every visible key is kept."""
        return self.options.candidates or topk

    def select(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        topk: int,
        *,
        k_scale: Tensor | None = None,
        state: IndexerState | None = None,
    ) -> Tensor:
        """The best k keys by the routed heads; see `hisa_eval.indexers.base.Indexer.select`."""
        from hisa_eval.indexers.ranked_blocks import take_rows
        from hisa_eval.indexers.validate import validate_inputs
        from hisa_kernels import candidate_scores, select_flat, topk_indices

        self.check_budget(topk)
        validate_inputs(q, k, weights, starts, ends, topk, k_scale=k_scale)
        if self.options.heads >= q.shape[1]:
            return select_flat(q, k, weights, starts, ends, topk, k_scale=k_scale)
        chosen = self._route(q, k, weights, starts, ends, k_scale)
        rows, heads = len(q), q.shape[1]
        place = (chosen + heads * chosen.new_tensor(range(rows))[:, None]).flatten()
        (own_q,) = take_rows(place, q.reshape(rows * heads, -1))
        own_q = own_q.view(rows, self.options.heads, -1)
        own_weights = weights.gather(1, chosen)
        kept = self.options.candidates or topk
        routed = select_flat(own_q, k, own_weights, starts, ends, kept, k_scale=k_scale)
        if self.options.candidates is None or len(k) == 0:
            return routed[:, :topk].contiguous()
        tokens = (routed - starts[:, None]).masked_fill_(routed < 0, -1)
        scores = candidate_scores(q, k, weights, starts, ends, tokens, 1, k_scale=k_scale)
        first = starts - starts
        columns = topk_indices(scores, first, first + scores.shape[1], topk)
        found = routed.gather(1, columns.clamp(min=0).long())
        return found.masked_fill_(columns < 0, -1)

    def _route(
        self, q: Tensor, k: Tensor, weights: Tensor, starts: Tensor, ends: Tensor, k_scale: Tensor | None
    ) -> Tensor:
        """Heads of each row, ascending `[M, h]` int64."""
        import torch

        from hisa_kernels import block_scores, topk_indices

        size = self.options.block_size
        blocks = ((ends - starts + size - 1) // size).clamp(min=1)
        energy = torch.empty(weights.shape, device=q.device)
        for head in range(q.shape[1]):
            scores = block_scores(
                q[:, head : head + 1].contiguous(),
                k,
                weights[:, head : head + 1].abs().contiguous(),
                starts,
                ends,
                block_size=size,
                k_scale=k_scale,
            )
            energy[:, head] = scores.masked_fill(scores == -torch.inf, 0.0).sum(1) / blocks
        first = torch.zeros_like(starts)
        return topk_indices(energy, first, first + energy.shape[1], self.options.heads).long()
