"""Block scores: queries against the pooled keys of their own sequence."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hisa_kernels.memory import Scratch, inner_bytes, rows_within
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.pool_keys import pool_blocks, pool_keys
from hisa_kernels.reference.score_tile import score_run, tiles
from hisa_kernels.rows import Index, Rows, take, to_device
from hisa_kernels.workers import spread


class PooledBatch:
    """The pooled keys of every sequence of a batch, by the sequence's start.

    Attributes:
        keys: The batch's own keys.
        block_size: Tokens a block.

    Args:
        k: Keys `[N, D]`.
        k_scale: Scale `[N]` f32 of FP8 keys.
        rows: What the queries see.
        block_size: Tokens a block.
        pooling: `"mean"` or `"max"`.
        cache: Pooled keys of earlier calls; the batch is then one sequence that starts at key 0.
    """

    def __init__(
        self,
        k: Tensor,
        k_scale: Tensor | None,
        rows: Rows,
        block_size: int,
        pooling: str,
        cache: PooledKeyCache | None = None,
    ) -> None:
        self.block_size = block_size
        self.pooling = pooling
        self._k = k
        self._k_scale = k_scale
        self.keys = Keys(k, k_scale)
        self._rows = rows
        self._cache = cache
        self._pooled: dict[int, Tensor] = {}

    def prepare(self) -> None:
        """Pools the keys; to be called before `scores`, and before the work is spread over threads."""
        if self._cache is not None:
            self._pooled[0] = self._cache.update(self._k, self._k_scale)
            return
        for sequence in self._rows.sequences():
            part = slice(sequence.start, sequence.stop)
            scale = None if self._k_scale is None else self._k_scale[part]
            self._pooled[sequence.start] = pool_keys(
                self._k[part], self.block_size, pooling=self.pooling, k_scale=scale
            )

    def scores(
        self, q: Tensor, weights: Tensor, rows: Rows, scratch: Scratch, *, partial_blocks: bool
    ) -> Tensor:
        """Block scores of some rows of the batch, −inf beyond a row's last visible block.

        Args:
            q: Queries `[r, H, D]`.
            weights: Gates `[r, H]` f32.
            rows: What they see.
            scratch: Buffers to reuse.
            partial_blocks: Whether a row's last block, where it sees only a part of it, needs a score of
                its own; else that one score is left undefined.

        Returns:
            Scores `[r, most blocks]` f32.
        """
        n_blocks = rows.blocks(self.block_size)
        width = int(n_blocks.max(initial=0))
        out = scratch.take("block_scores", (len(rows), width))
        for sequence in rows.sequences():
            self._score_sequence(q, weights, n_blocks, sequence.rows, sequence.start, out, scratch)
        beyond = torch.arange(width, device=rows.device) >= to_device(n_blocks, rows.device)[:, None]
        out.masked_fill_(beyond, -torch.inf)
        if partial_blocks:
            self._score_partial(q, weights, rows, n_blocks, out)
        return out

    def _score_sequence(
        self,
        q: Tensor,
        weights: Tensor,
        n_blocks: NDArray[np.int64],
        index: Index,
        start: int,
        out: Tensor,
        scratch: Scratch,
    ) -> None:
        own_blocks = n_blocks[index]
        most = int(own_blocks.max())
        pooled = Keys(self._pooled[start])
        own_q, own_weights = take(q, index), take(weights, index)
        own = out[index, :most] if isinstance(index, slice) else out.new_empty((len(index), most))
        for tile in tiles(len(own_blocks), q.shape[1], most, q.device):
            score_run(own_q[tile], own_weights[tile], pooled, 0, most, own[tile], scratch)
        if not isinstance(index, slice):
            out[to_device(index, q.device), :most] = own

    def _score_partial(
        self, q: Tensor, weights: Tensor, rows: Rows, n_blocks: NDArray[np.int64], out: Tensor
    ) -> None:
        """Scores each row's partially visible block by the keys that the row sees of it."""
        block = self.block_size
        seen = rows.visible - (n_blocks - 1) * block
        partial = np.flatnonzero((rows.visible > 0) & (seen < block))
        step = rows_within(inner_bytes(rows.device), 4 * max(block, q.shape[1]) * self.keys.dim, len(partial))
        offset = torch.arange(block, device=rows.device)
        for at in range(0, len(partial), step):
            numbers = partial[at : at + step]
            first = to_device(rows.starts[numbers] + (n_blocks[numbers] - 1) * block, rows.device)
            count = to_device(seen[numbers], rows.device)
            position = first[:, None] + torch.minimum(offset, count[:, None] - 1)
            pooled = pool_blocks(self.keys.gather(position), count, self.pooling)
            index = to_device(numbers, rows.device)
            score = score_own_block(take(q, numbers), weights.index_select(0, index), pooled)
            out[index, to_device(n_blocks[numbers] - 1, rows.device)] = score


def score_own_block(q: Tensor, weights: Tensor, pooled: Tensor) -> Tensor:
    """Scores `[r]` f32 of one pooled key for each query.

    Args:
        q: Queries `[r, H, D]`.
        weights: Gates `[r, H]` f32.
        pooled: A pooled key for each `[r, D]` f32.
    """
    dots = (q.float() * pooled[:, None, :]).sum(-1).relu_()
    score = torch.zeros(len(q), dtype=torch.float32, device=q.device)
    for dot, gate in zip(dots.unbind(1), weights.unbind(1), strict=True):
        score.addcmul_(dot, gate)
    return score


def block_scores(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    rows: Rows,
    *,
    block_size: int,
    pooling: str,
    k_scale: Tensor | None,
    cache: PooledKeyCache | None,
) -> Tensor:
    """See `hisa_kernels.block_scores`."""
    pooled = PooledBatch(k, k_scale, rows, block_size, pooling, cache)
    pooled.prepare()
    width = int(rows.blocks(block_size).max(initial=0))
    out = torch.full((len(rows), width), -torch.inf, dtype=torch.float32, device=k.device)

    def work(tile: slice, scratch: Scratch) -> None:
        scores = pooled.scores(q[tile], weights[tile], rows.part(tile), scratch, partial_blocks=True)
        out[tile, : scores.shape[1]] = scores

    spread(work, tiles(len(rows), q.shape[1], max(width, 1), k.device), k.device)
    return out
