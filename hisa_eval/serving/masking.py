"""Keeps the logits of chosen blocks and puts −inf everywhere else, in place."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor


def allowed(blocks: Tensor, n_blocks: int) -> Tensor:
    """Which blocks are chosen; never waits for the device.

    Args:
        blocks: Block numbers `[M, W]` int32, −1 where empty.
        n_blocks: Columns of the result; no number is as large.

    Returns:
        `[M, n_blocks]` bool.
    """
    marks = torch.zeros((len(blocks), n_blocks + 1), dtype=torch.bool, device=blocks.device)
    # Empty places mark a column of their own, which is dropped.
    marks.scatter_(1, blocks.masked_fill(blocks < 0, n_blocks).long(), True)
    return marks[:, :n_blocks]


def keep_blocks(logits: Tensor, blocks: Tensor, block_size: int) -> None:
    """Puts −inf outside chosen blocks of rows that begin at their own first key; never waits for the device.

    Nothing of the logits' size is allocated.

    Args:
        logits: `[M, T]`, column c is key c of the row's own sequence; changed in place.
        blocks: Block numbers `[M, W]` int32, −1 where empty.
        block_size: Tokens a block, B.
    """
    width = logits.shape[1]
    whole = width // block_size
    dropped = ~allowed(blocks, -(-width // block_size))
    body = logits[:, : whole * block_size].unflatten(1, (whole, block_size))
    body.masked_fill_(dropped[:, :whole, None], -torch.inf)
    if whole * block_size < width:
        logits[:, whole * block_size :].masked_fill_(dropped[:, whole:], -torch.inf)


def keep_packed_blocks(logits: Tensor, blocks: Tensor, block_size: int, starts: Tensor, ends: Tensor) -> None:
    """The same for rows over all keys of a packed batch, each seeing `starts … ends − 1`.

    Columns that a row does not see are left as they are.

    Args:
        logits: `[M, N]`, column c is key c of the batch; changed in place.
        blocks: Block numbers relative to each row's start `[M, W]` int32, −1 where empty.
        block_size: Tokens a block, B.
        starts: First visible key of each row `[M]`.
        ends: One past its last visible key `[M]`.
    """
    bounds = list(zip(*torch.stack((starts, ends)).tolist(), strict=True))
    first = 0
    for start, sequence in groupby(bounds, key=itemgetter(0)):
        stops = [end for _, end in sequence]
        last, end = first + len(stops), max(stops)
        if end > start:
            keep_blocks(logits[first:last, start:end], blocks[first:last], block_size)
        first = last


ROWS_AT_ONCE = 512
"""Rows that `drop_masked` looks at together: positions are 64-bit, and a chunk may have thousands of rows."""


def drop_masked(logits: Tensor, indices: Tensor, starts: Tensor | None = None) -> None:
    """Takes back what a top-k chose among masked columns; never waits for the device.

    Args:
        logits: `[M, T]` after masking.
        indices: Chosen keys relative to each row's start `[M, k]` int32, −1 where empty; changed in place.
        starts: Column of each row's first key `[M]`; column 0 by default.
    """
    if logits.shape[1] == 0:
        return
    for first in range(0, len(indices), ROWS_AT_ONCE):
        own = slice(first, first + ROWS_AT_ONCE)
        column = indices[own].clamp(min=0).long()
        if starts is not None:
            column += starts[own, None]
        masked = logits[own].gather(1, column.clamp_(max=logits.shape[1] - 1)) == -torch.inf
        indices[own].masked_fill_(masked, -1)
