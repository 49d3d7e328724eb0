"""Scores of every visible key, as a matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from hisa_kernels.memory import Scratch
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.score_tile import hide_invisible, score_run, tiles
from hisa_kernels.rows import Rows
from hisa_kernels.workers import spread


def score_visible(
    q: Tensor, weights: Tensor, keys: Keys, rows: Rows, scratch: Scratch, out: Tensor | None = None
) -> tuple[Tensor, int]:
    """Scores of one tile of rows over the run of keys that any of them sees, −inf where a row does not.

    Args:
        q: Queries `[r, H, D]`.
        weights: Gates `[r, H]` f32.
        keys: All keys of the batch.
        rows: What the rows see.
        scratch: Buffers to reuse.
        out: Where the scores go (the run's columns of `[r, N]`), else a scratch buffer.

    Returns:
        The scores `[r, hi - lo]` and `lo`.
    """
    lo, hi = rows.span()
    scores = scratch.take("scores", (len(rows), hi - lo)) if out is None else out[:, lo:hi]
    score_run(q, weights, keys, lo, hi, scores, scratch)
    hide_invisible(scores, rows, lo)
    return scores, lo


def index_scores(q: Tensor, k: Tensor, weights: Tensor, rows: Rows, *, k_scale: Tensor | None) -> Tensor:
    """See `hisa_kernels.index_scores`."""
    keys = Keys(k, k_scale)
    out = torch.full((len(rows), len(keys)), -torch.inf, dtype=torch.float32, device=k.device)

    def work(tile: slice, scratch: Scratch) -> None:
        score_visible(q[tile], weights[tile], keys, rows.part(tile), scratch, out[tile])

    spread(work, tiles(len(rows), q.shape[1], len(keys), k.device), k.device)
    return out
