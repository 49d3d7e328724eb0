"""Deterministic top-k by threshold: find each row's k-th value, take what lies above, fill up with ties.

A full sort is never needed, and ties go to the lower column whatever the backend's own tie rule.
Columns that hold −inf or NaN are never chosen.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hisa_kernels.memory import Scratch, inner_bytes
from hisa_kernels.reference.top_sampled import LOWEST, count_by_row, marked, sampled_top, worth_sampling
from hisa_kernels.rows import to_device


def top_columns(
    scores: Tensor, wanted: NDArray[np.int64], limit: int | None, scratch: Scratch
) -> tuple[Tensor, Tensor]:
    """The best columns of each row.

    Args:
        scores: Scores `[r, n]` f32, contiguous, −inf where a column may not be chosen; may be overwritten.
        wanted: How many columns each row chooses, at most.
        limit: The k that rows share (a row that wants fewer has no more to choose from), or None where
            rows stop at counts of their own.
        scratch: Buffers to reuse.

    Returns:
        Positions in the flattened scores, ascending, int64; and how many of them each row got `[r]` int64.
    """
    n_rows, width = scores.shape
    if n_rows == 0 or width == 0:
        nothing = torch.zeros(0, dtype=torch.int64, device=scores.device)
        return nothing, torch.zeros(n_rows, dtype=torch.int64, device=scores.device)
    if scores.device.type != "cpu":
        return top_anywhere(scores, wanted, limit)
    copy = scratch.take("top_copy", (n_rows, width)).numpy()
    mask = scratch.take("top_mask", (n_rows, width), torch.bool).numpy()
    flat, counts = _top_numpy(scores.numpy(), wanted, limit, copy, mask)
    return torch.from_numpy(flat), torch.from_numpy(counts)


def pack(values: Tensor, counts: Tensor, width: int) -> Tensor:
    """Lays values, given row after row, out as `[r, width]` int32 with −1 behind each row's own.

    Args:
        values: All rows' values.
        counts: How many belong to each row.
        width: Columns of the result.
    """
    n_rows = len(counts)
    if len(values) == n_rows * width and bool((counts == width).all()):
        return values.to(torch.int32).view(n_rows, width)
    out = torch.full((n_rows * width,), -1, dtype=torch.int32, device=values.device)
    row = torch.repeat_interleave(counts, output_size=len(values))
    before = counts.cumsum(0) - counts
    place = torch.arange(len(values), device=values.device) + (row * width - before[row])
    out[place] = values.to(torch.int32)
    return out.view(n_rows, width)


def pack_marked(chosen: Tensor, width: int) -> Tensor:
    """The marked columns of each row, in torch operations that never wait for the device.

    Args:
        chosen: `[r, n]` bool, at most `width` in a row.
        width: Columns of the result.

    Returns:
        Columns `[r, width]` int32, ascending, −1 at the end.
    """
    n_rows, n = chosen.shape
    # One place more than there are: what is not chosen goes there.
    out = torch.full((n_rows, width + 1), -1, dtype=torch.int32, device=chosen.device)
    place = chosen.cumsum(1).sub_(1).masked_fill_(~chosen, width)
    column = torch.arange(n, dtype=torch.int32, device=chosen.device)
    return out.scatter_(1, place, column.expand(n_rows, n))[:, :width]


def top_anywhere(scores: Tensor, wanted: NDArray[np.int64], limit: int | None) -> tuple[Tensor, Tensor]:
    """`top_columns` in torch operations alone, for any device."""
    chosen = mark_top(scores, to_device(wanted, scores.device)[:, None], limit)
    return chosen.view(-1).nonzero().view(-1), chosen.sum(1)


def mark_top(scores: Tensor, quota: Tensor | int, limit: int | None) -> Tensor:
    """Which columns `top_columns` chooses, in torch operations that never wait for the device.

    Args:
        scores: As of `top_columns`, at least one column wide; NaN and infinities are overwritten.
        quota: How many columns each row chooses, at most: `[r, 1]` int64, or one number for all.
        limit: As of `top_columns`.

    Returns:
        `[r, n]` bool.
    """
    width = scores.shape[1]
    torch.nan_to_num(scores, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf, out=scores)
    if limit is None:
        assert isinstance(quota, Tensor)
        ranked = scores.sort(dim=1, descending=True).values
        threshold = ranked.gather(1, (quota - 1).clamp_(0, width - 1))
    else:
        threshold = scores.topk(min(limit, width), dim=1, sorted=False).values.amin(1, keepdim=True)
    chosen = scores > threshold
    tie = (scores == threshold) & (threshold > -torch.inf)
    room = quota - chosen.sum(1, keepdim=True)
    tie &= tie.cumsum(1, dtype=torch.int32) <= room
    chosen |= tie
    if isinstance(quota, Tensor):
        chosen &= quota > 0
    return chosen


def _thresholds(
    copy: NDArray[np.float32], wanted: NDArray[np.int64], limit: int | None
) -> NDArray[np.float32]:
    """Each row's smallest value that may be chosen, as a column; reorders `copy`."""
    n_rows, width = copy.shape
    if limit is None:
        copy.sort(axis=1)
        return copy[np.arange(n_rows), np.clip(width - wanted, 0, width - 1)][:, None]
    if limit >= width:
        return np.full((n_rows, 1), -np.inf, np.float32)
    copy.partition(width - limit, axis=1)
    return copy[:, width - limit, None]


def _top_numpy(
    values: NDArray[np.float32],
    wanted: NDArray[np.int64],
    limit: int | None,
    copy: NDArray[np.float32],
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n_rows, width = values.shape
    if limit is not None and worth_sampling(width, limit):
        flat, counts = sampled_top(values, limit, mask)
        if np.array_equal(counts, wanted):
            return flat, counts
        mask.fill(False)
        mask.reshape(-1)[flat] = True
        return _settled(values, wanted, limit, mask, counts)
    np.copyto(copy, values)
    np.greater_equal(values, np.maximum(_thresholds(copy, wanted, limit), LOWEST), out=mask)
    if np.count_nonzero(mask) == wanted.sum():
        flat = marked(mask.reshape(-1))
        counts = count_by_row(flat, n_rows, width)
        if np.array_equal(counts, wanted):
            return flat, counts
    else:
        counts = mask.sum(axis=1, dtype=np.int64)
    return _settled(values, wanted, limit, mask, counts)


def _settled(
    values: NDArray[np.float32],
    wanted: NDArray[np.int64],
    limit: int | None,
    mask: NDArray[np.bool_],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What is marked, once rows that hold another count than they want are chosen by the general rule."""
    n_rows, width = values.shape
    wrong = np.flatnonzero(counts != wanted)
    group = max(1, inner_bytes(torch.device("cpu")) // (8 * width))
    for at in range(0, len(wrong), group):
        rows = wrong[at : at + group]
        mask[rows] = _choose_with_ties(values[rows], wanted[rows], limit)
    flat = marked(mask.reshape(-1))
    return flat, count_by_row(flat, n_rows, width)


def _choose_with_ties(
    values: NDArray[np.float32], wanted: NDArray[np.int64], limit: int | None
) -> NDArray[np.bool_]:
    """The general rule, for rows with too many ties or with NaN; overwrites `values`."""
    values[np.isnan(values)] = -np.inf
    threshold = _thresholds(values.copy(), wanted, limit)
    chosen = values > threshold
    tie = (values == threshold) & (threshold > -np.inf)
    room = wanted[:, None] - chosen.sum(axis=1, keepdims=True)
    tie &= np.cumsum(tie, axis=1, dtype=np.int32) <= room
    chosen |= tie
    chosen &= wanted[:, None] > 0
    return chosen
