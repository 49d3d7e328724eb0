"""HISA whose blocks overlap, so that nothing is cut in two by a block border."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hisa_eval.indexers.configured import InfeasibleBudgetError
from hisa_eval.indexers.ranked_blocks import RankedBlocksIndexer, RankedOptions, means, run_scores

if TYPE_CHECKING:
    from torch import Tensor


class HisaOverlapOptions(RankedOptions):
    """Options of overlapping blocks."""

    overlap: int = Field(default=2, ge=1, description="Blocks that cover a token: the stride is B / overlap.")


class HisaOverlapIndexer(RankedBlocksIndexer):
    """HISA with blocks that begin every B / overlap tokens.

    A stretch of B / overlap tokens is worth as much as the best block that covers it; the best m · overlap
    stretches are the candidates, as many tokens as HISA's m blocks hold. With overlap = 1 it is HISA.

    Source: HISA, arXiv 2603.28458, whose authors name overlapping blocks as a remedy for borders; this
        reading of it is this project's own.
    """

    name = "hisa-overlap"
    Options = HisaOverlapOptions
    options: HisaOverlapOptions

    @property
    def cell(self) -> int:
        """Tokens of a stretch."""
        return max(1, self.options.block_size // self.options.overlap)

    def check_budget(self, topk: int) -> None:
        """Refuse options that do not go together, before anything is loaded.

        Raises:
            InfeasibleBudgetError: m * B < k, or the overlap does not divide the block.
        """
        super().check_budget(topk)
        if self.options.block_size % self.options.overlap:
            raise InfeasibleBudgetError(
                f"{self.name}: {self.options.overlap} does not divide a block of {self.options.block_size}",
                "choose a divisor of block_size",
            )

    def represent(self, keys: Tensor) -> Tensor:
        """Means of the complete blocks, one for each stretch that begins one `[W, D]`."""
        overlap = self.options.overlap
        if overlap == 1 or len(keys) < overlap:
            return means(keys)
        windows = keys.unfold(0, overlap, 1).permute(0, 3, 1, 2).flatten(1, 2)
        return means(windows.contiguous())

    def score(self, q: Tensor, weights: Tensor, representatives: Tensor, complete: Tensor) -> Tensor:
        """For each stretch the best of the blocks that cover it."""
        import torch

        blocks = run_scores(q, weights, representatives)
        end = torch.arange(blocks.shape[1], device=q.device) + self.options.overlap
        blocks.masked_fill_(end > complete[:, None], -torch.inf)
        reach = self.options.overlap - 1
        padded = torch.nn.functional.pad(blocks, (reach, reach), value=-torch.inf)
        return padded.unfold(1, reach + 1, 1).amax(2)
