"""HISA selection on a GPU: blocks by their pooled keys, then tokens inside the chosen blocks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hisa_kernels.options import BlockOptions
from hisa_kernels.pooled_cache import PooledKeyCache
from hisa_kernels.reference import select_hisa as reference
from hisa_kernels.rows import Index, Rows, as_index, take
from hisa_kernels.tilelang.candidate_scores import (
    BLOCKS,
    by_rows,
    n_bands,
    n_buckets,
    prefers_blocks,
    score_pairs,
    sort_pairs,
    widened,
)
from hisa_kernels.tilelang.pool_keys import pool_range
from hisa_kernels.tilelang.select_blocks import (
    best_blocks,
    chunks,
    pooled_keys,
    put,
    rounded_down,
    row_blocks,
    score_buffer,
    scored_blocks,
    supported,
)
from hisa_kernels.tilelang.select_flat import select_flat
from hisa_kernels.tilelang.topk_indices import LARGEST_K, top_tokens

Stage = tuple[str, Callable[[], None]]


class HisaCall:
    """One HISA selection over one sequence, stage by stage; never waits for the device.

    Every stage reads what the stages before left in this object's buffers, so that each can be timed alone
    once all have run.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First key of the sequence, once for each query `[M]` int32 (all equal).
        ends: One past each query's last visible key `[M]` int32.
        topk: Token budget k.
        options: How blocks are formed and chosen.
        width: Most blocks of any query, forced ones on top included.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        pooled: Pooled keys of the sequence `[n, D]` f32; if None, the first stage pools all of `k`, whose
            key 0 must then be the sequence's first.
        out: Where the result goes `[M, topk]` int32, contiguous.
    """

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        topk: int,
        options: BlockOptions,
        width: int,
        *,
        k_scale: Tensor | None = None,
        pooled: Tensor | None = None,
        out: Tensor | None = None,
    ) -> None:
        self.q, self.k, self.weights = widened(q, k, weights)
        self.starts, self.ends = starts, ends
        self.topk, self.options, self.width = topk, options, width
        self.k_scale = k_scale
        self.given = pooled is not None
        m, block = len(q), options.block_size
        device = q.device
        n_blocks = -(-k.shape[0] // block) if pooled is None else len(pooled)
        if pooled is None:
            pooled = torch.empty((n_blocks, self.k.shape[1]), dtype=torch.float32, device=device)
        elif pooled.shape[1] < self.k.shape[1]:
            pooled = torch.nn.functional.pad(pooled, (0, self.k.shape[1] - pooled.shape[1]))
        self.pooled = pooled
        self.by_blocks = block in BLOCKS and prefers_blocks(m)
        buckets = n_bands(m) * n_buckets(m, k.shape[0], block, True) if self.by_blocks else 1
        self.counts = torch.empty(buckets, dtype=torch.int32, device=device)
        self.buffer = score_buffer(m, n_blocks, device)
        self.blocks = torch.empty((m, width), dtype=torch.int32, device=device)
        self.scores = torch.empty((m, width * block), dtype=torch.float32, device=device)
        self.out = torch.empty((m, topk), dtype=torch.int32, device=device) if out is None else out

    def pool(self) -> None:
        """Pools the keys."""
        block, pooling = self.options.block_size, self.options.pooling
        pool_range(self.k, block, self.pooled, pooling=pooling, k_scale=self.k_scale)

    def score_blocks(self) -> None:
        """Scores the blocks, forced ones and hidden ones included."""
        self.block_scores = scored_blocks(
            self.q,
            self.k,
            self.weights,
            self.starts,
            self.ends,
            self.pooled,
            self.options,
            k_scale=self.k_scale,
            out=self.buffer,
        )

    def choose_blocks(self) -> None:
        """Chooses the blocks of each row."""
        seen, zeros = row_blocks(self.starts, self.ends, self.options.block_size, self.counts)
        best_blocks(self.block_scores, seen, zeros, self.options, self.width, self.blocks)

    def sort_pairs(self) -> None:
        """Sorts the (row, block) pairs by block; once after each `choose_blocks`, which clears the counts."""
        self.listed = sort_pairs(
            self.starts,
            self.ends,
            self.blocks,
            self.options.block_size,
            self.k.shape[0],
            self.q.shape[1],
            self.scores,
            True,
            counts=self.counts.view(n_bands(len(self.q)), -1),
        )

    def score_candidates(self) -> None:
        """Scores the tokens of the chosen blocks."""
        block = self.options.block_size
        keys = (self.q, self.k, self.weights)
        if self.by_blocks:
            score_pairs(*keys, self.k_scale, self.listed, block, self.scores)
        else:
            by_rows(*keys, self.starts, self.ends, self.blocks, block, self.k_scale, self.scores)

    def choose_tokens(self) -> None:
        """Chooses the tokens of each row."""
        block = self.options.block_size
        top_tokens(self.scores, self.blocks, self.starts, block, self.topk, out=self.out)

    def _clear_and_sort(self) -> None:
        self.counts.zero_()
        self.sort_pairs()

    def stages(self) -> list[Stage]:
        """Name and action of each stage, in order; each may be repeated once all have run."""
        steps: list[Stage] = [] if self.given else [("pool keys", self.pool)]
        steps += [("score blocks", self.score_blocks), ("choose blocks", self.choose_blocks)]
        if self.by_blocks:
            steps.append(("sort pairs", self._clear_and_sort))
        return [*steps, ("score candidates", self.score_candidates), ("choose tokens", self.choose_tokens)]

    def run(self) -> Tensor:
        """All stages; absolute positions `[M, topk]` int32, ascending, −1 at the end."""
        if not self.given:
            self.pool()
        self.score_blocks()
        self.choose_blocks()
        if self.by_blocks:
            self.sort_pairs()
        self.score_candidates()
        self.choose_tokens()
        return self.out


def fixed_width(options: BlockOptions, n_keys: int) -> int:
    """Columns of the block choice for queries that see at most `n_keys` keys."""
    return options.width(np.array([-(-n_keys // options.block_size)], np.int64))


def select_hisa_on_device(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    topk: int,
    options: BlockOptions,
    *,
    k_scale: Tensor | None = None,
    pooled: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """HISA selection over one sequence; never waits for the device, and may be captured in a CUDA graph.

    Rows that see no more blocks than they may choose get the same tokens as flat selection up to the rounding
    of scores; `select_hisa` sends those rows to flat selection itself.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys of the sequence `[N, D]` bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: Zeros `[M]` int32.
        ends: One past each query's last visible key `[M]` int32.
        topk: Token budget k, up to `LARGEST_K`.
        options: How blocks are formed and chosen; with `ratio`, `min_blocks` at least the number of forced
            blocks.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        pooled: Pooled keys `[⌈N/B⌉, D]` f32 if there are any already.
        out: Where the result goes `[M, topk]` int32, contiguous.

    Returns:
        Positions `[M, topk]` int32, ascending, −1 at the end.

    Source: HISA, arXiv 2603.28458, equations 4 to 9.
    """
    options = options.feasible_for(topk)
    width = fixed_width(options, k.shape[0])
    given = (q, k, weights, starts, ends, topk, options, width)
    return HisaCall(*given, k_scale=k_scale, pooled=pooled, out=out).run()


def hisa_stages(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    topk: int,
    options: BlockOptions,
    *,
    k_scale: Tensor | None = None,
    pooled: Tensor | None = None,
    out: Tensor | None = None,
) -> list[Stage]:
    """The stages of `select_hisa_on_device` with the same arguments, to be timed one by one.

    All of them have run once.
    """
    options = options.feasible_for(topk)
    width = fixed_width(options, k.shape[0])
    given = (q, k, weights, starts, ends, topk, options, width)
    call = HisaCall(*given, k_scale=k_scale, pooled=pooled, out=out)
    call.run()
    return call.stages()


def select_hisa(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    rows: Rows,
    topk: int,
    options: BlockOptions,
    *,
    k_scale: Tensor | None,
    cache: PooledKeyCache | None,
) -> Tensor:
    """See `hisa_kernels.select_hisa`."""
    block = options.block_size
    n_blocks = rows.blocks(block)
    takes_all = n_blocks <= options.budget(n_blocks)
    pruned = np.flatnonzero(~takes_all)
    fits = topk <= LARGEST_K and supported(options, n_blocks[pruned], q)
    if not fits:
        return reference.select_hisa(q, k, weights, rows, topk, options, k_scale=k_scale, cache=cache)
    if not len(pruned):
        return select_flat(q, k, weights, rows, topk, k_scale=k_scale)
    out = torch.empty((len(rows), topk), dtype=torch.int32, device=k.device)
    if len(pruned) < len(rows):
        index = as_index(np.flatnonzero(takes_all))
        part = rows.part(index)
        put(out, index, select_flat(take(q, index), k, take(weights, index), part, topk, k_scale=k_scale))
    everywhere = rows.part(as_index(pruned))
    for sequence in everywhere.sequences():
        index = _of_all(pruned, sequence.rows)
        pooled = pooled_keys(k, k_scale, sequence, options, cache)
        seen = n_blocks[pruned][sequence.rows]
        width = options.width(seen)
        row_bytes = 4 * (width * block + len(pooled))
        for some in chunks(index, len(seen), row_bytes):
            part = rows.part(some)
            starts, ends = part.bounds()
            own = out[some] if isinstance(some, slice) else None
            call = HisaCall(
                take(q, some),
                k,
                take(weights, some),
                starts,
                ends,
                topk,
                rounded_down(options, part.blocks(block)),
                width,
                k_scale=k_scale,
                pooled=pooled,
                out=own,
            )
            chosen = call.run()
            if own is None:
                put(out, some, chosen)
    return out


def _of_all(numbers: np.ndarray, index: Index) -> Index:
    """Which rows of the whole batch `index` means, among the rows `numbers`."""
    return as_index(numbers[index])
