"""Keys as the scorer wants them: f32, dequantised, a tile at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.memory import temp_bytes


def dequantise(k: Tensor, k_scale: Tensor | None) -> Tensor:
    """Keys in f32, multiplied by their per-token scale; `k` itself where nothing is to be done.

    Args:
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        k_scale: Scale `[N]` f32 of FP8 keys.
    """
    if k_scale is None:
        return k if k.dtype == torch.float32 else k.float()
    return k.float().mul_(k_scale[:, None])


class Keys:
    """The keys of a batch, read in tiles of f32.

    They are converted once where the whole of them fits one temporary, else tile by tile.

    Args:
        k: Keys `[N, D]` f32, bf16 or FP8 e4m3.
        k_scale: Scale `[N]` f32 of FP8 keys.
        few: Only a few of them will be read: those alone are converted.
    """

    def __init__(self, k: Tensor, k_scale: Tensor | None = None, *, few: bool = False) -> None:
        if not few and k.dtype != torch.float32 and k.numel() * 4 <= temp_bytes(k.device):
            k, k_scale = dequantise(k, k_scale), None
        self._k = k
        self._k_scale = k_scale

    def __len__(self) -> int:
        return self._k.shape[0]

    @property
    def dim(self) -> int:
        """Head dimension D."""
        return self._k.shape[1]

    def tile(self, lo: int, hi: int) -> Tensor:
        """Keys `lo` to `hi` in f32."""
        scale = None if self._k_scale is None else self._k_scale[lo:hi]
        return dequantise(self._k[lo:hi], scale)

    def gather(self, positions: Tensor) -> Tensor:
        """The keys at `positions` (int64, any shape) in f32, with D as an added last dimension."""
        flat = positions.reshape(-1)
        scale = None if self._k_scale is None else self._k_scale.index_select(0, flat)
        return dequantise(_gather_rows(self._k, flat), scale).view(*positions.shape, self.dim)


def _gather_rows(k: Tensor, flat: Tensor) -> Tensor:
    if k.dtype == torch.float8_e4m3fn:
        return k.view(torch.uint8).index_select(0, flat).view(k.dtype)
    return k.index_select(0, flat)
