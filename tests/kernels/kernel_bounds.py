"""How far an f32 result may lie from the exact one, derived from sizes, not guessed.

γ(n) = n·u / (1 − n·u) bounds the relative error of a sum of n products in any order (Higham, Accuracy and
Stability of Numerical Algorithms, chapter 3), with u the unit roundoff of f32.
"""

from __future__ import annotations

import torch
from kernel_oracles import dequantised
from torch import Tensor

UNIT = 2.0**-24


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


def flat_bound(q: Tensor, k: Tensor, weights: Tensor, k_scale: Tensor | None) -> Tensor:
    """`score_bound` of a batch's own keys."""
    return score_bound(q.float(), weights, dequantised(k, k_scale))


def attention_bound(q: Tensor, latents: Tensor, scale: float, value_dim: int) -> Tensor:
    """Bound of |f32 output − exact output| of one query `[H, value_dim]` f64.

    An error e of the logits changes a share by a factor within exp(±2e); the exponential, its argument and
    the normalising sum add a few roundings each.

    Args:
        q: The query `[H, Dk]` f64.
        latents: Its chosen latents `[W, Dk]` f64.
        scale: Softmax scale.
        value_dim: Columns of a value.
    """
    n, dim = latents.shape
    logits = q @ latents.T * scale
    error = ((q.abs() @ latents.abs().T) * abs(scale)).amax(1) * gamma(dim + 2)
    error = error + 2 * UNIT * (logits.amax(1) - logits.amin(1))
    shares = torch.softmax(logits, -1)
    relative = torch.expm1(2 * error) + gamma(2 * n + 16)
    return relative[:, None] * (shares @ latents[:, :value_dim].abs()) * (1 + relative[:, None])
