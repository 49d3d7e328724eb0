"""The geometry of a batch of queries: which keys each one sees, and which sequence it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Index = slice | NDArray[np.int64]
"""Some rows of a batch: a slice where they are neighbours, else their numbers."""


def to_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """`array` as a tensor on `device`."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


def take(tensor: Tensor, index: Index) -> Tensor:
    """The rows `index` of `tensor`, without a copy where they are neighbours."""
    if isinstance(index, slice):
        return tensor[index]
    numbers = to_device(index, tensor.device)
    if tensor.dtype == torch.float8_e4m3fn:
        return tensor.view(torch.uint8).index_select(0, numbers).view(tensor.dtype)
    return tensor.index_select(0, numbers)


def as_index(numbers: NDArray[np.int64]) -> Index:
    """Ascending row numbers as a slice where they are neighbours."""
    if len(numbers) and numbers[-1] - numbers[0] + 1 == len(numbers):
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return numbers


@dataclass(frozen=True)
class Sequence:
    """The rows of one sequence of a packed batch.

    Attributes:
        start: Its first key.
        stop: One past the last key that any of its rows sees.
        rows: Which rows of the batch are its own.
    """

    start: int
    stop: int
    rows: Index


@dataclass(frozen=True)
class Rows:
    """What each query sees; kept on the host, where tiles are planned.

    Attributes:
        starts: First visible key of each row, int64.
        ends: One past its last visible key, int64.
        device: Where the tensors of the batch live.
        on_device: `starts` and `ends` `[M]` int32 as tensors of that device, where they came as such.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    device: torch.device
    on_device: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def visible(self) -> NDArray[np.int64]:
        """How many keys each row sees."""
        return self.ends - self.starts

    def blocks(self, block_size: int) -> NDArray[np.int64]:
        """How many blocks each row sees, its partially visible last one included."""
        return -(-self.visible // block_size)

    def part(self, index: Index) -> Rows:
        """Some of the rows."""
        both = None
        if self.on_device is not None and isinstance(index, slice):
            both = (self.on_device[0][index], self.on_device[1][index])
        return Rows(self.starts[index], self.ends[index], self.device, both)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """`starts` and `ends` `[M]` int32 on the device, contiguous."""
        if self.on_device is not None:
            return self.on_device
        return (
            to_device(self.starts.astype(np.int32), self.device),
            to_device(self.ends.astype(np.int32), self.device),
        )

    def span(self) -> tuple[int, int]:
        """The first key that any row sees, and one past the last one."""
        seeing = self.visible > 0
        if not seeing.any():
            return 0, 0
        return int(self.starts[seeing].min()), int(self.ends[seeing].max())

    def tensor(self, name: str) -> Tensor:
        """`"starts"`, `"ends"` or `"visible"` as an int64 tensor on the device."""
        return to_device(getattr(self, name), self.device)

    def sequences(self) -> list[Sequence]:
        """The sequences of the batch: the rows that share a `start`."""
        if not len(self):
            return []
        if (self.starts == self.starts[0]).all():
            return [Sequence(int(self.starts[0]), int(self.ends.max()), slice(0, len(self)))]
        order = np.argsort(self.starts, kind="stable")
        cuts = np.flatnonzero(np.diff(self.starts[order])) + 1
        groups = np.split(order, cuts)
        return [Sequence(int(self.starts[g[0]]), int(self.ends[g].max()), as_index(g)) for g in groups]
