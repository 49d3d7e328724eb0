"""Sparse MLA on the GPU: which kernel serves which dimensions."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from hisa_kernels.reference import sparse_mla as reference
from hisa_kernels.tilelang.sparse_mla_group import sparse_mla_group
from hisa_kernels.tilelang.sparse_mla_warp import sparse_mla_warp

LARGEST_INDEX = 2**31 - 1

WARP_DIM, WARP_VALUE = 256, 128
"""Widest latent and value that a warp keeps in its registers."""

GROUP_DIM, GROUP_VALUE = 576, 512
"""Widest latent and value of the kernel for wide ones."""


def _up(extent: int, grain: int) -> int:
    return -(-extent // grain) * grain


def attend(
    q: Tensor, kv: Tensor, indices: Tensor, *, scale: float, value_dim: int, out: Tensor | None = None
) -> Tensor:
    """Attention of each query over its chosen latents; never waits for the device.

    Args:
        q: Queries `[M, H, Dk]` bf16.
        kv: Latents `[N, Dk]` bf16; N·Dk below 2³¹. Copied where Dk is not a multiple of 16 (64 where wide).
        indices: Chosen rows of `kv` `[M, W]` int32, negative where empty.
        scale: Factor of the products before the softmax.
        value_dim: Columns of a value.
        out: Where the result goes `[M, H, value_dim]` bf16, contiguous.

    Returns:
        `[M, H, value_dim]` bf16.

    Raises:
        ValueError: the latents are wider than the kernels take.
    """
    m, heads, dim = q.shape
    if out is None:
        out = torch.empty((m, heads, value_dim), dtype=q.dtype, device=q.device)
    if out.numel() == 0:
        return out
    if kv.shape[0] == 0 or indices.shape[1] == 0:
        return out.zero_()
    narrow = dim <= WARP_DIM and value_dim <= WARP_VALUE
    grain = (16, 16) if narrow else (64, 128)
    wide = max(_up(dim, grain[0]), _up(value_dim, grain[1])), _up(value_dim, grain[1])
    if not narrow and (wide[0] > GROUP_DIM or wide[1] > GROUP_VALUE):
        raise ValueError(
            f"latents have {dim} columns and values {value_dim}: "
            f"the kernels take up to {GROUP_DIM} and {GROUP_VALUE}"
        )
    if wide[0] > dim:
        q, kv = pad(q, (0, wide[0] - dim)), pad(kv, (0, wide[0] - dim))
    q, kv, indices = q.contiguous(), kv.contiguous(), indices.contiguous()
    target = out
    if wide[1] > value_dim:
        target = torch.empty((m, heads, wide[1]), dtype=q.dtype, device=q.device)
    factor = scale * math.log2(math.e)
    if narrow:
        run = sparse_mla_warp(dim=wide[0], value=wide[1], tile=32, stages=2)
    else:
        run = sparse_mla_group(dim=wide[0], value=wide[1], stages=2)
    run(q, kv, indices, target, factor)
    if target is not out:
        out.copy_(target[:, :, :value_dim])
    return out


def sparse_mla(q: Tensor, kv: Tensor, indices: Tensor, *, scale: float, value_dim: int) -> Tensor:
    """See `hisa_kernels.sparse_mla`."""
    fits = q.shape[2] <= GROUP_DIM and value_dim <= GROUP_VALUE and kv.numel() <= LARGEST_INDEX
    if q.dtype != torch.bfloat16 or kv.dtype != torch.bfloat16 or not fits:
        return reference.sparse_mla(q, kv, indices, scale=scale, value_dim=value_dim)
    return attend(q, kv, indices, scale=scale, value_dim=value_dim)
