"""How far an f32 result may lie from the exact one, derived from sizes, not guessed.

γ(n) = n·u / (1 − n·u) bounds the relative error of a sum of n products in any order (Higham, Accuracy and
Stability of Numerical Algorithms, chapter 3), with u the unit roundoff of f32.
"""

from __future__ import annotations

import torch
from kernel_oracles import dequantised
from torch import Tensor

UNIT = 2.0**-24

FP8_UNIT = 2.0**-13
"""Hopper's tensor cores add FP8 products and the sum so far at the largest one's exponent, with 14 bits of
each kept (DeepSeek-V3 technical report, arXiv 2412.19437, section 3.5.2; measured here too)."""

FP8_TERMS = 32
"""FP8 products that one instruction adds to the sum so far."""


def gamma(n: int) -> float:
    """Relative error bound of n chained roundings."""
    return n * UNIT / (1 - n * UNIT)


def score_bound(q: Tensor, weights: Tensor, keys: Tensor, roundings: int = 0) -> Tensor:
    """Bound of |f32 score − exact score| of every query and key `[M, N]` f64.

    A score chains D products and additions, one product with the gate and H additions.

    Args:
        q: Queries `[M, H, D]`.
        weights: Gates `[M, H]`.
        keys: Keys `[N, D]` f64.
        roundings: Roundings that the keys themselves have gone through.
    """
    size = torch.einsum(
        "mh,mhn->mn", weights.double().abs(), (q.double().abs() @ keys.abs().T).view(*q.shape[:2], -1)
    )
    return size * gamma(q.shape[2] + q.shape[1] + 2 + roundings)


def fp8_bound(q: Tensor, weights: Tensor, keys: Tensor) -> Tensor:
    """What FP8 tensor cores add to `score_bound`: every addend of every instruction loses its low bits.

    Args:
        q: Queries `[M, H, D]`.
        weights: Gates `[M, H]`.
        keys: Keys `[N, D]` f64.
    """
    products = torch.einsum("mhd,nd->mhnd", q.double(), keys).abs()
    error = torch.zeros(products.shape[:-1], dtype=torch.float64)
    so_far = torch.zeros_like(error)
    for chunk in products.split(FP8_TERMS, dim=-1):
        error += (FP8_TERMS + 1) * FP8_UNIT * torch.maximum(chunk.amax(-1), so_far)
        so_far += chunk.sum(-1)
    return torch.einsum("mh,mhn->mn", weights.double().abs(), error)


def flat_bound(
    q: Tensor, k: Tensor, weights: Tensor, k_scale: Tensor | None, device: torch.device | None = None
) -> Tensor:
    """Bound of the scores of a batch's own keys where they are computed on `device`."""
    keys = dequantised(k, k_scale)
    bound = score_bound(q.float(), weights, keys)
    on_tensor_cores = device is not None and device.type == "cuda" and k.dtype == torch.float8_e4m3fn
    return bound + fp8_bound(q.float(), weights, keys) if on_tensor_cores else bound


def pooled_bound(q: Tensor, weights: Tensor, pooled: Tensor) -> Tensor:
    """What the GPU kernels add to `score_bound` of pooled keys, which they cut into two 16-bit summands.

    Beside bf16 queries the two keep 16 bits of every element; beside FP8 ones, two of 16-bit floats with a
    common scale keep 20 bits of the largest element.

    Args:
        q: Queries `[M, H, D]` as they are given; f32 ones take no kernel.
        weights: Gates `[M, H]`.
        pooled: Absolute values of the pooled keys `[N, D]` f64.
    """
    if q.dtype == torch.bfloat16:
        return score_bound(q.float(), weights, pooled) / gamma(q.shape[2] + q.shape[1] + 2) * 2.0**-16
    if q.dtype == torch.float8_e4m3fn:
        even = pooled.amax(1, keepdim=True).expand_as(pooled)
        return score_bound(q.float(), weights, even) / gamma(q.shape[2] + q.shape[1] + 2) * 2.0**-20
    return torch.zeros(q.shape[0], pooled.shape[0], dtype=torch.float64)


def attention_bound(
    q: Tensor, latents: Tensor, scale: float, value_dim: int, rounding: float = 0.0
) -> Tensor:
    """Bound of |f32 output − exact output| of one query `[H, value_dim]` f64.

    An error e of the logits changes a share by a factor within exp(±2e); the exponential, its argument and
    the normalising sum add a few roundings each.

    Args:
        q: The query `[H, Dk]` f64.
        latents: Its chosen latents `[W, Dk]` f64.
        scale: Softmax scale.
        value_dim: Columns of a value.
        rounding: Unit roundoff of the shares, where they are rounded before they weigh values.
    """
    n, dim = latents.shape
    logits = q @ latents.T * scale
    error = ((q.abs() @ latents.abs().T) * abs(scale)).amax(1) * gamma(dim + 2)
    error = error + 2 * UNIT * (logits.amax(1) - logits.amin(1))
    shares = torch.softmax(logits, -1)
    relative = torch.expm1(2 * error) + gamma(2 * n + 16) + rounding
    return relative[:, None] * (shares @ latents[:, :value_dim].abs()) * (1 + relative[:, None])
