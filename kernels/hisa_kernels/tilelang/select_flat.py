"""Flat DSA selection on the GPU: scores of some rows at a time, then their top-k."""

from collections.abc import Iterator

import torch
from torch import Tensor

from hisa_kernels.memory import rows_within, temp_bytes
from hisa_kernels.reference import select_flat as reference
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang.index_scores import flat_scores
from hisa_kernels.tilelang.topk_indices import LARGEST_K, MOST_COLUMNS, top_columns

TEMPORARIES = 2
"""The score buffer, in temporaries of full size (see `hisa_kernels.memory`): larger ones save launches."""

MOST_ROWS = 1 << 16
"""Most rows of one launch."""

ALIGNMENT = 16
"""Keys: a slice of keys or scales from a multiple of this on can be copied as fast as the whole."""


def select_all(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    topk: int,
    *,
    k_scale: Tensor | None = None,
    scores: Tensor | None = None,
    shift: int = 0,
    widest: int | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Flat selection of all rows; never waits for the device.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3 (its scale folded into `weights`).
        k: Keys `[N, D]` of the same dtype.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each row `[M]` int32.
        ends: One past its last visible key `[M]` int32.
        topk: Token budget, up to `LARGEST_K`.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        scores: Buffer `[R, C]` f32 with C ≥ N, contiguous; R rows are served at a time. By default one of
            `TEMPORARIES` is made.
        shift: Added to the positions on the way out.
        widest: No row sees more keys than this; a hint.
        out: Where the result goes `[M, topk]` int32, contiguous.

    Returns:
        Positions `[M, topk]` int32, ascending, −1 at the end.
    """
    m, n = q.shape[0], k.shape[0]
    if out is None:
        out = torch.empty((m, topk), dtype=torch.int32, device=k.device)
    if scores is None:
        width = padded(n)
        scores = torch.empty((min(m, rows_of(width, k.device)), width), dtype=torch.float32, device=k.device)
    for at in range(0, m, max(1, scores.shape[0])):
        part = slice(at, min(at + scores.shape[0], m))
        own = scores[: part.stop - part.start]
        flat_scores(q[part], k, weights[part], starts[part], ends[part], k_scale=k_scale, out=own, fill=False)
        top_columns(own, starts[part], ends[part], topk, widest=widest, shift=shift, out=out[part])
    return out


def padded(n_keys: int) -> int:
    """Columns of a score buffer for `n_keys` keys, so that every row starts at a 16-byte boundary."""
    return max(4, -(-n_keys // 4) * 4)


def rows_of(width: int, device: torch.device) -> int:
    """Rows of `width` scores that the score buffer holds."""
    return rows_within(TEMPORARIES * temp_bytes(device), 4 * width, MOST_ROWS)


def parts(rows: Rows) -> Iterator[tuple[slice, int, int]]:
    """Rows to serve together, and a range of keys that holds all that they see.

    The range begins at a multiple of `ALIGNMENT`.
    """
    at = 0
    while at < len(rows):
        step = min(len(rows) - at, MOST_ROWS)
        while True:
            part = slice(at, at + step)
            lo, hi = rows.part(part).span()
            lo = lo // ALIGNMENT * ALIGNMENT
            fit = rows_of(padded(hi - lo), rows.device)
            if step <= fit:
                break
            step = max(fit, step // 2)
        yield part, lo, hi
        at += step


def all_visible(starts: Tensor, ends: Tensor, out: Tensor) -> None:
    """Writes every key that the rows see to `out`, whose rows are long enough."""
    key = torch.arange(out.shape[1], dtype=torch.int32, device=out.device) + starts[:, None]
    out.copy_(key.masked_fill_(key >= ends[:, None], -1))


def _within(bound: Tensor, rows: Rows, lo: int, hi: int) -> Tensor:
    """Bounds counted from key `lo`; those of rows that see nothing may lie anywhere and are drawn in."""
    if lo:
        bound = bound - lo
    return bound if (rows.visible > 0).all() else bound.clamp(0, hi - lo)


def select_flat(
    q: Tensor, k: Tensor, weights: Tensor, rows: Rows, topk: int, *, k_scale: Tensor | None
) -> Tensor:
    """See `hisa_kernels.select_flat`."""
    if topk > LARGEST_K or k.shape[0] > MOST_COLUMNS:
        return reference.select_flat(q, k, weights, rows, topk, k_scale=k_scale)
    out = torch.empty((len(rows), topk), dtype=torch.int32, device=k.device)
    starts, ends = rows.bounds()
    buffer = None
    for part, lo, hi in parts(rows):
        widest = int(rows.visible[part].max())
        if widest <= topk:
            all_visible(starts[part], ends[part], out[part])
            continue
        width = padded(hi - lo)
        size = (part.stop - part.start) * width
        if buffer is None or buffer.numel() < size:
            buffer = None
            buffer = torch.empty(size, dtype=torch.float32, device=k.device)
        select_all(
            q[part],
            k[lo:hi],
            weights[part],
            _within(starts[part], rows.part(part), lo, hi),
            _within(ends[part], rows.part(part), lo, hi),
            topk,
            k_scale=None if k_scale is None else k_scale[lo:hi],
            scores=buffer[:size].view(-1, width),
            shift=lo,
            widest=widest,
            out=out[part],
        )
    return out
