"""HISA with more than one vector a block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hisa_eval.indexers.bounds import extremes, upper_bounds
from hisa_eval.indexers.configured import InfeasibleBudgetError
from hisa_eval.indexers.ranked_blocks import RankedBlocksIndexer, RankedOptions, means, run_scores

if TYPE_CHECKING:
    from torch import Tensor

_SHARPNESS = 4.0


class HisaMultiOptions(RankedOptions):
    """Options of multi-representative HISA."""

    pooling: Literal["means", "bounds", "lse"] = Field(
        default="means",
        description="What stands for a block: means of its parts, bounds by its least and largest components "
        "(Quest), or one soft maximum of its keys (log-mean-exp).",
    )
    parts: int = Field(
        default=4, ge=1, description="Parts of a block that are averaged apart, with pooling=means."
    )


class HisaMultiIndexer(RankedBlocksIndexer):
    """HISA whose blocks are ranked by more than their mean.

    `means` splits a block into `parts` runs of neighbouring keys and takes the best of their scores: with
    one part it is HISA, with B parts the block's best token decides. `bounds` ranks by the most that any key
    within the block's least and largest components could score. `lse` pools each component by log-mean-exp at
    a sharpness of 4 over its spread in the block, between mean (0) and max (infinite).

    Source: HISA, arXiv 2603.28458, whose authors name max pooling as a remedy for blocks that a mean does
        not describe; Quest, arXiv 2406.10774, section 3.3 (`bounds`). The split into parts and the scale of
        `lse` are this project's own.
    """

    name = "hisa-multi"
    Options = HisaMultiOptions
    options: HisaMultiOptions

    @property
    def vectors(self) -> int:
        """Parts of a block; four for bounds, two vectors of twice the width."""
        return {"means": self.options.parts, "bounds": 4, "lse": 1}[self.options.pooling]

    def check_budget(self, topk: int) -> None:
        """Refuse options that do not go together, before anything is loaded.

        Raises:
            InfeasibleBudgetError: m * B < k, or the parts do not divide the block.
        """
        super().check_budget(topk)
        if self.options.pooling == "means" and self.options.block_size % self.options.parts:
            raise InfeasibleBudgetError(
                f"{self.name}: {self.options.parts} parts do not divide a block of {self.options.block_size}",
                "choose a divisor of block_size",
            )

    def represent(self, keys: Tensor) -> Tensor:
        """Means of parts `[C · parts, D]`, bounds `[2, C, 2D]`, or soft maxima `[C, D]`."""
        if self.options.pooling == "bounds":
            return extremes(keys)
        if self.options.pooling == "lse":
            return soft_maximum(keys)
        size = self.options.block_size // self.options.parts
        return means(keys.reshape(-1, size, keys.shape[2]))

    def score(self, q: Tensor, weights: Tensor, representatives: Tensor, complete: Tensor) -> Tensor:
        """The best score of a block's representatives, or its bound."""
        if self.options.pooling == "bounds":
            return upper_bounds(q, weights, representatives)
        scores = run_scores(q, weights, representatives)
        if self.options.pooling == "lse":
            return scores
        return scores.view(len(q), -1, self.options.parts).amax(2)


def soft_maximum(keys: Tensor) -> Tensor:
    """Log-mean-exp of each component over the keys of cells.

    Args:
        keys: `[C, B, D]` f32.

    Returns:
        `[C, D]`: between the mean and the largest value.
    """
    high = keys.amax(1, keepdim=True)
    spread = (high - keys.amin(1, keepdim=True)).clamp(min=1e-20)
    shares = ((keys - high) * (_SHARPNESS / spread)).exp().mean(1)
    return high[:, 0] + shares.log() * spread[:, 0] / _SHARPNESS
