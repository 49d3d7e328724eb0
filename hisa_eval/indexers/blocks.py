"""What the block-level stage of `hisa` and `block-sparse` shares: its options and its pooled-key state."""

from __future__ import annotations

from abc import abstractmethod
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from hisa_eval.indexers.configured import ConfiguredIndexer, InfeasibleBudgetError
from hisa_eval.indexers.options import Options

if TYPE_CHECKING:
    from hisa_eval.indexers.base import IndexerState

FORCED_COUNT = {"none": 0, "first": 1, "first_last": 2, "first_last2": 3}
"""How many blocks each value of `forced` pins at most."""


class BlockOptions(Options):
    """Options of the block stage."""

    block_size: int = Field(default=128, ge=1, description="Keys in a block (B).")
    num_blocks: int | None = Field(default=None, ge=1, description="Blocks kept for each query (m).")
    ratio: float | None = Field(
        default=None,
        ge=1,
        allow_inf_nan=False,
        description="Keep visible blocks / ratio of them instead, row by row (the paper's 4:1 is ratio=4); "
        "num_blocks is then not used.",
    )
    pooling: Literal["mean", "max"] = Field(
        default="mean", description="How the keys of a block become its one pooled key."
    )
    forced: Literal["none", "first", "first_last", "first_last2"] = Field(
        default="first_last",
        description="Blocks kept whatever they score: none, the first, the first and the last, or the first "
        "and the last two.",
    )
    forced_in_budget: bool = Field(
        default=True,
        description="Count forced blocks in num_blocks, as the released kernels do; false adds them on top, "
        "as the paper's Algorithm 1 does.",
    )
    block_score_dtype: Literal["f32", "bf16"] = Field(
        default="f32",
        description="Precision in which block scores are compared; bf16 is what the released kernels do.",
    )


class BlockIndexer(ConfiguredIndexer):
    """An indexer that first chooses blocks by their pooled keys."""

    options: BlockOptions

    @abstractmethod
    def least_blocks(self, topk: int) -> int:
        """Blocks that a row gets at the least, forced ones on top excluded, where it sees that many.

        Args:
            topk: Token budget k.
        """

    def blocks_kept(self, visible: int, topk: int) -> int:
        """Blocks that a row keeps at the most.

        Args:
            visible: Keys that the row sees.
            topk: Token budget k.
        """
        seen = ceil(visible / self.options.block_size)
        wanted = self.least_blocks(topk)
        if self.options.ratio is not None:
            wanted = max(wanted, ceil(seen / self.options.ratio))
        extra = 0 if self.options.forced_in_budget else FORCED_COUNT[self.options.forced]
        return min(seen, wanted + extra)

    def check_budget(self, topk: int) -> None:
        """Refuse options that cannot give `topk` tokens, before anything is loaded.

        Args:
            topk: Token budget k, at least 1.

        Raises:
            InfeasibleBudgetError: they cannot.
        """
        super().check_budget(topk)
        forced = FORCED_COUNT[self.options.forced] if self.options.forced_in_budget else 0
        blocks = self.least_blocks(topk)
        if blocks < forced:
            raise InfeasibleBudgetError(
                f"{self.name}: a budget of {blocks} blocks cannot hold the {forced} that "
                f"forced = {self.options.forced} pins",
                f"raise num_blocks to at least {forced}, pin fewer, or set forced_in_budget=false",
            )

    def new_state(self) -> IndexerState | None:
        """A pooled-key cache for one sequence."""
        from hisa_kernels import PooledKeyCache

        return PooledKeyCache(self.options.block_size, pooling=self.options.pooling)

    def stage_arguments(self, topk: int) -> dict[str, Any]:
        """Keyword arguments of the block stage, as the operators take them.

        Args:
            topk: Token budget k.
        """
        blocks = self.least_blocks(topk)
        return {
            "block_size": self.options.block_size,
            "num_blocks": blocks,
            "ratio": self.options.ratio,
            "min_blocks": blocks,
            "pooling": self.options.pooling,
            "forced": self.options.forced,
            "forced_in_budget": self.options.forced_in_budget,
            "block_score_dtype": self.options.block_score_dtype,
        }
