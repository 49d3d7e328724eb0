"""Exact top-k over f32 scores on the GPU: which kernel serves which rows."""

import functools

import torch
from torch import Tensor

from hisa_kernels.reference import topk_indices as reference
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang.topk_long import BUFFER, LAST_COLUMN, topk_long
from hisa_kernels.tilelang.topk_short import SHAPES, SPREAD, topk_short
from hisa_kernels.tilelang.topk_tiny import topk_tiny

LARGEST_K = max(BUFFER)
"""Largest k of these kernels."""

MOST_COLUMNS = LAST_COLUMN + 1
"""Widest matrix of these kernels."""

TINY = (1, 2, 4, 8)
"""Groups of four columns a lane of `topk_tiny`."""


@functools.cache
def processors(device: torch.device) -> int:
    """Multiprocessors of a GPU."""
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


@functools.cache
def _nothing(device: torch.device) -> Tensor:
    """Stands for a tensor that is not given."""
    return torch.zeros((1, 1), dtype=torch.int32, device=device)


def _in_groups(scores: Tensor) -> Tensor:
    """The rows of `scores` cut into groups of four columns where they lie so in memory, else of one."""
    m, c = scores.shape
    if m == 1 or scores.stride(1) != 1 or scores.stride(0) < c:
        scores = scores.contiguous()
    stride = scores.stride(0) if m > 1 else c
    held = scores.untyped_storage().nbytes() // 4 - scores.storage_offset()
    if held < m * stride:
        scores, stride = scores.contiguous(), c
    if stride % 4 == 0 and scores.data_ptr() % 16 == 0:
        return scores.as_strided((m, stride // 4, 4), (stride, 4, 1))
    return scores.as_strided((m, stride, 1), (stride, 1, 1))


def _launch(
    scores: Tensor,
    starts: Tensor,
    ends: Tensor,
    wanted: Tensor | None,
    blocks: Tensor | None,
    block_size: int,
    k: int,
    widest: int,
    shift: int,
    out: Tensor | None,
    chained: bool,
) -> Tensor:
    m, columns = scores.shape
    if not 1 <= k <= LARGEST_K:
        raise ValueError(f"k is {k}: pass 1 to {LARGEST_K}")
    if columns > MOST_COLUMNS:
        raise ValueError(f"scores has {columns} columns: pass at most {MOST_COLUMNS}")
    if out is None:
        out = torch.empty((m, k), dtype=torch.int32, device=scores.device)
    if m == 0:
        return out
    if columns == 0:
        return out.fill_(-1)
    nothing = _nothing(scores.device)
    rows = _in_groups(scores)
    arguments = (
        rows,
        starts,
        ends,
        nothing[0] if wanted is None else wanted,
        nothing if blocks is None else blocks,
        out,
        columns,
        0 if wanted is None else 1,
        shift,
    )
    # A kernel's first column is aligned down, to a group of four at most.
    span = columns if block_size or chained else min(columns, widest + 3)
    kind: dict[str, int] = {"vector": rows.shape[2], "block_size": block_size}
    spread = chained and m <= processors(scores.device)
    if chained:
        kind["chained"] = True
    else:
        for groups in TINY:
            if span <= 128 * groups:
                topk_tiny(groups=groups, **kind)(*arguments)
                return out
    most = min(size for size in BUFFER if k <= size)
    for threads, values in SPREAD if spread else SHAPES:
        if span <= values * threads:
            shape = {"threads": threads, "values": values, "most": min(most, values * threads)}
            topk_short(**shape, **kind)(*arguments)
            return out
    topk_long(most=most, **kind)(*arguments)
    return out


def top_columns(
    scores: Tensor,
    starts: Tensor,
    ends: Tensor,
    k: int,
    *,
    wanted: Tensor | None = None,
    widest: int | None = None,
    shift: int = 0,
    out: Tensor | None = None,
    chained: bool = False,
) -> Tensor:
    """The best columns of each row between its bounds; never waits for the device.

    Ties go to the lower column; −inf and NaN are never chosen; what lies outside the bounds is not looked at.

    Args:
        scores: Scores `[M, C]` f32, C up to `MOST_COLUMNS`; rows may lie further apart than C. Fastest where
            they start at 16-byte boundaries.
        starts: First column of each row `[M]` int32.
        ends: One past its last column `[M]` int32, at most C.
        k: Most columns a row, up to `LARGEST_K`.
        wanted: How many columns each row chooses at most `[M]` int32, if fewer than k.
        widest: No row has more columns than this between its bounds; a hint that picks the kernel.
        shift: Added to the columns on the way out.
        out: Where the result goes `[M, k]` int32, contiguous.
        chained: Begin while the kernel launched just before still runs, and wait for it before anything is
            read; see `hisa_kernels.tilelang.chain`.

    Returns:
        Columns `[M, k]` int32, ascending, −1 at the end.
    """
    widest = scores.shape[1] if widest is None else widest
    return _launch(scores, starts, ends, wanted, None, 0, k, widest, shift, out, chained)


def top_tokens(
    scores: Tensor,
    blocks: Tensor,
    starts: Tensor,
    block_size: int,
    k: int,
    *,
    wanted: Tensor | None = None,
    out: Tensor | None = None,
    chained: bool = False,
) -> Tensor:
    """The best tokens of each row's chosen blocks; never waits for the device.

    Args:
        scores: Scores `[M, W·B]` f32 of the tokens of `blocks`, −inf where invisible or in an empty slot.
        blocks: Chosen blocks `[M, W]` int32, contiguous, ascending, relative to each row's start, −1 where
            empty.
        starts: First key of each row's sequence `[M]` int32.
        block_size: Tokens a block, B.
        k: Most tokens a row, up to `LARGEST_K`.
        wanted: How many tokens each row chooses at most `[M]` int32, if fewer than k.
        out: Where the result goes `[M, k]` int32, contiguous.
        chained: Begin while the kernel launched just before still runs, and wait for it before anything is
            read; see `hisa_kernels.tilelang.chain`.

    Returns:
        Absolute positions `[M, k]` int32, ascending, −1 at the end.
    """
    return _launch(scores, starts, starts, wanted, blocks, block_size, k, scores.shape[1], 0, out, chained)


def topk_indices(scores: Tensor, rows: Rows, topk: int) -> Tensor:
    """See `hisa_kernels.topk_indices`."""
    if topk > LARGEST_K or scores.shape[1] > MOST_COLUMNS:
        return reference.topk_indices(scores, rows, topk)
    starts, ends = rows.bounds()
    return top_columns(scores, starts, ends, topk, widest=int(rows.visible.max(initial=1)))
