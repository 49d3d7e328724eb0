"""Inputs whose scores are exact in float32, so that laws compare with equality and never with a tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from hisa_eval.indexers.base import Indexer, IndexerState

Values = Literal["integers", "one-hot", "equal", "two-valued"]
FP8 = torch.float8_e4m3fn


@dataclass(frozen=True)
class Packed:
    """One sequence of a packed batch.

    Attributes:
        length: Keys in it.
        visible: For each of its queries, how many of its keys the query sees.
    """

    length: int
    visible: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """Arguments of one `select` call; names and shapes as in `Indexer.select`."""

    q: Tensor
    k: Tensor
    weights: Tensor
    starts: Tensor
    ends: Tensor
    topk: int
    k_scale: Tensor | None = None

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """(start, end) of each row."""
        return list(zip(self.starts.tolist(), self.ends.tolist(), strict=True))

    def rows(self, rows: Sequence[int]) -> Case:
        """The same keys, asked by some of the queries only."""
        picked = torch.tensor(list(rows), dtype=torch.long, device=self.q.device)
        return replace(
            self,
            q=self.q[picked],
            weights=self.weights[picked],
            starts=self.starts[picked],
            ends=self.ends[picked],
        )

    def keys(self, first: int, last: int) -> Case:
        """The same queries on keys `first` to `last` alone, bounds moved with them."""
        return replace(
            self,
            k=self.k[first:last],
            k_scale=None if self.k_scale is None else self.k_scale[first:last],
            starts=self.starts - first,
            ends=self.ends - first,
        )

    def select(self, indexer: Indexer, state: IndexerState | None = None) -> Tensor:
        """What `indexer` selects for this case."""
        return indexer.select(
            self.q,
            self.k,
            self.weights,
            self.starts,
            self.ends,
            self.topk,
            k_scale=self.k_scale,
            state=state,
        )


def make_case(
    sequences: Sequence[Packed | tuple[int, Sequence[int]]],
    topk: int,
    *,
    seed: int = 0,
    values: Values = "integers",
    gap: int = 0,
    heads: int = 2,
    dim: int = 4,
    unit: int = 1,
    fp8: bool = False,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Case:
    """A packed batch of small-integer inputs.

    Every token score is an integer below 2^24, exact in float32 in any order of summation. With `one-hot`
    queries and power-of-two gates a score of a *mean* of keys has one rounding, that of the mean, whatever
    the shape of the matrix product: laws about unpruned arithmetic can then hold bit for bit.

    Args:
        sequences: Length and visible counts of each sequence.
        topk: Token budget k.
        seed: Of the values.
        values: `integers` (dense queries), `one-hot` (see above), `equal` (every key the same) or
            `two-valued` (every score one of two).
        gap: Keys before the first sequence that nobody sees.
        heads: H.
        dim: D.
        unit: Factor on the keys; a multiple of every count up to B makes means of them exact as well.
        fp8: Keys and queries in FP8 e4m3, with power-of-two key scales.
        dtype: Of queries and keys otherwise.
        device: Where the tensors live.
    """
    generator = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high + 1, shape, generator=generator).float()

    lengths = [item.length if isinstance(item, Packed) else item[0] for item in sequences]
    visible = [item.visible if isinstance(item, Packed) else item[1] for item in sequences]
    starts, ends, first = [], [], gap
    for length, counts in zip(lengths, visible, strict=True):
        for count in counts:
            if not 0 <= count <= length:
                raise ValueError(f"a query cannot see {count} of {length} keys")
            starts.append(first)
            ends.append(first + count)
        first += length
    m, n = len(starts), first
    q = integers(-3, 3, m, heads, dim)
    k = integers(-3, 3, n, dim) * unit
    weights = integers(-3, 3, m, heads)
    if values == "one-hot":
        hot = torch.nn.functional.one_hot(torch.randint(0, dim, (m, heads), generator=generator), dim)
        q = hot * _powers(generator, m, heads)[..., None]
        weights = _powers(generator, m, heads)
    elif values == "equal":
        k = k[:1].expand(n, dim).clone()
    elif values == "two-valued":
        k = integers(0, 1, n, 1) * torch.tensor([1.0] + [0.0] * (dim - 1)) * unit
    scale = None
    if fp8:
        scale = 2.0 ** integers(-1, 1, n) if values not in ("equal", "two-valued") else torch.ones(n)
        dtype = FP8
    return Case(
        q=q.to(dtype).to(device),
        k=k.to(dtype).to(device),
        weights=weights.to(device),
        starts=torch.tensor(starts, dtype=torch.int32, device=device),
        ends=torch.tensor(ends, dtype=torch.int32, device=device),
        topk=topk,
        k_scale=None if scale is None else scale.to(device),
    )


def with_other_keys(case: Case, positions: Tensor, seed: int) -> Case:
    """The same case with the keys at some positions replaced by others, large ones among them.

    Args:
        case: The case.
        positions: Boolean mask `[N]` of the keys to replace.
        seed: Of the new values.
    """
    generator = torch.Generator().manual_seed(seed)
    fresh = torch.randint(-48, 49, case.k.shape, generator=generator).float().to(case.k.device)
    k = torch.where(positions[:, None], fresh, case.k.float()).to(case.k.dtype)
    return replace(case, k=k)


def settings_of(indexer: Indexer, name: str, default: Any) -> Any:
    """An option of `indexer` that a law may know of, or `default`."""
    value = indexer.settings.get(name)
    return default if value is None else value


def _powers(generator: torch.Generator, *shape: int) -> Tensor:
    """Random signed powers of two from 1/2 to 2."""
    sign = torch.randint(0, 2, shape, generator=generator).float() * 2 - 1
    return sign * 2.0 ** torch.randint(-1, 2, shape, generator=generator).float()
