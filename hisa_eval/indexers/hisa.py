"""HISA: choose blocks by their pooled keys, then the best k tokens inside them."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from pydantic import Field

from hisa_eval.indexers.blocks import FORCED_COUNT, BlockIndexer, BlockOptions
from hisa_eval.indexers.configured import InfeasibleBudgetError

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.indexers.base import IndexerState, NewestSelector


class HisaOptions(BlockOptions):
    """Options of HISA."""

    num_blocks: int = Field(
        default=64, ge=1, description="Candidate blocks kept for each query (m); m * B must reach k."
    )


class HisaIndexer(BlockIndexer):
    """Score pooled blocks first, then the tokens of the best blocks, and keep the best k of those.

    Blocks are aligned to the sequence's own start.

    Source: arXiv 2603.28458, equations 4 to 9 and Algorithm 1.
    """

    name = "hisa"
    Options = HisaOptions
    options: HisaOptions

    def least_blocks(self, topk: int) -> int:
        """Blocks that a row gets at the least: `num_blocks`, or with `ratio` enough to hold k tokens.

        One block more than k / B, because the newest block may be visible in part only.
        """
        if self.options.ratio is None:
            return self.options.num_blocks
        forced = FORCED_COUNT[self.options.forced] if self.options.forced_in_budget else 0
        return max(ceil(topk / self.options.block_size) + 1, forced)

    def check_budget(self, topk: int) -> None:
        """Refuse options whose candidates cannot fill `topk`, before anything is loaded.

        Args:
            topk: Token budget k, at least 1.

        Raises:
            InfeasibleBudgetError: m * B < k, or the forced blocks do not fit into m.
        """
        size, blocks = self.options.block_size, self.least_blocks(topk)
        if size * blocks < topk:
            raise InfeasibleBudgetError(
                f"hisa: num_blocks*block_size = {blocks}*{size} = {blocks * size} candidates cannot fill "
                f"k = {topk}",
                f"raise num_blocks to at least {ceil(topk / size)} or block_size to at least "
                f"{ceil(topk / blocks)}",
            )
        super().check_budget(topk)

    def least_selected(self, visible: int, topk: int) -> int:
        """Fewest keys that a row may get.

        It is min(k, visible), unless a fixed m * B exceeds k by less than B - 1: a partly visible newest
        block among the m then leaves fewer candidates than k.

        Args:
            visible: Keys that the row sees.
            topk: Token budget k.
        """
        size, blocks = self.options.block_size, self.least_blocks(topk)
        seen = ceil(visible / size)
        if self.options.ratio is not None:
            blocks = max(blocks, ceil(seen / self.options.ratio))
        newest = visible - (seen - 1) * size
        return min(topk, visible if seen <= blocks else (blocks - 1) * size + newest)

    def scored_keys(self, visible: int, topk: int, heads: int) -> float | None:
        """The pooled keys, and the tokens of the chosen blocks; all tokens where none is dropped."""
        kept = self.blocks_kept(visible, topk) * self.options.block_size
        return float(visible if kept >= visible else ceil(visible / self.options.block_size) + kept)

    def exact_below(self, topk: int) -> int:
        """m * B: a row that sees no more keys than the candidates hold loses none of them."""
        return self.least_blocks(topk) * self.options.block_size

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
        """The best k tokens of each row's best blocks; see `hisa_eval.indexers.base.Indexer.select`."""
        from hisa_eval.indexers.validate import pooled_cache, validate_inputs
        from hisa_kernels import select_hisa

        self.check_budget(topk)
        cache = pooled_cache(self.label, state, self.options.block_size, self.options.pooling, starts)
        validate_inputs(
            q, k, weights, starts, ends, topk, k_scale=k_scale, checked=cache.length if cache else 0
        )
        return select_hisa(
            q, k, weights, starts, ends, topk, k_scale=k_scale, cache=cache, **self.stage_arguments(topk)
        )

    def newest(self, k: Tensor, heads: int, topk: int, ends: tuple[int, int]) -> NewestSelector | None:
        """Selects for the newest token, unless m is a ratio; see `hisa_eval.indexers.newest`."""
        from hisa_kernels.newest import NewestHisa
        from hisa_kernels.options import BlockOptions

        if self.options.ratio is not None:
            return None
        self.check_budget(topk)
        options = BlockOptions(**self.stage_arguments(topk))
        return NewestHisa(k, heads, topk, options, ends=ends)
