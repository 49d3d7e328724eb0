"""How much memory an operator may take for one temporary, and the tile sizes that follow from it.

Every operator works in tiles, so that its peak is its inputs, its output and at most `TEMPORARIES` times
`CPU_TEMP_BYTES` (`CUDA_TEMP_BYTES` on a GPU), whatever the context length. On a CPU the tiles are spread over
worker threads, which share that budget.
"""

from __future__ import annotations

import torch
from torch import Tensor

CPU_TEMP_BYTES = 64 << 20
"""Largest temporary on the CPU, in bytes, summed over the workers that hold one each."""

CUDA_TEMP_BYTES = 256 << 20
"""Largest temporary on a CUDA device, in bytes; larger tiles, since kernel launches cost time there."""

SCORE_MATRIX_BYTES = 1 << 30
"""Largest score matrix that is handed out (`index_scores`, `block_scores`, `candidate_scores`), in bytes."""

TEMPORARIES = 6
"""Temporaries of full size that may be alive at once."""

MOST_WORKERS = 8
"""Most worker threads; more would leave each of them too small a tile."""


def worker_count() -> int:
    """How many worker threads a CPU operator uses: torch's own thread count, at most `MOST_WORKERS`."""
    return min(torch.get_num_threads(), MOST_WORKERS)


def temp_bytes(device: torch.device) -> int:
    """The largest temporary of an operator on `device`, in bytes."""
    return CUDA_TEMP_BYTES if device.type == "cuda" else CPU_TEMP_BYTES


def tile_bytes(device: torch.device) -> int:
    """The largest temporary of one tile, in bytes: on a CPU, a worker's share."""
    return CUDA_TEMP_BYTES if device.type == "cuda" else CPU_TEMP_BYTES // worker_count()


def inner_bytes(device: torch.device) -> int:
    """The largest temporary inside the work on one tile, in bytes."""
    return CUDA_TEMP_BYTES if device.type == "cuda" else CPU_TEMP_BYTES // MOST_WORKERS


def rows_within(limit: int, row_bytes: int, most: int) -> int:
    """How many rows of `row_bytes` bytes fit `limit` bytes: at least 1, at most `most`."""
    return max(1, min(most, limit // max(1, row_bytes)))


class Scratch:
    """Buffers that outlive one tile, so that a loop over tiles touches fresh pages only once.

    Args:
        device: Where the buffers live.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """An uninitialised contiguous tensor that stays valid until `name` is taken again.

        Args:
            name: Which buffer; a later call with the same name and dtype may return the same memory.
            shape: Wanted shape.
            dtype: Element type.
        """
        size = 1
        for extent in shape:
            size *= extent
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < size:
            self._buffers.pop((name, dtype), None)
            # An eighth in reserve: the tiles of a causal batch grow by a few columns each.
            buffer = torch.empty(size + size // 8, dtype=dtype, device=self._device)
            self._buffers[name, dtype] = buffer
        return buffer[:size].view(shape)
