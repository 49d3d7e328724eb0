"""Scores of the tokens of chosen blocks.

Two strategies give the same scores: gathering each row's keys (one batched product, good on a GPU), and
grouping the rows by block (one product a block, no key is copied; good on a CPU).
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hisa_kernels.memory import Scratch, rows_within, tile_bytes
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.score_tile import GEMM_GRAIN, round_up, weigh_heads
from hisa_kernels.rows import Rows, to_device
from hisa_kernels.workers import spread

GROUP_PRODUCTS = 1024
"""Rows times heads of one product: its results stay in a core's own cache."""

JOBS = 32

FEW_ROWS = 2
"""Rows up to which a CPU gathers too: hardly two of them share a block."""


def score_candidates(
    q: Tensor, weights: Tensor, keys: Keys, rows: Rows, blocks: Tensor, block_size: int, out: Tensor
) -> None:
    """Writes the scores of the candidates of some rows, by the strategy that suits the device.

    Args:
        q: Queries `[r, H, D]`.
        weights: Gates `[r, H]` f32.
        keys: All keys of the batch.
        rows: What the rows see.
        blocks: Chosen blocks `[r, W]` int32, −1 where empty.
        block_size: Tokens a block, B.
        out: Scores `[r, W·B]` f32, −inf where invisible.
    """
    if out.numel():
        few = q.device.type == "cuda" or len(rows) <= FEW_ROWS
        strategy = by_gathering if few else by_grouping
        strategy(q, weights, keys, rows, blocks, block_size, out)


def by_gathering(
    q: Tensor, weights: Tensor, keys: Keys, rows: Rows, blocks: Tensor, block_size: int, out: Tensor
) -> None:
    """Writes candidate scores to `out`, gathering the keys of a few rows at a time."""
    gather_scores(q, weights, keys, rows.tensor("starts"), rows.tensor("ends"), blocks, block_size, out)


def gather_scores(
    q: Tensor,
    weights: Tensor,
    keys: Keys,
    starts: Tensor,
    ends: Tensor,
    blocks: Tensor,
    block_size: int,
    out: Tensor,
) -> None:
    """`by_gathering` with bounds `[r]` on the device; there it never waits for it."""
    n_rows, heads, dim = q.shape
    offset = torch.arange(block_size, device=q.device)
    height = heads if q.device.type == "cuda" else max(heads, GEMM_GRAIN)
    q_tile = torch.zeros((n_rows, height, dim), dtype=torch.float32, device=q.device)
    q_tile[:, :heads] = q
    step = rows_within(tile_bytes(q.device), 4 * out.shape[1] * max(dim, height), n_rows)

    def work(tile: slice, scratch: Scratch) -> None:
        first = starts[tile, None] + blocks[tile].long() * block_size
        position = (first[:, :, None] + offset).flatten(1)
        hidden = (blocks[tile, :, None] < 0).expand(-1, -1, block_size).flatten(1)
        hidden = hidden | (position >= ends[tile, None])
        gathered = keys.gather(position.clamp_(0, len(keys) - 1))
        dots = torch.bmm(q_tile[tile], gathered.transpose(1, 2)).relu_()[:, :heads]
        weigh_heads(dots.unbind(1), weights[tile].t()[:, :, None].unbind(0), out[tile])
        out[tile].masked_fill_(hidden, -torch.inf)

    spread(work, [slice(at, at + step) for at in range(0, n_rows, step)], q.device)


def by_grouping(
    q: Tensor, weights: Tensor, keys: Keys, rows: Rows, blocks: Tensor, block_size: int, out: Tensor
) -> None:
    """Writes candidate scores to `out`, one product for each block and the rows that chose it (CPU)."""
    n_rows, heads, dim = q.shape
    width = blocks.shape[1]
    slots = out.view(n_rows * width, block_size)
    numbers = blocks.numpy().reshape(-1)
    if (numbers < 0).all():
        out.fill_(-torch.inf)
        return
    pairs, cuts = _by_block(numbers, rows, width, block_size, max(1, GROUP_PRODUCTS // heads))
    lead, sizes = pairs[cuts[:-1]], np.diff(cuts).tolist()
    key_start = (rows.starts[lead // width] + numbers[lead].astype(np.int64) * block_size).tolist()
    queries = q.float().reshape(n_rows, heads * dim)
    row = torch.from_numpy(pairs // width)
    scattered = slots.numpy()  # NumPy scatters rows twice as fast as torch
    groups = list(
        zip(
            key_start,
            sizes,
            row.split(sizes),
            np.split(pairs, cuts[1:-1]),
            weights.index_select(0, row).t().contiguous()[:, :, None].split(sizes, 1),
            strict=True,
        )
    )
    most, columns = max(sizes), max(block_size, GEMM_GRAIN)

    def work(part: slice, scratch: Scratch) -> None:
        q_group = scratch.take("q_group", (round_up(most * heads), dim)).zero_()
        dots = scratch.take("dots", (round_up(most * heads), columns))
        sums = scratch.take("sums", (most, block_size))
        padded = scratch.take("padded", (columns, dim))
        for first, n, members, places, gates in groups[part]:
            tile = keys.tile(first, min(first + block_size, len(keys)))
            if tile.shape[0] < columns:
                padded.zero_()[: tile.shape[0]] = tile
                tile = padded
            torch.index_select(queries, 0, members, out=q_group[: n * heads].view(n, heads * dim))
            height = round_up(n * heads)
            product = dots[:height]
            torch.mm(q_group[:height], tile.t(), out=product).relu_()
            by_head = product[: n * heads].view(n, heads, columns)[:, :, :block_size].unbind(1)
            weigh_heads(by_head, gates.unbind(0), sums[:n])
            scattered[places] = sums[:n].numpy()

    spread(work, _even_parts(cuts, JOBS), q.device)
    _hide(slots, numbers, rows, width, block_size)


def _by_block(
    numbers: NDArray[np.int32], rows: Rows, width: int, block_size: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Filled slots in the order of their block, and where to cut them: at every block, and every `most`."""
    pairs = np.flatnonzero(numbers >= 0)
    label: NDArray[np.generic] = numbers[pairs]
    if (rows.starts != rows.starts[0]).any():
        label = rows.starts[pairs // width] + label.astype(np.int64) * block_size
    if label.max() < 1 << 16:
        label = label.astype(np.uint16)  # NumPy sorts 16 bits by radix
    order = np.argsort(label, kind="stable")
    edges = np.concatenate(([0], np.flatnonzero(np.diff(label[order])) + 1, [len(pairs)]))
    within = np.arange(len(pairs)) - np.repeat(edges[:-1], np.diff(edges))
    return pairs[order], np.append(np.flatnonzero(within % most == 0), len(pairs))


def _even_parts(cuts: NDArray[np.int64], parts: int) -> list[slice]:
    """Neighbouring groups in at most `parts` parts of about as many slots each."""
    edges = np.unique(np.searchsorted(cuts, np.linspace(0, cuts[-1], parts + 1))).tolist()
    return [slice(first, end) for first, end in itertools.pairwise(edges)]


def _hide(slots: Tensor, numbers: NDArray[np.int32], rows: Rows, width: int, block_size: int) -> None:
    """Writes −inf to empty slots and to the part of a row's last block that it does not see."""
    empty = np.flatnonzero(numbers < 0)
    if len(empty):
        slots.index_fill_(0, torch.from_numpy(empty), -torch.inf)
    seen = np.repeat(rows.visible, width) - numbers.astype(np.int64) * block_size
    partial = np.flatnonzero((numbers >= 0) & (seen < block_size))
    if len(partial):
        index = to_device(partial, slots.device)
        beyond = (
            torch.arange(block_size, device=slots.device) >= to_device(seen[partial], slots.device)[:, None]
        )
        slots.index_copy_(0, index, slots.index_select(0, index).masked_fill_(beyond, -torch.inf))


def candidate_scores(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    rows: Rows,
    blocks: Tensor,
    block_size: int,
    *,
    k_scale: Tensor | None,
) -> Tensor:
    """See `hisa_kernels.candidate_scores`."""
    out = torch.empty((len(rows), blocks.shape[1] * block_size), dtype=torch.float32, device=k.device)
    score_candidates(q, weights, Keys(k, k_scale), rows, blocks.contiguous(), block_size, out)
    return out
