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

from hisa_kernels.memory import Scratch, rows_within, temp_bytes
from hisa_kernels.reference.keys import Keys
from hisa_kernels.reference.score_tile import GEMM_GRAIN, round_up, weigh_heads
from hisa_kernels.rows import Rows, to_device
from hisa_kernels.workers import spread

GROUP_PRODUCTS = 512
"""Rows times heads of one product: its results stay in a core's own cache."""

JOBS = 32


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
        strategy = by_gathering if q.device.type == "cuda" else by_grouping
        strategy(q, weights, keys, rows, blocks, block_size, out)


def by_gathering(
    q: Tensor, weights: Tensor, keys: Keys, rows: Rows, blocks: Tensor, block_size: int, out: Tensor
) -> None:
    """Writes candidate scores to `out`, gathering the keys of a few rows at a time."""
    n_rows, heads, dim = q.shape
    offset = torch.arange(block_size, device=q.device)
    starts, ends = rows.tensor("starts"), rows.tensor("ends")
    step = rows_within(temp_bytes(q.device), 4 * out.shape[1] * max(dim, heads), n_rows)
    for at in range(0, n_rows, step):
        tile = slice(at, at + step)
        first = starts[tile, None] + blocks[tile].long() * block_size
        position = (first[:, :, None] + offset).flatten(1)
        hidden = (blocks[tile, :, None] < 0).expand(-1, -1, block_size).flatten(1)
        hidden = hidden | (position >= ends[tile, None])
        gathered = keys.gather(position.clamp_(0, len(keys) - 1))
        dots = torch.bmm(q[tile].float(), gathered.transpose(1, 2)).relu_()
        weigh_heads(list(dots.unbind(1)), list(weights[tile].t()[:, :, None]), out[tile])
        out[tile].masked_fill_(hidden, -torch.inf)


def by_grouping(
    q: Tensor, weights: Tensor, keys: Keys, rows: Rows, blocks: Tensor, block_size: int, out: Tensor
) -> None:
    """Writes candidate scores to `out`, one product for each block and the rows that chose it (CPU)."""
    n_rows, heads, dim = q.shape
    width = blocks.shape[1]
    slots = out.view(n_rows * width, block_size)
    numbers = blocks.numpy().reshape(-1)
    pairs, cuts = _by_block(numbers, rows, width, block_size)
    lead = pairs[cuts[:-1]]
    key_start = (rows.starts[lead // width] + numbers[lead].astype(np.int64) * block_size).tolist()
    bounds = cuts.tolist()
    queries = q.float().reshape(n_rows, heads * dim)
    gates = weights.t().contiguous()
    pair = torch.from_numpy(pairs)
    row = pair // width
    most = max(1, GROUP_PRODUCTS // heads)
    columns = max(block_size, GEMM_GRAIN)

    def work(runs: range, scratch: Scratch) -> None:
        q_group = scratch.take("q_group", (round_up(most * heads), dim)).zero_()
        dots = scratch.take("dots", (round_up(most * heads), columns))
        sums = scratch.take("sums", (most, block_size))
        padded = scratch.take("padded", (columns, dim))
        for run in runs:
            tile = keys.tile(key_start[run], min(key_start[run] + block_size, len(keys)))
            if len(tile) < columns:
                padded.zero_()[: len(tile)] = tile
                tile = padded
            for at in range(bounds[run], bounds[run + 1], most):
                members = row[at : min(at + most, bounds[run + 1])]
                n = len(members)
                torch.index_select(queries, 0, members, out=q_group[: n * heads].view(n, heads * dim))
                product = dots[: round_up(n * heads)]
                torch.mm(q_group[: len(product)], tile.t(), out=product).relu_()
                by_head = product[: n * heads].view(n, heads, columns)[:, :, :block_size].unbind(1)
                weigh_heads(list(by_head), list(gates.index_select(1, members)[:, :, None]), sums[:n])
                slots.index_copy_(0, pair[at : at + n], sums[:n])

    spread(work, _even_parts(cuts, JOBS), q.device)
    _hide(slots, numbers, rows, width, block_size)


def _by_block(
    numbers: NDArray[np.int32], rows: Rows, width: int, block_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Filled slots in the order of their block, and where each block's run of slots begins (and ends)."""
    pairs = np.flatnonzero(numbers >= 0)
    if not len(pairs):
        return pairs, np.zeros(1, np.int64)
    label: NDArray[np.generic] = numbers[pairs]
    if (rows.starts != rows.starts[0]).any():
        label = rows.starts[pairs // width] + label.astype(np.int64) * block_size
    if label.max() < 1 << 16:
        label = label.astype(np.uint16)  # NumPy sorts 16 bits by radix
    order = np.argsort(label, kind="stable")
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    return pairs[order], np.concatenate(([0], cuts, [len(pairs)]))


def _even_parts(cuts: NDArray[np.int64], parts: int) -> list[range]:
    """Neighbouring runs in at most `parts` groups of about as many slots each."""
    aims = np.linspace(0, cuts[-1], parts + 1)
    edges = np.unique(np.searchsorted(cuts, aims))
    return [range(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _hide(slots: Tensor, numbers: NDArray[np.int32], rows: Rows, width: int, block_size: int) -> None:
    """Writes −inf to empty slots and to the part of a row's last block that it does not see."""
    empty = np.flatnonzero(numbers < 0)
    if len(empty):
        slots.index_fill_(0, torch.from_numpy(empty), -torch.inf)
    seen = np.repeat(rows.visible, width) - numbers.astype(np.int64) * block_size
    partial = np.flatnonzero((numbers >= 0) & (seen < block_size))
    if len(partial):
        index = to_device(partial, slots.device)
        beyond = torch.arange(block_size) >= to_device(seen[partial], slots.device)[:, None]
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
