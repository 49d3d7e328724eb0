"""Inputs for the operator tests."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

LARGEST_BLOCK = 8
DIVISIBLE = math.lcm(*range(1, LARGEST_BLOCK + 1))
"""Keys that are multiples of this have exact means over up to `LARGEST_BLOCK` of them."""


@dataclass(frozen=True)
class Batch:
    """One call's inputs.

    Attributes:
        q: Queries `[M, H, D]`.
        k: Keys `[N, D]`.
        weights: Gates `[M, H]`.
        starts: First visible key `[M]`.
        ends: One past the last visible key `[M]`.
        k_scale: Scale `[N]` of FP8 keys.
    """

    q: Tensor
    k: Tensor
    weights: Tensor
    starts: Tensor
    ends: Tensor
    k_scale: Tensor | None = None

    @property
    def args(self) -> tuple[Tensor, ...]:
        """The positional arguments that all scoring operators share."""
        return self.q, self.k, self.weights, self.starts, self.ends

    def on(self, device: torch.device) -> Batch:
        """The same on `device`."""
        scale = None if self.k_scale is None else self.k_scale.to(device)
        return Batch(*(tensor.to(device) for tensor in self.args), k_scale=scale)

    def part(self, rows: slice) -> Batch:
        """Some of the rows."""
        return replace(
            self, q=self.q[rows], weights=self.weights[rows], starts=self.starts[rows], ends=self.ends[rows]
        )


def ranges(sequences: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Causal `starts` and `ends` of a packed batch.

    Args:
        sequences: For each one its length and how many rows at its end are asked about.
    """
    starts, ends, at = [], [], 0
    for length, rows in sequences:
        starts += [at] * rows
        ends += [at + end for end in range(length - rows + 1, length + 1)]
        at += length
    return torch.tensor(starts, dtype=torch.int32), torch.tensor(ends, dtype=torch.int32)


def whole(
    sequences: list[tuple[int, int]], heads: int = 2, dim: int = 4, seed: int = 0, flat: bool = False
) -> Batch:
    """Small whole numbers: every f32 sum and mean is exact, and ties abound.

    Args:
        sequences: As of `ranges`.
        heads: H.
        dim: D.
        seed: Of the generator.
        flat: All keys alike, so that all scores of a row are equal.
    """
    make = torch.Generator().manual_seed(seed)
    starts, ends = ranges(sequences)
    n_keys = sum(length for length, _ in sequences)

    def draw(*shape: int) -> Tensor:
        return torch.randint(-2, 3, shape, generator=make).float()

    keys = draw(1, dim).expand(n_keys, dim).contiguous() if flat else draw(n_keys, dim)
    return Batch(draw(len(starts), heads, dim), keys * DIVISIBLE, draw(len(starts), heads), starts, ends)


def real(
    sequences: list[tuple[int, int]], heads: int = 3, dim: int = 16, seed: int = 0, dtype: Any = torch.float32
) -> Batch:
    """Normal random numbers, gates of both signs; FP8 keys come with a scale.

    Args:
        sequences: As of `ranges`.
        heads: H.
        dim: D.
        seed: Of the generator.
        dtype: Of queries and keys.
    """
    make = torch.Generator().manual_seed(seed)
    starts, ends = ranges(sequences)
    n_keys = sum(length for length, _ in sequences)
    q = torch.randn(len(starts), heads, dim, generator=make).to(dtype)
    k = torch.randn(n_keys, dim, generator=make).to(dtype)
    weights = torch.randn(len(starts), heads, generator=make)
    scale = torch.rand(n_keys, generator=make) + 0.5 if dtype == torch.float8_e4m3fn else None
    return Batch(q, k, weights, starts, ends, scale)
