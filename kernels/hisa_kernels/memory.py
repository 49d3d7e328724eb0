"""How much memory an operator may take for one temporary, and the tile sizes that follow from it.

Every operator works in tiles, so that its peak is its inputs, its output and a handful of temporaries (at
most `TEMPORARIES` alive at once) of `temp_bytes(device)` each, whatever the context length.
"""

from __future__ import annotations

import torch
from torch import Tensor

CPU_TEMP_BYTES = 64 << 20
"""Largest temporary on the CPU, in bytes."""

CUDA_TEMP_BYTES = 256 << 20
"""Largest temporary on a CUDA device, in bytes; larger tiles, since kernel launches cost time there."""

SCORE_MATRIX_BYTES = 1 << 30
"""Largest score matrix that `index_scores` or `block_scores` hands out, in bytes."""

TEMPORARIES = 4
"""Temporaries of full size that may be alive at once."""


def temp_bytes(device: torch.device) -> int:
    """The largest temporary allowed on `device`, in bytes."""
    return CUDA_TEMP_BYTES if device.type == "cuda" else CPU_TEMP_BYTES


def rows_within(row_bytes: int, device: torch.device, most: int) -> int:
    """How many rows of `row_bytes` bytes fit one temporary: at least 1, at most `most`."""
    return max(1, min(most, temp_bytes(device) // max(1, row_bytes)))


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
            buffer = torch.empty(size, dtype=dtype, device=self._device)
            self._buffers[name, dtype] = buffer
        return buffer[:size].view(shape)
