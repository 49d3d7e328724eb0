"""Flat DSA selection: score every visible key, keep the best k; never more than a tile of scores at once."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.memory import Scratch
from hisa_kernels.reference.index_scores import score_visible
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.score_tile import tiles
from hisa_kernels.reference.topk_indices import all_visible, choose_tokens
from hisa_kernels.rows import Rows
from hisa_kernels.workers import spread


def select_tile(q: Tensor, weights: Tensor, keys: Keys, rows: Rows, topk: int, scratch: Scratch) -> Tensor:
    """Flat selection of one tile of rows.

    Args:
        q: Queries `[r, H, D]`.
        weights: Gates `[r, H]` f32.
        keys: All keys of the batch.
        rows: What the rows see.
        topk: Token budget k.
        scratch: Buffers to reuse.

    Returns:
        Absolute positions `[r, topk]` int32.
    """
    if rows.visible.max() <= topk:
        return all_visible(rows, topk)
    scores, lo = score_visible(q, weights, keys, rows, scratch)
    return choose_tokens(scores, rows, lo, topk, scratch)


def select_flat(
    q: Tensor, k: Tensor, weights: Tensor, rows: Rows, topk: int, *, k_scale: Tensor | None
) -> Tensor:
    """See `hisa_kernels.select_flat`."""
    keys = Keys(k, k_scale)
    out = torch.empty((len(rows), topk), dtype=torch.int32, device=k.device)

    def work(tile: slice, scratch: Scratch) -> None:
        out[tile] = select_tile(q[tile], weights[tile], keys, rows.part(tile), topk, scratch)

    spread(work, tiles(len(rows), q.shape[1], len(keys), k.device), k.device)
    return out
