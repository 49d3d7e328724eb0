"""Selection for the newest token of a sequence in a buffer, in plain PyTorch; never waits for the device.

The row's end is a tensor, and shapes depend on the buffer's room and the options alone. Every score is
computed as the operators for many rows compute it, so that the same tokens come out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hisa_kernels.memory import Scratch
from hisa_kernels.options import BlockOptions
from hisa_kernels.reference.block_scores import score_own_block
from hisa_kernels.reference.candidate_scores import gather_scores
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.pool_keys import pool_blocks
from hisa_kernels.reference.score_tile import score_run
from hisa_kernels.reference.select_blocks import F32
from hisa_kernels.reference.top import mark_top, pack_marked

Top = Callable[[Tensor, int], Tensor]
"""Gives the best k columns `[1, k]` int32 of scores `[1, n]`, ascending, −1 at the end; may change these."""


def best(scores: Tensor, k: int) -> Tensor:
    """The `Top` of plain PyTorch; ties go to the lower column, −inf and NaN are never chosen."""
    return pack_marked(mark_top(scores, k, k), k)


def _score_all(q: Tensor, weights: Tensor, keys: Keys) -> Tensor:
    """Scores `[1, n]` f32 of all keys, seen or not."""
    out = torch.empty((1, len(keys)), dtype=torch.float32, device=q.device)
    score_run(q, weights, keys, 0, len(keys), out, Scratch(q.device))
    return out


def flat(q: Tensor, k: Tensor, weights: Tensor, end: Tensor, topk: int, top: Top = best) -> Tensor:
    """The best visible keys.

    Args:
        q: Query `[1, H, D]`.
        k: Keys `[room, D]`; what lies at and behind `end` has no say.
        weights: Gates `[1, H]` f32.
        end: How many keys there are `[1]` int32.
        topk: Token budget k.
        top: Finds the best.

    Returns:
        Positions `[1, topk]` int32, ascending, −1 at the end.
    """
    return _flat(q, Keys(k), weights, end, topk, top)


def _flat(q: Tensor, keys: Keys, weights: Tensor, end: Tensor, topk: int, top: Top) -> Tensor:
    hidden = torch.arange(len(keys), device=end.device)[None] >= end
    # A row that sees no more than k keys takes them whatever they score.
    scores = _score_all(q, weights, keys).masked_fill_(end <= topk, 0.0)
    return top(scores.masked_fill_(hidden, -torch.inf), topk)


def _open_block(keys: Keys, end: Tensor, block_size: int, pooling: str) -> tuple[Tensor, Tensor, Tensor]:
    """The block of the newest key: its number `[1]` int64, its keys so far `[1]`, and their pool `[1, D]`."""
    number = torch.div(end - 1, block_size, rounding_mode="floor").long()
    count = end - number * block_size
    offset = torch.arange(block_size, device=end.device)
    position = number * block_size + torch.minimum(offset, count - 1)
    return number, count, pool_blocks(keys.gather(position[None]), count, pooling)


def pool_open(k: Tensor, end: Tensor, block_size: int, pooling: str, pooled: Tensor) -> None:
    """Pools the block of the newest key again.

    Args:
        k: Keys `[room, D]`.
        end: How many keys there are `[1]` int32, at least 1.
        block_size: Tokens a block, B.
        pooling: `"mean"` or `"max"`.
        pooled: Pooled keys `[⌈room/B⌉, D]` f32, that block's is overwritten.
    """
    number, _, own = _open_block(Keys(k, few=True), end, block_size, pooling)
    pooled.index_copy_(0, number, own)


def _blocks(
    q: Tensor, keys: Keys, weights: Tensor, end: Tensor, options: BlockOptions, pooled: Tensor
) -> Tensor:
    """Chosen blocks `[1, W]` int32, ascending, −1 at the end; as `select_blocks.choose_blocks`."""
    assert options.num_blocks is not None
    size, budget = options.block_size, options.num_blocks
    n_blocks = torch.div(end + (size - 1), size, rounding_mode="floor")
    number = torch.arange(len(pooled), device=end.device)[None]
    seen = number < n_blocks
    scores = _score_all(q, weights, Keys(pooled))
    if not (options.forced_in_budget and options.n_forced >= 2):
        open_block, count, own = _open_block(keys, end, size, options.pooling)
        partly = (number == open_block) & (count < size)
        scores = torch.where(partly, score_own_block(q, weights, own)[:, None], scores)
    if options.block_score_dtype == "bf16":
        scores = scores.bfloat16().float()
    scores.nan_to_num_(nan=F32.min, posinf=F32.max, neginf=-torch.inf).masked_fill_(~seen, -torch.inf)
    places = (torch.zeros_like(n_blocks), n_blocks - 1, n_blocks - 2)
    forced = [(number == places[kind]) & (n_blocks > kind) for kind in range(options.n_forced)]
    if options.forced_in_budget:
        for kind in forced[:budget]:
            scores.masked_fill_(kind, torch.inf)
        return best(scores, budget)
    chosen = mark_top(scores, budget, budget)
    for kind in forced:
        chosen |= kind
    return pack_marked(chosen, budget + options.n_forced)


def hisa(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    end: Tensor,
    topk: int,
    options: BlockOptions,
    pooled: Tensor,
    *,
    pruned: bool | None = None,
    top: Top = best,
) -> Tensor:
    """The best tokens of the best blocks; all visible tokens compete where there are no more than m blocks.

    Args:
        q: Query `[1, H, D]`.
        k: Keys `[room, D]`; what lies at and behind `end` has no say.
        weights: Gates `[1, H]` f32.
        end: How many keys there are `[1]` int32.
        topk: Token budget k.
        options: How blocks are formed and chosen, a fixed number of them.
        pooled: Pooled keys `[⌈room/B⌉, D]` f32.
        pruned: Whether there are more than m blocks, where that is known.
        top: Finds the best tokens; for the few blocks a kernel would not be worth its compilation.

    Returns:
        Positions `[1, topk]` int32, ascending, −1 at the end.
    """
    assert options.num_blocks is not None
    keys, size = Keys(k, few=pruned is True), options.block_size
    if pruned is False:
        return _flat(q, keys, weights, end, topk, top)
    blocks = _blocks(q, keys, weights, end, options, pooled)
    scores = torch.empty((1, blocks.shape[1] * size), dtype=torch.float32, device=q.device)
    gather_scores(q, weights, keys, torch.zeros_like(end), end, blocks, size, scores)
    column = top(scores, topk).long()
    slot = torch.div(column.clamp(min=0), size, rounding_mode="floor")
    token = blocks.long().gather(1, slot) * size + column % size
    chosen = token.masked_fill_(column < 0, -1).to(torch.int32)
    if pruned:
        return chosen
    return torch.where(end <= options.num_blocks * size, _flat(q, keys, weights, end, topk, top), chosen)


def block_sparse(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    end: Tensor,
    options: BlockOptions,
    pooled: Tensor,
) -> Tensor:
    """Every visible token of the best blocks.

    Args: As of `hisa`.

    Returns:
        Positions `[1, W·B]` int32, ascending, −1 at the end.
    """
    blocks = _blocks(q, Keys(k, few=True), weights, end, options, pooled)
    offset = torch.arange(options.block_size, dtype=torch.int32, device=k.device)
    token = blocks[:, :, None] * options.block_size + offset
    return token.masked_fill_((blocks < 0)[:, :, None] | (token >= end), -1).flatten(1)
