"""Block-sparse: the blocks of HISA's first stage are the selection."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from pydantic import Field

from hisa_eval.indexers.blocks import FORCED_COUNT, BlockIndexer, BlockOptions
from hisa_eval.indexers.configured import InfeasibleBudgetError

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.indexers.base import IndexerState, NewestSelector


class BlockSparseOptions(BlockOptions):
    """Options of block-sparse selection."""

    num_blocks: int | None = Field(
        default=None, ge=1, description="Blocks kept for each query (m); none takes k // block_size."
    )


class BlockSparseIndexer(BlockIndexer):
    """Keep every token of the best blocks, chosen by their pooled keys.

    Blocks are aligned to the sequence's own start. The paper's setting for k = 2048 is 16 blocks of 128.

    Source: arXiv 2603.28458, section 5 (block-sparse baseline).
    """

    name = "block-sparse"
    Options = BlockSparseOptions
    selects_exactly_k = False
    options: BlockSparseOptions

    def least_blocks(self, topk: int) -> int:
        """Blocks that a row gets at the least: `num_blocks`, k // B, or with `ratio` enough to hold k."""
        if self.options.ratio is None:
            return self.options.num_blocks or topk // self.options.block_size
        forced = FORCED_COUNT[self.options.forced] if self.options.forced_in_budget else 0
        return max(ceil(topk / self.options.block_size), forced)

    def check_budget(self, topk: int) -> None:
        """Refuse options that leave no block for a budget of `topk` tokens.

        Args:
            topk: Token budget k, at least 1.

        Raises:
            InfeasibleBudgetError: k is smaller than one block, or the forced blocks do not fit.
        """
        if topk >= 1 and self.least_blocks(topk) < 1:
            raise InfeasibleBudgetError(
                f"block-sparse: k // block_size = {topk} // {self.options.block_size} leaves no block",
                f"lower block_size to at most {topk}, or set num_blocks",
            )
        super().check_budget(topk)

    def scored_keys(self, visible: int, topk: int, heads: int) -> float | None:
        """The pooled keys."""
        return float(ceil(visible / self.options.block_size))

    def exact_below(self, topk: int) -> int:
        """min(k, m * B): beyond k visible tokens DSA drops some, beyond m blocks this one does."""
        return min(topk, self.least_blocks(topk) * self.options.block_size)

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
        """Every token of each row's best blocks; see `hisa_eval.indexers.base.Indexer.select`."""
        from hisa_eval.indexers.validate import pooled_cache, validate_inputs
        from hisa_kernels import select_block_sparse

        self.check_budget(topk)
        cache = pooled_cache(self.label, state, self.options.block_size, self.options.pooling, starts)
        validate_inputs(
            q, k, weights, starts, ends, topk, k_scale=k_scale, checked=cache.length if cache else 0
        )
        return select_block_sparse(
            q, k, weights, starts, ends, k_scale=k_scale, cache=cache, **self.stage_arguments(topk)
        )

    def newest(self, k: Tensor, heads: int, topk: int, ends: tuple[int, int]) -> NewestSelector | None:
        """Selects for the newest token, unless m is a ratio; see `hisa_eval.indexers.newest`."""
        from hisa_kernels.newest import NewestBlockSparse
        from hisa_kernels.options import BlockOptions

        if self.options.ratio is not None:
            return None
        self.check_budget(topk)
        options = BlockOptions(**self.stage_arguments(topk))
        return NewestBlockSparse(k, heads, topk, options, ends=ends)
