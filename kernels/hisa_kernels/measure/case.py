"""What is timed: the shape of a batch, and the work that each stage of a pipeline cannot avoid."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

KEY_BYTES = {"fp8": 1, "bf16": 2, "f32": 4}
"""Bytes of one element of a key or query, by dtype."""


class Work(NamedTuple):
    """What a stage must at least do.

    Attributes:
        flop: Operations of its matrix products.
        bytes: Each input read once and each output written once.
    """

    flop: float
    bytes: float


@dataclass(frozen=True)
class Case:
    """A prefill chunk at the end of a causal context; query t sees the keys 0 … N − M + t.

    Attributes:
        queries: M.
        context: Keys N, at least M.
        heads: Index heads H.
        dim: Head dimension D.
        dtype: `"fp8"`, `"bf16"` or `"f32"`, of queries and keys.
        topk: Token budget k.
        block_size: Tokens a block, B.
        num_blocks: Blocks a query, m; None where no block is chosen (flat).
        ratio: What m was derived from, blocks of the context over `ratio`; None where it was given.
        inputs: Where queries and keys come from: `"random"` or a file's name.
        kind: What is timed, of `hisa_kernels.measure.kinds`: `"selection"`, `"attention"` or `"decode"`
            (`queries` sequences of their own, one query each).
    """

    queries: int
    context: int
    heads: int = 64
    dim: int = 128
    dtype: str = "fp8"
    topk: int = 2048
    block_size: int = 128
    num_blocks: int | None = None
    ratio: float | None = None
    inputs: str = "random"
    kind: str = "selection"

    @property
    def mode(self) -> str:
        """`"flat"`, `"m = 64"` or `"4:1"`."""
        if self.ratio is not None:
            return f"{self.ratio:g}:1"
        return "flat" if self.num_blocks is None else f"m = {self.num_blocks}"

    @property
    def blocks(self) -> int:
        """Blocks of the whole context."""
        return -(-self.context // self.block_size)

    @property
    def most_blocks(self) -> int:
        """Blocks that a query chooses at most."""
        return self.blocks if self.num_blocks is None else min(self.num_blocks, self.blocks)

    @property
    def prunes(self) -> bool:
        """Whether some query sees more blocks than it may choose."""
        return self.most_blocks < self.blocks

    @property
    def name(self) -> str:
        """A name of all that decides the inputs: `m4096-n65536-h64-d128-fp8-random`."""
        batch = f"m{self.queries}-n{self.context}-h{self.heads}-d{self.dim}-{self.dtype}-{self.inputs}"
        return batch if self.kind == "selection" else f"{batch}-{self.kind}"

    def with_ratio(self, ratio: float) -> Case:
        """The same batch with m = ⌈N / B⌉ / ratio, rounded up, and enough to hold k: the paper's 4:1."""
        blocks = max(math.ceil(self.blocks / ratio), -(-self.topk // self.block_size))
        return replace(self, num_blocks=min(blocks, self.blocks), ratio=ratio)

    def flat(self) -> Case:
        """The same batch without blocks."""
        return replace(self, num_blocks=None, ratio=None)

    def facts(self) -> dict[str, Any]:
        """The fields, and the mode, as JSON types."""
        return {**asdict(self), "mode": self.mode}

    def visible(self) -> int:
        """Pairs of a query and a key it sees, over all queries."""
        if self.kind == "decode":
            return self.queries * self.context
        return self.queries * (self.context - self.queries) + self.queries * (self.queries + 1) // 2

    def candidates(self) -> int:
        """Pairs of a query and a key of its chosen blocks; a query chooses no more than it sees."""
        if not self.prunes:
            return self.visible()
        return min(self.visible(), self.queries * self.most_blocks * self.block_size)

    def work(self, name: str) -> Work | None:
        """The least work of a stage, with everything that it hands on written to memory; None if unknown.

        Args:
            name: `"scores"`, `"top-k"`, `"pool"`, `"block scores"`, `"top-m"`, `"refine"`, `"tokens"`, or a
                family of contestants, whose whole pipeline hands on its result alone.
        """
        if self.kind == "attention":
            return self._attention() if name == "attention" else None
        size, decode = KEY_BYTES[self.dtype], self.kind == "decode"
        token = self.dim * size + (4 if self.dtype == "fp8" else 0)
        q = self.queries * self.heads * (self.dim * size + 4)
        sequences = self.queries if decode else 1
        k = sequences * self.context * token
        # A decoding step has its keys pooled already, but for the newest block.
        pooled = sequences * self.blocks * self.dim * (4 if decode else size)
        newest = sequences * self.block_size * token
        visible, candidates, blocks = self.visible(), self.candidates(), self.queries * self.blocks
        read = candidates * token if decode else k
        chosen, picked = 4 * self.queries * self.topk, 4 * self.queries * self.most_blocks
        pair = 2 * self.heads * self.dim
        table = {
            "scores": Work(pair * visible, q + k + 4 * visible),
            "top-k": Work(0, 4 * visible + chosen),
            "pool": Work(0, newest if decode else k + pooled),
            "block scores": Work(pair * blocks, q + pooled + 4 * blocks),
            "top-m": Work(0, 4 * blocks + picked),
            "refine": Work(pair * candidates, q + read + picked + 4 * candidates),
            "tokens": Work(0, 4 * candidates + chosen),
            "flat": Work(pair * visible, q + k + chosen),
            "hisa": Work(pair * (blocks + candidates), q + (pooled + read if decode else k) + chosen),
        }
        return table.get(name.removeprefix("decode "))

    def _attention(self) -> Work:
        """Scores and weighted sums over the chosen latents; each latent read once."""
        value = self.dim - 64
        chosen = self.queries * min(self.topk, self.context)
        rows = self.queries * self.heads * (self.dim + value) + self.context * self.dim
        return Work(2 * self.heads * (self.dim + value) * chosen, KEY_BYTES[self.dtype] * rows + 4 * chosen)
