"""Public operator: attention over the chosen tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.checks import check_attention, check_highest
from hisa_kernels.dispatch import implementation


@torch.no_grad()
def sparse_mla(
    q: Tensor,
    kv: Tensor,
    indices: Tensor,
    *,
    scale: float,
    value_dim: int,
    check_indices: bool = True,
    backend: str = "auto",
) -> Tensor:
    """Absorbed multi-head latent attention of each query over its chosen latents, in f32.

    Args:
        q: Absorbed queries `[M, H, Dk]` f32, bf16 or f16.
        kv: Latents `[N, Dk]`, shared by all heads; the first `value_dim` columns are also the values.
        indices: Chosen rows of `kv` `[M, W]` int32; negative ones are skipped.
        scale: Factor of the products before the softmax.
        value_dim: Columns of a value.
        check_indices: Whether to look at `indices`, which waits for the device; without the look an index
            beyond `kv` reads what is not its own.
        backend: `"auto"`, `"reference"` or `"tilelang"`.

    Returns:
        Attention output `[M, H, value_dim]` in the dtype of `q`; zeros for a query without an index.

    Raises:
        ValueError: arguments disagree, or an index lies beyond `kv`.
        RuntimeError: the backend cannot run here.

    Source: HISA, arXiv 2603.28458, equation 3; absorption as in DeepSeek-V2, arXiv 2405.04434.
    """
    check_attention(q, kv, indices, scale, value_dim)
    if check_indices:
        check_highest(indices, kv.shape[0])
    run = implementation("sparse_mla", backend, q, kv)
    return run(q, kv, indices, scale=scale, value_dim=value_dim)
