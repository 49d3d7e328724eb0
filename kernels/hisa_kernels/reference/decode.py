"""A decode step in plain PyTorch: one query a sequence, sequence after sequence; waits for the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hisa_kernels.decode_keys import DecodeKeys
from hisa_kernels.memory import Scratch
from hisa_kernels.reference.candidate_scores import score_candidates
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.pool_keys import pool_keys
from hisa_kernels.reference.score_tile import score_run
from hisa_kernels.reference.select_blocks import F32
from hisa_kernels.reference.top import pack, top_columns
from hisa_kernels.rows import Rows


def score_all(q: Tensor, keys: DecodeKeys, weights: Tensor, lengths: Tensor, out: Tensor) -> None:
    """Writes the score of every token of each sequence.

    Args:
        q: Queries `[batch, H, D]`.
        keys: Their sequences' keys.
        weights: Gates `[batch, H]` f32.
        lengths: Tokens of each sequence `[batch]` int32.
        out: Scores `[batch, T]` f32; columns at and behind a sequence's length are left alone.
    """
    scratch = Scratch(q.device)
    for row, length in enumerate(lengths.tolist()):
        k = Keys(*keys.sequence(row, length))
        own = slice(row, row + 1)
        score_run(q[own], weights[own], k, 0, length, out[own, :length], scratch)


def pool_new(
    keys: DecodeKeys, lengths: Tensor, new_tokens: int, block_size: int, pooling: str, pooled: Tensor
) -> None:
    """Pools the blocks that each sequence's newest tokens lie in.

    Args:
        keys: Keys.
        lengths: Tokens of each sequence `[batch]` int32.
        new_tokens: How many of them are new.
        block_size: Tokens a block, B.
        pooling: `"mean"` or `"max"`.
        pooled: Pooled keys `[batch, most blocks, D]` f32.
    """
    for row, length in enumerate(lengths.tolist()):
        first = max(length - new_tokens, 0) // block_size
        k, scale = keys.sequence(row, length)
        k = k[first * block_size :]
        scale = None if scale is None else scale[first * block_size :]
        made = pool_keys(k, block_size, pooling=pooling, k_scale=scale)
        pooled[row, first : first + len(made)] = made


def score_blocks(
    q: Tensor,
    pooled: Tensor,
    weights: Tensor,
    lengths: Tensor,
    block_size: int,
    n_forced: int,
    out: Tensor,
    counts: Tensor,
) -> None:
    """Writes the score of every block of each sequence, +inf for forced ones, and how many it has.

    Args:
        q: Queries `[batch, H, D]`.
        pooled: Pooled keys `[batch, most blocks, D]` f32.
        weights: Gates `[batch, H]` f32.
        lengths: Tokens of each sequence `[batch]` int32.
        block_size: Tokens a block, B.
        n_forced: How many of the first, the last and the second last block are forced.
        out: Scores `[batch, most blocks]` f32; columns behind a sequence's last block are left alone.
        counts: Blocks of each sequence `[batch]` int32.
    """
    scratch = Scratch(q.device)
    for row, length in enumerate(lengths.tolist()):
        n = -(-length // block_size)
        counts[row] = n
        own = slice(row, row + 1)
        score_run(q[own], weights[own], Keys(pooled[row, :n]), 0, n, out[own, :n], scratch)
        torch.nan_to_num(out[row, :n], nan=F32.min, posinf=F32.max, neginf=F32.min, out=out[row, :n])
        for block in (0, n - 1, n - 2)[:n_forced]:
            if 0 <= block < n:
                out[row, block] = torch.inf


def score_chosen(
    q: Tensor,
    keys: DecodeKeys,
    weights: Tensor,
    lengths: Tensor,
    blocks: Tensor,
    block_size: int,
    out: Tensor,
) -> None:
    """Writes the scores of the tokens of each sequence's chosen blocks.

    Args:
        q: Queries `[batch, H, D]`.
        keys: Keys.
        weights: Gates `[batch, H]` f32.
        lengths: Tokens of each sequence `[batch]` int32.
        blocks: Chosen blocks `[batch, W]` int32, −1 where empty.
        block_size: Tokens a block, B.
        out: Scores `[batch, W·B]` f32, −inf where there is no token.
    """
    out.fill_(-torch.inf)
    for row, length in enumerate(lengths.tolist()):
        if length:
            k = Keys(*keys.sequence(row, length))
            own = slice(row, row + 1)
            rows = Rows(np.zeros(1, np.int64), np.full(1, length, np.int64), q.device)
            score_candidates(q[own], weights[own], k, rows, blocks[own], block_size, out[own])


def best_columns(scores: Tensor, counts: Tensor, k: int, out: Tensor) -> None:
    """Writes the best columns of each row.

    Args:
        scores: Scores `[batch, C]` f32.
        counts: How many columns of each row count `[batch]` int32.
        k: Most columns a row.
        out: Columns `[batch, k]` int32, ascending, −1 at the end.
    """
    column = torch.arange(scores.shape[1], device=scores.device)
    seen = scores.masked_fill(column >= counts[:, None], -torch.inf)
    wanted = counts.clamp(max=k).cpu().numpy().astype(np.int64)
    flat, found = top_columns(seen, wanted, k, Scratch(scores.device))
    out.copy_(pack(flat % max(scores.shape[1], 1), found, k))


def best_tokens(scores: Tensor, blocks: Tensor, block_size: int, k: int, out: Tensor) -> None:
    """Writes the best tokens of each sequence's chosen blocks.

    Args:
        scores: Scores `[batch, W·B]` f32, −inf where there is no token.
        blocks: Chosen blocks `[batch, W]` int32, ascending.
        block_size: Tokens a block, B.
        k: Most tokens a row.
        out: Tokens `[batch, k]` int32, ascending, −1 at the end.
    """
    held = (scores > -torch.inf).sum(1).to(torch.int32)
    wanted = held.clamp(max=k).cpu().numpy().astype(np.int64)
    flat, found = top_columns(scores.clone(), wanted, k, Scratch(scores.device))
    column = pack(flat % max(scores.shape[1], 1), found, k).long()
    number = blocks.long().gather(1, column.clamp(min=0) // block_size)
    token = number * block_size + column % block_size
    out.copy_(torch.where(column >= 0, token, -1))
