"""What one layer's indexer sees of a context: the inputs of every comparison."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """Some query rows of one layer with all keys of their sequence.

    Attributes:
        layer: Its number.
        q: Queries `[R, H, D]`, by ascending position; the last row is the answering one, which gives the
            first token of the answer's own text.
        k: Keys `[N, D]`.
        weights: Gates `[R, H]` f32, all scales folded in.
        ends: One past each row's last visible key `[R]` int32.
        attention: Dense attention of the rows, mean over heads `[R, N]`; None where it is not known.
        evidence: Positions of the tokens that hold the answer; empty where there is none.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        used: What the indexer that ran the model selected for the rows `[R, W]` int32; None where it is not
            known, as in a last layer whose output nobody asked for.
        lead_in: Tokens of the answer before its own text (a space, say) that stand behind the prompt and that
            the answering row has read.
    """

    layer: int
    q: Tensor
    k: Tensor
    weights: Tensor
    ends: Tensor
    attention: Tensor | None = None
    evidence: tuple[int, ...] = field(default=())
    k_scale: Tensor | None = None
    used: Tensor | None = None
    lead_in: int = 0

    @property
    def starts(self) -> Tensor:
        """First visible keys: the sequence begins at 0."""
        return torch.zeros_like(self.ends)

    def rows(self, index: Tensor) -> Frame:
        """The same context with some of its rows."""
        attention = None if self.attention is None else self.attention[index]
        used = None if self.used is None else self.used[index]
        return replace(
            self,
            q=self.q[index],
            weights=self.weights[index],
            ends=self.ends[index],
            attention=attention,
            used=used,
        )

    def to(self, device: str) -> Frame:
        """The same on another device."""
        return replace(
            self,
            q=self.q.to(device),
            k=self.k.to(device),
            weights=self.weights.to(device),
            ends=self.ends.to(device),
            attention=None if self.attention is None else self.attention.to(device),
            k_scale=None if self.k_scale is None else self.k_scale.to(device),
            used=None if self.used is None else self.used.to(device),
        )


def spread_rows(length: int, count: int, seed: int | str, last: int | None = None) -> list[int]:
    """Rows of a context, ascending: one at random in each of `count` equal stretches, and the last one.

    Args:
        length: Rows there are to draw from.
        count: Rows drawn; all of them where there are no more.
        seed: Decides the draw.
        last: The row that comes besides, from `length` - 1 on; the default is that.
    """
    last = length - 1 if last is None else last
    rng = random.Random(f"rows/{seed}/{length}")
    edges = [length * place // count for place in range(count + 1)]
    drawn = [rng.randrange(lo, hi) for lo, hi in pairwise(edges) if hi > lo]
    return [row for row in drawn if row != last] + [last]
