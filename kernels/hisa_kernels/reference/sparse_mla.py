"""Attention over chosen latents, in the absorbed form: keys and values are the same gathered rows."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.memory import Scratch, rows_within, temp_bytes
from hisa_kernels.reference.shared_latents import ROWS, attend_shared, shared_bytes
from hisa_kernels.workers import spread, without_denormals

CPU_GATHER_BYTES = 8 << 20
"""Gathered latents at a time on a CPU: what stays in cache between the gather and the two products."""

CPU_ROWS = 64


def sparse_mla(q: Tensor, kv: Tensor, indices: Tensor, *, scale: float, value_dim: int) -> Tensor:
    """See `hisa_kernels.sparse_mla`."""
    n_rows, heads, dim = q.shape
    out = torch.zeros((n_rows, heads, value_dim), dtype=q.dtype, device=q.device)
    if kv.shape[0] == 0 or indices.shape[1] == 0:
        return out
    on_cpu = q.device.type == "cpu"
    if kv.dtype != torch.float32 and kv.numel() * 4 <= temp_bytes(q.device):
        kv = kv.float()
    budget = CPU_GATHER_BYTES if on_cpu else temp_bytes(q.device)

    def work(rows: slice, scratch: Scratch) -> None:
        chosen = indices[rows]
        full = False
        if on_cpu:
            used = (chosen.amax(0) >= 0).nonzero()
            chosen = chosen[:, : int(used[-1]) + 1 if len(used) else 0]
            full = bool((chosen >= 0).all())
        if chosen.shape[1] == 0:
            return
        step = rows_within(budget, 4 * chosen.shape[1] * max(dim, heads), len(chosen))
        at = 0
        with without_denormals():
            if on_cpu and shared_bytes(q, chosen) <= budget:
                # What the first neighbours do not share, the next ones will hardly share.
                while at + ROWS <= len(chosen):
                    own = slice(rows.start + at, rows.start + at + ROWS)
                    if not attend_shared(q[own], kv, chosen[at : at + ROWS], scale, out[own], scratch):
                        break
                    at += ROWS
            for first in range(at, len(chosen), step):
                part = chosen[first : first + step]
                own = slice(rows.start + first, rows.start + first + len(part))
                _attend(q[own], kv, part, None if full else part < 0, scale, out[own], scratch)

    step = CPU_ROWS if on_cpu else max(n_rows, 1)
    jobs = [slice(at, min(at + step, n_rows)) for at in range(0, n_rows, step)]
    spread(work, jobs, q.device)
    return out


def _attend(
    q: Tensor,
    kv: Tensor,
    indices: Tensor,
    empty: Tensor | None,
    scale: float,
    out: Tensor,
    scratch: Scratch,
) -> None:
    """Attention of a few rows.

    Args:
        q: Queries `[r, H, Dk]`.
        kv: Latents `[N, Dk]`.
        indices: Chosen rows of `kv` `[r, W]` int32.
        empty: Where `indices` is −1, or None where it never is.
        scale: Softmax scale.
        out: Result `[r, H, value_dim]`.
        scratch: Buffers to reuse.
    """
    r, heads, dim = q.shape
    width = indices.shape[1]
    gathered = scratch.take("gathered", (r * width, dim), kv.dtype)
    if empty is not None:
        # An empty place reads a latent of its own row: its weight is 0, but 0 times infinity is not.
        indices = torch.where(empty, indices.amax(1, keepdim=True).clamp_(min=0), indices)
    torch.index_select(kv, 0, indices.reshape(-1), out=gathered)
    latents = gathered.float().view(r, width, dim)
    logits = scratch.take("logits", (r, heads, width))
    torch.bmm(q.float() * scale, latents.transpose(1, 2), out=logits)
    if empty is not None:
        logits.masked_fill_(empty[:, None, :], -torch.inf)
    shares = torch.softmax(logits, -1)
    if empty is not None:
        shares.masked_fill_(empty.all(1)[:, None, None], 0.0)
    out.copy_(torch.bmm(shares, latents[:, :, : out.shape[2]]))
