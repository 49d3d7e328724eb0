"""Top-k over a score matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hisa_kernels.memory import Scratch
from hisa_kernels.reference.score_tile import hide_invisible, tiles
from hisa_kernels.reference.top import pack, top_columns
from hisa_kernels.rows import Rows
from hisa_kernels.workers import spread


def all_visible(rows: Rows, width: int) -> Tensor:
    """Every key that the rows see, `[r, width]` int32, for rows that see at most `width`."""
    offset = torch.arange(width, dtype=torch.int32, device=rows.device)
    start = rows.tensor("starts").to(torch.int32)[:, None]
    return (offset + start).masked_fill_(offset >= rows.tensor("visible")[:, None], -1)


def choose_tokens(scores: Tensor, rows: Rows, lo: int, topk: int, scratch: Scratch) -> Tensor:
    """The best `topk` keys of each row.

    Args:
        scores: Scores `[r, c]`, −inf where invisible; column j is key `lo + j`; may be overwritten.
        rows: What the rows see.
        lo: Key of the first column.
        topk: Most keys a row.
        scratch: Buffers to reuse.
    """
    flat, counts = top_columns(scores, np.minimum(rows.visible, topk), topk, scratch)
    width = max(scores.shape[1], 1)
    return pack(flat % width + lo, counts, topk)


def topk_indices(scores: Tensor, rows: Rows, topk: int) -> Tensor:
    """See `hisa_kernels.topk_indices`."""
    out = torch.empty((len(rows), topk), dtype=torch.int32, device=scores.device)

    def work(tile: slice, scratch: Scratch) -> None:
        part = rows.part(tile)
        lo, hi = part.span()
        copy = scratch.take("scores", (len(part), hi - lo))
        copy.copy_(scores[tile, lo:hi])
        hide_invisible(copy, part, lo)
        out[tile] = choose_tokens(copy, part, lo, topk, scratch)

    spread(work, tiles(len(rows), 1, max(scores.shape[1], topk), scores.device), scores.device)
    return out
