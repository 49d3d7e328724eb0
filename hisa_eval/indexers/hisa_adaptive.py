"""HISA that keeps more blocks where the border between kept and dropped is a near tie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from hisa_eval.indexers.ranked_blocks import PINNED, RankedBlocksIndexer, RankedOptions, means, run_scores

if TYPE_CHECKING:
    from torch import Tensor


class HisaAdaptiveOptions(RankedOptions):
    """Options of adaptive HISA."""

    num_blocks: int = Field(
        default=32, ge=PINNED, description="Candidate blocks that every query keeps (least m)."
    )
    max_blocks: int = Field(default=128, ge=PINNED, description="Most candidate blocks of a query (the cap).")
    margin: float = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="Also keep blocks whose score is below the m-th best by at most this share of it.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> HisaAdaptiveOptions:
        if self.max_blocks < self.num_blocks:
            raise ValueError(f"max_blocks = {self.max_blocks} is below num_blocks = {self.num_blocks}")
        return self


class HisaAdaptiveIndexer(RankedBlocksIndexer):
    """HISA whose m grows, query by query, while further blocks score nearly as well as the m-th.

    A block is kept if its score reaches s − margin · |s|, with s the m-th best score, up to the cap. The
    first and the last block are kept too and count in m.

    Source: this project's own, in the spirit of FlexPrefill's cumulative threshold (ICLR 2025); blocks and
        pooling as in HISA, arXiv 2603.28458.
    """

    name = "hisa-adaptive"
    Options = HisaAdaptiveOptions
    options: HisaAdaptiveOptions

    @property
    def most(self) -> int:
        """The cap."""
        return self.options.max_blocks

    def represent(self, keys: Tensor) -> Tensor:
        """Means of blocks `[C, D]`."""
        return means(keys)

    def score(self, q: Tensor, weights: Tensor, representatives: Tensor, complete: Tensor) -> Tensor:
        """Block scores, as HISA's."""
        return run_scores(q, weights, representatives)

    def keep(self, scores: Tensor, n_cells: Tensor) -> Tensor:
        """The m best blocks, and those within the margin of the m-th."""
        import torch

        from hisa_kernels import topk_indices

        starts = torch.zeros_like(n_cells)
        least = topk_indices(scores, starts, n_cells, self.budget)
        border = scores.gather(1, least.clamp(min=0).long()).masked_fill(least < 0, torch.inf).amin(1)
        wanted = scores >= (border - self.options.margin * border.abs())[:, None]
        wanted.scatter_(1, least.clamp(min=0).long(), True)
        return topk_indices(scores.masked_fill(~wanted, -torch.inf), starts, n_cells, self.most)
