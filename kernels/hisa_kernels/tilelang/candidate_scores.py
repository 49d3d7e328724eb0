"""Scores of the tokens of chosen blocks on a GPU: which kernel serves which call."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from hisa_kernels.reference import candidate_scores as reference
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang import candidate_tiles
from hisa_kernels.tilelang.candidate_blocks import candidate_blocks, schedule, tile_queries
from hisa_kernels.tilelang.candidate_lists import SLACK, count_pairs, place_pairs, write_pairs
from hisa_kernels.tilelang.candidate_rows import TILE, candidate_rows
from hisa_kernels.tilelang.score_inputs import (
    NAMES,
    dense,
    fit_keys,
    fit_queries,
    has_kernel,
    multiprocessors,
    same_dtype,
)

FEWEST_HEADS = 8
"""Heads that the kernels have at least; fewer are filled up with zeros."""

BLOCKS = (64, 128)
"""Block sizes of the block-major kernel."""

FEWEST_ROWS = 64
"""Rows below which hardly two share a block: then each row gathers its own keys."""

BAND_BITS = 12
"""Rows are sorted by block in bands of 2 ** BAND_BITS, whose queries share the cache."""

MOST_ROWS = 1 << 15
"""Most rows of one launch of the query-major kernel."""


def widened(q: Tensor, k: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and weights of one dtype, with the heads and dimensions that the kernels are made for.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3.
        k: Keys `[N, D]` bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
    """
    q, k = same_dtype(q, k)
    q, weights = fit_queries(q, dense(weights))
    if q.shape[1] < FEWEST_HEADS:
        more = FEWEST_HEADS - q.shape[1]
        raw = q.view(torch.uint8) if q.element_size() == 1 else q
        q, weights = pad(raw, (0, 0, 0, more)).view(q.dtype), pad(weights, (0, more))
    return q, fit_keys(k, q.shape[2]), weights


def sequence_numbers(starts: Tensor, n_keys: int) -> Tensor:
    """How many sequences of the batch begin before each row's own one `[M]` int32, by their starts."""
    begins = torch.zeros(n_keys + 1, dtype=torch.int32, device=starts.device)
    begins.index_fill_(0, starts.long(), 1)
    return (begins.cumsum(0, dtype=torch.int32) - 1).index_select(0, starts.long())


def scale_of(k_scale: Tensor | None, weights: Tensor) -> Tensor:
    """The keys' scale, or a number in its place where they have none."""
    return weights.view(-1)[:1] if k_scale is None else k_scale.contiguous()


def by_rows(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    blocks: Tensor,
    block_size: int,
    k_scale: Tensor | None,
    out: Tensor,
) -> None:
    """Writes candidate scores to `out`, each row gathering its own keys; takes any block size."""
    n_tiles = -(-out.shape[1] // TILE)
    share = max(1, min(8, n_tiles * len(q) // (8 * multiprocessors(q.device))))
    run = candidate_rows(
        heads=q.shape[1],
        dim=q.shape[2],
        block_size=block_size,
        dtype=NAMES[q.dtype],
        scaled=k_scale is not None,
    )
    scale = scale_of(k_scale, weights)
    for at in range(0, len(q), MOST_ROWS):
        part = slice(at, at + MOST_ROWS)
        run(q[part], k, weights[part], scale, starts[part], ends[part], blocks[part], out[part], share)


@dataclass(frozen=True)
class PairList:
    """(query, slot) pairs in the order of the block that they name; see `candidate_lists`.

    Attributes:
        pairs: Entries `[room, 4]` int32.
        tiles: How many groups of entries are in use `[1]` int32.
    """

    pairs: Tensor
    tiles: Tensor


def n_buckets(m: int, n_keys: int, block_size: int, one_sequence: bool) -> int:
    """Buckets that hold the blocks of all sequences."""
    return n_keys // block_size + 1 + (0 if one_sequence else min(m, n_keys))


def n_bands(m: int) -> int:
    """Bands that rows are sorted in."""
    return (m + (1 << BAND_BITS) - 1) >> BAND_BITS


def sort_pairs(
    starts: Tensor,
    ends: Tensor,
    blocks: Tensor,
    block_size: int,
    n_keys: int,
    heads: int,
    out: Tensor,
    one_sequence: bool,
    counts: Tensor | None = None,
) -> PairList:
    """The list of all pairs, and −inf in `out` where a slot is empty.

    Args:
        starts: First key of each row's sequence `[M]` int32.
        ends: One past each row's last visible key `[M]` int32.
        blocks: Chosen blocks `[M, W]` int32.
        block_size: Tokens a block, B.
        n_keys: N.
        heads: H as the scoring kernel sees it.
        out: Scores `[M, W·B]` f32.
        one_sequence: Whether all `starts` are equal.
        counts: Zeros `[bands, buckets]` int32 to count in.
    """
    m, w = blocks.shape
    group = tile_queries(heads, block_size)
    buckets = n_buckets(m, n_keys, block_size, one_sequence)
    if counts is None:
        counts = torch.zeros((n_bands(m), buckets), dtype=torch.int32, device=blocks.device)
    sequence = starts if one_sequence else sequence_numbers(starts, n_keys)
    room = m * w + (group - 1) * min(counts.numel(), m * w) + SLACK
    rank = torch.empty_like(blocks)
    pairs = torch.empty((room, 4), dtype=torch.int32, device=blocks.device)
    tiles = torch.empty(1, dtype=torch.int32, device=blocks.device)
    kind = {"block_size": block_size, "packed": not one_sequence}
    count_pairs(**kind)(blocks, starts, sequence, counts, rank, BAND_BITS)
    place_pairs(group=group)(counts.view(-1), pairs, tiles)
    write_pairs(**kind)(blocks, starts, ends, sequence, counts, rank, pairs, out, BAND_BITS)
    return PairList(pairs, tiles)


def score_pairs(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    k_scale: Tensor | None,
    listed: PairList,
    block_size: int,
    out: Tensor,
) -> None:
    """Writes the scores of all listed pairs to `out`."""
    heads, dim, size = q.shape[1], q.shape[2], q.element_size()
    kind = {"heads": heads, "dim": dim, "dtype": NAMES[q.dtype], "scaled": k_scale is not None}
    if candidate_tiles.takes(heads, dim, block_size, size):
        run = candidate_tiles.candidate_tiles(**kind, stages=candidate_tiles.stages_of(heads, dim, size))
    else:
        run = candidate_blocks(**kind, block_size=block_size, **schedule(heads, dim, block_size, size))
    run(
        q,
        k,
        weights,
        scale_of(k_scale, weights),
        listed.pairs,
        listed.tiles,
        out.view(-1, block_size),
        multiprocessors(q.device),
    )


def by_blocks(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    blocks: Tensor,
    block_size: int,
    k_scale: Tensor | None,
    out: Tensor,
    one_sequence: bool,
) -> None:
    """Writes candidate scores to `out`, each block of keys meeting the rows that chose it."""
    listed = sort_pairs(starts, ends, blocks, block_size, k.shape[0], q.shape[1], out, one_sequence)
    score_pairs(q, k, weights, k_scale, listed, block_size, out)


def prefers_blocks(n_rows: int) -> bool:
    """Whether so many rows share blocks often enough for the block-major kernel to be the faster one."""
    return n_rows >= FEWEST_ROWS


def scores_of_candidates(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    starts: Tensor,
    ends: Tensor,
    blocks: Tensor,
    block_size: int,
    *,
    k_scale: Tensor | None = None,
    out: Tensor | None = None,
    one_sequence: bool = False,
) -> Tensor:
    """Scores of the tokens of chosen blocks; never waits for the device.

    Args:
        q: Queries `[M, H, D]` bf16 or FP8 e4m3 (its scale folded into `weights`), H at most 64, D 128.
        k: Keys `[N, D]` bf16 or FP8 e4m3.
        weights: Gates `[M, H]` f32.
        starts: First visible key of each query `[M]` int32; its block 0 begins there.
        ends: One past its last visible key `[M]` int32.
        blocks: Block numbers relative to each query's start `[M, W]` int32, contiguous, −1 where empty.
        block_size: Tokens a block, B.
        k_scale: Per-token scale `[N]` f32 of FP8 keys.
        out: Where the scores go `[M, W·B]` f32, contiguous.
        one_sequence: Whether all `starts` are known to be equal, which saves a few launches.

    Returns:
        Scores `[M, W·B]` f32, −inf where invisible or where the slot is empty.
    """
    if out is None:
        out = torch.empty((len(q), blocks.shape[1] * block_size), dtype=torch.float32, device=q.device)
    if not out.numel():
        return out
    q, k, weights = widened(q, k, weights)
    operands = (q, k, weights, starts, ends, blocks, block_size, k_scale, out)
    if block_size in BLOCKS and prefers_blocks(len(q)):
        by_blocks(*operands, one_sequence)
    else:
        by_rows(*operands)
    return out


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
    if not has_kernel(q.shape[1], q.shape[2]) or k.shape[0] == 0:
        return reference.candidate_scores(q, k, weights, rows, blocks, block_size, k_scale=k_scale)
    one = len(rows) == 0 or bool((rows.starts == rows.starts[0]).all())
    starts, ends = rows.bounds()
    return scores_of_candidates(
        q, k, weights, starts, ends, blocks.contiguous(), block_size, k_scale=k_scale, one_sequence=one
    )
