"""Attention of neighbouring rows that chose much the same latents: gathered once for all of them.

A row of its own gathers k latents and multiplies a few heads with them, which is a slow product of a slim
matrix. Neighbours often choose nearly the same keys; then one product of all their heads with the union of
their keys, where each row hides what it did not choose, takes less than half the time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.memory import Scratch

ROWS = 16
"""Rows that share a gather: with more the union grows faster than the products get better."""

MOST_SHARED = 2.5
"""Largest union, in multiples of a row's own width, that is still faster than row after row."""


def shared_bytes(q: Tensor, indices: Tensor) -> int:
    """Bytes of the largest temporary of `attend_shared`.

    Args:
        q: Queries `[·, H, Dk]`.
        indices: Chosen latents `[·, W]`.
    """
    return int(4 * MOST_SHARED * indices.shape[1] * max(q.shape[2], ROWS * q.shape[1]))


def attend_shared(
    q: Tensor, kv: Tensor, indices: Tensor, scale: float, out: Tensor, scratch: Scratch
) -> bool:
    """Attention of a few rows over the union of their latents.

    Args:
        q: Queries `[r, H, Dk]`.
        kv: Latents `[N, Dk]`.
        indices: Chosen rows of `kv` `[r, W]` int32, −1 where there are none.
        scale: Softmax scale.
        out: Result `[r, H, value_dim]`; undefined where this returns False.
        scratch: Buffers to reuse.

    Returns:
        Whether it was done: not where the union is too large, where a row chose nothing or one latent twice,
        nor where the result is not finite. A latent that only a neighbour chose has weight 0, and 0 times
        infinity is not nothing.
    """
    (r, heads, dim), width = q.shape, indices.shape[1]
    last = indices.amax(1, keepdim=True)
    if int(last.amin()) < 0:
        return False
    # An empty place stands for a latent that the row has anyway: it is counted once.
    wanted = torch.where(indices < 0, last, indices).reshape(-1).long()
    used = scratch.take("used", (kv.shape[0],), torch.bool).fill_(False).index_fill_(0, wanted, True)
    keys = used.nonzero().view(-1)
    n = len(keys)
    if n > MOST_SHARED * width:
        return False
    gathered = scratch.take("gathered", (n, dim), kv.dtype)
    latents = torch.index_select(kv, 0, keys, out=gathered).float()
    logits = scratch.take("logits", (r * heads, n))
    torch.mm((q.float() * scale).view(r * heads, dim), latents.t(), out=logits)
    place = scratch.take("place", (kv.shape[0],), torch.int64)
    place[keys] = torch.arange(n)
    # The lesser of a logit and −inf hides it, of a logit and +inf keeps it: far faster than a masked fill.
    most = scratch.take("most", (r, n)).fill_(-torch.inf)
    most.scatter_(1, place.index_select(0, wanted).view(r, width), torch.inf)
    if int((most > 0).sum()) != int((indices >= 0).sum()):
        return False
    by_row = logits.view(r, heads, n)
    torch.minimum(by_row, most[:, None], out=by_row)
    shares = torch.softmax(logits, -1)
    found = torch.mm(shares, latents[:, : out.shape[2]])
    if not bool(torch.isfinite(found.sum())):
        return False
    out.copy_(found.view_as(out))
    return True
