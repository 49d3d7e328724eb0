"""The engine's compiled kernels in plain PyTorch, by their documented contracts; what they leave undefined
they fill with numbers that would win."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.decode_keys import PagedKeys

RUBBISH = 1e30


def scores(q: Tensor, k: Tensor, scale: Tensor, weights: Tensor) -> Tensor:
    """Index scores `[M, N]` of all keys."""
    dots = torch.einsum("mhd,nd->mhn", q.float(), k.float()).relu_()
    return torch.einsum("mhn,mh->mn", dots, weights) * scale


def packed_logits(
    q: tuple[Tensor, Tensor | None],
    kv: tuple[Tensor, Tensor],
    weights: Tensor,
    cu_seqlen_ks: Tensor,
    cu_seqlen_ke: Tensor,
    clean_logits: bool,
) -> Tensor:
    """vLLM 0.26: a column for every key; columns that a row does not see are undefined."""
    assert not clean_logits
    column = torch.arange(len(kv[0]))
    seen = (column >= cu_seqlen_ks[:, None]) & (column < cu_seqlen_ke[:, None])
    return torch.where(seen, scores(q[0], *kv, weights), RUBBISH)


def compressed_logits(
    q: tuple[Tensor, Tensor | None],
    kv: tuple[Tensor, Tensor],
    weights: Tensor,
    cu_seqlen_ks: Tensor,
    cu_seqlen_ke: Tensor,
    max_seqlen_k: int,
) -> Tensor:
    """vLLM 0.33: rows begin at their own first key, in rows of an aligned stride."""
    room = torch.full((len(q[0]), -(-max_seqlen_k // 64) * 64), RUBBISH)
    every = scores(q[0], *kv, weights)
    bounds = zip(cu_seqlen_ks.tolist(), cu_seqlen_ke.tolist(), strict=True)
    for row, (start, end) in enumerate(bounds):
        room[row, : end - start] = every[row, start:end]
    return room[:, :max_seqlen_k]


def paged_logits(
    q: tuple[Tensor, Tensor | None],
    kv_cache: Tensor,
    weights: Tensor,
    context_lens: Tensor,
    block_tables: Tensor,
    schedule_metadata: Tensor | None,
    max_model_len: int,
) -> Tensor:
    """Decode rows; a sequence of n rows has n lengths, or the length of its last one."""
    batch, n = q[0].shape[:2]
    keys = PagedKeys(kv_cache.squeeze(2), block_tables)
    out = torch.full((batch * n, max_model_len), RUBBISH)
    for row in range(batch * n):
        sequence, place = divmod(row, n)
        own = context_lens.reshape(batch, -1)[sequence]
        length = int(own[place]) if len(own) == n else int(own[0]) - n + 1 + place
        k, scale = keys.sequence(sequence, length)
        assert scale is not None
        out[row, :length] = scores(q[0][sequence, place][None], k, scale, weights[row][None])[0]
    return out


def topk_rows(logits: Tensor, starts: list[int], ends: list[int], indices: Tensor, topk: int) -> None:
    """The best k columns of each row counted from its start; of −inf ones too, if there are no others.

    Equal scores (all heads silent: 0) go to the lower column, which real kernels leave open.
    """
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        best = logits[row, start:end].sort(descending=True, stable=True).indices[:topk]
        indices[row] = -1
        indices[row, : len(best)] = best.to(torch.int32)
