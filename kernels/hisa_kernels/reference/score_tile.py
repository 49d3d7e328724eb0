"""The one scorer: a tile of queries against a run of keys. Every score of every operator comes from here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hisa_kernels.memory import Scratch, inner_bytes, rows_within, tile_bytes, worker_count
from hisa_kernels.reference.keys import Keys
from hisa_kernels.rows import Rows

GEMM_GRAIN = 16
"""Least rows and columns of a matrix product: BLAS kernels for slimmer ones sum in another order, so that a
score would change its last bit with the shape of its tile."""

CPU_GEMM_ROWS = 256
CPU_PRODUCTS = CPU_GEMM_ROWS * 2048
"""Results of one matrix product on a CPU: little enough to stay in cache."""

CUDA_ROWS = 1024


def tiles(n_rows: int, heads: int, columns: int, device: torch.device) -> list[slice]:
    """The rows of a batch in tiles: by the inputs' shapes alone, so that all operators cut a batch alike.

    Args:
        n_rows: Rows of the batch, M.
        heads: Query heads H.
        columns: Keys that a row may see.
        device: Where the tiles are computed.
    """
    most = CUDA_ROWS
    if device.type == "cpu":
        most = min(max(4, CPU_GEMM_ROWS // heads), -(-n_rows // worker_count()))
    step = rows_within(tile_bytes(device), 4 * columns, most)
    return [slice(at, min(at + step, n_rows)) for at in range(0, n_rows, step)]


def round_up(value: int) -> int:
    """The next multiple of `GEMM_GRAIN`."""
    return -(-value // GEMM_GRAIN) * GEMM_GRAIN


def weigh_heads(dots: Sequence[Tensor], gates: Sequence[Tensor], out: Tensor) -> None:
    """Writes Σ_h gates[h] · dots[h] to `out`, always in the order of the heads.

    Args:
        dots: Rectified products of each head, `[r, c]`.
        gates: Weights of each head, `[r, 1]`.
        out: Where the sum goes, `[r, c]`.
    """
    torch.mul(dots[0], gates[0], out=out)
    for dot, gate in zip(dots[1:], gates[1:], strict=True):
        out.addcmul_(dot, gate)


def score_run(
    q: Tensor, weights: Tensor, keys: Keys, lo: int, hi: int, out: Tensor, scratch: Scratch
) -> None:
    """Writes Σ_h weights[:, h] · ReLU(q[:, h] · key) for keys `lo` to `hi`; visibility is not looked at.

    Args:
        q: Queries `[r, H, D]`.
        weights: Gates `[r, H]` f32.
        keys: The keys.
        lo: First key.
        hi: One past the last key.
        out: Scores `[r, hi - lo]` f32.
        scratch: Buffers to reuse.
    """
    r, heads, dim = q.shape
    if r == 0 or hi <= lo:
        return
    height = round_up(r * heads)
    q_tile = scratch.take("q_tile", (height, dim))
    q_tile[: r * heads].view(heads, r, dim).copy_(q.transpose(0, 1))
    q_tile[r * heads :].zero_()
    gates = weights.t().contiguous()[:, :, None].unbind(0)
    widest = inner_bytes(q.device) // (4 * height)
    if q.device.type != "cuda":
        widest = min(widest, CPU_PRODUCTS // height)
    columns = max(GEMM_GRAIN, widest // GEMM_GRAIN * GEMM_GRAIN)
    for at in range(lo, hi, columns):
        stop = min(at + columns, hi)
        tile = keys.tile(at, stop)
        if stop - at < GEMM_GRAIN:
            padded = scratch.take("k_tile", (GEMM_GRAIN, dim)).zero_()
            padded[: stop - at] = tile
            tile = padded
        dots = scratch.take("dots", (height, tile.shape[0]))
        torch.mm(q_tile, tile.t(), out=dots)
        dots.relu_()
        by_head = dots[: r * heads].view(heads, r, tile.shape[0])[:, :, : stop - at]
        weigh_heads(by_head.unbind(0), gates, out[:, at - lo : stop - lo])


def hide_invisible(scores: Tensor, rows: Rows, lo: int) -> None:
    """Writes −inf where a row does not see the key.

    Args:
        scores: Scores `[r, c]`; column j is key `lo + j`.
        rows: What the rows see.
        lo: Key of the first column.
    """
    if not len(rows):
        return
    width = scores.shape[1]
    first = min(max(int(rows.starts.max()) - lo, 0), width)
    last = min(max(int(rows.ends.min()) - lo, 0), width)
    for name, left, right in (("starts", 0, first), ("ends", last, width)):
        if left < right:
            key = torch.arange(lo + left, lo + right, device=scores.device)
            bound = rows.tensor(name)[:, None]
            hidden = key < bound if name == "starts" else key >= bound
            scores[:, left:right].masked_fill_(hidden, -torch.inf)
