"""The released FP8 layout where a matrix is no multiple of the scale blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def fill_blocks(weight: Tensor, scales: Tensor, block: Sequence[int]) -> Tensor:
    """`weight` with zeros at its lower and right edge, so that every block is whole.

    Args:
        weight: Values of e4m3 `[N, K]`; transformers 5.17 has them in a wider dtype by now.
        scales: One for each block, `[ceil(N / block[0]), ceil(K / block[1])]`.
        block: Rows and columns of a block.

    Returns:
        `[scales.shape[0] * block[0], scales.shape[1] * block[1]]`, or `weight` itself where the scales are
        not those of such blocks or nothing is missing.
    """
    sizes = tuple(weight.shape[-2:])
    wanted = tuple(-(-size // one) for size, one in zip(sizes, block, strict=True))
    whole = tuple(n * one for n, one in zip(wanted, block, strict=True))
    if not weight.dtype.is_floating_point or tuple(scales.shape[-2:]) != wanted or whole == sizes:
        return weight
    filled = torch.zeros(*weight.shape[:-2], *whole, dtype=weight.dtype, device=weight.device)
    filled[..., : sizes[0], : sizes[1]] = weight
    return filled


@contextmanager
def partial_blocks(block: Sequence[int] | None) -> Iterator[None]:
    """Have transformers dequantise matrices whose last blocks are cut off.

    It divides a matrix's size by the number of its scales, which is not the size of a block where the last
    one is cut off: `kv_a_proj_with_mqa` of DeepSeek-V3.2 and GLM-5 has 576 rows and 5 rows of scales, which
    it refuses; 192 rows with 2 it reads as blocks of 96, wrongly and silently.

    Args:
        block: `weight_block_size` of the checkpoint, None where it has none.

    Source: transformers `integrations/finegrained_fp8.py`, `Fp8Dequantize` (5.17 and 5.23).
    """
    if block is None:
        yield
        return
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    stock = Fp8Dequantize._dequantize_one

    def dequantize(self: Any, quantized: Tensor, scales: Tensor, *more: Any, **named: Any) -> Tensor:
        whole = fill_blocks(quantized, scales, block)
        found = stock(self, whole, scales, *more, **named)
        if whole is quantized:
            return found
        return found[..., : quantized.shape[-2], : quantized.shape[-1]].contiguous()

    Fp8Dequantize._dequantize_one = dequantize
    try:
        yield
    finally:
        Fp8Dequantize._dequantize_one = stock
