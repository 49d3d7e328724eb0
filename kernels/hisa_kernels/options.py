"""The options of block selection, checked once and then passed along as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hisa_kernels.checks import check_positive

POOLINGS = ("mean", "max")
FORCED = {"none": 0, "first": 1, "first_last": 2, "first_last2": 3}
BLOCK_SCORE_DTYPES = ("f32", "bf16")


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuses a value that is not one of `known`.

    Raises:
        ValueError: it is none of them.
    """
    if value not in known:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(known)}")


@dataclass(frozen=True)
class BlockOptions:
    """How blocks are formed, scored and chosen.

    Attributes:
        block_size: Tokens a block, B.
        num_blocks: Blocks a row chooses, m; ignored where `ratio` is set.
        ratio: Choose one block in `ratio` visible ones instead of a fixed number, rounded up.
        min_blocks: Least number of blocks with `ratio`.
        pooling: `"mean"` or `"max"`, over the keys of a block.
        forced: Blocks always chosen: `"none"`, `"first"`, `"first_last"`, `"first_last2"`.
        forced_in_budget: Whether forced blocks count towards m (else they come on top of it).
        block_score_dtype: `"f32"`, or `"bf16"` to round block scores before they are compared.

    Raises:
        ValueError: a value is out of range.
    """

    block_size: int
    num_blocks: int | None = None
    ratio: float | None = None
    min_blocks: int = 1
    pooling: str = "mean"
    forced: str = "first_last"
    forced_in_budget: bool = True
    block_score_dtype: str = "f32"

    def __post_init__(self) -> None:
        check_positive("block_size", self.block_size)
        check_positive("min_blocks", self.min_blocks)
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("forced", self.forced, tuple(FORCED))
        check_choice("block_score_dtype", self.block_score_dtype, BLOCK_SCORE_DTYPES)
        if self.ratio is None:
            if self.num_blocks is None:
                raise ValueError("neither num_blocks nor ratio is given: pass one of them")
            check_positive("num_blocks", self.num_blocks)
        elif not (math.isfinite(self.ratio) and self.ratio >= 1):
            raise ValueError(f"ratio is {self.ratio}: pass a number of at least 1 (4 keeps one block in 4)")

    @property
    def n_forced(self) -> int:
        """How many blocks are forced in a row that sees enough of them."""
        return FORCED[self.forced]

    def feasible_for(self, topk: int) -> BlockOptions:
        """The same options for a choice of `topk` tokens.

        With `ratio`, rows choose at least ⌈topk / B⌉ blocks.

        Raises:
            ValueError: a fixed number of blocks holds fewer than `topk` tokens.
        """
        needed = -(-topk // self.block_size)
        if self.ratio is not None:
            return replace(self, min_blocks=max(self.min_blocks, needed))
        assert self.num_blocks is not None
        if self.num_blocks < needed:
            held = self.num_blocks * self.block_size
            raise ValueError(
                f"{self.num_blocks} blocks of {self.block_size} hold {held} tokens, fewer than topk {topk}: "
                f"pass num_blocks of at least {needed}, or a smaller topk"
            )
        return self

    def budget(self, n_blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many blocks each row may choose (m), given how many it sees."""
        if self.ratio is None:
            assert self.num_blocks is not None
            return np.full_like(n_blocks, self.num_blocks)
        share = np.ceil(n_blocks / self.ratio).astype(np.int64)
        return np.maximum(share, self.min_blocks)

    def width(self, n_blocks: NDArray[np.int64]) -> int:
        """Columns of the choice: the largest m of any row, forced blocks added where they come on top."""
        if self.ratio is None:
            assert self.num_blocks is not None
            widest = self.num_blocks
        else:
            widest = int(self.budget(n_blocks).max(initial=self.min_blocks))
        return widest if self.forced_in_budget else widest + self.n_forced
